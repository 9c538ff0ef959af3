from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from egno_md.core.errors import DataError, TrainingError, WindowMismatch
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.data.store import Store
from egno_md.data.windows import WindowDataset, split_stretches
from egno_md.nn.operator import Prediction, Start
from egno_md.spec.files import validate
from egno_md.spec.train import Optimisation, Split, TrainProtocol
from egno_md.train.budget import Budget, MovingAverage
from egno_md.train.errors import baselines, measure
from egno_md.train.losses import SquaredErrors
from egno_md.train.run import run_train
from egno_md.train.sampling import FixedBatches, RandomBatches
from tests.conftest import Listener, harmonic_trajectory, make_operator
from tests.unit.train.breaking import broken_off

WINDOW = Window.uniform(0.008, 4)


def tiny(**optimisation: object) -> TrainProtocol:
    content = {
        "window": {"kind": "uniform", "length": "8 fs", "points": 4},
        "network": {"kind": "egno", "layers": 1, "hidden": 8, "vectors": 3},
        "optimisation": {"max_steps": 30, "validate_every": 10, "batch_size": 4} | optimisation,
    }
    return validate(content, TrainProtocol, "test")


class Killed(Exception):
    pass


def test_an_interrupted_training_resumes_to_the_same_weights(
    harmonic_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener()
    whole = run_train(
        harmonic_store.root, tiny(), tmp_path / "whole", device="cpu", progress=listener
    )
    assert {"step", "loss", "learning rate", "validation F-MSE"} <= set(listener.values)
    with broken_off(25, Killed):
        run_train(harmonic_store.root, tiny(), tmp_path / "killed", device="cpu")
    resumed = run_train(
        harmonic_store.root, tiny(), tmp_path / "killed", device="cpu", mode="resume"
    )
    assert resumed.summary["steps"] == 30
    for name, value in whole.operator.state_dict().items():
        assert torch.equal(value, resumed.operator.state_dict()[name]), name
    rows = (tmp_path / "killed" / "metrics.csv").read_text().splitlines()
    assert [r.split(",")[0] for r in rows] == ["step", "10", "20", "30"]


def test_a_kill_after_the_last_step_adds_none(
    harmonic_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("egno_md.train.recipe.save_bundle", dying)
        with pytest.raises(Killed):
            run_train(harmonic_store.root, tiny(), tmp_path / "a", device="cpu")
    before = (tmp_path / "a" / "metrics.csv").read_text()
    done = run_train(harmonic_store.root, tiny(), tmp_path / "a", device="cpu", mode="resume")
    assert done.summary["steps"] == 30
    assert (tmp_path / "a" / "metrics.csv").read_text() == before


def test_training_learns_springs_better_than_every_baseline(
    harmonic_store: Store, tmp_path: Path
) -> None:
    protocol = tiny(max_steps=400, validate_every=100, batch_size=16, learning_rate=4e-3)
    trained = run_train(harmonic_store.root, protocol, tmp_path / "run", device="cpu")
    stretches = [harmonic_trajectory(harmonic_store.system(), 60, seed=s) for s in (90, 91)]
    windows = WindowDataset(stretches, WINDOW, 0.0005, with_forces=True)
    ours = SquaredErrors.of(trained.operator(Start(*_start(windows))), windows[range(len(windows))])
    for predict in baselines(trained.operator.bind(), windows).values():
        assert ours.velocity_error[-1] < measure(predict, windows).velocity_error[-1]


def _start(windows: WindowDataset) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    batch = windows[range(len(windows))]
    return batch.positions, batch.velocities, batch.forces


def test_early_stopping_ends_without_gain(harmonic_store: Store, tmp_path: Path) -> None:
    protocol = tiny(max_steps=5000, patience=1, learning_rate=1e-12, weight_average=None)
    trained = run_train(harmonic_store.root, protocol, tmp_path / "run", device="cpu")
    assert trained.summary["steps"] < 5000
    assert trained.summary["stopped"] == "no gain in validation"


def test_an_exploding_training_says_what_to_change(harmonic_store: Store, tmp_path: Path) -> None:
    protocol = tiny(learning_rate=1e30, gradient_clip=None, schedule="constant")
    with pytest.raises(TrainingError, match="smaller optimisation.learning_rate"):
        run_train(harmonic_store.root, protocol, tmp_path / "run", device="cpu")


def test_errors_are_those_of_their_definitions() -> None:
    batch = WindowDataset(
        [Trajectory(np.zeros((20, 2, 3)), 0.0005 * np.arange(20), np.ones((20, 2, 3)))],
        WINDOW, 0.0005, with_forces=False,
    )[[0, 1]]  # fmt: skip
    x = batch.future_positions + 0.01
    x[:, -1] += 0.01
    errors = SquaredErrors.of(Prediction(x, batch.future_velocities * 1.5), batch)
    assert errors.f_mse == pytest.approx(0.04, rel=1e-5), "Å²"
    assert errors.a_mse == pytest.approx((3 * 0.01 + 0.04) / 4, rel=1e-5)
    assert errors.position_rmse == pytest.approx([0.1, 0.1, 0.1, 0.2], rel=1e-5)
    assert errors.velocity_error == pytest.approx([0.5] * 4, rel=1e-5)


def test_baselines_are_exact_where_they_should_be(ethanol: System) -> None:
    """Constant acceleration: ½aτ² is exact, ballistic is off by it."""
    times = 0.0005 * np.arange(40)
    a = np.full((9, 3), 50.0)
    t = times[:, None, None]
    x = ethanol.positions + 0.5 * t**2 * a
    forces = np.broadcast_to(ethanol.masses[:, None] * a, x.shape)
    stretch = Trajectory(x, times, t * a, forces)
    windows = WindowDataset([stretch], WINDOW, 0.0005, with_forces=True)
    found = {
        k: measure(f, windows) for k, f in baselines(make_operator(ethanol).bind(), windows).items()
    }
    assert found["half_a_tau_squared"].position_rmse[-1] < 1e-5
    assert found["ballistic"].position_rmse[-1] == pytest.approx(0.5 * 50 * 0.008**2 * 10, rel=1e-3)
    assert found["persistence"].f_mse > found["ballistic"].f_mse


def test_splits_never_share_a_frame() -> None:
    def numbered(frames: int, first: int) -> Trajectory:
        x = np.repeat(np.arange(first, first + frames, dtype=float), 3).reshape(frames, 1, 3)
        return Trajectory(x, np.arange(frames) * 0.0005, np.zeros_like(x))

    for stretches in ([numbered(500, 0)], [numbered(30, 100 * i) for i in range(12)]):
        parts = split_stretches(stretches, Split(), span=16)
        frames = {
            name: {int(v) for s in part for v in s.positions[:, 0, 0]}
            for name, part in parts.items()
        }
        assert all(frames.values())
        assert not frames["train"] & frames["validation"]
        assert not frames["train"] & frames["test"]
        assert not frames["validation"] & frames["test"]
        assert max(frames["train"]) < min(frames["validation"]) < min(frames["test"])
    with pytest.raises(DataError, match="too few frames"):
        split_stretches([numbered(40, 0)], Split(), span=16)


def test_windows_never_cross_stretches_or_gaps() -> None:
    x = np.arange(60, dtype=float).reshape(20, 1, 3)
    times = 0.0005 * np.arange(20)
    parts = [Trajectory(x, times, x), Trajectory(x + 1000, times, x)]
    windows = WindowDataset(parts, WINDOW, 0.0005, with_forces=False)
    assert len(windows) == 2 * (20 - 16)
    batch = windows[range(len(windows))]
    moved = batch.future_positions[:, -1] - batch.positions
    assert torch.allclose(moved, torch.full_like(moved, 48.0))
    gap = times.copy()
    gap[10:] += 0.01
    with pytest.raises(WindowMismatch, match="frame 10 comes 10.5 fs after"):
        WindowDataset([Trajectory(x, gap, x)], WINDOW, 0.0005, with_forces=False)


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    def batches(seed: int, epoch: int) -> list[list[int]]:
        sampler = RandomBatches(100, 4, 3, seed)
        sampler.set_epoch(epoch)
        return [b.tolist() for b in sampler]

    assert batches(1, 2) == batches(1, 2)
    assert batches(1, 2) != batches(1, 3)
    assert batches(1, 2) != batches(2, 2)
    chosen = [int(i) for b in FixedBatches(np.arange(200) * 5, 64) for i in b]
    assert chosen == list(range(0, 1000, 5))


def test_a_budget_counts_steps_and_time_over_resumes() -> None:
    budget = Budget(Optimisation(max_steps=100))
    assert budget.fraction(25) == 0.25
    timed = Budget(Optimisation.model_validate({"max_time": "10 s"}))
    timed.load_state_dict({"spent": 5.0})
    timed.on_train_start(SimpleNamespace(global_step=0, world_size=1), None)  # type: ignore[arg-type]
    assert timed.fraction(0) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("first", [0.5, 1.0])
def test_of_processes_together_the_first_says_whether_time_is_spent(first: float) -> None:
    budget = Budget(Optimisation.model_validate({"max_time": "10 s"}))
    budget.load_state_dict({"spent": 20.0 - 20.0 * first})
    strategy = SimpleNamespace(broadcast=lambda _: first)
    trainer = SimpleNamespace(global_step=0, world_size=2, strategy=strategy, should_stop=False)
    budget.on_train_start(trainer, None)  # type: ignore[arg-type]
    assert trainer.should_stop == (first == 1.0)


def test_moving_average_follows_early_and_smooths_late() -> None:
    average = MovingAverage(0.99)._kwargs["multi_avg_fn"]
    averaged, current = [torch.zeros(1)], [torch.ones(1)]
    average(averaged, current, 0)
    assert float(averaged[0]) == pytest.approx(0.9)
    average(averaged, [torch.zeros(1)], 10_000)
    assert float(averaged[0]) == pytest.approx(0.9 * 0.99)
