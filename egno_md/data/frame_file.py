"""One file of a store, read in parts: some columns of some frames of some atoms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tables
from jaxtyping import Float, Int

from egno_md.core.errors import DataError
from egno_md.core.state import first_not_finite
from egno_md.data.hdf5 import GROUP, box_vectors

Array = np.ndarray

PER_ATOM = {"positions": "/coordinates", "velocities": "/velocities", "forces": f"{GROUP}/forces"}
"""Where a file keeps the columns that have a vector for every atom."""

COLUMNS = (*PER_ATOM, "box")

LARGEST_READ = 2**24
"""Bytes read at once."""


@dataclass(frozen=True)
class FrameRange:
    """Consecutive frames of one file.

    Attributes:
        path: of the file.
        start: first frame.
        stop: the frame after the last.
        frames: number in the whole file, by the manifest.
        atoms: number in a frame.
    """

    path: Path
    start: int
    stop: int
    frames: int
    atoms: int

    def __len__(self) -> int:
        return self.stop - self.start


class FrameFile:
    """One file of a store, open for reading parts of it.

    Args:
        piece: the file, and what it should hold.

    Raises:
        DataError: missing, truncated, or not what the manifest says.
    """

    def __init__(self, piece: FrameRange) -> None:
        self.piece = piece
        self._file: Any = None

    def __enter__(self) -> FrameFile:
        path = self.piece.path
        if not path.is_file():
            raise DataError(f"{path}: no such file.")
        try:
            self._file = tables.open_file(str(path), "r")
            frames = self._file.get_node("/coordinates").shape[0]
        except MemoryError:
            raise
        except Exception as error:  # PyTables raises anything on damaged files
            self.__exit__()
            raise _damaged(path, error) from None
        if frames != self.piece.frames:
            self.__exit__()
            raise DataError(
                f"{path}: holds {frames} frames, the manifest says {self.piece.frames}. "
                "Generate it again."
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def has(self, column: str) -> bool:
        """Whether the file holds positions, velocities, forces or box vectors."""
        if column == "box":
            return f"{GROUP}/box" in self._file or "/cell_lengths" in self._file
        return PER_ATOM[column] in self._file

    def times(self) -> Float[Array, " frames"]:
        """Times of the frames in the range, ps."""
        rows = slice(self.piece.start, self.piece.stop)
        try:
            name = f"{GROUP}/time" if f"{GROUP}/time" in self._file else "/time"
            return np.asarray(self._file.get_node(name)[rows], dtype=np.float64)
        except MemoryError:
            raise
        except Exception as error:
            raise _damaged(self.piece.path, error) from None

    def read(
        self,
        frames: Int[Array, " frames"],
        atoms: Int[Array, " seen"] | None,
        into: dict[str, Array],
    ) -> None:
        """Fill arrays with some frames.

        Neighbours are read together, since files are packed in chunks of frames.

        Args:
            frames: numbers in the file, ascending.
            atoms: indices to keep; None for all.
            into: an array of single precision for each column to read.

        Raises:
            DataError: a column is damaged, or holds NaN or infinity.
        """
        path = self.piece.path
        for column, filled in into.items():
            try:
                if column == "box":
                    filled[:] = self._boxes()[frames]
                    continue
                node = self._file.get_node(PER_ATOM[column])
                shape = (self.piece.frames, self.piece.atoms, 3)
                if node.shape != shape or node.dtype.kind != "f":
                    raise DataError(
                        f"{path}: {column} have the shape {tuple(map(int, node.shape))}, expected "
                        f"{shape}. Generate it again."
                    )
                _fill(filled, node, frames, atoms)
            except (DataError, MemoryError):
                raise
            except Exception as error:
                raise _damaged(path, error) from None
            if (row := first_not_finite(filled)) is not None:
                raise DataError(
                    f"{path}: {column} of frame {frames[row]} hold NaN or infinity. "
                    "Remove that frame."
                )

    def _boxes(self) -> Float[Array, "frames 3 3"]:
        if f"{GROUP}/box" in self._file:
            return self._file.get_node(f"{GROUP}/box")[:]
        root = self._file.root
        boxes = box_vectors(root.cell_lengths[:], root.cell_angles[:])
        assert boxes is not None
        return boxes


def _fill(
    filled: Array, node: Any, frames: Int[Array, " frames"], atoms: Int[Array, " seen"] | None
) -> None:
    rows = 1 if node.chunkshape is None else int(node.chunkshape[0])
    bytes_a_frame = int(np.prod(node.shape[1:])) * node.dtype.itemsize
    done = 0
    for run in _runs(frames, rows, max(LARGEST_READ // bytes_a_frame, rows)):
        values = node[int(run[0]) : int(run[-1]) + 1]
        if len(run) < len(values):
            values = values[run - run[0]]
        filled[done : done + len(run)] = values if atoms is None else values[:, atoms]
        done += len(run)


def _runs(frames: Int[Array, " frames"], gap: int, most: int) -> Iterator[Int[Array, " run"]]:
    """Ascending frames, cut where a chunk lies between two, and where they span too many."""
    for group in np.split(frames, np.flatnonzero(np.diff(frames) > gap) + 1):
        yield from np.split(group, np.flatnonzero(np.diff((group - group[0]) // most)) + 1)


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: truncated, or not an MDTraj HDF5 file ({type(error).__name__}). "
        "Generate or copy it again."
    )
