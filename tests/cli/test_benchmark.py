"""`benchmark` as a user runs it, on a few trajectories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from egno_md.cli import main
from egno_md.paper.datasets import nbody
from tests.cli.tables import results, run_table, write_protocol
from tests.unit.paper.datasets.test_md17 import moving, save

PROTOCOL = {
    "data": {"kind": "nbody", "train": 60, "validation": 20, "test": 20},
    "epochs": 2,
    "evaluate_every": 1,
    "models": {
        "ours": {
            "title": "Ours",
            "points": 5,
            "network": {"kind": "egno", "layers": 1, "hidden": 8, "force_channel": False},
            "supervise_velocities": 0.1,
            "steps": {"batch_size": 20},
        },
        "paper": {
            "title": "Published",
            "points": 5,
            "network": {"kind": "egno-published", "layers": 1, "hidden": 8},
            "steps": {"batch_size": 20, "schedule": "constant", "weight_average": None},
            "published": {"f_mse": 0.0054, "a_mse": 0.0022},
        },
    },
}


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    return write_protocol(tmp_path, PROTOCOL)


run = partial(run_table, "nbody")


@pytest.fixture
def as_published(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The protocol's sizes are those of the paper."""
    monkeypatch.setattr(nbody, "SIZES", (60, 20, 20))
    nbody.nbody_task.cache_clear()
    yield
    nbody.nbody_task.cache_clear()


@pytest.mark.usefixtures("as_published")
def test_rows_stand_beside_the_published_ones(protocol: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    done = run(protocol, out)
    assert done.exit_code == 0, done.output
    assert "Published" in done.output
    assert "0.0054" in done.output
    ours, paper = results(out)["rows"]
    assert ours["published"] is None
    assert paper["f_mse_deviation"] == pytest.approx(paper["f_mse"] / 0.0054 - 1)
    for row in (ours, paper):
        assert row["f_mse"] > row["a_mse"] > 0
        assert row["seeds"] == [0]
        assert row["epochs"] == [2]
        assert row["device"] == "cpu"
        assert row["seconds"][0] > 0
    assert (out / "benchmark.png").stat().st_size > 10_000
    assert results(out)["provenance"]["versions"]["torch"]


def test_other_sizes_are_not_compared_with_the_paper(protocol: Path, tmp_path: Path) -> None:
    done = run(protocol, tmp_path / "table", "--models", "paper")
    assert done.exit_code == 0, done.output
    assert "0.0054" not in done.output
    (row,) = results(tmp_path / "table")["rows"]
    assert (row["published"], row["f_mse_deviation"]) == (None, None)


def test_no_motion_stands_below_the_rows(protocol: Path, tmp_path: Path) -> None:
    settings = ("--models", "ours,paper", "--set", "models.ours.points=1", "--epochs", "1")
    out = tmp_path / "table"
    words = ["benchmark", "nbody", "--protocol", str(protocol), "--out", str(out), *settings]
    done = CliRunner().invoke(main, words)
    still = results(out)["still"]
    assert still["f_mse"] > still["a_mse"] > 0, "at the points of the row that has most"
    assert "no motion" in done.output
    assert results(out)["data"]["frames"] == [32, 34, 36, 38, 40]


def test_resuming_adds_seeds_and_keeps_what_is_finished(protocol: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    assert run(protocol, out, "--models", "ours").exit_code == 0
    kept = out / "ours" / "seed-0" / "result.json"
    stamp = kept.stat().st_mtime_ns
    assert run(protocol, out, "--models", "ours").exit_code == 2
    assert run(protocol, out, "--models", "ours", "--seeds", "2", "--resume").exit_code == 0
    assert kept.stat().st_mtime_ns == stamp
    (row,) = results(out)["rows"]
    assert row["seeds"] == [0, 1]
    assert row["f_mse_by_seed"][0] != row["f_mse_by_seed"][1]


def test_resuming_keeps_the_rows_and_seeds_that_are_finished(
    protocol: Path, tmp_path: Path
) -> None:
    out = tmp_path / "table"

    def table(*options: str) -> list[tuple[str, list[int]]]:
        done = run(protocol, out, *options)
        assert done.exit_code == 0, done.output
        return [(row["model"], row["seeds"]) for row in results(out)["rows"]]

    assert table("--models", "paper", "--seed", "1") == [("paper", [1])]
    assert table("--models", "ours", "--resume") == [("ours", [0]), ("paper", [1])]
    assert table("--models", "paper", "--resume") == [("ours", [0]), ("paper", [0, 1])]
    record = json.loads((out / "run.json").read_text())
    assert (record["models"], record["seeds"]) == (["ours", "paper"], [0, 1])
    changed = ("--set", "models.ours.steps.learning_rate=0.01")
    assert table("--models", "paper", *changed, "--resume") == [("paper", [0, 1])], "not that row"


def test_a_changed_row_is_trained_anew_on_resuming(protocol: Path, tmp_path: Path) -> None:
    again, anew = tmp_path / "again", tmp_path / "anew"
    changed = ("--models", "ours", "--set", "models.ours.steps.learning_rate=0.01")
    assert run(protocol, again, "--models", "ours").exit_code == 0
    before = results(again)["rows"][0]["f_mse"]
    assert run(protocol, again, *changed, "--resume").exit_code == 0
    assert run(protocol, anew, *changed).exit_code == 0
    assert results(again)["rows"][0]["f_mse"] == results(anew)["rows"][0]["f_mse"] != before


def test_an_interrupted_row_goes_on(protocol: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    assert run(protocol, out, "--models", "ours").exit_code == 0
    whole, folder = results(out)["rows"][0], out / "ours" / "seed-0"
    (folder / "result.json").unlink()
    trained = (folder / "checkpoints" / "best.ckpt").stat().st_mtime_ns
    assert run(protocol, out, "--models", "ours", "--resume").exit_code == 0
    assert results(out)["rows"][0]["f_mse"] == whole["f_mse"]
    best = (folder / "checkpoints" / "best.ckpt").stat().st_mtime_ns
    assert best == trained, "nothing was trained twice"


def test_another_budget_is_another_benchmark(protocol: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    assert run(protocol, out, "--models", "ours").exit_code == 0
    refused = run(protocol, out, "--models", "ours", "--epochs", "3", "--resume")
    assert refused.exit_code == 2
    assert "epochs" in refused.output


@pytest.mark.parametrize("every", [1, 2, 3])
def test_epochs_are_those_of_accumulated_batches_too(
    protocol: Path, tmp_path: Path, every: int
) -> None:
    out = tmp_path / "table"
    settings = ("--set", "models.ours.steps.accumulate=2", "--set", f"evaluate_every={every}")
    assert run(protocol, out, "--models", "ours", *settings, "--epochs", "4").exit_code == 0
    (row,) = results(out)["rows"]
    # three batches an epoch: an odd one is a step of its own before a validation, or is left out
    (curve,) = row["validation_f_mse_by_epoch"]
    assert [epoch for epoch, _ in curve] == {1: [1, 2, 3, 4], 2: [2, 4], 3: [3, 3.7]}[every]
    assert row["epochs"] == [curve[-1][0]]
    assert row["best_epoch"][0] in [epoch for epoch, _ in curve]


def test_workers_change_nothing_but_time(protocol: Path, tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert run(protocol, alone).exit_code == 0
    assert run(protocol, shared, "--workers", "2").exit_code == 0
    for one, two in zip(results(alone)["rows"], results(shared)["rows"], strict=True):
        assert one["f_mse_by_seed"] == two["f_mse_by_seed"]


def test_a_training_that_fails_is_a_row(protocol: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    settings = ["--set", "models.paper.steps.learning_rate=1e30"]
    done = run(protocol, out, *settings)
    assert done.exit_code == 0, done.output
    ours, paper = results(out)["rows"]
    assert ours["f_mse"] > 0
    assert paper["f_mse"] is None
    assert "NaN" in paper["failed"][0] or "blow up" in paper["failed"][0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--models", "our"], "Did you mean 'ours'"),
        (["--set", "models.ours.points=3"], "1, 2, 5 or 10"),
        (["--set", "models.ours.network.force_channel=true"], "force_channel: false"),
        (["--set", "epochs=0"], "epochs"),
    ],
)
def test_a_bad_request_is_one_line(
    protocol: Path, tmp_path: Path, options: list[str], says: str
) -> None:
    out = tmp_path / "table"
    done = run(protocol, out, *options)
    assert done.exit_code == 2
    assert says in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_resuming_with_other_files_is_refused(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{n}.npz", moving(300) + n) for n in range(2)]
    data = {"kind": "md17", "length": "4 fs", "train": 40, "validation": 10, "test": 10}
    models = {"ours": PROTOCOL["models"]["ours"] | {"points": 2}}  # type: ignore[index]
    protocol = write_protocol(tmp_path, PROTOCOL | {"data": data, "models": models})
    out = tmp_path / "table"
    first, again, other = (
        run_table("md17", protocol, out, "--data", str(file), *resume)
        for file, resume in ((files[0], []), (files[0], ["--resume"]), (files[1], ["--resume"]))
    )
    assert (first.exit_code, again.exit_code) == (0, 0), first.output
    assert other.exit_code == 2
    assert "with different data" in other.output


def test_nothing_is_written_where_the_data_are_missing(tmp_path: Path) -> None:
    out = tmp_path / "table"
    words = ["benchmark", "mocap", "--data", str(tmp_path / "none.npz"), "--out", str(out)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "none.npz: no such file" in done.output
    assert not out.exists()
