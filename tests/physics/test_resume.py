"""Interrupted runs continue to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from egno_md.core.errors import OutputError
from egno_md.data.store import Store, StoreWriter
from egno_md.spec.files import read_spec, shipped
from egno_md.spec.generate import GenerateProtocol
from egno_md.workflows.generate import run_generate


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
    monkeypatch.setattr("egno_md.md.generate.STEPS_PER_PIECE", {True: 2000, False: 1000})
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
