"""Contiguous frames of a store that stay in its files until they are needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from egno_md.core.errors import WindowMismatch
from egno_md.core.state import SPACING_TOLERANCE
from egno_md.core.units import format_quantity
from egno_md.data.frame_file import COLUMNS, FrameFile, FrameRange


@dataclass(frozen=True, eq=False)
class StoredStretch:
    """Contiguous frames over one or several files.

    Attributes:
        pieces: in order of time.
    """

    pieces: tuple[FrameRange, ...]

    def __len__(self) -> int:
        return sum(len(p) for p in self.pieces)

    def slice(self, start: int, stop: int) -> StoredStretch:
        """Frames ``start <= i < stop``; nothing is read."""
        ranges, begin = [], 0
        for piece in self.pieces:
            first, last = max(start - begin, 0), min(stop - begin, len(piece))
            if first < last:
                ranges.append(replace(piece, start=piece.start + first, stop=piece.start + last))
            begin += len(piece)
        return StoredStretch(tuple(ranges))

    @property
    def has_forces(self) -> bool:
        """Whether every file holds the forces; each is opened for it."""
        for piece in self.pieces:
            with FrameFile(piece) as file:
                if not file.has("forces"):
                    return False
        return True

    def scan(self, spacing: float) -> frozenset[str]:
        """The columns that every file has; times alone are read.

        Args:
            spacing: ps between frames, for messages.

        Raises:
            DataError: a file is missing, damaged, or not what the manifest says.
            WindowMismatch: frames with gaps.
        """
        columns = frozenset(COLUMNS)
        done, last, usual = 0, np.empty(0), 0.0
        for piece in self.pieces:
            with FrameFile(piece) as file:
                columns &= {name for name in COLUMNS if file.has(name)}
                times = file.times()
            gaps = np.diff(np.concatenate([last, times]))
            if len(gaps):
                usual = usual or float(np.median(gaps))
                uneven = np.abs(gaps - usual) > SPACING_TOLERANCE * abs(usual)
                if usual <= 0 or uneven.any():
                    where = int(np.argmax(np.abs(gaps - usual)))
                    refuse_gap(done - len(last) + where + 1, float(gaps[where]), spacing)
            done, last = done + len(times), times[-1:]
        return columns


def refuse_gap(frame: int, after: float, spacing: float) -> NoReturn:
    """Say that a frame does not follow the one before.

    Raises:
        WindowMismatch: always.
    """
    raise WindowMismatch(
        f"frames are not contiguous: frame {frame} comes "
        f"{format_quantity(after, 'time')} after the one before, the spacing is "
        f"{format_quantity(spacing, 'time')}. Windows cannot cross gaps: train on "
        "contiguous frames."
    )
