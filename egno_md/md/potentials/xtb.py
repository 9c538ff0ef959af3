"""GFN-xTB energies and forces inside OpenMM, through tblite."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.units import KJ_PER_HARTREE, NANOMETRE_PER_BOHR
from egno_md.spec.system import XtbPotential

FAILED_ENERGY = 1.0e10
"""kJ/mol reported where the SCF fails, with zero forces: a minimiser backs off."""


class XtbForce:
    """GFN-xTB as a potential of a `PythonForce`; the SCF starts from the walker's last density."""

    def __init__(self, atomic_numbers: np.ndarray, potential: XtbPotential) -> None:
        self.atomic_numbers = np.asarray(atomic_numbers)
        self.potential = potential
        self.failures = 0
        self.reset()

    def reset(self) -> None:
        """Forget the density, so that results do not depend on earlier evaluations."""
        self._calculator = None
        self._results: dict[int, Any] = {}

    def compute(self, positions: np.ndarray, walker: int = 0) -> tuple[float, np.ndarray]:
        """Energy and forces at ``(atoms, 3)`` positions in nm."""
        bohr = positions / NANOMETRE_PER_BOHR
        try:
            if not np.isfinite(bohr).all():
                raise RuntimeError("positions are not finite")
            if self._calculator is None:
                self._calculator = self._new_calculator(bohr)
            else:
                self._calculator.update(bohr)
            result = self._calculator.singlepoint(self._results.get(walker))
        except RuntimeError:
            self.failures += 1
            self._calculator = None
            self._results.pop(walker, None)
            return FAILED_ENERGY, np.zeros_like(positions)
        self._results[walker] = result
        energy = float(result["energy"]) * KJ_PER_HARTREE
        forces = result["gradient"] * (-KJ_PER_HARTREE / NANOMETRE_PER_BOHR)
        return energy, forces

    def _new_calculator(self, bohr: np.ndarray):
        from tblite.interface import Calculator

        calculator = Calculator(
            self.potential.method,
            self.atomic_numbers,
            bohr,
            float(self.potential.charge),
            self.potential.unpaired_electrons,
        )
        calculator.set("accuracy", self.potential.accuracy)
        calculator.set("verbosity", 0)
        return calculator

    def __getstate__(self) -> dict[str, Any]:
        return {"atomic_numbers": self.atomic_numbers, "potential": self.potential}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)


def check_parameters(atomic_numbers: np.ndarray, method: str) -> None:
    """Refuse elements that xTB has no parameters for.

    Raises:
        PotentialError: an element beyond radon, or tblite is not installed.
    """
    try:
        import_module("tblite.interface")
    except ImportError:
        raise PotentialError(
            f"{method} needs tblite, which is not installed. Run: pip install tblite"
        ) from None
    if atomic_numbers.max() > 86:
        raise PotentialError(f"{method} has no parameters for element {atomic_numbers.max()}.")
