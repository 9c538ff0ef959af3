"""The function behind an OpenMM `PythonForce`, for any potential."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import openmm

OWN_DYNAMICS = -1
"""The walker that the context's own dynamics follow; replicas of a rollout count from 0."""


class Potential(Protocol):
    """Computes energies and forces from positions alone.

    Attributes:
        failures: evaluations without an energy since `take_failures`.
    """

    failures: int

    def compute(self, positions: np.ndarray, walker: int) -> tuple[float, np.ndarray]:
        """Energy (kJ/mol) and forces (kJ/mol/nm) at ``(atoms, 3)`` positions in nm.

        Its state from one evaluation to the next is kept per `walker`.
        """
        ...

    def reset(self) -> None:
        """Forget earlier evaluations."""
        ...


class CachedForce:
    """Evaluates identical positions once: OpenMM asks for energy and forces apart.

    Args:
        potential: computes energies and forces.
    """

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.walker = OWN_DYNAMICS
        self._positions = np.zeros((0, 3))
        self._result = (0.0, np.zeros((0, 3)))

    def __call__(self, state: openmm.State) -> tuple[float, np.ndarray]:
        """Energy (kJ/mol) and forces (kJ/mol/nm) at the state's positions."""
        positions = state.getPositions(asNumpy=True)._value
        if not np.array_equal(positions, self._positions):
            self._result = self.potential.compute(positions, self.walker)
            # a failure is not cached, so that it is counted again
            failed = self.potential.failures > 0
            self._positions = np.zeros((0, 3)) if failed else np.array(positions)
        return self._result

    def follow(self, walker: int) -> None:
        """Evaluate for another walker, whose results depend on its own past alone."""
        if walker != self.walker:
            self.walker = walker
            self._positions = np.zeros((0, 3))

    def reset(self) -> None:
        """Forget the cached result and the potential's state."""
        self._positions = np.zeros((0, 3))
        self.potential.reset()

    def take_failures(self) -> int:
        """Number of failed evaluations since the last call."""
        failures, self.potential.failures = self.potential.failures, 0
        return failures
