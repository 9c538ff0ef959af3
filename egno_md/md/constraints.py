"""Bringing a frame back onto its distance constraints, by OpenMM's own solvers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import openmm
from openmm import unit

from egno_md.core.state import Frame

TOLERANCE = 1e-6
"""Relative, of constrained distances after a projection."""

LARGEST_RESIDUAL = 1e-4
"""Relative error beyond which a projection has not converged; single precision reaches 1e-6."""


class ConstraintProjector:
    """Projects positions and velocities along the mass-weighted gradients of the constraints.

    Total momentum and the centre of mass are left alone.

    Args:
        context: whose state is overwritten.
    """

    def __init__(self, context: openmm.Context) -> None:
        self._context = context
        system = context.getSystem()
        constraints = [system.getConstraintParameters(i) for i in range(system.getNumConstraints())]
        self._pairs = np.array([p[:2] for p in constraints], dtype=np.int64).reshape(-1, 2)
        self._distances = np.array([p[2].value_in_unit(unit.nanometer) for p in constraints])

    def project(self, frame: Frame) -> Frame | None:
        """The frame on its constraints, or None where OpenMM's solver does not converge.

        The context has the frame's box already. Forces and energy are dropped.
        """
        context = self._context
        context.setPositions(np.asarray(frame.positions, dtype=np.float64))
        context.setVelocities(np.asarray(frame.velocities, dtype=np.float64))
        try:
            context.applyConstraints(TOLERANCE)
            context.applyVelocityConstraints(TOLERANCE)
            state = context.getState(positions=True, velocities=True)
        except openmm.OpenMMException:
            return None
        projected = replace(
            frame,
            positions=state.getPositions(asNumpy=True)._value,
            velocities=state.getVelocities(asNumpy=True)._value,
            forces=None,
            potential_energy=None,
        )
        return projected if projected.is_finite and self._holds(projected) else None

    def _holds(self, frame: Frame) -> bool:
        r = frame.positions[self._pairs[:, 0]] - frame.positions[self._pairs[:, 1]]
        error = np.abs(np.linalg.norm(r, axis=1) / self._distances - 1)
        return bool(error.max(initial=0.0) < LARGEST_RESIDUAL)
