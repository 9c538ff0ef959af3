"""Several processes, accumulated gradients and other arithmetic: the same training."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from egno_md.core.processes import rank, world
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.data.store import Store, StoreWriter, new_manifest
from egno_md.paper.training import EpochBatches
from egno_md.spec.files import read_spec, shipped
from egno_md.spec.train import TrainProtocol
from egno_md.train import loop
from egno_md.train.loop import read_metrics
from egno_md.train.run import run_train
from egno_md.train.sampling import RandomBatches
from tests.cli.test_verbs import TINY_TRAIN
from tests.conftest import Listener

SAME = 1e-4
"""Relative: sums of another order in single precision, over thirty steps."""
ENDS = "import faulthandler; faulthandler.dump_traceback_later(240, exit=True)\n"
"""A process that hangs ends with the place: torchrun, if killed, would leave it behind."""

MAIN = "from egno_md.cli import main; main()"
FAST_CLOCK = """
import os
from egno_md.train.budget import Budget
if os.environ["RANK"] == "1":
    true = Budget.seconds.fget
    Budget.seconds = property(lambda budget: 4 * true(budget))
"""
"""The second process finds the time spent long before the first."""

LITTLE = f"{40_000 / 2**30:.12f} GiB"
"""A small part of the store, so that frames are read from files."""


def protocol(**changes: object) -> TrainProtocol:
    tiny = {
        "network.layers": 1, "network.hidden": 8, "network.vectors": 3,
        "optimisation.max_time": None, "optimisation.max_steps": 30,
        "optimisation.validate_every": 10, "optimisation.batch_size": 32,
    }  # fmt: skip
    path = shipped("protocols") / "train" / "egno-8fs.yaml"
    return read_spec(
        path, TrainProtocol, tiny | {k.replace("__", "."): v for k, v in changes.items()}
    )


def losses(folder: Path) -> np.ndarray:
    return np.array([float(r["loss"]) for r in read_metrics(folder / "metrics.csv")])


def test_processes_share_every_batch_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def batches() -> list[np.ndarray]:
        return [*RandomBatches(50, 8, 3, 0), *EpochBatches(20, 8, 1, 0)]

    whole, parts = batches(), []
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert world() == (4, 2)
    for number in range(4):
        monkeypatch.setenv("RANK", str(number))
        assert rank() == number
        parts.append(batches())
    for batch, *shares in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate(shares), batch)


def test_a_machine_without_compiler_trains_all_the_same(
    harmonic_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "can_compile", lambda: False)
    listener = Listener()
    spec = protocol(optimisation__compile=True, optimisation__max_steps=2)
    run_train(harmonic_store.root, spec, tmp_path / "op", progress=listener, device="cpu")
    assert any("no C++ compiler" in note for note in listener.notes)


@pytest.mark.parametrize(("device", "mode"), [("gpu", "reduce-overhead"), ("cpu", None)])
def test_cuda_graphs_are_recorded_where_there_is_a_gpu(
    device: str, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, listener, asked = torch.nn.Linear(1, 1), Listener(), {}
    monkeypatch.setattr(loop, "can_compile", lambda: True)
    monkeypatch.setattr(network, "compile", lambda **how: asked.update(how))
    spec = protocol(optimisation__compile="cuda-graphs").optimisation
    loop._compile(network, spec.compile == "cuda-graphs", device, listener)
    assert asked.get("mode") == mode
    assert any("need a GPU" in note for note in listener.notes) == (device == "cpu")


@pytest.mark.slow
def test_accumulated_batches_make_one_step_as_a_large_one_does(
    harmonic_store: Store, tmp_path: Path
) -> None:
    spec = protocol(optimisation__accumulate=2, optimisation__max_steps=4)
    result = run_train(harmonic_store.root, spec, tmp_path / "op", device="cpu")
    assert result.summary["steps"] == 4


@pytest.mark.slow
def test_bfloat16_products_train_about_as_well(harmonic_store: Store, tmp_path: Path) -> None:
    found = []
    for precision in ("single", "bf16"):
        spec = protocol(optimisation__precision=precision)
        run_train(harmonic_store.root, spec, tmp_path / precision, device="cpu")
        found.append(losses(tmp_path / precision))
    np.testing.assert_allclose(found[1], found[0], rtol=0.1)


def test_rounded_products_are_for_training_alone(
    harmonic_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    begin = loop.Budget.on_train_batch_end

    def look(*given: object, **named: object) -> None:
        seen.append(torch.get_float32_matmul_precision())
        begin(*given, **named)

    monkeypatch.setattr(loop.Budget, "on_train_batch_end", look)
    for precision in ("tf32", "single"):
        spec = protocol(optimisation__precision=precision, optimisation__max_steps=2)
        run_train(harmonic_store.root, spec, tmp_path / precision, device="cpu")
        assert torch.get_float32_matmul_precision() == "highest"
    assert seen == ["high"] * 2 + ["highest"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["1 GiB", LITTLE], ids=["from memory", "from files"])
def test_two_processes_train_as_one_does(
    memory: str, harmonic_store: Store, tmp_path: Path
) -> None:
    run_train(harmonic_store.root, protocol(), tmp_path / "one", device="cpu")
    in_two_processes(
        MAIN, tmp_path, "train", str(harmonic_store.root), *TINY_TRAIN,
        "--set", "optimisation.batch_size=32", "--set", f"data_memory={memory}",
        "--out", str(tmp_path / "two"),
    )  # fmt: skip
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=SAME)


@pytest.mark.slow
def test_processes_whose_clocks_differ_stop_together(harmonic_store: Store, tmp_path: Path) -> None:
    in_two_processes(
        FAST_CLOCK + MAIN, tmp_path, "train", str(harmonic_store.root), *TINY_TRAIN,
        "--set", "optimisation.max_steps=null", "--set", "optimisation.max_time=4 s",
        "--out", str(tmp_path / "op"),
    )  # fmt: skip
    summary = json.loads((tmp_path / "op" / "summary.json").read_text())
    assert summary["stopped"] == "the budget is spent"
    assert summary["seconds"] >= 4


@pytest.mark.slow
def test_two_processes_train_a_sampler(ala2: System, tmp_path: Path) -> None:
    manifest = new_manifest(ala2, "generate", 2.0, seed=0, protocol={"temperature": "300 K"})
    writer = StoreWriter(tmp_path / "store", manifest, ala2.topology)
    random = np.random.default_rng(0)
    x = ala2.positions + 0.01 * random.standard_normal((60, ala2.n_atoms, 3))
    writer.append(Trajectory(x, 2.0 * np.arange(60)), "chain")
    writer.finish()
    command = (
        "train", str(tmp_path / "store"), "--protocol", "sampler-40ps",
        "--set", "window.length=4 ps", "--set", "window.points=2", "--set", "network.layers=1",
        "--set", "network.hidden=8", "--set", "network.vectors=3", *TINY_TRAIN[6:],
        "--out", str(tmp_path / "op"),
    )  # fmt: skip
    in_two_processes(MAIN, tmp_path, *command)
    summary = json.loads((tmp_path / "op" / "summary.json").read_text())
    assert (summary["mode"], summary["steps"]) == ("sampler", 30)
    in_two_processes(MAIN, tmp_path, *command, "--resume")


def in_two_processes(code: str, folder: Path, *command: str) -> None:
    """Run a script under torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = folder / "train.py"
    script.write_text(ENDS + code)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
         f"--master-port={port}", str(script), *command, "--device", "cpu", "--quiet"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
