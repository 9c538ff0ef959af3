"""Folders and files as the sides of a comparison, read part by part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from egno_md.compare.observable import Mode
from egno_md.compare.sides import Side
from egno_md.core.errors import DataError, EgnoMDError
from egno_md.core.molecules import molecule_numbers
from egno_md.core.state import Trajectory
from egno_md.core.system import System, bond_indices
from egno_md.core.units import parse_quantity
from egno_md.data.download import file_identity
from egno_md.data.foreign import in_pieces, open_foreign, select_atoms
from egno_md.data.formats import read_pieces
from egno_md.data.hdf5 import read_hdf5
from egno_md.data.output import RUN
from egno_md.data.store import MANIFEST, Store, single_system

Array = np.ndarray
SUMMARY = "summary.json"
ModeChoice = Literal["auto", "dynamics", "sampler"]


@dataclass(frozen=True)
class Choice:
    """Which frames and atoms of a trajectory are compared.

    Attributes:
        topology: for files that hold none, such as DCD and XTC.
        selection: atoms, in MDTraj's language; all if None.
        stride: compare every `stride`-th frame.
        spacing: ps between frames of files that hold no times; unknown if None.
    """

    topology: Path | None = None
    selection: str | None = None
    stride: int = 1
    spacing: float | None = None


@dataclass(frozen=True, eq=False)
class _Stored:
    """One chain of a store."""

    store: Store
    chain: str
    atoms: Array | None
    stride: int

    def __iter__(self) -> Iterator[Trajectory]:
        def parts() -> Iterator[Trajectory]:
            for shard in self.store.manifest.shards:
                if shard.chain == self.chain:
                    yield from in_pieces(self.store.shard(shard))

        return _thinned(parts(), self.atoms, self.stride)


@dataclass(frozen=True, eq=False)
class _File:
    """A file of another program."""

    path: Path
    choice: Choice
    has_times: bool

    def __iter__(self) -> Iterator[Trajectory]:
        spacing = None if self.has_times else self.choice.spacing or 1.0
        file = open_foreign(self.path, self.choice.topology, spacing, self.choice.selection)
        return _thinned(iter(file), None, self.choice.stride)


@dataclass(frozen=True, eq=False)
class _Hdf5:
    """One HDF5 file of ours or MDTraj's, with whatever fields it holds."""

    path: Path
    atoms: Array | None
    stride: int

    def __iter__(self) -> Iterator[Trajectory]:
        return _thinned(in_pieces(read_hdf5(self.path)[0]), self.atoms, self.stride)


def read_side(path: Path, choice: Choice | None = None, mode: ModeChoice = "auto") -> Side:
    """Open a store or a trajectory file.

    Args:
        path: a store, a folder that holds exactly one, or a file MDTraj reads.
        choice: what of it is compared.
        mode: dynamics or sampler; auto takes it from the summary, dynamics without one.

    Raises:
        DataError: no readable trajectory, or the selection names no atom.
    """
    choice = choice or Choice()
    if path.is_dir():
        return _read_store(path, choice, mode)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder. Give a store or a trajectory file.")
    file_mode: Mode = "sampler" if mode == "sampler" else "dynamics"
    if path.suffix == ".h5":
        return _read_hdf5(path, choice, file_mode)
    has_times = _has_times(path, choice)
    spacing = None if has_times else choice.spacing or 1.0
    file = open_foreign(path, choice.topology, spacing, choice.selection)
    chain = _File(path, choice, has_times)
    first = next(iter(chain))
    system = single_system(file.topology, path.stem, first.positions[0])
    system = replace(system, box=None if first.box is None else first.box[0])
    is_timed = has_times or choice.spacing is not None
    whole = file.file_topology
    molecules = molecule_numbers(bond_indices(whole), whole.n_atoms)[file.atoms]
    return Side(system, [chain], is_timed, file_mode, has_masses=False, molecules=molecules)


def _read_hdf5(path: Path, choice: Choice, mode: Mode) -> Side:
    """An HDF5 file; masses are known only from the manifest of its store."""
    trajectory, topology = read_hdf5(path, frames=1)
    store = _store_of(path)
    if store is None:
        system = single_system(topology, path.stem, trajectory.positions[0])
        system = replace(system, box=None if trajectory.box is None else trajectory.box[0])
    else:
        system = replace(store.system(), name=path.stem)
    atoms = None if choice.selection is None else select_atoms(topology, choice.selection)
    return Side(
        _subset(system, atoms),
        [_Hdf5(path, atoms, choice.stride)],
        mode=mode,
        has_masses=store is not None,
        has_freedom=_has_freedom(system, atoms),
        molecules=system.molecules if atoms is None else system.molecules[atoms],
    )


def _store_of(path: Path) -> Store | None:
    """The store that a file is a shard of."""
    root = path.resolve().parent.parent
    if not (root / MANIFEST).is_file():
        return None
    store = Store(root)
    shards = {(root / s.file).resolve() for s in store.manifest.shards}
    return store if path.resolve() in shards else None


def _read_store(path: Path, choice: Choice, mode: ModeChoice) -> Side:
    folder = _store_folder(path)
    store = Store(folder)
    system = store.system()
    atoms = None if choice.selection is None else select_atoms(system.topology, choice.selection)
    run, summary = _json(path / RUN), _json(path / SUMMARY)
    summary_mode: Mode = "sampler" if summary.get("mode") == "sampler" else "dynamics"
    return Side(
        _subset(system, atoms),
        [_Stored(store, name, atoms, choice.stride) for name in store.chains],
        has_times=store.manifest.spacing is not None,
        mode=summary_mode if mode == "auto" else mode,
        kelvin=_kelvin(store, summary),
        seconds=_seconds(run, summary),
        has_freedom=_has_freedom(system, atoms),
        molecules=system.molecules if atoms is None else system.molecules[atoms],
    )


def side_identity(path: Path) -> dict[str, Any]:
    """Identity of the frames at a path, which changes when others replace them."""
    return Store(_store_folder(path)).identity if path.is_dir() else file_identity(path)


def _kelvin(store: Store, summary: dict[str, Any]) -> float | None:
    """The thermostat's temperature; None of constant-energy runs and foreign data."""
    protocol = store.manifest.provenance.get("protocol") or {}
    sampling = protocol.get("sampling") or {}
    if summary.get("ensemble") == "NVE" or sampling.get("kind") == "nve-segments":
        return None
    try:
        return parse_quantity(protocol["temperature"], "temperature")
    except (KeyError, TypeError, EgnoMDError):
        return None


def _seconds(run: dict[str, Any], summary: dict[str, Any]) -> float | None:
    total = (summary.get("seconds") or {}).get("total", run.get("seconds"))
    return float(total) if isinstance(total, (int, float)) and total > 0 else None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _has_freedom(system: System, atoms: Array | None) -> bool:
    """Whether the atoms' degrees of freedom are known: all atoms, or no constraints."""
    if atoms is None or len(atoms) == system.n_atoms:
        return True
    return not system.has_constraints


def _subset(system: System, atoms: Array | None) -> System:
    """The system of some atoms; with constraints its degrees of freedom are not known."""
    if atoms is None or len(atoms) == system.n_atoms:
        return system
    freedom = 0 if system.has_constraints else 3 * len(atoms) - 3
    return replace(
        system,
        topology=system.topology.subset(atoms.tolist()),
        masses=system.masses[atoms],
        positions=system.positions[atoms],
        degrees_of_freedom=max(freedom, 1),
    )


def _thinned(parts: Iterator[Trajectory], atoms: Array | None, stride: int) -> Iterator[Trajectory]:
    """Every `stride`-th frame of the chosen atoms; energies, which are of all, are left out."""
    passed = 0
    for part in parts:
        chosen = part.every(stride, -passed % stride) if stride > 1 else part
        passed += len(part)
        if not len(chosen):
            continue
        if atoms is not None and len(atoms) < chosen.positions.shape[1]:
            chosen = chosen.of_atoms(atoms)
        yield chosen


def _has_times(path: Path, choice: Choice) -> bool:
    """Whether a file holds meaningful times of its own, from its first frame.

    DCD files do not, whatever their headers say.
    """
    if choice.spacing is not None:
        return False
    probe = open_foreign(path, choice.topology, 1.0, None)
    piece = next(iter(read_pieces(path, probe.file_topology, 2, probe.contents)), None)
    return piece is not None and piece.times is not None and path.suffix.lower() != ".dcd"


def _store_folder(path: Path) -> Path:
    """The folder itself, or its only subfolder that is a store."""
    if (path / MANIFEST).is_file():
        return path
    inside = [p.parent for p in sorted(path.glob(f"*/{MANIFEST}"))]
    return inside[0] if len(inside) == 1 else path


def folder_labels(paths: Sequence[Path]) -> list[str]:
    """A short name per path: the folder's own, with its parent's where two agree."""
    names = [p.resolve().stem if p.is_file() else p.resolve().name for p in paths]
    counts = Counter(names)
    long = [
        name if counts[name] == 1 else f"{path.resolve().parent.name}/{name}"
        for path, name in zip(paths, names, strict=True)
    ]
    long_counts = Counter(long)
    return [name if long_counts[name] == 1 else f"{name} ({n + 1})" for n, name in enumerate(long)]
