"""Trajectories of other programs, in any format MDTraj reads, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import mdtraj
import numpy as np
from jaxtyping import Float

from egno_md.core.errors import DataError
from egno_md.core.molecules import molecule_numbers
from egno_md.core.state import Trajectory, first_not_finite, is_evenly_spaced, join
from egno_md.core.system import bond_indices
from egno_md.data.formats import Contents, RawFrames, inspect, read_pieces, read_topology
from egno_md.geometry.images import molecule_centres

Array = np.ndarray

WITH_TOPOLOGY = frozenset({".pdb", ".h5", ".gro", ".arc", ".gsd", ".lh5"})
"""Trajectory formats that hold a topology."""

PIECE_BYTES = 2**25
"""Positions read at once: 32 MiB, so that memory stays bounded."""

ROUNDING = 4 * np.finfo(np.float32).eps
"""Files keep times in single precision: they may be off by this share of the latest."""


@dataclass(frozen=True, eq=False)
class ForeignFile:
    """A trajectory file that has been checked and not yet read.

    Attributes:
        path: the file.
        file_topology: of every atom in the file.
        atoms: indices of the selected ones.
        spacing: ps between frames; None where frames are not evenly spaced.
        times: ps of each frame, or None where they follow from the spacing.
        contents: what the file holds beside positions.
    """

    path: Path
    file_topology: mdtraj.Topology
    atoms: Array
    spacing: float | None
    times: Float[Array, " frames"] | None
    contents: Contents

    @cached_property
    def topology(self) -> mdtraj.Topology:
        """Of the selected atoms."""
        return self.file_topology.subset(self.atoms.tolist())

    def __iter__(self) -> Iterator[Trajectory]:
        """Contiguous parts in order, unwrapped, of the selected atoms.

        Raises:
            DataError: the file is empty, ends early or holds NaN.
        """
        done = 0
        frames = frames_at_once(self.file_topology.n_atoms)
        pieces = read_pieces(self.path, self.file_topology, frames, self.contents)
        for piece in unwrap(pieces, self.file_topology):
            stop = done + len(piece.positions)
            self._check_numbers(piece, done)
            moving = (piece.positions, self._times(done, stop), piece.velocities, piece.forces)
            yield Trajectory(*moving, box=piece.box).of_atoms(self.atoms)
            done = stop
        if done == 0:
            raise DataError(f"{self.path}: holds no frames.")

    def _times(self, start: int, stop: int) -> Array:
        if self.times is not None:
            return self.times[start:stop]
        assert self.spacing is not None
        return np.arange(start, stop) * self.spacing

    def _check_numbers(self, piece: RawFrames, start: int) -> None:
        for name in ("positions", "velocities", "forces"):
            values = getattr(piece, name)
            if values is not None and (frame := first_not_finite(values)) is not None:
                raise DataError(
                    f"{self.path}: {name} of frame {start + frame} hold NaN or infinity."
                )


def open_foreign(
    path: Path,
    topology: Path | None = None,
    spacing: float | None = None,
    selection: str | None = None,
) -> ForeignFile:
    """Check that a trajectory file can be read.

    Without a given spacing, the file's own times are used where the format has
    them (XTC, TRR, MDTraj HDF5, AMBER NetCDF, GRO), at the cost of reading it
    twice. Times in DCD headers are meaningless and are never used.

    Velocities and forces are taken where every frame has them: TRR (both) and
    MDTraj HDF5 (velocities). Truncation is seen in DCD, TRR, XTC, HDF5, NetCDF
    and GRO files, except between two whole frames; text formats without a frame
    count (XYZ, MDCRD) may silently end early.

    Args:
        path: the trajectory.
        topology: a file with its atoms, for formats that have none.
        spacing: ps between frames.
        selection: in MDTraj's atom selection language.

    Raises:
        DataError: a file that is missing or cannot be read, no usable times, or
            a selection that is wrong or empty.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    if spacing is not None and not (np.isfinite(spacing) and spacing > 0):
        raise DataError(f"a frame spacing of {spacing} ps is impossible. Give a positive one.")
    if topology is None and path.suffix.lower() not in WITH_TOPOLOGY:
        raise DataError(
            f"{path}: a {path.suffix} file does not say what its atoms are. "
            "Give a .pdb, .psf, .gro or .prmtop file with '--topology FILE'."
        )
    atoms_of_file = with_bonds(read_topology(topology or path))
    contents = inspect(path)
    times = None
    if spacing is None:
        times, spacing = _own_times(path, atoms_of_file, contents)
    atoms = select_atoms(atoms_of_file, selection)
    return ForeignFile(path, atoms_of_file, atoms, spacing, times, contents)


def select_atoms(topology: mdtraj.Topology, selection: str | None) -> Array:
    """Indices of the atoms an MDTraj selection names; all of them for None.

    Raises:
        DataError: the selection is wrong or names no atom.
    """
    if selection is None:
        return np.arange(topology.n_atoms)
    try:
        atoms = topology.select(selection)
    except Exception as error:  # the parser raises many kinds
        lines = str(error).splitlines()
        detail = (lines[0] if lines else type(error).__name__).strip('"')[:100]
        raise DataError(
            f"selection '{selection}' is not in MDTraj's language ({detail}). "
            "Write one such as 'protein and not element H'."
        ) from None
    if len(atoms) == 0:
        raise DataError(f"selection '{selection}' names none of {topology.n_atoms} atoms.")
    return np.asarray(atoms)


def with_bonds(topology: mdtraj.Topology) -> mdtraj.Topology:
    """The topology, with the bonds of standard residues where it has none (GRO files)."""
    if topology.n_bonds:
        return topology
    bonded = topology.copy()
    bonded.create_standard_bonds()
    return bonded


def unwrap(pieces: Iterable[RawFrames], topology: mdtraj.Topology) -> Iterator[RawFrames]:
    """Undo periodic wrapping; frames without a box pass unchanged.

    Each molecule is made whole along its bonds, then moved as a whole to the
    periodic image nearest to where its centre was one frame before. Every atom
    stays at an image of its stored position, so energies do not change. Atoms
    without bonds count as molecules of their own.

    Not guaranteed: a molecule that really moved more than half a box between two
    frames is put at the wrong image; under a barostat, displacements of
    molecules that crossed many boxes are inexact (von Bülow et al. 2020).
    """
    molecule = molecule_numbers(bond_indices(topology), topology.n_atoms)
    last: Array | None = None
    for piece in pieces:
        if piece.box is None:
            yield piece
            continue
        whole = _make_whole(piece, topology)
        shifts = np.zeros((len(whole), molecule.max() + 1, 3))
        for frame, (positions, box) in enumerate(zip(whole, piece.box, strict=True)):
            centres = molecule_centres(positions, molecule)
            if last is not None:
                shifts[frame] = nearest_lattice_vector(last - centres, box)
            last = centres + shifts[frame]
        yield replace(piece, positions=whole + shifts[:, molecule].astype(whole.dtype))


def nearest_lattice_vector(
    displacements: Float[Array, "n 3"], box: Float[Array, "3 3"]
) -> Float[Array, "n 3"]:
    """Whole multiples of the box vectors that come close to displacements.

    The rounding goes from the third vector to the first, which gives the nearest
    one for displacements below half the box height; the box must be lower
    triangular, as MDTraj's are.
    """
    result = np.zeros_like(displacements)
    for axis in (2, 1, 0):
        rest = displacements[:, axis] - result[:, axis]
        result += np.round(rest / box[axis, axis])[:, None] * box[axis]
    return result


def finite_difference(parts: Iterable[Trajectory]) -> Iterator[Trajectory]:
    """Velocities by central differences, (x[t+Δt] − x[t−Δt]) / 2Δt.

    The error grows as Δt² (and, for vibrations, as the square of their
    frequency); the rounding of stored positions, divided by Δt, comes on top.
    The first and the last frame are dropped, as they have a neighbour on one
    side only.

    Args:
        parts: consecutive parts of one evenly spaced, unwrapped trajectory.

    Raises:
        DataError: frames are not evenly spaced, or fewer than three.
    """
    tail: Trajectory | None = None
    frames = 0
    for part in parts:
        joined = part if tail is None else join([tail, part])
        frames += len(part)
        if not is_evenly_spaced(joined.times):
            raise DataError(
                "velocities by finite differences need evenly spaced frames, and these are not. "
                "Ask for '--velocities none'."
            )
        if len(joined) > 2:
            x = np.asarray(joined.positions, dtype=np.float64)
            velocities = (x[2:] - x[:-2]) / (joined.times[2:] - joined.times[:-2])[:, None, None]
            yield replace(joined.slice(1, len(joined) - 1), velocities=velocities)
        tail = joined.slice(max(len(joined) - 2, 0), len(joined))
    if frames < 3:
        raise DataError(f"velocities by finite differences need three frames, there are {frames}.")


def frames_at_once(atoms: int) -> int:
    """How many frames of so many atoms one part may hold."""
    return int(np.clip(PIECE_BYTES // (12 * max(atoms, 1)), 3, 10_000))


def in_pieces(trajectory: Trajectory) -> Iterator[Trajectory]:
    """Consecutive parts of no more frames than are read at once, as views."""
    frames = frames_at_once(trajectory.positions.shape[1])
    for start in range(0, len(trajectory), frames):
        yield trajectory.slice(start, start + frames)


def _own_times(
    path: Path, topology: mdtraj.Topology, contents: Contents
) -> tuple[Array, float | None]:
    """A file's times, and their spacing where they are even.

    Times that are even up to single precision are replaced by exact multiples.
    """
    parts = [
        p.times for p in read_pieces(path, topology, frames_at_once(topology.n_atoms), contents)
    ]
    if not parts:
        raise DataError(f"{path}: holds no frames.")
    remedy = "Give the time between frames, such as '--spacing 2fs'."
    if any(t is None for t in parts):
        raise DataError(f"{path}: holds no meaningful times. {remedy}")
    times = np.concatenate([t for t in parts if t is not None])
    if len(times) < 2:
        raise DataError(f"{path}: holds one frame, which has no frame spacing. {remedy}")
    if not np.all(np.diff(times) > 0):
        frame = 1 + int(np.argmin(np.diff(times) > 0))
        raise DataError(f"{path}: frame {frame} is not later than the one before. {remedy}")
    mean = (times[-1] - times[0]) / (len(times) - 1)
    for spacing in (float(f"{mean:.6g}"), float(mean)):
        exact = times[0] + spacing * np.arange(len(times))
        if np.abs(exact - times).max() <= ROUNDING * np.abs(times).max():
            return exact, spacing
    return times, float(mean) if is_evenly_spaced(times) else None


def _make_whole(piece: RawFrames, topology: mdtraj.Topology) -> Array:
    if topology.n_bonds == 0:
        return piece.positions
    whole = mdtraj.Trajectory(piece.positions.astype(np.float32), topology)
    whole.unitcell_vectors = None if piece.box is None else piece.box.astype(np.float32)
    whole.make_molecules_whole(inplace=True)
    return np.asarray(whole.xyz)
