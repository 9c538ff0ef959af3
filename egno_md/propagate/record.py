"""A rollout on disk: frames, events, and the state from which it continues exactly."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from mdtraj.formats import XTCTrajectoryFile

from egno_md.core.errors import DataError
from egno_md.core.state import Frame, Trajectory, join
from egno_md.core.system import System
from egno_md.data.store import Manifest, StoreWriter, read_manifest
from egno_md.propagate.event import Event
from egno_md.propagate.proposal import Outcome
from egno_md.propagate.state import ReplicaState, RunningTemperature
from egno_md.propagate.totals import Totals

STATE = "state.npz"
EVENTS = "events.jsonl"


def chain_name(replica: int) -> str:
    """Chain of a replica in the store."""
    return f"replica-{replica:03d}"


@dataclass
class Recorder:
    """Buffers a rollout and writes it in pieces.

    The state file is replaced last. Whatever a killed run wrote after it is cut
    off again on resume: no frame and no event twice, none missing.

    Attributes:
        root: the output folder.
        system: what moves.
        writer: of the store.
        save_points: keep every time point, not just window ends.
    """

    root: Path
    system: System
    writer: StoreWriter
    save_points: bool

    def __post_init__(self) -> None:
        self._frames: dict[int, list[Trajectory]] = {}
        self._events: list[Event] = []

    @classmethod
    def open(cls, root: Path, system: System, empty: Manifest, save_points: bool) -> Recorder:
        """A new recorder, or one that continues what `root` holds."""
        saved = load_state(root)
        if saved is None:
            (root / EVENTS).write_text("")
            for file in root.glob("*.xtc"):
                file.unlink()
            return cls(root, system, StoreWriter(root, empty, system.topology), save_points)
        manifest = read_manifest(root)
        manifest = replace(manifest, shards=manifest.shards[: saved.sizes["shards"]])
        for name, size in saved.sizes["files"].items():
            path = root / name
            if not path.is_file() or path.stat().st_size < size:
                raise DataError(
                    f"{path}: missing or shorter than the rollout left it. "
                    "Start again with --overwrite."
                )
            os.truncate(path, size)
        return cls(root, system, StoreWriter(root, manifest, system.topology), save_points)

    def record(self, outcome: Outcome) -> None:
        """Take one window in."""
        self._events.append(outcome.event)
        kept = outcome.window if self.save_points else outcome.end
        if len(kept):
            self._frames.setdefault(outcome.event.replica, []).append(_complete(kept))

    def flush(
        self,
        windows: int,
        states: Sequence[ReplicaState],
        totals: Totals,
        seconds: Mapping[str, float],
    ) -> None:
        """Write everything taken in, then the state after `windows` windows."""

        def written() -> Iterator[tuple[str, Trajectory]]:
            for replica, parts in sorted(self._frames.items()):
                trajectory = _known(join(parts))
                self._append_xtc(replica, trajectory)
                yield chain_name(replica), trajectory

        self.writer.append_all(written())
        with (self.root / EVENTS).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(e.to_json()) + "\n" for e in self._events)
        self._frames.clear()
        self._events.clear()
        files = [EVENTS, *sorted(p.name for p in self.root.glob("*.xtc"))]
        sizes = {
            "shards": len(self.writer.manifest.shards),
            "files": {name: (self.root / name).stat().st_size for name in files},
        }
        save_state(self.root, State(windows, tuple(states), totals, dict(seconds), sizes))

    def _append_xtc(self, replica: int, trajectory: Trajectory) -> None:
        """XTC frames follow each other without a header, so that bytes can be appended."""
        piece = self.root / "piece.partial.xtc"
        box = None
        if trajectory.box is not None:
            box = trajectory.box.astype(np.float32)
        with XTCTrajectoryFile(str(piece), "w") as file:
            steps = np.round(trajectory.times * 1e6).astype(np.int64) % (2**31)
            file.write(
                trajectory.positions.astype(np.float32),
                time=trajectory.times.astype(np.float32),
                step=steps.astype(np.int32),
                box=box,
            )
        with (self.root / f"{chain_name(replica)}.xtc").open("ab") as target:
            target.write(piece.read_bytes())
        piece.unlink()


@dataclass(frozen=True, eq=False)
class State:
    """Everything a rollout needs to continue bit for bit.

    Attributes:
        windows: done.
        replicas: where each is.
        totals: of what happened so far.
        seconds: spent so far, per clock and in `total`.
        sizes: how much of each file belongs to it.
    """

    windows: int
    replicas: tuple[ReplicaState, ...]
    totals: Totals
    seconds: dict[str, float]
    sizes: dict[str, Any]


def save_state(root: Path, state: State) -> None:
    """Replace the state file in one move."""
    partial = root / (STATE + ".partial")
    partial.write_bytes(pack_state(state))
    os.replace(partial, root / STATE)


def pack_state(state: State) -> bytes:
    """The state as an npz file."""
    arrays: dict[str, np.ndarray] = {}
    records = []
    for replica in state.replicas:
        index, frame = replica.index, replica.frame
        for name in ("positions", "velocities", "forces", "box"):
            value = getattr(frame, name)
            if value is not None:
                arrays[f"{index}.{name}"] = np.asarray(value, dtype=np.float64)
        records.append(
            {
                "time": frame.time,
                "potential_energy": frame.potential_energy,
                "random": replica.random.bit_generator.state,
                "running": [replica.running.values, replica.running.elapsed],
                "excess_friction": replica.excess_friction.tolist(),
                "energy": replica.energy,
                "begun": replica.begun,
                "volume_moves": replica.volume_moves,
                "stop_reason": replica.stop_reason,
            }
        )
    text = {
        "windows": state.windows,
        "totals": state.totals.to_json(),
        "seconds": state.seconds,
        "sizes": state.sizes,
        "replicas": records,
    }
    arrays["text"] = np.frombuffer(json.dumps(text).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def load_state(root: Path) -> State | None:
    """The state a run left, or None.

    Raises:
        DataError: the file is damaged.
    """
    path = root / STATE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:  # np.load leaves a file open that it cannot read
            return unpack_state(file)
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        RecursionError,
        zipfile.BadZipFile,
    ) as error:
        raise DataError(
            f"{path}: damaged ({type(error).__name__}). Start again with --overwrite."
        ) from None


def unpack_state(file: IO[bytes]) -> State:
    """Read what `pack_state` gave; any of numpy's exceptions where it is damaged."""
    with np.load(file, allow_pickle=False) as arrays:
        text = json.loads(bytes(arrays["text"]))
        replicas = tuple(
            _replica(index, text["windows"], record, arrays)
            for index, record in enumerate(text["replicas"])
        )
    totals = Totals.from_json(text["totals"])
    return State(text["windows"], replicas, totals, text["seconds"], text["sizes"])


def _replica(index: int, windows: int, record: dict[str, Any], arrays: Any) -> ReplicaState:
    def array(name: str) -> np.ndarray | None:
        key = f"{index}.{name}"
        return arrays[key] if key in arrays.files else None

    random = np.random.default_rng()
    random.bit_generator.state = record["random"]
    values, elapsed = record["running"]
    tried, accepted = record["volume_moves"]
    frame = Frame(
        positions=arrays[f"{index}.positions"],
        velocities=arrays[f"{index}.velocities"],
        time=record["time"],
        forces=array("forces"),
        potential_energy=record["potential_energy"],
        box=array("box"),
    )
    return ReplicaState(
        index,
        frame,
        random,
        window=windows,
        running=RunningTemperature(values, elapsed),
        excess_friction=np.array(record["excess_friction"], dtype=np.float64),
        energy=record["energy"],
        begun=record["begun"],
        volume_moves=(tried, accepted),
        stop_reason=record["stop_reason"],
    )


def _known(trajectory: Trajectory) -> Trajectory:
    """Without fields of which no frame knows anything."""
    energy, forces = trajectory.potential_energy, trajectory.forces
    return replace(
        trajectory,
        potential_energy=None if energy is None or np.isnan(energy).all() else energy,
        forces=None if forces is None or np.isnan(forces).all() else forces,
    )


def _complete(trajectory: Trajectory) -> Trajectory:
    """Energies and forces as NaN where unknown, so that pieces can be joined."""
    energy, forces = trajectory.potential_energy, trajectory.forces
    return replace(
        trajectory,
        potential_energy=np.full(len(trajectory), np.nan) if energy is None else energy,
        forces=np.full(trajectory.positions.shape, np.nan) if forces is None else forces,
    )
