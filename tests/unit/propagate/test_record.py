"""What a rollout leaves on disk, and what it continues from."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import mdtraj
import numpy as np
import pytest

from egno_md.core.errors import DataError
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.data.store import Store, new_manifest
from egno_md.propagate.event import Event
from egno_md.propagate.proposal import Outcome
from egno_md.propagate.record import EVENTS, STATE, Recorder, State, load_state, save_state
from egno_md.propagate.run import TOTAL, Pace, run
from egno_md.propagate.state import ReplicaState, RunningTemperature
from egno_md.propagate.totals import Moments, Totals
from tests.unit.propagate.springs import make_move, make_states

BOX = np.diag([3.0, 4.0, 5.0])


def make_state(system: System, index: int, **fields: Any) -> ReplicaState:
    random = np.random.default_rng(index)
    x, v = random.standard_normal((2, system.n_atoms, 3))
    frame = Frame(x, v, 1.25, **fields)
    return ReplicaState(
        index,
        frame,
        random,
        window=12,
        running=RunningTemperature({"all": 301.0, "C": 280.0}, 0.7),
        excess_friction=np.array([0.1, 0.2]),
        energy=-7.5,
        begun=0.25,
        volume_moves=(5, 2),
    )


def test_a_state_comes_back_to_the_bit(ethanol: System, tmp_path: Path) -> None:
    full = make_state(
        ethanol, 0, forces=np.ones((9, 3)) / 3, potential_energy=-1.0 / 3, box=BOX / 7
    )
    bare = replace(make_state(ethanol, 1), stop_reason="enough", energy=None)
    totals = Totals(largest_bond_deviation=0.01, temperature=Moments(1.0, 300.0, 9e4))
    sizes, seconds = {"shards": 2, "files": {"a": 3}}, {"network": 1 / 3, TOTAL: 2.0}
    save_state(tmp_path, State(12, (full, bare), totals, seconds, sizes))
    assert [p.name for p in tmp_path.iterdir()] == [STATE], "nothing half-written stays"
    saved = load_state(tmp_path)
    assert saved is not None
    assert (saved.windows, saved.sizes, saved.seconds) == (12, sizes, seconds)
    assert saved.totals == totals
    for ours, theirs in zip(saved.replicas, (full, bare), strict=True):
        for name in ("positions", "velocities", "forces", "box"):
            np.testing.assert_array_equal(getattr(ours.frame, name), getattr(theirs.frame, name))
        assert ours.frame.time == 1.25
        assert ours.frame.potential_energy == theirs.frame.potential_energy
        assert ours.running == theirs.running
        assert ours.excess_friction.tolist() == [0.1, 0.2]
        assert (ours.energy, ours.begun) == (theirs.energy, 0.25)
        assert (ours.index, ours.window, ours.volume_moves) == (theirs.index, 12, (5, 2))
        assert ours.stop_reason == theirs.stop_reason
        assert ours.last_event is None
        np.testing.assert_array_equal(ours.random.random(5), theirs.random.random(5))


def test_a_state_cut_short_is_refused_and_its_file_closed(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    np.savez(path, text=np.zeros(100))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"state\.npz: damaged \(BadZipFile\)"):
        load_state(tmp_path)
    gc.collect()  # a file left open is a warning, and warnings are errors


def test_a_damaged_state_says_where_and_what_to_do(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None
    np.savez(tmp_path / STATE, other=np.zeros(3))
    with pytest.raises(
        DataError, match=r"state\.npz: damaged \(KeyError\)\. Start again with --over"
    ):
        load_state(tmp_path)


def make_recorder(root: Path, system: System, *, save_points: bool = False) -> Recorder:
    return Recorder.open(root, system, new_manifest(system, "propagate", 0.008), save_points)


def make_window(system: System, begin: float, **fields: np.ndarray) -> Trajectory:
    times = begin + np.array([0.002, 0.004, 0.006, 0.008])
    x = np.arange(4 * system.n_atoms * 3, dtype=float).reshape(4, system.n_atoms, 3) / 100 + begin
    return Trajectory(x, times, velocities=x / 10, **fields)


def make_outcome(system: System, window: int, frames: Trajectory, replica: int = 0) -> Outcome:
    event = Event(replica, window, 0.008 * (window + 1), "accept", "", 0.0, None)
    last = max(len(frames) - 1, 0)
    state = make_state(system, replica)
    return Outcome(state, event, frames, frames.slice(last, len(frames)))


def flush(recorder: Recorder, windows: int) -> None:
    states = [make_state(recorder.system, 0)]
    recorder.flush(windows, states, Totals(), {"network": 1.0, TOTAL: 2.0})


@pytest.mark.parametrize("save_points", [False, True])
def test_every_point_or_the_last_of_a_window_is_kept(
    ethanol: System, tmp_path: Path, save_points: bool
) -> None:
    recorder = make_recorder(tmp_path, ethanol, save_points=save_points)
    boxes = np.repeat(BOX[None], 4, axis=0)
    windows = [make_window(ethanol, 0.008 * w, box=boxes) for w in range(2)]
    for number, window in enumerate(windows):
        recorder.record(make_outcome(ethanol, number, window, replica=1))
    recorder.record(make_outcome(ethanol, 2, windows[0].slice(0, 0)))
    flush(recorder, 2)
    recorder.writer.finish()
    every = np.concatenate([w.positions if save_points else w.positions[-1:] for w in windows])
    times = np.concatenate([w.times if save_points else w.times[-1:] for w in windows])
    store = Store(tmp_path)
    assert store.chains == ("replica-001",)
    chain = store.chain("replica-001")
    np.testing.assert_allclose(chain.positions, every, atol=1e-6)
    np.testing.assert_allclose(chain.times, times, atol=1e-9)
    assert chain.potential_energy is None
    assert chain.forces is None
    xtc = mdtraj.load(str(tmp_path / "replica-001.xtc"), top=ethanol.topology)
    np.testing.assert_allclose(xtc.xyz, every, atol=1e-3)
    np.testing.assert_allclose(xtc.time, times, atol=1e-6)
    np.testing.assert_allclose(xtc.unitcell_vectors, [BOX] * len(every), atol=1e-5)
    with mdtraj.open(str(tmp_path / "replica-001.xtc")) as file:
        np.testing.assert_array_equal(file.read()[2], np.round(times * 1e6))
    events = [json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines()]
    assert [e["window"] for e in events] == [0, 1, 2]
    assert not list(tmp_path.glob("*.partial*"))


def test_energies_known_of_some_windows_are_kept_beside_those_that_are_not(
    ethanol: System, tmp_path: Path
) -> None:
    recorder = make_recorder(tmp_path, ethanol)
    known = {"potential_energy": np.arange(4.0), "forces": np.ones((4, 9, 3))}
    recorder.record(make_outcome(ethanol, 0, make_window(ethanol, 0.0)))
    recorder.record(make_outcome(ethanol, 1, make_window(ethanol, 0.008, **known)))
    flush(recorder, 2)
    recorder.writer.finish()
    chain = Store(tmp_path).chain("replica-000")
    np.testing.assert_array_equal(chain.potential_energy, [np.nan, 3.0])
    assert chain.forces is not None
    assert np.isnan(chain.forces[0]).all()
    assert (chain.forces[1] == 1).all()


def test_what_was_written_after_the_state_is_cut_off(ethanol: System, tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, ethanol)
    for number in range(2):
        recorder.record(make_outcome(ethanol, number, make_window(ethanol, 0.008 * number)))
        flush(recorder, number + 1)
        if number == 0:
            kept = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    (tmp_path / STATE).write_bytes(kept[STATE])
    again = make_recorder(tmp_path, ethanol)
    assert [s.chain for s in again.writer.manifest.shards] == ["replica-000"]
    for name in (EVENTS, "replica-000.xtc"):
        assert (tmp_path / name).read_bytes() == kept[name]


def test_a_file_shorter_than_its_state_says_cannot_be_continued(
    ethanol: System, tmp_path: Path
) -> None:
    recorder = make_recorder(tmp_path, ethanol)
    recorder.record(make_outcome(ethanol, 0, make_window(ethanol, 0.0)))
    flush(recorder, 1)
    short = tmp_path / "replica-000.xtc"
    short.write_bytes(short.read_bytes()[:-1])
    told = (
        r"replica-000\.xtc: missing or shorter than the rollout left it\. Start again with --over"
    )
    with pytest.raises(DataError, match=told):
        make_recorder(tmp_path, ethanol)
    short.unlink()
    with pytest.raises(DataError, match=told):
        make_recorder(tmp_path, ethanol)


def test_a_new_rollout_leaves_nothing_of_an_older_one(ethanol: System, tmp_path: Path) -> None:
    (tmp_path / EVENTS).write_text("older")
    (tmp_path / "replica-007.xtc").write_bytes(b"older")
    make_recorder(tmp_path, ethanol)
    assert (tmp_path / EVENTS).read_text() == ""
    assert not list(tmp_path.glob("*.xtc"))


class KilledError(Exception):
    """Stands for a kill."""


@dataclass(frozen=True)
class Killed:
    """A move that ends its rollout without warning before some window."""

    move: Any
    window: int
    kind: Literal["dynamics"] = "dynamics"

    @property
    def duration(self) -> float:
        return self.move.duration

    @property
    def clocks(self):
        return self.move.clocks

    def step(self, states: Sequence[ReplicaState]) -> list[Outcome]:
        if states[0].window == self.window:
            raise KilledError
        return self.move.step(states)


def test_a_resumed_recording_equals_an_unbroken_one(ethanol: System, tmp_path: Path) -> None:
    manifest = new_manifest(ethanol, "propagate", 0.008)

    def record(root: Path, windows: int, kill_before: int = -1) -> Totals:
        root.mkdir(exist_ok=True)
        saved = load_state(root)
        recorder = Recorder.open(root, ethanol, manifest, save_points=False)
        states, totals, first = make_states(ethanol), Totals(), 0
        if saved is not None:
            states, totals, first = list(saved.replicas), saved.totals, saved.windows
        move = Killed(make_move(ethanol), kill_before)
        pace = Pace(flush=4)
        try:
            ended = run(move, states, recorder, range(first, windows), pace, totals=totals)
        except KilledError:
            with (root / EVENTS).open("a") as file:
                file.write("half a line")
            return totals
        recorder.writer.finish()
        return ended.totals

    unbroken = record(tmp_path / "whole", 12)
    record(tmp_path / "killed", 12, kill_before=7)
    resumed = record(tmp_path / "killed", 12)
    whole, killed = Store(tmp_path / "whole"), Store(tmp_path / "killed")
    for ours, theirs in zip(killed, whole, strict=True):
        np.testing.assert_array_equal(ours.positions, theirs.positions)
        np.testing.assert_array_equal(ours.times, theirs.times)
    for name in ("replica-000.xtc", "replica-001.xtc"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    lines = (tmp_path / "killed" / EVENTS).read_text().splitlines()
    assert len(lines) == 24
    assert resumed == unbroken


def test_a_rollout_ends_early_where_every_replica_has_stopped(
    ethanol: System, tmp_path: Path
) -> None:
    """With all of it on disk, and its seconds with those of before."""
    recorder = make_recorder(tmp_path, ethanol)
    move = make_move(ethanol)
    move.evaluation.evaluator.fails = True  # type: ignore[attr-defined]
    told: list[int] = []
    ended = run(
        move, make_states(ethanol), recorder, range(100), Pace(500, 20),
        seconds_before=50.0, report=lambda done, *_: told.append(done),
    )  # fmt: skip
    assert told == [1]
    assert [s.stop_reason for s in ended.states] == [
        "the reference gives no energy for the window's start"
    ] * 2
    assert ended.totals.events == {"stop": 2}
    assert 50.0 < ended.seconds[TOTAL] < 60.0
    saved = load_state(tmp_path)
    assert saved is not None
    assert saved.windows == 1
    assert [s.stop_reason for s in saved.replicas] == [s.stop_reason for s in ended.states]
