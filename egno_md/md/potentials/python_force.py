"""The function behind an OpenMM `PythonForce`, whatever computes it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import openmm

OWN_DYNAMICS = -1
"""The walker that the context's own dynamics follow; replicas of a rollout count from 0."""


class Potential(Protocol):
    """Computes energies and forces from positions alone.

    Attributes:
        failures: evaluations that gave no energy since last asked.
    """

    failures: int

    def compute(self, positions: np.ndarray, walker: int) -> tuple[float, np.ndarray]:
        """Energy (kJ/mol) and forces (kJ/mol/nm) at ``(atoms, 3)`` positions in nm.

        What it remembers from one evaluation to the next, it keeps per `walker`.
        """
        ...

    def reset(self) -> None:
        """Forget what earlier evaluations left behind."""
        ...


class CachedForce:
    """Evaluates identical positions once: OpenMM asks for energy and forces apart.

    Args:
        potential: what computes.
    """

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.walker = OWN_DYNAMICS
        self._positions = np.zeros((0, 3))
        self._answer = (0.0, np.zeros((0, 3)))

    def __call__(self, state: openmm.State) -> tuple[float, np.ndarray]:
        """Energy (kJ/mol) and forces (kJ/mol/nm) at the state's positions."""
        positions = state.getPositions(asNumpy=True)._value
        if not np.array_equal(positions, self._positions):
            self._answer = self.potential.compute(positions, self.walker)
            # a failure is never remembered: asked again, it fails again
            failed = self.potential.failures > 0
            self._positions = np.zeros((0, 3)) if failed else np.array(positions)
        return self._answer

    def follow(self, walker: int) -> None:
        """Evaluate for another walker: its answers depend on its own past alone."""
        if walker != self.walker:
            self.walker = walker
            self._positions = np.zeros((0, 3))

    def reset(self) -> None:
        """Forget the answer and whatever the potential remembers."""
        self._positions = np.zeros((0, 3))
        self.potential.reset()

    def take_failures(self) -> int:
        """Failed evaluations since this was last asked."""
        failures, self.potential.failures = self.potential.failures, 0
        return failures
