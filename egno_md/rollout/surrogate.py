"""The surrogate as a propagator: one network call, then the conservation laws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from egno_md.core.state import Frame, Trajectory
from egno_md.nn.operator import WindowOperator
from egno_md.rollout.conservation import restore_momenta


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A window operator that keeps linear and angular momentum.

    Attributes:
        operator: on the device where it runs.
        masses: Da.
    """

    operator: WindowOperator
    masses: np.ndarray

    @property
    def length(self) -> float:
        """ΔT, ps."""
        return self.operator.card.window.length

    def advance(self, frame: Frame) -> Trajectory:
        """The window after one frame."""
        return self.propose([frame])[0]

    def propose(self, frames: list[Frame]) -> list[Trajectory]:
        """The windows after many frames of the same system, in one network call."""
        prediction = self.operator.predict(frames)
        positions = prediction.positions.double().cpu().numpy()
        velocities = prediction.velocities.double().cpu().numpy()
        points = np.array(self.operator.card.time_points)
        windows = []
        for frame, x, v in zip(frames, positions, velocities, strict=True):
            x, v = restore_momenta(frame, x, v, points, self.masses)
            box = None if frame.box is None else np.repeat(frame.box[None], len(points), axis=0)
            windows.append(Trajectory(x, frame.time + points, velocities=v, box=box))
        return windows
