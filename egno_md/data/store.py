"""A trajectory store: a folder of HDF5 shards and a manifest that lists them.

A shard has its final name only when it is whole, and the manifest names it only
then, so that a store is readable at every moment and a killed run loses at most
the shard it was writing. Shards of one chain follow each other in time; no
window is ever taken across chains.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np

from egno_md.core.errors import DataError, OutputError
from egno_md.core.state import Trajectory, join
from egno_md.core.system import System, element_masses
from egno_md.data.frame_file import FrameRange
from egno_md.data.hdf5 import read_hdf5, write_hdf5
from egno_md.data.stretches import StoredStretch

MANIFEST = "manifest.json"
LONGEST_NAME = 255
"""Bytes of the name of a file."""

FORMAT = "egno-md trajectory store 1"


@dataclass(frozen=True)
class Shard:
    """One file of a store.

    Attributes:
        file: path relative to the store.
        chain: frames of shards with one chain are contiguous.
        frames: how many.
        start: time of its first frame, ps.
        stop: time of its last frame, ps.
    """

    file: str
    chain: str
    frames: int
    start: float
    stop: float


@dataclass(frozen=True)
class Manifest:
    """What a store holds and where it came from.

    Attributes:
        source: the verb that wrote it: generate, load or propagate.
        system: name of the system.
        digest: of the system (see `system_digest`).
        spacing: ps between frames; None where frames are not contiguous.
        masses: Da.
        degrees_of_freedom: for temperatures.
        provenance: seeds, versions, platform, specs.
        shards: in order.
        is_complete: whether the run that writes it has ended.
    """

    source: str
    system: str
    digest: str
    spacing: float | None
    masses: tuple[float, ...]
    degrees_of_freedom: int
    provenance: dict[str, Any] = field(default_factory=dict)
    shards: tuple[Shard, ...] = ()
    is_complete: bool = False

    @property
    def frames(self) -> int:
        """Frames over all shards."""
        return sum(s.frames for s in self.shards)


class Store:
    """A store on disk, opened for reading.

    Args:
        root: the folder.

    Raises:
        DataError: there is no store there, or its manifest is damaged.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.manifest = read_manifest(self.root)
        if not self.manifest.shards:
            raise DataError(f"{root}: the store holds no frames yet. Let the run go on: --resume.")
        self._topology: mdtraj.Topology | None = None

    @property
    def topology(self) -> mdtraj.Topology:
        """The system's topology, from the first shard."""
        if self._topology is None:
            self._topology = self._first()[1]
            if self._topology.n_atoms != len(self.manifest.masses):
                raise DataError(
                    f"{self.root}: {len(self.manifest.masses)} masses for "
                    f"{self._topology.n_atoms} atoms: damaged manifest. Generate it again."
                )
        return self._topology

    @property
    def masses(self) -> np.ndarray:
        """Da."""
        return np.array(self.manifest.masses)

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this store's frames from any other's: system, origin, extent."""
        content = json.dumps(asdict(self.manifest), sort_keys=True, default=str)
        return {
            "name": self.root.resolve().name,
            "frames": self.manifest.frames,
            "fingerprint": hashlib.sha256(content.encode()).hexdigest(),
        }

    def system(self) -> System:
        """The stored system; its start structure is the first frame."""
        first, _ = self._first()
        charge = self.manifest.provenance.get("charge")
        return System(
            name=self.manifest.system,
            topology=self.topology,
            masses=self.masses,
            positions=first.positions[0],
            degrees_of_freedom=self.manifest.degrees_of_freedom,
            box=None if first.box is None else first.box[0],
            potential=str(self.manifest.provenance.get("potential", "")),
            charge=charge if isinstance(charge, int) else None,
        )

    def _first(self) -> tuple[Trajectory, mdtraj.Topology]:
        return read_hdf5(self._path(self.manifest.shards[0]), frames=1)

    @property
    def chains(self) -> tuple[str, ...]:
        """Names of the contiguous stretches, in order."""
        return tuple(dict.fromkeys(s.chain for s in self.manifest.shards))

    def chain(self, name: str, limit: int | None = None) -> Trajectory:
        """One contiguous stretch.

        Args:
            name: of the chain.
            limit: read no more shards than this.
        """
        shards = [s for s in self.manifest.shards if s.chain == name][:limit]
        if not shards:
            raise DataError(f"{self.root}: no chain '{name}'. It has {', '.join(self.chains)}.")
        return join([self.shard(s) for s in shards])

    def __iter__(self) -> Iterator[Trajectory]:
        return (self.chain(name) for name in self.chains)

    @property
    def stretches(self) -> list[StoredStretch]:
        """The contiguous stretches, whose frames are read when they are needed."""
        atoms = len(self.manifest.masses)
        chains: dict[str, list[FrameRange]] = {}
        for shard in self.manifest.shards:
            part = FrameRange(self._path(shard), 0, shard.frames, shard.frames, atoms)
            chains.setdefault(shard.chain, []).append(part)
        return [StoredStretch(tuple(ranges)) for ranges in chains.values()]

    def shard(self, shard: Shard) -> Trajectory:
        """The frames of one file.

        Raises:
            DataError: missing, truncated, or not what the manifest says.
        """
        trajectory, _ = read_hdf5(self._path(shard))
        if len(trajectory) != shard.frames:
            raise DataError(
                f"{self._path(shard)}: holds {len(trajectory)} frames, the manifest says "
                f"{shard.frames}. Generate it again."
            )
        return trajectory

    def _path(self, shard: Shard) -> Path:
        path = (self.root / shard.file).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise DataError(f"{self.root}: the manifest names a file outside: {shard.file}.")
        return path


class StoreWriter:
    """Appends shards to a store.

    Args:
        root: the folder, created if needed.
        manifest: what the store is; its shards are kept when resuming.
        topology: of the system.
    """

    def __init__(self, root: Path, manifest: Manifest, topology: mdtraj.Topology) -> None:
        self.root = root
        self.manifest = manifest
        self.topology = topology
        (root / "shards").mkdir(parents=True, exist_ok=True)
        write_manifest(root, manifest)

    def append(self, trajectory: Trajectory, chain: str, **provenance: Any) -> Shard:
        """Write one shard, then name it in the manifest, with changes of provenance."""
        return self.append_all([(chain, trajectory)], **provenance)[0]

    def append_all(
        self, trajectories: Iterable[tuple[str, Trajectory]], **provenance: Any
    ) -> list[Shard]:
        """Write a shard for each of several chains, then name all in the manifest at once."""
        shards = [self._write(chain, trajectory) for chain, trajectory in trajectories]
        self._update(
            shards=(*self.manifest.shards, *shards),
            provenance={**self.manifest.provenance, **provenance},
        )
        return shards

    def _write(self, chain: str, trajectory: Trajectory) -> Shard:
        name = f"shards/{chain}-{sum(s.chain == chain for s in self.manifest.shards):05d}.h5"
        write_hdf5(
            self.root / name,
            trajectory,
            self.topology,
            np.array(self.manifest.masses),
            self.manifest.degrees_of_freedom,
        )
        return Shard(
            name, chain, len(trajectory), float(trajectory.times[0]), float(trajectory.times[-1])
        )

    def annotate(self, **provenance: Any) -> None:
        """Change the manifest's provenance."""
        self._update(provenance={**self.manifest.provenance, **provenance})

    def finish(self) -> None:
        """Mark the store complete."""
        self._update(is_complete=True)

    def _update(self, **changes: Any) -> None:
        self.manifest = replace(self.manifest, **changes)
        write_manifest(self.root, self.manifest)


def new_manifest(system: System, source: str, spacing: float | None, **provenance: Any) -> Manifest:
    """The manifest of an empty store for `system`."""
    charge = {} if system.charge is None else {"charge": system.charge}
    return Manifest(
        source=source,
        system=system.name,
        digest=system.digest,
        spacing=spacing,
        masses=tuple(float(m) for m in system.masses),
        degrees_of_freedom=system.degrees_of_freedom,
        provenance={"potential": system.potential, **charge, **provenance},
    )


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Replace the manifest in one move."""
    write_json(root / MANIFEST, {"format": FORMAT, **asdict(manifest)})


def read_manifest(root: Path) -> Manifest:
    """Read and check a store's manifest.

    Raises:
        DataError: missing, damaged, or of another format.
    """
    path = root / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{root}: no trajectory store (no {MANIFEST}). Make one with "
            "'egno-md generate' or 'egno-md load'."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise DataError(f"{path}: not in the format '{FORMAT}'.")
        _check_names(content)
        shards = tuple(
            Shard(
                str(s["file"]),
                str(s["chain"]),
                int(s["frames"]),
                float(s["start"]),
                float(s["stop"]),
            )
            for s in content.pop("shards")
        )
        masses = tuple(float(m) for m in content.pop("masses"))
        if content["spacing"] is not None:
            content["spacing"] = float(content["spacing"])
        manifest = Manifest(**content, shards=shards, masses=masses)
        _check_numbers(manifest)
        return manifest
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise DataError(f"{path}: damaged manifest ({error}). Generate the store again.") from None


def _check_numbers(manifest: Manifest) -> None:
    """Refuse values that are not positive and finite.

    Raises:
        ValueError: naming them.
    """
    spacing = 1.0 if manifest.spacing is None else manifest.spacing
    positive = {
        "spacing": [spacing],
        "masses": manifest.masses,
        "degrees_of_freedom": [float(manifest.degrees_of_freedom)],
        "frames": [float(s.frames) for s in manifest.shards],
    }
    for name, values in positive.items():
        if not all(np.isfinite(v) and v > 0 for v in values):
            raise ValueError(f"{name} must be positive and finite")


def _check_names(content: dict[str, Any]) -> None:
    """Refuse entries of the wrong type, and file names that cannot exist.

    Raises:
        ValueError: naming them.
    """
    if not all(isinstance(content[name], str) for name in ("source", "system", "digest")):
        raise ValueError("source, system and digest must be text")
    if not isinstance(content["provenance"], dict):
        raise ValueError("provenance must hold keys")
    for shard in content["shards"]:
        name = os.fsencode(shard["file"])
        if b"\0" in name or max(map(len, name.split(b"/"))) > LONGEST_NAME:
            raise ValueError("a file has an impossible name")


def write_json(path: Path, content: object) -> None:
    """Write JSON in one move: readers see the old file or the new one."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}.") from None
    except ValueError:
        raise OutputError(f"{path}: a result is not finite, so it is not written.") from None


def single_system(topology: mdtraj.Topology, name: str, positions: np.ndarray) -> System:
    """A system known only by its topology, with standard masses and no constraints."""
    masses = element_masses(topology)
    return System(
        name=name,
        topology=topology,
        masses=masses,
        positions=positions,
        degrees_of_freedom=max(3 * len(masses) - 3, 1),
    )
