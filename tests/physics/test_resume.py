"""Interrupted runs continue to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from egno_md.core.errors import OutputError
from egno_md.core.system import System
from egno_md.data.store import Store, StoreWriter
from egno_md.md.generate.run import run_generate
from egno_md.nn.bundle import save_bundle
from egno_md.propagate.record import Recorder
from egno_md.propagate.rollout import run_propagate
from egno_md.spec.files import read_spec, shipped
from egno_md.spec.generate import GenerateProtocol
from egno_md.spec.propagate import PropagateProtocol
from tests.conftest import Listener, make_operator


class Killed(Exception):
    """Stands for SIGKILL: raised where it hurts."""


def protocol(kind: str) -> GenerateProtocol:
    name = "nve-300k" if kind == "segments" else "nvt-300k"
    changes: dict[str, object] = {"equilibration": "20 fs"}
    if kind == "segments":
        changes |= {
            "sampling.segments": 4,
            "sampling.segment_length": "10 fs",
            "sampling.decorrelation": "10 fs",
        }
    else:
        changes |= {"sampling.length": "3 ps", "sampling.frame_spacing": "10 fs"}
    return read_spec(shipped("protocols") / "generate" / f"{name}.yaml", GenerateProtocol, changes)


@pytest.mark.parametrize(("system", "kind"), [("ethanol", "segments"), ("ala2", "nvt")])
def test_a_killed_generate_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, kind: str
) -> None:
    monkeypatch.setattr("egno_md.md.generate.chains.STEPS_PER_PIECE", {True: 2000, False: 1000})
    whole = run_generate(system, protocol(kind), tmp_path / "whole", seed=7)
    append = StoreWriter.append
    calls = 0

    def dying(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Killed
        return append(self, *args, **kwargs)

    monkeypatch.setattr(StoreWriter, "append", dying)
    with pytest.raises(Killed):
        run_generate(system, protocol(kind), tmp_path / "killed", seed=7)
    assert Store(tmp_path / "killed").manifest.frames > 0, "readable while unfinished"
    resumed = run_generate(system, protocol(kind), tmp_path / "killed", seed=7, mode="resume")
    assert resumed.manifest.is_complete
    assert resumed.chains == whole.chains
    for ours, theirs in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(ours.positions, theirs.positions)
        np.testing.assert_array_equal(ours.velocities, theirs.velocities)
        np.testing.assert_array_equal(ours.times, theirs.times)


def test_another_request_is_not_mixed_into_a_run(tmp_path: Path) -> None:
    run_generate("ala2", protocol("nvt"), tmp_path / "run", seed=1)
    with pytest.raises(OutputError, match="different seed"):
        run_generate("ala2", protocol("nvt"), tmp_path / "run", seed=2, mode="resume")
    with pytest.raises(OutputError, match="already holds results"):
        run_generate("ala2", protocol("nvt"), tmp_path / "run", seed=1)


def test_replicas_in_processes_equal_replicas_in_turn(tmp_path: Path) -> None:
    spec = protocol("nvt").model_copy(update={"replicas": 2})
    alone = run_generate("ala2", spec, tmp_path / "alone", seed=3)
    spread = run_generate("ala2", spec, tmp_path / "spread", seed=3, workers=2)
    assert len(alone.chains) == 2
    for ours, theirs in zip(alone, spread, strict=True):
        np.testing.assert_array_equal(ours.positions, theirs.positions)
    first, second = alone
    assert not np.array_equal(first.positions, second.positions)


def test_a_killed_propagate_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ethanol: System
) -> None:
    save_bundle(tmp_path / "bundle", make_operator(ethanol))
    changes = {
        "length": "96 fs",
        "equilibration": "10 fs",
        "record.reference_steps": 10,
        "replicas": 2,
    }
    spec = read_spec(
        shipped("protocols") / "propagate" / "nvt-500k.yaml", PropagateProtocol, changes
    )
    monkeypatch.setattr("egno_md.propagate.rollout.WINDOWS_PER_FLUSH", 4)

    listener = Listener()

    def run(name: str, mode: str = "new") -> Path:
        run_propagate(
            "ethanol", tmp_path / "bundle", spec, tmp_path / name, seed=2, mode=mode,
            progress=listener,
        )  # fmt: skip
        return tmp_path / name

    whole = run("whole")
    assert {"simulated", "speed", "temperature", "energy error"} <= set(listener.values)
    assert listener.values["simulated"] == "96 fs"
    record = Recorder.record
    calls = 0

    def dying(self, *args):
        nonlocal calls
        calls += 1
        if calls == 15:
            raise Killed
        record(self, *args)

    monkeypatch.setattr(Recorder, "record", dying)
    with pytest.raises(Killed):
        run("killed")
    monkeypatch.setattr(Recorder, "record", record)
    killed = run("killed", "resume")
    for ours, theirs in zip(Store(killed), Store(whole), strict=True):
        np.testing.assert_array_equal(ours.positions, theirs.positions)
        np.testing.assert_array_equal(ours.velocities, theirs.velocities)
        np.testing.assert_array_equal(ours.times, theirs.times)
    assert (killed / "replica-000.xtc").read_bytes() == (whole / "replica-000.xtc").read_bytes()

    def events(root: Path) -> list[dict]:
        lines = (root / "events.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(x).items() if k != "seconds"} for x in lines]

    assert events(killed) == events(whole)
