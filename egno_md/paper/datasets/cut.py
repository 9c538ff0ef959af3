"""Windows of a benchmark cut from contiguous frames in the data set's own units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int

from egno_md.core.errors import SpecError, WindowMismatch
from egno_md.paper.spec import Targets, Velocity
from egno_md.paper.task import TaskWindows

Array = np.ndarray


@dataclass(frozen=True)
class Cut:
    """Which frames a window consists of, counted from its start.

    Velocities are differences of neighbouring frames, per frame.

    Attributes:
        offsets: of the time points, positive and increasing.
        velocity: which neighbour it is made with.
        past: whether windows carry as many frames before the start: those of the
            window, moved so that the last of them is the start.

    Raises:
        WindowMismatch: offsets that are not positive and increasing.
    """

    offsets: tuple[int, ...]
    velocity: Velocity = "forward"
    past: bool = False

    def __post_init__(self) -> None:
        if not self.offsets or self.offsets[0] < 1 or np.any(np.diff(self.offsets) < 1):
            raise WindowMismatch(
                f"the target frames {self.offsets} must be positive and increasing. "
                "Give some such as (3, 7, 11, 15)."
            )

    @property
    def before(self) -> int:
        """Frames that a window needs before its start."""
        past = self.offsets[-1] - self.offsets[0] if self.past else 0
        return past + (self.velocity == "backward")

    @property
    def after(self) -> int:
        """Frames that a window needs after its start."""
        return self.offsets[-1] + (self.velocity == "forward")

    def starts(self, frames: int) -> Int[Array, " starts"]:
        """Every start whose window lies within so many contiguous frames."""
        return np.arange(self.before, frames - self.after)

    def windows(
        self,
        positions: Float[Array, "frames atoms 3"],
        starts: Int[Array, " starts"],
        features: Float[Array, "starts atoms features"],
    ) -> TaskWindows:
        """The windows at some starts; views of the frames where those are consecutive."""
        steps = np.diff(positions, axis=0)
        moving = starts - (self.velocity == "backward")
        future = np.array(self.offsets)
        past = future - future[-1]
        start = np.zeros(1, dtype=np.int64)
        return TaskWindows(
            positions=_at(positions, starts, start)[:, 0],
            velocities=_at(steps, moving, start)[:, 0],
            features=features,
            future_positions=_at(positions, starts, future),
            future_velocities=_at(steps, moving, future),
            past_positions=_at(positions, starts, past) if self.past else None,
            past_velocities=_at(steps, moving, past) if self.past else None,
        )


def target_offsets(window: int, points: int, targets: Targets) -> tuple[int, ...]:
    """The frames of P time points in a window of so many frames.

    Raises:
        WindowMismatch: they do not fall on frames.
        SpecError: neither `uniform` nor `last`.
    """
    if targets not in ("uniform", "last"):
        raise SpecError(f"targets '{targets}' is not known. Write uniform or last.")
    if not 1 <= points <= window:
        raise WindowMismatch(
            f"{points} time points do not fit into a window of {window} frames. "
            f"Use 1 to {max(window, 1)} points."
        )
    if targets == "last":
        return tuple(range(window - points + 1, window + 1))
    if window % points:
        raise WindowMismatch(
            f"a window of {window} frames is not a whole number of frames at each of {points} "
            f"points. Use {window - window % points or points} or "
            f"{window - window % points + points} frames."
        )
    return tuple(window // points * (p + 1) for p in range(points))


def join_windows(parts: Sequence[TaskWindows]) -> TaskWindows:
    """Windows of several stretches as one."""
    if len(parts) == 1:
        return parts[0]
    joined = {}
    for field in fields(TaskWindows):
        arrays = [getattr(part, field.name) for part in parts]
        joined[field.name] = None if arrays[0] is None else np.concatenate(arrays)
    return TaskWindows(**joined)


def _at(values: Array, starts: Array, offsets: Array) -> Array:
    """``(starts, offsets, ...)``: a view where both are evenly spaced, else a copy."""
    if len(starts) == 0 or np.any(np.diff(starts) != 1) or len(set(np.diff(offsets))) > 1:
        return values[starts[:, None] + offsets]
    reach = int(offsets[-1] - offsets[0]) + 1
    stride = int(offsets[1] - offsets[0]) if len(offsets) > 1 else 1
    within = values[starts[0] + offsets[0] : starts[-1] + offsets[-1] + 1]
    windows = np.lib.stride_tricks.sliding_window_view(within, reach, axis=0)
    return np.moveaxis(windows[..., ::stride], -1, 1)
