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
class HeldFrames:
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

    def holding(self, _: Tensor) -> HeldFrames:
        """Itself: all frames are in memory."""
        return self

    def has(self, frames: Int[Tensor, " frames"]) -> bool:
        """Whether all of these are in memory."""
        if self.numbers is None:
            return True
        place = torch.searchsorted(self.numbers, frames).clamp_(max=len(self.numbers) - 1)
        return len(self.numbers) > 0 and bool((self.numbers[place] == frames).all())


@dataclass(eq=False)
class FiledFrames:
    """Frames that stay in the files of a store until they are needed.

    Attributes:
        stretches: laid end to end; frames are numbered through.
        columns: names of those to read.
        atoms: indices to keep; None for all.
        held: frames read ahead.
    """

    stretches: Sequence[StoredStretch]
    columns: Sequence[str]
    atoms: Int[Array, " seen"] | None
    held: HeldFrames = field(default=HeldFrames({}, torch.empty(0, dtype=torch.int64)), init=False)

    def __post_init__(self) -> None:
        self._pieces = [p for s in self.stretches for p in s.pieces]
        self._ends = np.cumsum([len(p) for p in self._pieces])

    @property
    def n_atoms(self) -> int:
        """Atoms of a frame."""
        return self._pieces[0].atoms if self.atoms is None else len(self.atoms)

    def holding(self, frames: Int[Tensor, "*shape"]) -> HeldFrames:
        """Frames in memory with these among them: those read ahead, or read now."""
        wanted = torch.unique(frames)
        return self.held if self.held.has(wanted) else self.read(wanted)

    def read_ahead(self, frames: Int[Tensor, "*shape"]) -> None:
        """Hold these frames until others are read ahead."""
        wanted = torch.unique(frames)
        if not self.held.has(wanted):
            self.held = HeldFrames({}, wanted[:0])  # gives their memory back first
            self.held = self.read(wanted)

    def read(self, wanted: Int[Tensor, " frames"]) -> HeldFrames:
        """Some frames, ascending, file by file.

        Raises:
            DataError: a file is damaged, or a frame holds NaN or infinity.
        """
        numbers = wanted.numpy()
        into = {
            name: np.empty(
                (len(numbers), 3 if name == "box" else self.n_atoms, 3), dtype=np.float32
            )
            for name in self.columns
        }
        cuts = [0, *np.searchsorted(numbers, self._ends).tolist()]
        begin = 0
        for piece, end, first, last in zip(
            self._pieces, self._ends, cuts[:-1], cuts[1:], strict=True
        ):
            if first < last:
                inside = numbers[first:last] - begin + piece.start
                with FrameFile(piece) as file:
                    part = {name: values[first:last] for name, values in into.items()}
                    file.read(inside, self.atoms, part)
            begin = end
        return HeldFrames({name: torch.from_numpy(v) for name, v in into.items()}, wanted)


def hold(
    stretches: Stretches, names: Sequence[str], atoms: Int[Array, " seen"] | None
) -> HeldFrames:
    """All frames of stretches in memory."""
    stored = [s for s in stretches if isinstance(s, StoredStretch)]
    if stored:
        files = FiledFrames(stored, names, atoms)
        return HeldFrames(files.read(torch.arange(sum(map(len, stored)))).columns)
    columns: dict[str, Tensor] = {}
    for name in names:
        parts = [getattr(s, name) for s in stretches]
        parts = parts if atoms is None or name == "box" else [p[:, atoms] for p in parts]
        whole = np.concatenate([np.asarray(p, dtype=np.float32) for p in parts])
        columns[name] = torch.from_numpy(whole)
    return HeldFrames(columns)


def frame_bytes(columns: Sequence[str], atoms: int) -> int:
    """Bytes of a frame in memory."""
    return sum(36 if name == "box" else 12 * atoms for name in columns)
