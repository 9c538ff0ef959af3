"""OpenMM's minimiser, with one-line errors."""

from __future__ import annotations

import openmm

from egno_md.core.errors import PotentialError

TOLERANCE = 10.0
"""kJ/mol/nm: root mean square force at which it ends."""


def minimise(context: openmm.Context, iterations: int, name: str) -> None:
    """Minimise the energy of a context's state, in place.

    Args:
        context: holds the state.
        iterations: at most; constraints take two force calls each.
        name: of the system, for the error.

    Raises:
        PotentialError: OpenMM finds no finite energy, such as with two atoms in one place.
    """
    try:
        openmm.LocalEnergyMinimizer.minimize(context, TOLERANCE, iterations)
    except openmm.OpenMMException as error:
        reason = str(error).split("  For more information")[0].rstrip(".")
        raise PotentialError(f"{name} cannot be minimised: {reason}.") from None
