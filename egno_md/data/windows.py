"""Windows cut from contiguous trajectories, and splits that do not leak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from egno_md.core.errors import DataError
from egno_md.core.state import Trajectory, first_not_finite, is_evenly_spaced
from egno_md.core.window import Window
from egno_md.data.frame_file import COLUMNS
from egno_md.data.framed import FramedWindows, Numbers
from egno_md.data.frames import Stretches
from egno_md.data.stretches import StoredStretch, refuse_gap
from egno_md.spec.train import Split

Stretch = TypeVar("Stretch", Trajectory, StoredStretch)

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """A batch of start frames with the windows that followed them.

    Attributes:
        positions: start, nm.
        velocities: start, nm/ps.
        forces: start, kJ/mol/nm, or None.
        future_positions: nm.
        future_velocities: nm/ps.
        box: start, box vectors as rows, nm, or None.
        features: scalars per atom that differ between windows, or None.
        past_positions: of the P frames up to the start, or None.
        past_velocities: likewise.
    """

    positions: Float[Tensor, "batch atoms 3"]
    velocities: Float[Tensor, "batch atoms 3"]
    forces: Float[Tensor, "batch atoms 3"] | None
    future_positions: Float[Tensor, "batch points atoms 3"]
    future_velocities: Float[Tensor, "batch points atoms 3"]
    box: Float[Tensor, "batch 3 3"] | None = None
    features: Float[Tensor, "batch atoms features"] | None = None
    past_positions: Float[Tensor, "batch points atoms 3"] | None = None
    past_velocities: Float[Tensor, "batch points atoms 3"] | None = None

    def to(self, device: torch.device) -> WindowBatch:
        """The batch on another device."""
        arrays = ((f.name, getattr(self, f.name)) for f in fields(self))
        return replace(self, **{n: a.to(device) for n, a in arrays if a is not None})


class WindowSet(Protocol):
    """Windows by their numbers; see `WindowDataset`."""

    @property
    def atoms(self) -> int:
        """Of a frame."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: np.ndarray, /) -> WindowBatch:
        """A batch of windows."""
        ...


class WindowDataset(FramedWindows):
    """Windows of positions and velocities; an index list gives a `WindowBatch`.

    Args:
        stretches: contiguous frames with velocities.
        window: the time points.
        spacing: ps between frames.
        with_forces: whether the start forces are wanted.
        atoms: see `FramedWindows`.
        memory: likewise.
    """

    def __init__(
        self,
        stretches: Stretches,
        window: Window,
        spacing: float,
        *,
        with_forces: bool,
        atoms: Int[np.ndarray, " seen"] | None = None,
        memory: float | None = None,
    ) -> None:
        self.has_forces = with_forces
        super().__init__(stretches, window, spacing, atoms, memory)

    def columns(self, stretches: Stretches, spacing: float) -> list[str]:
        """Positions, velocities, and forces and box vectors where they are."""
        columns = [checked_columns(s, spacing) for s in stretches]
        for names in columns:
            _check_columns(names, self.has_forces)
        has_box = all("box" in names for names in columns)
        optional = {"forces": self.has_forces, "box": has_box}
        return ["positions", "velocities", *(name for name, is_in in optional.items() if is_in)]

    def spread(self, limit: int, atoms: int) -> np.ndarray:
        """Evenly spread window numbers: at most `limit`, and about `atoms` atoms in all."""
        count = min(limit, max(atoms // self.atoms, 1), len(self))
        return np.unique(np.linspace(0, len(self) - 1, count).astype(np.int64))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def numbers(self, index: Numbers) -> Int[Tensor, "batch points"]:
        """Frame numbers of windows, the start first."""
        return self._starts(torch.as_tensor(index))[:, None] + self._offsets

    def __getitem__(self, index: Numbers) -> WindowBatch:
        frames = self.numbers(index)
        columns = self.load(frames)
        positions, velocities = (
            columns.take("positions", frames),
            columns.take("velocities", frames),
        )
        return WindowBatch(
            positions[:, 0],
            velocities[:, 0],
            columns.take("forces", frames[:, 0]) if "forces" in columns.columns else None,
            positions[:, 1:],
            velocities[:, 1:],
            columns.take("box", frames[:, 0]) if "box" in columns.columns else None,
        )


def split_stretches(
    stretches: Sequence[Stretch], split: Split, span: int
) -> dict[str, list[Stretch]]:
    """Divide contiguous stretches into train, validation and test, in time order.

    Whole stretches where there are at least ten, else blocks of frames of every
    stretch, with `span` frames dropped between blocks. Frames are never
    shuffled, so that no test window overlaps a training one.

    Raises:
        DataError: too few frames or stretches for three blocks.
    """
    shares = (1 - split.validation - split.test, split.validation, split.test)
    if len(stretches) >= 10:
        count = len(stretches)
        parts = [max(round(share * count), 1) for share in shares[1:]]
        if sum(parts) >= count:
            raise DataError(
                f"too few stretches for a train block: {parts[0]} of {count} validate and {parts[1]} "
                "test. Generate more, or set smaller shares in split."
            )
        edges = np.cumsum([0, count - sum(parts), *parts])
        return {
            name: list(stretches[a:b])
            for name, a, b in zip(SPLITS, edges[:-1], edges[1:], strict=True)
        }
    result: dict[str, list[Stretch]] = {name: [] for name in SPLITS}
    for stretch in stretches:
        usable = len(stretch) - 2 * span
        edges = np.round(np.cumsum([0, *shares]) * usable).astype(int)
        for order, (name, a, b) in enumerate(zip(SPLITS, edges[:-1], edges[1:], strict=True)):
            if b - a > span:
                result[name].append(stretch.slice(a + order * span, b + order * span))
    short = [name for name in SPLITS if not result[name]]
    if short:
        raise DataError(
            f"too few frames for a {short[0]} block with windows of {span + 1} frames. "
            "Generate more, or use a shorter window."
        )
    return result


def checked_columns(stretch: Trajectory | StoredStretch, spacing: float) -> frozenset[str]:
    """The columns that a stretch has; see `check_frames`, and `FrameFile.read` for files."""
    if isinstance(stretch, StoredStretch):
        return stretch.scan(spacing)
    check_frames(stretch, spacing)
    return frozenset(name for name in COLUMNS if getattr(stretch, name) is not None)


def _check_columns(columns: frozenset[str], with_forces: bool) -> None:
    if "velocities" not in columns:
        raise DataError(
            "the frames have no velocities. Load them with velocities, or ask for "
            "'--velocities finite-difference' by name."
        )
    if with_forces and "forces" not in columns:
        raise DataError(
            "the operator has a force channel and the frames have no forces. "
            "Generate with store_forces: true, or set network.force_channel: false."
        )


def check_frames(stretch: Trajectory, spacing: float) -> None:
    """Refuse frames that no window can be cut from.

    Raises:
        WindowMismatch: they have gaps.
        DataError: they hold NaN or infinity.
    """
    if not is_evenly_spaced(stretch.times):
        gaps = np.diff(stretch.times)
        where = int(np.argmax(np.abs(gaps - np.median(gaps))))
        refuse_gap(where + 1, float(gaps[where]), spacing)
    for name in ("positions", "velocities", "forces"):
        values = getattr(stretch, name)
        if values is not None and (frame := first_not_finite(values)) is not None:
            raise DataError(f"{name} of frame {frame} hold NaN or infinity. Remove that frame.")
