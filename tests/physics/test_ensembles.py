"""Ensembles give the same bits on one worker and on several, killed ones included."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from egno_md.compare.run import run_compare
from egno_md.core.errors import EnsembleError, SpecError
from egno_md.core.executors import LocalProcesses, open_executor
from egno_md.core.fanout import Failed, run_all
from egno_md.core.system import System
from egno_md.data.store import Store, StoreWriter, new_manifest
from egno_md.md.generate.run import run_generate
from egno_md.nn.bundle import save_bundle
from egno_md.propagate.ensemble import run_ensemble
from egno_md.registry import protocol
from egno_md.report.folders import read_folder
from tests.cli.test_errors import fails
from tests.cli.test_verbs import egno
from tests.conftest import harmonic_trajectory, make_operator
from tests.killing import Murderous
from tests.unit.core.test_fanout import half

SYSTEM = "ethanol/mmff94"
GENERATE = {
    "replicas": 3,
    "equilibration": "5 fs",
    "sampling.segments": 4,
    "sampling.segment_length": "5 fs",
    "sampling.decorrelation": "5 fs",
}
PROPAGATE = {
    "replicas": 3,
    "batch": 2,
    "length": "64 fs",
    "equilibration": "5 fs",
    "record.reference_steps": 10,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes of a Dask cluster on this machine."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    ) as made:
        yield made


@pytest.fixture(scope="module")
def dask(cluster: Any) -> Iterator[Executor]:
    with open_executor(1, cluster.scheduler_address) as executor:
        assert executor is not None
        yield executor


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with LocalProcesses(2) as executor:
        yield executor


class Here(Executor):
    """Calls in this very process, of what another would get and give back."""

    def submit(self, fn, /, *args, **kwargs) -> Future:
        fn, args, kwargs = pickle.loads(pickle.dumps((fn, args, kwargs)))
        future: Future = Future()
        future.set_result(pickle.loads(pickle.dumps(fn(*args, **kwargs))))
        return future


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """What one process makes, replica after replica."""
    out = tmp_path_factory.mktemp("alone") / "data"
    return run_generate(SYSTEM, protocol("generate", "nve-300k", GENERATE), out, seed=5)


def assert_same(ours: Store, theirs: Store) -> None:
    assert ours.chains == theirs.chains
    assert ours.manifest.is_complete
    for a, b in zip(ours, theirs, strict=True):
        for name in ("positions", "velocities", "times"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_a_worker_killed_while_it_generates_changes_no_bit(
    executor: str, generated: Store, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    marker = tmp_path / "killed"
    spec = protocol("generate", "nve-300k", GENERATE)
    workers = Murderous(request.getfixturevalue(executor), marker)
    ours = run_generate(SYSTEM, spec, tmp_path / "data", seed=5, executor=workers)
    assert marker.exists(), "a worker was killed"
    assert_same(ours, generated)


@pytest.mark.parametrize("kind", ["processes", pytest.param("dask", marks=pytest.mark.slow)])
def test_a_worker_killed_while_it_propagates_changes_no_bit(
    kind: str,
    generated: Store,
    tmp_path: Path,
    ethanol: System,
    request: pytest.FixtureRequest,
) -> None:
    save_bundle(tmp_path / "bundle", make_operator(ethanol))
    marker = tmp_path / "killed"
    spec = protocol("propagate", "nvt-500k", PROPAGATE)

    def run(name: str, executor: Executor) -> Path:
        bundle, start = tmp_path / "bundle", generated.root
        return run_ensemble(
            SYSTEM, bundle, spec, tmp_path / name, start=start, seed=3, executor=executor
        ).out

    workers = request.getfixturevalue(kind)
    whole, killed = run("whole", Here()), run("killed", Murderous(workers, marker))
    assert marker.exists(), "a worker was killed"
    ours, theirs = Store(killed), Store(whole)
    assert_same(ours, theirs)
    assert ours.chains == tuple(f"replica-{n:03d}" for n in range(3))
    first = [chain.positions[0] for chain in ours]
    assert len({p.tobytes() for p in first}) == 3, "every replica goes its own way"

    def summary(root: Path) -> dict[str, Any]:
        found = json.loads((root / "summary.json").read_text())
        clocks = ("seconds", "wall_seconds", "speed_up", "rollout_ns_per_day")
        return {k: v for k, v in found.items() if k not in (*clocks, "reference_ns_per_day")}

    assert summary(killed) == summary(whole)
    assert summary(whole)["windows"] == 3 * 8
    assert summary(whole)["batches"] == {"size": 2, "count": 2}
    events = read_folder(killed, "killed").events
    assert {(e["replica"], e["window"]) for e in events} == {
        (r, w) for r in range(3) for w in range(8)
    }


def test_exceptions_of_a_dask_task_are_values_too(dask: Executor) -> None:
    outcomes = run_all(dask, half, [(n,) for n in range(3)])
    assert [getattr(o, "value", None) for o in outcomes] == [0.0, None, 1.0]
    assert isinstance(outcomes[1], Failed)
    assert outcomes[1].error == "DataError: 1 is odd"
    assert "in half" in outcomes[1].traceback


def test_a_failed_replica_leaves_the_others_and_can_be_tried_again(
    generated: Store, tmp_path: Path
) -> None:
    out = tmp_path / "data"
    shutil.copytree(generated.root, out)
    record = json.loads((out / "run.json").read_text()) | {"status": "running"}
    (out / "run.json").write_text(json.dumps(record))
    (checkpoint,) = (out / "replica-001").glob("checkpoint-*.chk")
    kept = checkpoint.rename(tmp_path / checkpoint.name)
    spec = protocol("generate", "nve-300k", GENERATE)
    with pytest.raises(EnsembleError, match="1 of 3 runs failed, the first is replica-001: DataE"):
        run_generate(SYSTEM, spec, out, seed=5, mode="resume")
    failures = json.loads((out / "failures.json").read_text())
    assert list(failures) == ["replica-001"]
    assert "Traceback" in failures["replica-001"]["traceback"]
    kept.rename(checkpoint)
    again = run_generate(SYSTEM, spec, out, seed=5, mode="resume")
    assert_same(again, generated)
    assert not (out / "failures.json").exists()


def test_rollouts_compared_on_workers_equal_rollouts_compared_here(
    ethanol: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("egno_md.compare.run.draw_figures", lambda *_: ())
    stores = []
    for seed, name in enumerate(("reference", "one", "two")):
        writer = StoreWriter(
            tmp_path / name, new_manifest(ethanol, "generate", 0.0005), ethanol.topology
        )
        writer.append(harmonic_trajectory(ethanol, 20, seed=seed), "only")
        stores.append(writer.root)
    reference, *rollouts = stores
    here = run_compare(reference, rollouts, tmp_path / "here", seed=1)
    there = run_compare(reference, rollouts, tmp_path / "there", seed=1, executor=Here())
    for a, b in zip(here.comparisons, there.comparisons, strict=True):
        assert a.to_json() == b.to_json()
    assert [c.label for c in there.comparisons] == ["one", "two"]


def test_the_command_line_shares_its_work_through_a_scheduler(
    cluster: Any, generated: Store, tmp_path: Path
) -> None:
    settings = [o for k, v in GENERATE.items() for o in ("--set", f"{k}={v}")]
    words = ["generate", SYSTEM, "--protocol", "nve-300k", *settings, "--seed", 5]
    where = ["--scheduler", cluster.scheduler_address, "--quiet"]
    egno(*words, *where, "--out", tmp_path / "data")
    assert_same(Store(tmp_path / "data"), generated)
    message = fails(*words, *where, "--workers", 2, "--out", tmp_path / "other")
    assert "exclude each other" in message
    assert not (tmp_path / "other").exists()


def test_workers_without_batches_are_refused(tmp_path: Path) -> None:
    spec = protocol("propagate", "nvt-500k", {"replicas": 4})
    with pytest.raises(SpecError, match="smaller --batch"):
        run_ensemble("ethanol", None, spec, tmp_path / "out", workers=2)
    assert not (tmp_path / "out").exists()
