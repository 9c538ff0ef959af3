"""Windows of positions alone, for operators that learn a distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from egno_md.core.errors import DataError
from egno_md.core.state import Trajectory
from egno_md.core.units import format_quantity
from egno_md.core.window import Window
from egno_md.data.superpose import superpose
from egno_md.data.windows import check_frames


@dataclass(frozen=True, eq=False)
class SamplerBatch:
    """Start frames with the windows that followed them, superposed on them.

    Attributes:
        start: nm.
        future: nm, each frame turned onto the start frame: how a molecule tumbles is
            no part of what is learned.
    """

    start: Float[Tensor, "batch atoms 3"]
    future: Float[Tensor, "batch points atoms 3"]

    def to(self, device: torch.device) -> SamplerBatch:
        """The batch on another device."""
        return SamplerBatch(self.start.to(device), self.future.to(device))


class SamplerWindows(Dataset):
    """Every window inside some contiguous stretches of frames, forwards and backwards.

    An index list gives a whole `SamplerBatch` at once.

    Args:
        stretches: contiguous trajectories; velocities are not needed.
        window: the time points.
        spacing: ps between frames.
        atoms: numbers of the atoms that are kept.
        time_reversal: whether windows run backwards are windows too. They are as
            likely as those forwards, in equilibrium.

    Raises:
        DataError: no window fits, or positions that are not finite.
        WindowMismatch: ΔT is no multiple of the spacing, or frames have gaps.
    """

    def __init__(
        self,
        stretches: Sequence[Trajectory],
        window: Window,
        spacing: float,
        atoms: Int[np.ndarray, " seen"],
        *,
        time_reversal: bool,
    ) -> None:
        offsets = window.offsets(spacing)
        span = offsets[-1]
        for stretch in stretches:
            check_frames(replace(stretch, velocities=None, forces=None), spacing)
        fitting = [s for s in stretches if len(s) > span]
        if not fitting:
            longest = max((len(s) for s in stretches), default=0)
            raise DataError(
                f"no window of {format_quantity(window.length, 'time')} fits: it spans "
                f"{span + 1} frames, the longest contiguous stretch has {longest}. "
                "Use a shorter window or longer segments."
            )
        kept = [np.asarray(s.positions[:, atoms], dtype=np.float32) for s in fitting]
        self.positions = torch.from_numpy(np.concatenate(kept))
        begins = np.cumsum([0, *(len(s) for s in fitting[:-1])])
        starts = [b + np.arange(len(s) - span) for b, s in zip(begins, fitting, strict=True)]
        first = torch.from_numpy(np.concatenate(starts))
        ahead = torch.tensor([0, *offsets])
        self._frames = first[:, None] + ahead
        if time_reversal:
            self._frames = torch.cat([self._frames, first[:, None] + span - ahead])

    @property
    def atoms(self) -> int:
        """Of a frame."""
        return self.positions.shape[1]

    def spread(self, limit: int) -> np.ndarray:
        """Evenly spread window numbers, at most `limit`."""
        return np.unique(np.linspace(0, len(self) - 1, min(limit, len(self))).astype(np.int64))

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: Sequence[int] | np.ndarray | Tensor) -> SamplerBatch:
        found = self.positions[self._frames[torch.as_tensor(index)]]
        start = found[:, 0]
        return SamplerBatch(start, superpose(found[:, 1:], start[:, None]))
