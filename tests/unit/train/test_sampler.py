"""Flow matching: what the loss means, and that training learns and repeats."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from egno_md.core.errors import DataError
from egno_md.core.progress import Silent
from egno_md.core.seen import SeenAtoms
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.data.sampler_windows import SamplerBatch, SamplerWindows
from egno_md.data.store import Store
from egno_md.nn.sampler import SamplerOperator
from egno_md.spec.train import TrainProtocol
from egno_md.train.loop import read_metrics
from egno_md.train.run_sampler import check_equilibrium
from egno_md.train.sampler import SamplerModule, fit_sampler, flow_loss, window_spread
from tests.conftest import make_sampler

PRECISION = 0.05
"""Of a mean square over some ten thousand coordinates."""


def test_without_a_network_the_loss_is_one(ala2: System) -> None:
    operator = make_sampler(ala2)
    torch.nn.init.zeros_(operator.field.final[-1].weight)
    random = torch.Generator().manual_seed(0)
    start = torch.tensor(ala2.positions[SeenAtoms.of(ala2, "heavy").atoms]).float()
    start = start.repeat(400, 1, 1)
    widths = torch.tensor(operator.card.displacements)[:, None, None]
    moves = widths * torch.randn(400, 4, 10, 3, generator=random)
    batch = SamplerBatch(start, start[:, None] + moves)
    with torch.no_grad():
        loss = flow_loss(operator, batch, random)
    assert float(loss) == pytest.approx(1.0, abs=PRECISION)


def protocol(steps: int, accumulate: int = 1) -> TrainProtocol:
    return TrainProtocol.model_validate(
        {
            "window": {"kind": "uniform", "length": "4 ps", "points": 2},
            "network": {"kind": "sampler", "layers": 1, "hidden": 8, "vectors": 3},
            "optimisation": {
                "batch_size": 4,
                "accumulate": accumulate,
                "max_steps": steps,
                "validate_every": 2,
                "schedule": "constant",  # the cosine would follow the budget
            },
        }
    )


@pytest.fixture
def windows(ala2: System) -> SamplerWindows:
    random = np.random.default_rng(0)
    x = ala2.positions + 0.01 * random.standard_normal((30, ala2.n_atoms, 3))
    heavy = SeenAtoms.of(ala2, "heavy").atoms
    trajectory = Trajectory(x, 2.0 * np.arange(30))
    return SamplerWindows([trajectory], Window((2.0, 4.0)), 2.0, heavy, time_reversal=True)


def test_spreads_are_those_of_the_windows(windows: SamplerWindows) -> None:
    first, second = window_spread(windows)
    assert 0.008 < first < 0.016
    assert second == pytest.approx(first, rel=0.2)


@pytest.fixture
def operator(ala2: System) -> SamplerOperator:
    fresh = make_sampler(ala2, layers=1, hidden=8, vectors=3)
    fresh.card = fresh.card.model_copy(
        update={"displacements": (0.014, 0.014), "time_points": (2.0, 4.0)}
    )
    return fresh


def train(
    fresh: SamplerOperator, windows: SamplerWindows, folder: Path, steps: int, accumulate: int = 1
) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    operator = deepcopy(fresh)
    fit_sampler(operator, windows, windows, protocol(steps, accumulate), folder, seed=3,
                device="cpu", progress=Silent())  # fmt: skip
    return operator.state_dict()


def test_a_resumed_training_is_an_unbroken_one(
    operator: SamplerOperator, windows: SamplerWindows, tmp_path: Path
) -> None:
    whole = train(operator, windows, tmp_path / "whole", 4)
    train(operator, windows, tmp_path / "broken", 2)
    mended = train(operator, windows, tmp_path / "broken", 4)
    assert all(torch.equal(whole[k], mended[k]) for k in whole)


def test_validations_are_counted_in_steps_of_accumulated_batches(
    operator: SamplerOperator, windows: SamplerWindows, tmp_path: Path
) -> None:
    train(operator, windows, tmp_path / "op", 4, accumulate=3)
    assert [r["step"] for r in read_metrics(tmp_path / "op" / "metrics.csv")] == ["2", "4"]


def test_batches_of_one_step_have_noise_of_their_own(
    operator: SamplerOperator, windows: SamplerWindows, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = SamplerModule(operator, protocol(4, accumulate=2).optimisation, 3)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    batch = windows[np.arange(4)]
    first, second, next_step = (module.training_step(batch, n).item() for n in range(3))
    assert first != second
    assert first == next_step, "the step, which stands still here, tells those apart"


def test_constant_energy_segments_are_no_ensemble(
    harmonic_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"protocol": {"sampling": {"kind": "nve-segments"}}}
    monkeypatch.setitem(harmonic_store.manifest.provenance, "protocol", known["protocol"])
    with pytest.raises(DataError, match="holds NVE segments"):
        check_equilibrium(harmonic_store)
