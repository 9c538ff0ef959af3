"""Noise on start frames: in training alone, the same at the same step, sized by the network's units.

Every piece of a step has its own: batches that are accumulated, and shares of processes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from egno_md.core.errors import SpecError
from egno_md.core.progress import Silent
from egno_md.data.windows import WindowBatch
from egno_md.paper.datasets.mocap import mocap_task
from egno_md.paper.datasets.nbody import nbody_task
from egno_md.paper.operator import TaskOperator
from egno_md.paper.spec import StartNoise
from egno_md.paper.stress.spec import SpheresQuestion, StressSizes
from egno_md.paper.stress.spheres import spheres_task
from egno_md.paper.task import TaskData
from egno_md.paper.training import TaskModule, fit_task, task_scales
from egno_md.spec.network import Egno
from egno_md.spec.train import Optimisation
from egno_md.train.module import OperatorModule
from egno_md.train.sampling import drawing
from tests.unit.paper.datasets.test_mocap import trials

SPEC = Egno(kind="egno", layers=1, hidden=8, vectors=3, force_channel=False)


@pytest.fixture(scope="module")
def data() -> TaskData:
    return nbody_task(40, 2, 2)


def seen_in_training(
    data: TaskData,
    noise: StartNoise | None,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    number: int = 0,
    accumulate: int = 1,
) -> WindowBatch:
    """The batch that the loss is computed from."""
    operator = TaskOperator(SPEC, data.task, task_scales(SPEC, data.task, data.train))
    optimisation = Optimisation(max_steps=1, accumulate=accumulate)
    module = TaskModule(operator, optimisation, 0.0, noise, seed)
    seen: list[WindowBatch] = []
    with monkeypatch.context() as patch:
        patch.setattr(OperatorModule, "training_step", lambda _, batch, number: seen.append(batch))
        module.training_step(data.train[np.arange(40)], number)
    return seen[0]


def test_noise_has_the_asked_width_in_the_networks_units(data, monkeypatch) -> None:
    plain = data.train[np.arange(40)]
    scales = task_scales(SPEC, data.task, data.train)
    seen = seen_in_training(data, StartNoise(positions=0.2, velocities=0.05), 0, monkeypatch)
    for got, given, width in (
        (seen.positions, plain.positions, 0.2 * scales.length),
        (seen.velocities, plain.velocities, 0.05 * scales.velocity),
    ):
        assert float((got - given).std()) == pytest.approx(width, rel=0.1)
    assert torch.equal(seen.future_positions, plain.future_positions)


def test_a_step_draws_its_own_noise_again_after_a_resume(data, monkeypatch) -> None:
    noise = StartNoise(positions=0.1)
    first, again, other = (seen_in_training(data, noise, s, monkeypatch) for s in (0, 0, 1))
    assert torch.equal(first.positions, again.positions)
    assert not torch.equal(first.positions, other.positions)
    assert torch.equal(first.velocities, data.train[np.arange(40)].velocities)


def test_without_noise_batches_are_what_they_are(data, monkeypatch) -> None:
    seen = seen_in_training(data, None, 0, monkeypatch)
    assert torch.equal(seen.positions, data.train[np.arange(40)].positions)


def test_pieces_of_a_step_have_noise_of_their_own(data, monkeypatch) -> None:
    def noisy(number: int, accumulate: int) -> torch.Tensor:
        noise = StartNoise(positions=0.1)
        return seen_in_training(data, noise, 0, monkeypatch, number, accumulate).positions

    whole = noisy(0, 1)
    # it is the step, which stands still here, that tells whole batches apart
    assert torch.equal(noisy(3, 1), whole)
    assert torch.equal(noisy(2, 2), whole)
    assert not torch.equal(noisy(1, 2), whole)
    pieces = []
    for number in (0, 1):
        together_with_another(monkeypatch, number)
        pieces += [noisy(0, 2), noisy(1, 2)]
    assert torch.equal(pieces[0], whole)
    assert len({tuple(x.flatten().tolist()) for x in pieces}) == 4


def together_with_another(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Be one of two processes that train together."""
    for name, value in {"LOCAL_WORLD_SIZE": 2, "WORLD_SIZE": 2, "RANK": number}.items():
        monkeypatch.setenv(name, str(value))


def test_a_stream_of_a_whole_step_is_what_it_was() -> None:
    """Trainings of earlier versions are continued."""
    assert float(torch.rand((), generator=drawing(7, 0, 11))) == 0.7728075385093689


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"is_reversible": False}, "windows of nbody run backwards are no windows of it"),
        ({"time_points": (0.2, 0.3)}, "not evenly spaced"),
    ],
)
def test_what_does_not_run_backwards_is_not_learned_backwards(
    data: TaskData, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    other = replace(data, task=replace(data.task, **changes))
    operator = TaskOperator(SPEC, data.task, task_scales(SPEC, data.task, data.train))
    with pytest.raises(SpecError, match=says):
        fit_task(
            operator, other, Optimisation(max_steps=1), tmp_path, velocity_weight=0.0,
            time_reversal=True, evaluate_every=1, seed=0, device="cpu", progress=Silent(),
        )  # fmt: skip


def test_hamiltonian_tasks_run_backwards_and_differences_of_frames_do_not(tmp_path: Path) -> None:
    assert nbody_task(4, 2, 2).task.is_reversible
    sizes = StressSizes(train=2, validation=1, test=1)
    assert spheres_task(sizes, SpheresQuestion(), "hard", 0.1)[0].task.is_reversible
    np.savez(tmp_path / "run.npz", **trials(11, 125))  # type: ignore[arg-type]
    assert not mocap_task(tmp_path / "run.npz").task.is_reversible
