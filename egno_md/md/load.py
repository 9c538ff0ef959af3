"""`load`: trajectories of other programs into a trajectory store."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

import mdtraj
import numpy as np

from egno_md.core.errors import DataError
from egno_md.core.progress import Progress, Silent
from egno_md.core.state import Trajectory, is_evenly_spaced
from egno_md.core.system import System, atomic_numbers
from egno_md.data.download import fetch_md17, file_identity
from egno_md.data.foreign import finite_difference, in_pieces, open_foreign, select_atoms
from egno_md.data.md17 import MD17_SPACING, read_md17
from egno_md.data.output import OutputMode, run_folder
from egno_md.data.store import MANIFEST, Store, StoreWriter, new_manifest, single_system
from egno_md.md.build import load_system

Velocities = Literal["stored", "finite-difference", "none"]


@dataclass(frozen=True, eq=False)
class _Source:
    """The trajectory to load.

    Attributes:
        topology: of its atoms.
        spacing: ps between frames; None where they are scattered in time.
        has_velocities: whether the file holds them.
        parts: the frames in order, to be read once.
        frames: number of frames, or None before reading.
        remarks: warnings for the user.
    """

    topology: mdtraj.Topology
    spacing: float | None
    has_velocities: bool
    parts: Iterable[Trajectory]
    frames: int | None
    remarks: tuple[str, ...] = ()


def fetch_source(
    source: str, sha256: str | None, trust_first_download: bool, progress: Progress
) -> str:
    """The file behind a source: ``md17:<molecule>`` is downloaded, else it is a path.

    Raises:
        DataError: unknown molecule, no network, or a wrong checksum.
    """
    kind, separator, molecule = source.partition(":")
    if kind != "md17" or not separator:
        return source
    return str(
        fetch_md17(
            molecule,
            sha256=sha256,
            trust_first_download=trust_first_download,
            progress=progress,
        )
    )


def run_load(
    source: str,
    out: Path | str,
    *,
    topology: Path | str | None = None,
    spacing: float | None = None,
    velocities: Velocities = "stored",
    selection: str | None = None,
    name: str | None = None,
    system: str | None = None,
    mode: OutputMode = "new",
    progress: Progress | None = None,
) -> Store:
    """Load a trajectory file into a store.

    Frames that are evenly spaced become the chain 'loaded'. Others, as in revised
    MD17, become 'scattered' in a store without a frame spacing. Nothing is written
    before the file's first part has been read. A resumed load starts afresh.

    Args:
        source: an MD17 .npz file, or a trajectory file in any format of MDTraj.
        out: the store's folder.
        topology: a file with the atoms, for formats without.
        spacing: ps between frames (of the original trajectory for MD17); the
            file's own times if None.
        velocities: take those stored, make them by central differences, or leave
            them out.
        selection: atoms to keep, in MDTraj's language.
        name: of the system; its own name, or the file's, if None.
        system: shipped name or folder whose topology, masses and constraints are
            those of the trajectory.
        mode: see `run_folder`.
        progress: receives progress and notes.

    Returns:
        The finished store.

    Raises:
        DataError: the file cannot be read, or does not hold what is asked for.
    """
    progress, out = progress or Silent(), Path(out)
    path = Path(source)
    topology = None if topology is None else Path(topology)
    contents = _open(path, topology, spacing, selection)
    for remark in contents.remarks:
        progress.note(remark)
    parts = _with_velocities(path, contents, velocities)
    first = next(parts, None)
    if first is None:
        raise DataError(f"{path}: holds no frames.")
    loaded_system = _system(path, contents.topology, first, name, system)
    if loaded_system.box is None and first.box is not None:
        progress.note(f"{path.name} has a box and {loaded_system.name} has none: it is left out.")
        first = replace(first, box=None)
        parts = (replace(part, box=None) for part in parts)
    request = {
        "source": file_identity(path),
        "topology": None if topology is None else file_identity(topology),
        "spacing": spacing,
        "velocities": velocities,
        "selection": selection,
        "system": loaded_system.name,
        "digest": loaded_system.digest,
    }
    with run_folder(out, "load", request, mode, [path], progress) as run:
        if run.is_complete:
            return Store(out)
        _clear(out)
        manifest = new_manifest(loaded_system, "load", contents.spacing, request=request)
        writer = StoreWriter(out, manifest, loaded_system.topology)
        _write(writer, chain([first], parts), contents, progress)
        run.finish(frames=writer.manifest.frames)
    return Store(out)


def _write(
    writer: StoreWriter, parts: Iterable[Trajectory], contents: _Source, progress: Progress
) -> None:
    chain_name = "scattered" if contents.spacing is None else "loaded"
    for part in parts:
        writer.append(part, chain_name)
        done = writer.manifest.frames
        progress.update(done, max(contents.frames or done, done), f"{done} frames")
    writer.finish()


def _open(
    path: Path, topology: Path | None, spacing: float | None, selection: str | None
) -> _Source:
    if path.suffix.lower() != ".npz":
        file = open_foreign(path, topology, spacing, selection)
        frames = None if file.times is None else len(file.times)
        contents = file.contents
        return _Source(
            file.topology, file.spacing, contents.has_velocities, file, frames, contents.remarks
        )
    if topology is not None:
        raise DataError(f"{path}: an MD17 file says what its atoms are. Leave out '--topology'.")
    trajectory, atoms = read_md17(path, MD17_SPACING if spacing is None else spacing)
    if selection is not None:
        chosen = select_atoms(atoms, selection)
        atoms = atoms.subset(chosen.tolist())
        trajectory = trajectory.of_atoms(chosen)
    frames = len(trajectory)
    even = frames > 1 and is_evenly_spaced(trajectory.times)
    return _Source(
        atoms, trajectory.spacing if even else None, False, in_pieces(trajectory), frames
    )


def _with_velocities(path: Path, contents: _Source, velocities: Velocities) -> Iterator[Trajectory]:
    if velocities == "none":
        return (replace(part, velocities=None) for part in contents.parts)
    if velocities == "finite-difference":
        if contents.spacing is None:
            raise DataError(
                f"{path}: its frames are not evenly spaced, so velocities cannot be made by "
                "finite differences. Ask for '--velocities none'."
            )
        return finite_difference(contents.parts)
    if not contents.has_velocities:
        raise DataError(
            f"{path}: holds no velocities. Ask for '--velocities finite-difference' (needs "
            "closely spaced frames) or '--velocities none'."
        )
    return iter(contents.parts)


def _system(
    path: Path,
    topology: mdtraj.Topology,
    first: Trajectory,
    name: str | None,
    system: str | None,
) -> System:
    """The system of the frames; its potential is not theirs."""
    if system is None:
        alone = single_system(topology, name or path.stem, first.positions[0])
        return replace(alone, box=None if first.box is None else first.box[0])
    reference = load_system(system).system
    numbers = atomic_numbers(topology)
    if len(numbers) != reference.n_atoms:
        raise DataError(
            f"{path}: has {len(numbers)} atoms, system {reference.name} has {reference.n_atoms}. "
            "Choose atoms with '--selection', or another --system."
        )
    differing = np.flatnonzero(numbers != reference.atomic_numbers)
    if len(differing):
        index = int(differing[0])
        raise DataError(
            f"{path}: atom {index} is {topology.atom(index).element.symbol}, in system "
            f"{reference.name} it is {reference.elements[index]}. Give the system in the file's order."
        )
    if reference.box is not None and first.box is None:
        raise DataError(
            f"{path}: its frames have no box and system {reference.name} is periodic. Load a file "
            "with box vectors, or with a CRYST1 record."
        )
    return replace(reference, name=name or reference.name, potential="")


def _clear(out: Path) -> None:
    """Remove what an interrupted load left in its folder."""
    shutil.rmtree(out / "shards", ignore_errors=True)
    (out / MANIFEST).unlink(missing_ok=True)
