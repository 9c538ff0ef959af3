"""What every potential owes: forces that are its energy's, and no place or direction in space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from egno_md.core.errors import ContractError

Array = np.ndarray

STEP = 1e-4
"""nm, of central differences: their own error is far below the tolerance."""

FORCE_SHARE = 1e-3
"""Of the largest force: what differences and float32 potentials leave."""

ENERGY = 1e-3
"""kJ/mol, between energies that are to be the same."""

Potential = Callable[[Float[Array, "atoms 3"]], tuple[float, Float[Array, "atoms 3"]]]
"""Positions in nm to energy in kJ/mol and forces in kJ/mol/nm."""


def check_potential(
    potential: Potential,
    positions: Float[Array, "atoms 3"],
    *,
    force_share: float = FORCE_SHARE,
    energy: float = ENERGY,
    is_isolated: bool = True,
    coordinates: int = 12,
    seed: int = 0,
) -> None:
    """Ask of a potential what energy conservation and judging by energies rest on.

    Args:
        potential: energy and forces of positions.
        positions: of a sound structure, nm; a little off its minimum, so that it has forces.
        force_share: largest error of a force, of the largest force.
        energy: largest change of the energy by a rigid motion, kJ/mol.
        is_isolated: whether the system feels no place and direction in space.
        coordinates: how many are differentiated.
        seed: of the choice of coordinates and of the rotation.

    Raises:
        ContractError: naming the claim that is not kept.

    Example:
        >>> import numpy as np
        >>> from egno_md.testing import check_potential
        >>> def springs(x):
        ...     r = x[0] - x[1]
        ...     length = np.linalg.norm(r)
        ...     pull = -1000.0 * (length - 0.1) * r / length
        ...     return 500.0 * (length - 0.1) ** 2, np.stack([pull, -pull])
        >>> check_potential(springs, np.array([[0.0, 0.0, 0.0], [0.12, 0.0, 0.0]]))
    """
    random = np.random.default_rng(seed)
    value, forces = potential(positions)
    if np.shape(forces) != positions.shape:
        raise ContractError(
            f"forces of shape {np.shape(forces)}, expected {positions.shape}, in kJ/mol/nm."
        )
    if not np.isfinite(value) or not np.isfinite(forces).all():
        raise ContractError("energy or forces that are not finite at a sound structure.")
    again, _ = potential(positions)
    if not abs(again - value) <= energy:
        raise ContractError(
            f"the same positions give energies {abs(again - value):.2g} kJ/mol apart."
        )
    _check_forces(potential, positions, forces, force_share, coordinates, random)
    if is_isolated:
        _check_rigid_motion(potential, positions, value, energy, random)


def _check_forces(
    potential: Potential,
    positions: Array,
    forces: Array,
    share: float,
    coordinates: int,
    random: np.random.Generator,
) -> None:
    scale = max(float(np.abs(forces).max()), 1.0)
    count = min(coordinates, positions.size)
    for index in random.choice(positions.size, count, replace=False):
        step = np.zeros(positions.size)
        step[index] = STEP
        shift = step.reshape(positions.shape)
        rise = potential(positions + shift)[0] - potential(positions - shift)[0]
        expected = -rise / (2 * STEP)
        off = abs(float(forces.reshape(-1)[index]) - expected)
        if not off <= share * scale:
            atom, axis = divmod(int(index), 3)
            raise ContractError(
                f"force {'xyz'[axis]} of atom {atom} is {forces.reshape(-1)[index]:.6g} kJ/mol/nm, "
                f"its energy's slope says {expected:.6g}. Forces are minus the gradient of the energy."
            )


def _check_rigid_motion(
    potential: Potential, positions: Array, value: float, energy: float, random: np.random.Generator
) -> None:
    turn, _ = np.linalg.qr(random.standard_normal((3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    motions = {"translation": positions + 0.7, "rotation": positions @ turn.T}
    for name, motion in motions.items():
        off = abs(potential(motion)[0] - value)
        if not off <= energy:
            raise ContractError(
                f"a {name} of the whole system changes its energy by {off:.2g} kJ/mol. Leave this out "
                "with is_isolated=False where the system feels an external field."
            )
