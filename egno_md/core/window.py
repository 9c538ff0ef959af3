"""A window: the time points one network call decodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from egno_md.core.errors import WindowMismatch
from egno_md.core.units import whole_multiple


@dataclass(frozen=True)
class Window:
    """P time points after a start frame.

    Attributes:
        time_points: ps after the start, strictly increasing and positive.
    """

    time_points: tuple[float, ...]

    def __post_init__(self) -> None:
        points = np.asarray(self.time_points)
        if len(points) == 0 or points[0] <= 0 or np.any(np.diff(points) <= 0):
            raise WindowMismatch(f"time points {self.time_points} must be positive and increasing.")

    @classmethod
    def uniform(cls, length: float, points: int) -> Window:
        """EGNO-U: t_p = pΔT/P (Xu et al. 2024, Sec. 4)."""
        return cls(tuple(length * (p + 1) / points for p in range(points)))

    @classmethod
    def last(cls, length: float, points: int, spacing: float) -> Window:
        """EGNO-L: the last P consecutive frames of the window (Xu et al. 2024, Sec. 4)."""
        return cls(tuple(length - (points - 1 - p) * spacing for p in range(points)))

    @property
    def length(self) -> float:
        """ΔT, ps."""
        return self.time_points[-1]

    @property
    def points(self) -> int:
        """P."""
        return len(self.time_points)

    def offsets(self, spacing: float) -> tuple[int, ...]:
        """The time points as numbers of frames.

        Raises:
            WindowMismatch: a time point falls between two frames.
        """
        return tuple(
            whole_multiple(t, spacing, "the time point", "frame spacings") for t in self.time_points
        )
