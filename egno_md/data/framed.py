"""What windows of every kind share: frames, where windows start, reading ahead."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from egno_md.core.errors import DataError
from egno_md.core.units import format_quantity
from egno_md.core.window import Window
from egno_md.data.frames import FileFrames, MemoryFrames, Stretches, frame_bytes, load_all
from egno_md.data.stretches import StoredStretch

Array = np.ndarray
Numbers = Sequence[int] | Array | Tensor


class FramedWindows(Dataset[Any], ABC):
    """Every window inside some stretches of frames.

    An index list gives a whole batch at once, so that a loader needs no collation.

    Args:
        stretches: contiguous frames.
        window: the time points.
        spacing: ps between frames.
        atoms: indices to keep; None for all.
        memory: bytes of frames that may be read ahead, where the stretches are a
            store's and its frames are to stay in its files; None holds all in memory.

    Raises:
        DataError: frames missing what is needed, or no window fits.
        WindowMismatch: ΔT is no multiple of the spacing, or frames have gaps.
    """

    def __init__(
        self,
        stretches: Stretches,
        window: Window,
        spacing: float,
        atoms: Int[Array, " seen"] | None = None,
        memory: float | None = None,
    ) -> None:
        self.window = window
        self._memory = memory
        offsets = window.offsets(spacing)
        self.span = offsets[-1]
        self._offsets = torch.tensor([0, *offsets])
        columns = self.columns(stretches, spacing)
        fitting = [s for s in stretches if len(s) > self.span]
        if not fitting:
            longest = max((len(s) for s in stretches), default=0)
            raise DataError(
                f"no window of {format_quantity(window.length, 'time')} fits: it spans "
                f"{self.span + 1} frames, the longest contiguous stretch has {longest}. "
                "Use a shorter window or longer segments."
            )
        stored = [s for s in fitting if isinstance(s, StoredStretch)]
        self._files = FileFrames(stored, columns, atoms) if stored and memory else None
        self._frames = self._files or load_all(fitting, columns, atoms)
        lengths = np.array([len(s) for s in fitting])
        self.frames = int(lengths.sum())
        self._ends = torch.from_numpy(np.cumsum(lengths - self.span))

    @abstractmethod
    def columns(self, stretches: Stretches, spacing: float) -> list[str]:
        """Names of the columns to read, after checking that the stretches have them."""

    @abstractmethod
    def numbers(self, index: Numbers) -> Int[Tensor, "batch points"]:
        """Frame numbers of windows, the start first."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def atoms(self) -> int:
        """Atoms of a frame."""
        return self._frames.n_atoms

    def load(self, frames: Int[Tensor, "*shape"]) -> MemoryFrames:
        """Frames in memory with these among them."""
        return self._frames.load(frames)

    def ahead(self, windows: int) -> int:
        """Number of batches of this many windows to read from files together; 0 in memory."""
        if self._files is None or self._memory is None:
            return 0
        a_batch = windows * len(self._offsets) * frame_bytes(self._files.columns, self.atoms)
        return max(int(self._memory // a_batch), 1)

    def read_ahead(self, index: Numbers) -> None:
        """Read these windows from files into memory, for batches to come."""
        if self._files is not None:
            self._files.read_ahead(self.numbers(index))

    def _starts(self, index: Tensor) -> Int[Tensor, " batch"]:
        """Frames that windows start from: all but the last few of every stretch."""
        index = torch.where(index < 0, index + self._ends[-1], index)
        return index + self.span * torch.searchsorted(self._ends, index, right=True)
