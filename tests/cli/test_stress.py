"""`benchmark stress` as a user runs it, on a few trajectories."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from egno_md.nn.decode import Prediction
from egno_md.paper.stress import collisions
from egno_md.paper.stress.lab import Lab
from egno_md.paper.stress.modes import share_above, smallest_as_good
from egno_md.paper.stress.spec import StressProtocol
from tests.cli.tables import results, run_table, write_protocol

PROTOCOL = {
    "epochs": 1,
    "evaluate_every": 1,
    "sizes": {"train": 24, "validation": 8, "test": 16},
    "equivariance": {"angles": [1.0], "translations": [1, 1000], "windows": 4},
    "resolution": {"points": [2, 8, 64], "uneven": [1, 8, 64]},
    "ladder": {"multiples": [0.1, 1]},
    "modes": {"counts": [0, 2]},
    "models": {
        "paper": {
            "title": "Paper",
            "network": {
                "kind": "egno-published",
                "layers": 1,
                "hidden": 8,
                "modes": 2,
                "edges": "complete",
            },
            "steps": {"batch_size": 12},
        },
        "ours": {
            "title": "Ours",
            "network": {
                "kind": "egno",
                "layers": 1,
                "hidden": 8,
                "modes": 2,
                "force_channel": False,
                "couplings": True,
            },
            "supervise_velocities": 0.1,
            "steps": {"batch_size": 12},
        },
    },
}
FLOAT32, FLOAT64 = 1e-4, 1e-12


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    return write_protocol(tmp_path, PROTOCOL)


run = partial(run_table, "stress")


def test_every_question_is_answered_in_numbers_words_and_a_picture(
    protocol: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stress"
    done = run(protocol, out)
    assert done.exit_code == 0, done.output
    content = results(out)
    answers = content["questions"]
    assert list(answers) == ["equivariance", "resolution", "collisions", "ladder", "modes"]
    for sentences in content["findings"].values():
        assert {s.split(":")[0].split(",")[0] for s in sentences} >= {"Paper", "Ours"}
        assert all(s in " ".join(done.output.split()) for s in sentences)
    for row in answers["equivariance"]["rows"]:
        assert row["float32"] < FLOAT32 * max(row["amount"], 1)
        assert row["float64"] < FLOAT64 * max(row["amount"], 1)
    # turned by π about an axis only signs change, so nothing is rounded
    about = [r for r in answers["equivariance"]["rows"] if "about" in r["symmetry"]]
    assert len(about) == 6
    assert all(r["float32"] == 0 for r in about)

    resolution = answers["resolution"]["rows"]
    assert [r["points"] for r in resolution][:4] == ["2", "8", "64", "3 uneven"]
    for row in resolution:
        if row["points"] == "8":
            assert row["a_mse"] == pytest.approx(row["a_mse_by_spline"], rel=1e-4)
            trained = next(
                t
                for t in content["trainings"]
                if (t["model"], t["data"]) == (row["model"], "nbody") and t["modes"] == 2
            )
            assert row["f_mse"] == pytest.approx(trained["f_mse"], rel=1e-4)

    assert {r["contact"] for r in answers["collisions"]["rows"]} == {"hard", "soft", "none"}
    assert answers["ladder"]["decorrelation_time"] > 0
    assert answers["ladder"]["rows"][-1]["length"] == answers["ladder"]["decorrelation_time"]
    assert [r["modes"] for r in answers["modes"]["rows"]] == [0, 2, 0, 2]
    assert content["provenance"]["versions"]["torch"]
    assert (out / "stress.png").stat().st_size > 20_000


def test_resuming_adds_questions_and_seeds_and_keeps_what_is_finished(
    protocol: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stress"
    assert run(protocol, out, "--questions", "equivariance").exit_code == 0
    kept = out / "nbody" / "paper" / "modes-2" / "seed-0" / "result.json"
    stamp = kept.stat().st_mtime_ns
    assert run(protocol, out, "--questions", "resolution").exit_code == 2
    done = run(protocol, out, "--questions", "resolution", "--seeds", "2", "--resume")
    assert done.exit_code == 0, done.output
    assert kept.stat().st_mtime_ns == stamp
    content = results(out)
    assert list(content["questions"]) == ["equivariance", "resolution"]
    assert content["seeds"] == [0, 1]
    for row in content["questions"]["resolution"]["rows"]:
        first, second = row["a_mse_by_seed"]
        assert first != second
        assert row["a_mse"] == pytest.approx((first + second) / 2)


@pytest.mark.slow
def test_workers_change_nothing_but_time(protocol: Path, tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    for out, workers in ((alone, "1"), (shared, "2")):
        done = run(protocol, out, "--questions", "modes,ladder", "--workers", workers)
        assert done.exit_code == 0, done.output
    assert results(alone)["questions"] == results(shared)["questions"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--questions", "latter"], "Did you mean 'ladder'"),
        (["--set", "points=5"], "does not divide 64"),
        (["--set", "resolution.points=[3]"], "does not divide 64"),
        (["--set", "resolution.uneven=[4, 4]"], "increasing numbers up to 64"),
        (["--set", "modes.counts=[6]"], "8 points have 5 modes"),
        (["--set", "models.ours.network.force_channel=true"], "force_channel: false"),
    ],
)
def test_a_bad_request_is_one_line(
    protocol: Path, tmp_path: Path, options: list[str], says: str
) -> None:
    done = run(protocol, tmp_path / "stress", *options)
    assert done.exit_code == 2
    assert says in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_a_training_that_blows_up_is_named(protocol: Path, tmp_path: Path) -> None:
    wild = ["--set", "models.ours.steps.learning_rate=1.0e+30", "--questions", "resolution"]
    done = run(protocol, tmp_path / "stress", *wild)
    assert done.exit_code == 2
    assert "ours on nbody, 2 modes, seed 0: failed" in done.output
    assert "smaller models.ours.steps.learning_rate" in done.output


def test_the_rule_takes_the_smallest_within_one_standard_error() -> None:
    random = np.random.default_rng(0)
    hard = random.exponential(size=(1, 400))
    runs = [hard + 0.5, hard + 0.02 * random.standard_normal((1, 400)), hard]
    pick, behind = smallest_as_good([r.copy() for r in runs])
    # the spread of windows is common to all, and does not blur the difference
    assert pick >= 1
    assert behind[0][0] == pytest.approx(0.5, abs=0.01)
    assert behind[0][1] < 0.01
    # seeds that scatter make the first as good as any
    scatter = np.array([[0.0], [1.0], [-1.0]])
    pick, _ = smallest_as_good([np.repeat(hard, 3, axis=0) + 0.1 + scatter, np.repeat(hard, 3, 0)])
    assert pick == 0


def test_the_spectrum_of_a_single_mode_lies_below_the_next() -> None:
    time = np.arange(8) / 8
    wave = np.cos(2 * np.pi * 2 * time)[None, :, None, None] * np.ones((1, 1, 5, 3))
    share = share_above(wave)
    assert len(share) == 6
    assert np.allclose(share[:3], 1)
    assert np.allclose(share[3:], 0, atol=1e-12)


def test_errors_of_collisions_are_medians_over_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each seed is bad at other windows: by window none is, by seed all are."""
    lab = Lab(StressProtocol.model_validate(PROTOCOL), tmp_path, (0, 1, 2), "cpu")
    turns = iter(range(10**6))

    def errors(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(true)) % 3 == next(turns) % 3, 3.0, 0.0)[:, None]

    monkeypatch.setattr(collisions, "squared_errors", errors)
    monkeypatch.setattr(Lab, "operator", lambda *_: None)
    monkeypatch.setattr(
        collisions, "decode", lambda _, w: Prediction(*[torch.zeros(len(w), 1)] * 2)
    )
    rows = collisions.measure(lab)["rows"]
    assert all(row["f_mse_all"] == pytest.approx(1, rel=0.3) for row in rows)
