"""The surrogate as a propagator: one network call, then the conservation laws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egno_md.core.state import Frame, Trajectory
from egno_md.geometry.lift import Lift
from egno_md.nn.operator import WindowOperator
from egno_md.propagate.conservation import restore_momenta


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A window operator of all atoms, or of some that carry the others.

    Predictions of all atoms get their linear and angular momentum back; those of
    some atoms have none to keep, since the others' is not known.

    Attributes:
        operator: on the device where it runs.
        masses: Da, of all atoms.
        lift: from the operator's atoms to all; None where it predicts all.
    """

    operator: WindowOperator
    masses: np.ndarray
    lift: Lift | None = None

    @property
    def length(self) -> float:
        """ΔT, ps."""
        return self.operator.card.window.length

    def advance(self, frame: Frame) -> Trajectory:
        """The window after one frame."""
        return self.propose([frame])[0]

    def propose(self, frames: Sequence[Frame]) -> list[Trajectory]:
        """The windows after many frames of the same system, in one network call."""
        return self.complete(frames, self.predict(frames))

    def predict(self, frames: Sequence[Frame]) -> list[Trajectory]:
        """Windows of the atoms that the operator knows."""
        seen = [f if self.lift is None else self.lift.reduce(f) for f in frames]
        prediction = self.operator.predict(seen)
        positions = prediction.positions.double().cpu().numpy()
        velocities = prediction.velocities.double().cpu().numpy()
        points = np.array(self.operator.card.time_points)
        windows = []
        for frame, x, v in zip(seen, positions, velocities, strict=True):
            if self.lift is None:
                x, v = restore_momenta(frame, x, v, points, self.masses)
            box = None if frame.box is None else np.repeat(frame.box[None], len(points), axis=0)
            windows.append(Trajectory(x, frame.time + points, velocities=v, box=box))
        return windows

    def complete(self, frames: Sequence[Frame], windows: Sequence[Trajectory]) -> list[Trajectory]:
        """Windows of all atoms, after the frames they start from."""
        if self.lift is None:
            return list(windows)
        return [self.lift.window(f, w) for f, w in zip(frames, windows, strict=True)]
