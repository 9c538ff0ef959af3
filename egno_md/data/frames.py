"""Frames that windows are cut from: in memory, or in the files of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from egno_md.core.state import Trajectory
from egno_md.data.frame_file import FrameFile
from egno_md.data.stretches import StoredStretch

Array = np.ndarray
Stretches = Sequence[Trajectory | StoredStretch]


@dataclass(frozen=True, eq=False)
class MemoryFrames:
    """Frames in memory.

    Attributes:
        columns: positions and others, each ``(frames, atoms, 3)``, in single precision.
        numbers: frame numbers, ascending; None for all frames.
    """

    columns: dict[str, Tensor]
    numbers: Int[Tensor, " frames"] | None = None

    @property
    def n_atoms(self) -> int:
        """Atoms of a frame."""
        return self.columns["positions"].shape[1]

    def take(self, column: str, frames: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape atoms 3"]:
        """A column of some of these frames."""
        if self.numbers is not None:
            frames = torch.searchsorted(self.numbers, frames.contiguous())
        return self.columns[column][frames]

    def load(self, _: Tensor) -> MemoryFrames:
        """Itself: all frames are in memory."""
        return self

    def has(self, frames: Int[Tensor, " frames"]) -> bool:
        """Whether all of these are in memory."""
        if self.numbers is None:
            return True
        place = torch.searchsorted(self.numbers, frames).clamp_(max=len(self.numbers) - 1)
        return len(self.numbers) > 0 and bool((self.numbers[place] == frames).all())


@dataclass(eq=False)
class FileFrames:
    """Frames that stay in the files of a store until they are needed.

    Attributes:
        stretches: laid end to end; frames are numbered through.
        columns: names of those to read.
        atoms: indices to keep; None for all.
        cache: frames read ahead.
    """

    stretches: Sequence[StoredStretch]
    columns: Sequence[str]
    atoms: Int[Array, " seen"] | None
    cache: MemoryFrames = field(
        default=MemoryFrames({}, torch.empty(0, dtype=torch.int64)), init=False
    )

    def __post_init__(self) -> None:
        self._pieces = [p for s in self.stretches for p in s.pieces]
        self._ends = np.cumsum([len(p) for p in self._pieces])

    @property
    def n_atoms(self) -> int:
        """Atoms of a frame."""
        return self._pieces[0].atoms if self.atoms is None else len(self.atoms)

    def load(self, frames: Int[Tensor, "*shape"]) -> MemoryFrames:
        """Frames in memory with these among them: those read ahead, or read now."""
        numbers = torch.unique(frames)
        return self.cache if self.cache.has(numbers) else self.read(numbers)

    def read_ahead(self, frames: Int[Tensor, "*shape"]) -> None:
        """Keep these frames in memory until others are read ahead."""
        numbers = torch.unique(frames)
        if not self.cache.has(numbers):
            self.cache = MemoryFrames({}, numbers[:0])  # gives their memory back first
            self.cache = self.read(numbers)

    def read(self, numbers: Int[Tensor, " frames"]) -> MemoryFrames:
        """Some frames, ascending, file by file.

        Raises:
            DataError: a file is damaged, or a frame holds NaN or infinity.
        """
        rows = numbers.numpy()
        into = {
            name: np.empty((len(rows), 3 if name == "box" else self.n_atoms, 3), dtype=np.float32)
            for name in self.columns
        }
        cuts = [0, *np.searchsorted(rows, self._ends).tolist()]
        begin = 0
        for piece, end, first, last in zip(
            self._pieces, self._ends, cuts[:-1], cuts[1:], strict=True
        ):
            if first < last:
                inside = rows[first:last] - begin + piece.start
                with FrameFile(piece) as file:
                    part = {name: values[first:last] for name, values in into.items()}
                    file.read(inside, self.atoms, part)
            begin = end
        return MemoryFrames({name: torch.from_numpy(v) for name, v in into.items()}, numbers)


def load_all(
    stretches: Stretches, names: Sequence[str], atoms: Int[Array, " seen"] | None
) -> MemoryFrames:
    """All frames of stretches in memory."""
    stored = [s for s in stretches if isinstance(s, StoredStretch)]
    if stored:
        files = FileFrames(stored, names, atoms)
        return MemoryFrames(files.read(torch.arange(sum(map(len, stored)))).columns)
    columns: dict[str, Tensor] = {}
    for name in names:
        parts = [getattr(s, name) for s in stretches]
        parts = parts if atoms is None or name == "box" else [p[:, atoms] for p in parts]
        whole = np.concatenate([np.asarray(p, dtype=np.float32) for p in parts])
        columns[name] = torch.from_numpy(whole)
    return MemoryFrames(columns)


def frame_bytes(columns: Sequence[str], atoms: int) -> int:
    """Bytes of a frame in memory."""
    return sum(36 if name == "box" else 12 * atoms for name in columns)
