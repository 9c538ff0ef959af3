"""Windows of positions alone, for operators that learn a distribution."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from egno_md.core.state import Trajectory
from egno_md.core.window import Window
from egno_md.data.framed import FramedWindows, Numbers
from egno_md.data.frames import Stretches
from egno_md.data.windows import checked_columns
from egno_md.geometry.superposition import superposed


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


class SamplerWindows(FramedWindows):
    """Windows of positions, forwards and backwards; an index list gives a `SamplerBatch`.

    Args:
        stretches: contiguous frames; velocities are not needed.
        window: the time points.
        spacing: ps between frames.
        atoms: numbers of the atoms that are kept.
        time_reversal: whether windows run backwards are windows too. They are as
            likely as those forwards, in equilibrium.
        memory: see `FramedWindows`.
    """

    def __init__(
        self,
        stretches: Stretches,
        window: Window,
        spacing: float,
        atoms: Int[np.ndarray, " seen"],
        *,
        time_reversal: bool,
        memory: float | None = None,
    ) -> None:
        super().__init__(stretches, window, spacing, atoms, memory)
        self.directions = 2 if time_reversal else 1

    def columns(self, stretches: Stretches, spacing: float) -> list[str]:
        """Positions alone."""
        for stretch in stretches:
            alone = stretch
            if isinstance(alone, Trajectory):
                alone = replace(alone, velocities=None, forces=None)
            checked_columns(alone, spacing)
        return ["positions"]

    def spread(self, limit: int) -> np.ndarray:
        """Evenly spread window numbers, at most `limit`."""
        return np.unique(np.linspace(0, len(self) - 1, min(limit, len(self))).astype(np.int64))

    def frames_apart(self, limit: int) -> Float[Tensor, "frames atoms 3"]:
        """Positions of evenly spaced frames, at most `limit`."""
        frames = torch.arange(0, self.frames, -(-self.frames // limit))
        return self.load(frames).take("positions", frames)

    def __len__(self) -> int:
        return self.directions * int(self._ends[-1])

    def numbers(self, index: Numbers) -> Int[Tensor, "batch points"]:
        """Of the frames of some windows, the start first."""
        index = torch.as_tensor(index)
        index = torch.where(index < 0, index + len(self), index)
        is_back = index >= self._ends[-1]
        starts = self._starts(torch.where(is_back, index - self._ends[-1], index))[:, None]
        return starts + torch.where(is_back[:, None], self.span - self._offsets, self._offsets)

    def __getitem__(self, index: Numbers) -> SamplerBatch:
        numbers = self.numbers(index)
        frames = self.load(numbers).take("positions", numbers)
        start, future = frames[:, 0], frames[:, 1:]
        turned = superposed(future.numpy(), start[:, None].numpy())
        return SamplerBatch(start, torch.from_numpy(turned).to(future.dtype))
