"""Windows of constrained systems, brought back onto their constraints."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Reference
from egno_md.core.state import Frame, Trajectory
from egno_md.propagate.conservation import restore_momenta

FAILED = "constraints do not converge"


@dataclass(frozen=True, eq=False)
class Projection:
    """Projects what an operator and a thermostat do to constrained coordinates.

    Positions and velocities go along the mass-weighted gradients of the
    constraints (SHAKE and RATTLE by OpenMM). Maxwell noise so projected is
    Maxwell's distribution of the velocities that the constraints allow.

    Attributes:
        reference: the engine whose constraints they are.
        masses: Da.
    """

    reference: Reference
    masses: Float[np.ndarray, " atoms"]

    def window(self, start: Frame, proposal: Trajectory) -> Trajectory:
        """The proposal with every time point on the constraints, momenta restored.

        Time points where the projection does not converge become NaN.
        """
        positions = np.full(proposal.positions.shape, np.nan)
        velocities = np.full(proposal.positions.shape, np.nan)
        for point in range(len(proposal)):
            projected = self.reference.project(proposal[point])
            if projected is not None:
                positions[point], velocities[point] = projected.positions, projected.velocities
        elapsed = proposal.times - start.time
        good = np.isfinite(positions).all(axis=(1, 2))
        if good.any():
            positions[good], velocities[good] = restore_momenta(
                start, positions[good], velocities[good], elapsed[good], self.masses
            )
        return replace(proposal, positions=positions, velocities=velocities)

    def frame(self, frame: Frame) -> Frame:
        """The frame on its constraints, without what was known of its energy.

        Raises:
            PotentialError: the projection does not converge.
        """
        projected = self.reference.project(frame)
        if projected is None:
            raise PotentialError(FAILED)
        return projected

    def velocities(self, frame: Frame) -> Frame:
        """The frame with allowed velocities; its positions are on the constraints already.

        Raises:
            PotentialError: the projection does not converge.
        """
        return replace(frame, velocities=self.frame(frame).velocities)
