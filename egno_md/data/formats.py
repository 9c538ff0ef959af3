"""Checks of trajectory files that MDTraj leaves out, and reading in pieces.

MDTraj raises many kinds of exception on damaged files, prints from C, makes up
times where a file has none and returns uninitialised memory for TRR frames
without velocities. This module hides all of that.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import mdtraj
import numpy as np
from jaxtyping import Float
from mdtraj.formats import HDF5TrajectoryFile, TRRTrajectoryFile

from egno_md.core.errors import DataError, EgnoMDError
from egno_md.data.hdf5 import box_vectors

Array = np.ndarray
T = TypeVar("T")

TRR_MAGIC = 1993
TRR_HEADER = ">ii4x12s13i"
XTC_MAGIC = 1995
XTC_HEADER = ">3if9fi"
XTC_PACKED = ">f8i"
XTC_PLAIN_ATOMS = 9
"""Frames of at most this many atoms are stored uncompressed."""

XTC_SMALL = range(9, 73)
"""Valid indices into libxdrfile's table of small integers."""

XTC_MOST_BYTES = 14
"""Largest compressed size of an atom: libxdrfile allocates 1.2 integers a coordinate."""

DCD_HEADER = 84


@dataclass(frozen=True, eq=False)
class RawFrames:
    """Some consecutive frames as a file holds them.

    Attributes:
        positions: nm, possibly wrapped into the box.
        times: ps; None where the file has no times of its own.
        box: box vectors as rows, nm, or None.
        velocities: nm/ps, or None.
        forces: kJ/mol/nm, or None.
    """

    positions: Float[Array, "frames atoms 3"]
    times: Float[Array, " frames"] | None
    box: Float[Array, "frames 3 3"] | None = None
    velocities: Float[Array, "frames atoms 3"] | None = None
    forces: Float[Array, "frames atoms 3"] | None = None


Pieces = Generator[RawFrames, None, None]


@dataclass(frozen=True)
class Contents:
    """What a file holds beside positions.

    Attributes:
        has_velocities: in every frame.
        has_forces: in every frame.
        remarks: warnings for the user.
    """

    has_velocities: bool = False
    has_forces: bool = False
    remarks: tuple[str, ...] = ()


def inspect(path: Path) -> Contents:
    """Look at a file's headers.

    Raises:
        DataError: truncated, where the format lets one see it.
    """
    match path.suffix.lower():
        case ".trr":
            return _guarded(path, lambda: _inspect_trr(path))
        case ".xtc":
            return _guarded(path, lambda: _inspect_xtc(path))
        case ".dcd":
            return _guarded(path, lambda: _inspect_dcd(path))
        case ".h5":
            return _guarded(path, lambda: _inspect_hdf5(path))
        case _:
            return Contents()


def read_topology(path: Path | str) -> mdtraj.Topology:
    """The topology in a file.

    Raises:
        DataError: no such file, or no topology in it.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such topology file.")
    topology = _guarded(path, lambda: mdtraj.load_topology(str(path)), "topology")
    if topology is None or topology.n_atoms == 0:
        raise DataError(f"{path}: holds no atoms. Give a topology file with '--topology FILE'.")
    unknown = [a for a in topology.atoms if a.element is None]
    if unknown:
        raise DataError(f"{path}: atom {unknown[0]} has no element. Fill it in.")
    return topology


def read_pieces(
    path: Path, topology: mdtraj.Topology, frames: int, contents: Contents
) -> Iterator[RawFrames]:
    """Read a trajectory file, `frames` frames at a time.

    Raises:
        DataError: truncated, not a trajectory, or of other atoms than the topology.
    """
    match path.suffix.lower():
        case ".trr":
            pieces = _trr_pieces(path, frames, contents)
        case ".h5":
            pieces = _hdf5_pieces(path, frames)
        case _:
            pieces = _mdtraj_pieces(path, topology, frames)
    try:
        while (piece := _guarded(path, lambda: next(pieces, None))) is not None:
            atoms = piece.positions.shape[1]
            if atoms != topology.n_atoms:
                raise DataError(_atoms_differ(path, atoms, topology.n_atoms))
            yield piece
    except DataError:
        _guarded(path, pieces.close)
        raise


def _mdtraj_pieces(path: Path, topology: mdtraj.Topology, frames: int) -> Pieces:
    for part in mdtraj.iterload(str(path), chunk=frames, top=topology):
        # MDTraj numbers frames with integers where the file has no times.
        is_numbered = part.time.dtype.kind in "iu"
        times = None if is_numbered else np.asarray(part.time, dtype=np.float64)
        yield RawFrames(part.xyz, times, _real_box(part.unitcell_vectors))


def _trr_pieces(path: Path, frames: int, contents: Contents) -> Pieces:
    with TRRTrajectoryFile(str(path)) as file:
        while True:
            # The public `read` leaves out velocities and forces.
            positions, times, _, box, _, velocities, forces = file._read(
                frames, None, contents.has_velocities, contents.has_forces
            )
            if len(positions) == 0:
                return
            yield RawFrames(positions, times.astype(np.float64), _real_box(box), velocities, forces)


def _hdf5_pieces(path: Path, frames: int) -> Pieces:
    with HDF5TrajectoryFile(str(path)) as file:
        for _ in range(0, len(file), frames):
            data: Any = file.read(n_frames=frames)
            times = None if data.time is None else np.asarray(data.time, dtype=np.float64)
            box = box_vectors(data.cell_lengths, data.cell_angles)
            yield RawFrames(np.asarray(data.coordinates), times, box, data.velocities)


def _real_box(box: Array | None) -> Array | None:
    """Some formats write a box of zeros for none."""
    if box is None or not np.any(box):
        return None
    if not (np.isfinite(box).all() and (np.diagonal(box, axis1=1, axis2=2) > 0).all()):
        raise ValueError("a box without volume")
    return np.asarray(box, dtype=np.float64)


def _inspect_hdf5(path: Path) -> Contents:
    with HDF5TrajectoryFile(str(path)) as file:
        return Contents(has_velocities="velocities" in file.root)


def _inspect_trr(path: Path) -> Contents:
    """Walk over the frame headers: each frame may leave out velocities and forces."""
    size = path.stat().st_size
    frames = velocities = forces = 0
    with path.open("rb") as file:
        while file.tell() < size:
            header = file.read(struct.calcsize(TRR_HEADER))
            magic, _, _, *sizes = struct.unpack(TRR_HEADER, header)
            if magic != TRR_MAGIC or min(sizes) < 0:
                raise ValueError(f"frame {frames} has no TRR header")
            *blocks, atoms, _, _ = sizes
            positions_size, velocities_size, forces_size = blocks[-3:]
            if positions_size == 0:
                raise ValueError(f"frame {frames} holds no positions")
            real = positions_size // (3 * atoms)
            file.seek(2 * real + sum(blocks), os.SEEK_CUR)
            frames += 1
            velocities += velocities_size > 0
            forces += forces_size > 0
        if file.tell() > size:
            raise ValueError(f"frame {frames - 1} is cut short")
    remarks = tuple(
        f"{path}: only {count} of {frames} frames hold {what}, which are left out."
        for what, count in (("velocities", velocities), ("forces", forces))
        if 0 < count < frames
    )
    return Contents(velocities == frames, forces == frames, remarks)


def _inspect_xtc(path: Path) -> Contents:
    """Walk over the frame headers: libxdrfile believes them, and crashes on wrong ones."""
    size = path.stat().st_size
    frames = expected = 0
    with path.open("rb") as file:
        while file.tell() < size:
            header = file.read(struct.calcsize(XTC_HEADER))
            magic, atoms, *_, again = struct.unpack(XTC_HEADER, header)
            expected = expected or atoms
            if magic != XTC_MAGIC or atoms <= 0 or not atoms == again == expected:
                raise ValueError(f"frame {frames} has no XTC header")
            length = 12 * atoms
            if atoms > XTC_PLAIN_ATOMS:
                packed = struct.unpack(XTC_PACKED, file.read(struct.calcsize(XTC_PACKED)))
                precision, *corners, small, length = packed
                is_box = all(a <= b for a, b in zip(corners[:3], corners[3:], strict=True))
                if not (
                    precision > 0
                    and is_box
                    and small in XTC_SMALL
                    and 0 < length <= XTC_MOST_BYTES * atoms
                ):
                    raise ValueError(f"frame {frames} has no XTC header")
                length += -length % 4
            file.seek(length, os.SEEK_CUR)
            frames += 1
        if file.tell() > size:
            raise ValueError(f"frame {frames - 1} is cut short")
    return Contents()


def _inspect_dcd(path: Path) -> Contents:
    """Compare a DCD file's length with its header (CHARMM and NAMD layout)."""
    with path.open("rb") as file:
        start = file.read(DCD_HEADER + 8)
        order = "<" if start[:4] == struct.pack("<i", DCD_HEADER) else ">"
        marker, magic, *control, _ = struct.unpack(f"{order}i4s20ii", start)
        if marker != DCD_HEADER or magic != b"CORD":
            raise ValueError("no DCD header")
        (title,) = struct.unpack(f"{order}i", file.read(4))
        file.seek(title + 4, os.SEEK_CUR)
        _, atoms, _ = struct.unpack(f"{order}3i", file.read(12))
        body = path.stat().st_size - file.tell()
    promised, fixed, has_cell, has_fourth = control[0], control[8], control[10], control[11]
    if fixed or has_fourth or atoms <= 0:
        return Contents()
    frames, rest = divmod(body, 3 * (4 * atoms + 8) + (56 if has_cell else 0))
    if rest:
        raise ValueError(f"frame {frames} is cut short")
    if frames == promised:
        return Contents()
    return Contents(
        remarks=(f"{path}: the header promises {promised} frames, there are {frames}.",)
    )


def _guarded(path: Path, call: Callable[[], T], what: str = "trajectory") -> T:
    """Call into MDTraj in silence, with every failure as one line.

    The error is raised outside the handler, so that files which MDTraj left open
    are closed, and complain, before warnings are heard again.
    """
    with warnings.catch_warnings(), _muted_stdout(path):
        warnings.simplefilter("ignore")
        try:
            return call()
        except (EgnoMDError, MemoryError):
            raise
        except Exception as error:  # MDTraj's readers raise anything, `Exception` included
            problem = _explain(path, error, what)
    raise DataError(problem)


def _explain(path: Path, error: Exception, what: str) -> str:
    shapes = re.match(r"xyz must be shape \(Any, (\d+), 3\).*\(\d+, (\d+), 3\)", str(error))
    if shapes:
        return _atoms_differ(path, int(shapes[2]), int(shapes[1]))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = lines[0][:120].rstrip(".") if lines else type(error).__name__
    return (
        f"{path}: truncated, or not a {what} that MDTraj reads ({detail}). "
        "Copy it again, or convert it."
    )


def _atoms_differ(path: Path, atoms: int, expected: int) -> str:
    return (
        f"{path}: holds {atoms} atoms a frame, the topology has {expected}. "
        "Give the topology of this trajectory with '--topology FILE'."
    )


@contextmanager
def _muted_stdout(path: Path) -> Iterator[None]:
    """Swallow what MDTraj's DCD reader prints from C."""
    if path.suffix.lower() != ".dcd" or os.name != "posix":
        yield
        return
    sys.stdout.flush()
    flush = ctypes.CDLL(None).fflush
    flush(None)
    saved = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        flush(None)
        os.dup2(saved, 1)
        os.close(saved)
