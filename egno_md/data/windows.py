"""Windows cut from contiguous trajectories, and splits that do not leak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from egno_md.core.errors import DataError, WindowMismatch
from egno_md.core.state import Trajectory, is_evenly_spaced
from egno_md.core.units import format_quantity
from egno_md.core.window import Window
from egno_md.spec.train import Split

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
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        there: dict[str, Any] = {n: None if a is None else a.to(device) for n, a in moved.items()}
        return WindowBatch(**there)


class WindowDataset(Dataset):
    """Every window inside some contiguous stretches of frames.

    An index list gives a whole `WindowBatch` at once, so that a loader needs no
    collation.

    Args:
        stretches: contiguous trajectories with velocities.
        window: the time points.
        spacing: ps between frames.
        with_forces: whether the start forces are wanted.

    Raises:
        DataError: frames missing what is needed, or no window fits.
        WindowMismatch: ΔT is no multiple of the spacing, or frames have gaps.
    """

    def __init__(
        self, stretches: Sequence[Trajectory], window: Window, spacing: float, *, with_forces: bool
    ) -> None:
        self.window = window
        offsets = window.offsets(spacing)
        span = offsets[-1]
        for stretch in stretches:
            _check_stretch(stretch, spacing, with_forces)
        fitting = [s for s in stretches if len(s) > span]
        if not fitting:
            longest = max((len(s) for s in stretches), default=0)
            raise DataError(
                f"no window of {format_quantity(window.length, 'time')} fits: it spans "
                f"{span + 1} frames, the longest contiguous stretch has {longest}. "
                "Use a shorter window or longer segments."
            )
        self._offsets = torch.tensor([0, *offsets])
        self._positions = _tensor([s.positions for s in fitting])
        self._velocities = _tensor([s.velocities for s in fitting])
        self._forces = _tensor([s.forces for s in fitting]) if with_forces else None
        boxes = [s.box for s in fitting]
        self._box = None if any(b is None for b in boxes) else _tensor(boxes)
        begins = np.cumsum([0, *(len(s) for s in fitting[:-1])])
        starts = [
            begin + np.arange(len(s) - span) for begin, s in zip(begins, fitting, strict=True)
        ]
        self._starts = torch.from_numpy(np.concatenate(starts))

    @property
    def has_forces(self) -> bool:
        """Whether batches carry the start forces."""
        return self._forces is not None

    @property
    def atoms(self) -> int:
        """Atoms of a frame."""
        return self._positions.shape[1]

    def spread(self, limit: int, atoms: int) -> np.ndarray:
        """Evenly spread window numbers: at most `limit`, and about `atoms` atoms in all."""
        count = min(limit, max(atoms // self.atoms, 1), len(self))
        return np.unique(np.linspace(0, len(self) - 1, count).astype(np.int64))

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: Sequence[int] | np.ndarray | Tensor) -> WindowBatch:
        frames = self._starts[torch.as_tensor(index)][:, None] + self._offsets
        positions, velocities = self._positions[frames], self._velocities[frames]
        return WindowBatch(
            positions[:, 0],
            velocities[:, 0],
            None if self._forces is None else self._forces[frames[:, 0]],
            positions[:, 1:],
            velocities[:, 1:],
            None if self._box is None else self._box[frames[:, 0]],
        )


def split_stretches(
    stretches: Sequence[Trajectory], split: Split, span: int
) -> dict[str, list[Trajectory]]:
    """Divide contiguous stretches into train, validation and test, in time order.

    Whole stretches where there are at least ten, else blocks of frames of every
    stretch, with `span` frames dropped between blocks. Frames are never
    shuffled, so that no test window overlaps a training one.

    Raises:
        DataError: too few frames for three blocks.
    """
    shares = (1 - split.validation - split.test, split.validation, split.test)
    if len(stretches) >= 10:
        count = len(stretches)
        held = [max(round(share * count), 1) for share in shares[1:]]
        edges = np.cumsum([0, count - sum(held), *held])
        return {
            name: list(stretches[a:b])
            for name, a, b in zip(SPLITS, edges[:-1], edges[1:], strict=True)
        }
    result: dict[str, list[Trajectory]] = {name: [] for name in SPLITS}
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


def _check_stretch(stretch: Trajectory, spacing: float, with_forces: bool) -> None:
    if stretch.velocities is None:
        raise DataError(
            "the frames have no velocities. Load them with velocities, or ask for "
            "'--velocities finite-difference' by name."
        )
    if with_forces and stretch.forces is None:
        raise DataError(
            "the operator has a force channel and the frames have no forces. "
            "Generate with store_forces: true, or set network.force_channel: false."
        )
    check_frames(stretch, spacing)


def check_frames(stretch: Trajectory, spacing: float) -> None:
    """Refuse frames that no window can be cut from.

    Raises:
        WindowMismatch: they have gaps.
        DataError: they hold NaN or infinity.
    """
    if not is_evenly_spaced(stretch.times):
        gaps = np.diff(stretch.times)
        where = int(np.argmax(np.abs(gaps - np.median(gaps))))
        raise WindowMismatch(
            f"frames are not contiguous: frame {where + 1} comes "
            f"{format_quantity(float(gaps[where]), 'time')} after the one before, the spacing is "
            f"{format_quantity(spacing, 'time')}. Windows cannot cross gaps: train on "
            "contiguous frames."
        )
    for name in ("positions", "velocities", "forces"):
        values = getattr(stretch, name)
        if values is not None and not np.isfinite(values).all():
            frame = int(np.argmax(~np.isfinite(values).all(axis=(1, 2))))
            raise DataError(f"{name} of frame {frame} hold NaN or infinity. Remove that frame.")


def _tensor(arrays: Sequence[np.ndarray | None]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.asarray(a, dtype=np.float32) for a in arrays]))
