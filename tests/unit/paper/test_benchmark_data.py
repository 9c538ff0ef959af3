"""What a benchmark protocol says of its data is what the windows become."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from egno_md.core.errors import DataError
from egno_md.data.store import Store
from egno_md.paper.datasets import load as benchmark_data
from egno_md.paper.datasets.load import load_task
from egno_md.paper.datasets.nbody import nbody_task
from egno_md.paper.figure import draw_benchmark
from egno_md.paper.job import Job
from egno_md.paper.spec import (
    AdkData,
    BenchmarkModel,
    BenchmarkProtocol,
    Md17Data,
    MocapData,
    NbodyData,
    Published,
    TaskDataSpec,
)
from egno_md.paper.table import benchmark_rows, standing_still, summarise
from egno_md.paper.task import TaskData
from egno_md.spec.network import PublishedEgno
from tests.unit.paper.datasets import test_adk, test_md17, test_mocap


def row(points: int, window: str = "uniform", reads: str = "frame") -> BenchmarkModel:
    network = PublishedEgno(kind="egno-published", reads=reads)  # type: ignore[arg-type]
    return BenchmarkModel(title="a row", network=network, window=window, points=points)  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path) -> Path:
    np.savez(tmp_path / "run.npz", **test_mocap.trials(11, 125))  # type: ignore[arg-type]
    test_md17.save(tmp_path / "md17.npz", test_md17.moving(300))
    test_adk.psf(tmp_path / "a.psf")
    test_adk.dcd(tmp_path / "a.dcd", 116)
    return tmp_path


MD17 = Md17Data.model_validate(
    {"kind": "md17", "length": "40 fs", "train": 30, "validation": 10, "test": 10}
)


@pytest.mark.parametrize(
    ("spec", "file", "points", "uniform", "last"),
    [
        (MocapData(kind="mocap"), "run.npz", 5, (6, 12, 18, 24, 30), (26, 27, 28, 29, 30)),
        (MD17, "md17.npz", 4, (20, 40, 60, 80), (77, 78, 79, 80)),
        (AdkData(kind="adk"), ".", 4, (3, 7, 11, 15), (12, 13, 14, 15)),
    ],
)
def test_rows_have_their_time_points_and_their_past(files, spec, file, points, uniform, last):
    path = files / file
    assert load_task(spec, row(points), path).task.time_points == uniform
    assert load_task(spec, row(points, "last"), path).task.time_points == last
    with_past = load_task(spec, row(points, reads="sequence"), path)
    assert with_past.train.past_positions is not None
    assert with_past.train.past_positions.shape[1] == points


@pytest.mark.parametrize(
    ("spec", "file", "points"),
    [(MocapData(kind="mocap"), "run.npz", 5), (MD17, "md17.npz", 4), (AdkData(kind="adk"), ".", 4)],
)
def test_a_row_that_predicts_the_end_alone_has_the_same_starts_and_end(files, spec, file, points):
    whole, end = (load_task(spec, row(p), files / file) for p in (points, 1))
    assert end.task.time_points == whole.task.time_points[-1:]
    np.testing.assert_array_equal(end.test.positions, whole.test.positions)
    np.testing.assert_array_equal(
        end.test.future_positions[:, -1], whole.test.future_positions[:, -1]
    )


def settings(spec: TaskDataSpec, points: int, data: Path | None = None) -> dict:
    found: TaskData = load_task(spec, row(points), data)
    return dict(found.settings)


def test_what_the_protocol_says_decides_the_windows(files):
    md17 = MD17.model_copy(update={"split": "time", "seed": 7, "path": files / "md17.npz"})
    # 300 frames leave no block of time for windows of 80
    with pytest.raises(DataError, match="too few frames for a"):
        load_task(md17, row(4))
    md17 = md17.model_copy(update={"length": 0.008})
    found = settings(md17, 4)
    assert (found["split"], found["seed"], found["windows"]) == ("time", 7, [30, 10, 10])
    adk = AdkData(kind="adk", velocity="backward", cutoff=10, offsets=(2, 4), split="time")
    found = settings(adk, 2, files)
    assert found["split"] == "time"
    assert (found["velocity"], found["cutoff_angstrom"]) == ("backward", 10)
    named = AdkData(kind="adk", topology=files / "a.psf", trajectory=files / "a.dcd")
    assert settings(named, 4)["offsets_frames"] == [3, 7, 11, 15]


def test_data_that_are_not_given_are_asked_for(files):
    with pytest.raises(DataError, match="the mocap benchmark needs its data"):
        load_task(MocapData(kind="mocap"), row(5))
    with pytest.raises(DataError, match="the md17 benchmark needs its data"):
        load_task(MD17, row(4))
    test_adk.psf(files / "b.psf")
    with pytest.raises(DataError, match=r"has 2 .psf and 1 .dcd files"):
        load_task(AdkData(kind="adk"), row(4), files)


def test_adenylate_kinase_is_fetched_where_no_files_are_named(files, monkeypatch):
    fetched = (files / "a.psf", files / "a.dcd")
    monkeypatch.setattr(benchmark_data, "fetch_adk", lambda: fetched)
    assert settings(AdkData(kind="adk"), 4)["windows"] == [60, 20, 20]


def test_data_are_known_by_what_the_files_hold(files, tmp_path):
    def known(spec: TaskDataSpec, points: int, path: Path) -> str | None:
        return load_task(spec, row(points), path).fingerprint

    assert known(NbodyData(kind="nbody", train=4, validation=2, test=2), 5, files) is None
    before = known(MD17, 4, files / "md17.npz")
    (files / "md17.npz").rename(files / "other.npz")
    assert known(MD17, 4, files / "other.npz") == before
    test_md17.save(files / "md17.npz", test_md17.moving(300) + 1)
    assert known(MD17, 4, files / "md17.npz") != before
    store = test_md17.store(tmp_path / "store", 2, test_md17.moving(200))
    assert known(MD17, 4, store) == Store(store).identity["fingerprint"]
    adk = AdkData(kind="adk")
    before = known(adk, 4, files)
    test_adk.psf(files / "a.psf", charge=0.9)
    assert known(adk, 4, files) != before
    walk, trial = MocapData(kind="mocap", subject="walk"), "35_13.amc"
    folder = test_mocap.folder(tmp_path / "35", range(1, 17), frames=240)
    before = known(walk, 5, folder)
    (folder / "notes.txt").write_text("mine")
    assert known(walk, 5, folder) == before
    (folder / trial).write_text((folder / "35_12.amc").read_text())
    assert known(walk, 5, folder) != before


def test_a_run_on_other_files_is_another_request(files):
    data = load_task(MD17, row(4), files / "md17.npz")
    job = Job("a row", row(4), 0, files, "cpu")
    protocol = BenchmarkProtocol(data=MD17, models={"a row": row(4)})
    asked = [job.request(protocol, replace(data, fingerprint=f))["data"] for f in ("a", "b", None)]
    assert asked[0] != asked[1]
    assert asked[2] == data.settings, "of generated data, settings say all"


def test_a_seed_that_failed_is_counted_and_shown(tmp_path):
    model = row(5).model_copy(update={"published": Published(f_mse=0.01)})
    protocol = BenchmarkProtocol(data=NbodyData(kind="nbody"), models={"egno": model})
    known = {"model": "egno", "epochs": 1.0, "best_epoch": 1.0, "seconds": 1.0, "parameters": 1}
    known |= {"device": "cpu", "request": {"data": {}}, "a_mse": None}
    results = [known | {"seed": seed, "f_mse": f} for seed, f in enumerate((0.01, None, 0.03))]
    results[1]["failed"] = "NaN"
    data = replace(nbody_task(4, 2, 2), stands_in=False)
    (found,) = summarise(protocol, results, data)
    assert found["f_mse_by_seed"] == [0.01, None, 0.03]
    assert found["f_mse"] == pytest.approx(0.02)
    assert found["f_mse_deviation"] == pytest.approx(1.0)
    content = {"unit": "", "rows": [found], "data": {}}
    columns, (shown,) = benchmark_rows(content)
    assert shown[columns.index("seeds")] == "2 of 3"
    assert shown[columns.index("F-MSE")] == "0.02 [0.01, 0.03]"
    draw_benchmark(content, {"egno": [tmp_path] * 3}, tmp_path)
    (none,) = summarise(protocol, results[1:2], data)
    assert (none["f_mse"], none["f_mse_by_seed"]) == (None, [None])
    columns, (shown,) = benchmark_rows({"rows": [none]})
    assert shown[columns.index("seeds")] == "0 of 1"
    draw_benchmark({"unit": "", "rows": [none]}, {"egno": [tmp_path]}, tmp_path)


def test_standing_still_is_off_by_every_move(files):
    data = load_task(MD17, row(4), files / "md17.npz")
    moves = data.test.future_positions - data.test.positions[:, None]
    still = standing_still(data.test)
    assert still["f_mse"] == pytest.approx(np.square(moves[:, -1]).mean())
    assert still["a_mse"] == pytest.approx(np.square(moves).mean())
    assert standing_still(load_task(MD17, row(1), files / "md17.npz").test)["a_mse"] is None


def test_the_papers_figures_stand_beside_its_own_data_alone():
    rows = []
    for stands_in in (False, True):
        data = replace(nbody_task(4, 2, 2), stands_in=stands_in)
        model = BenchmarkModel(
            title="EGNO",
            points=5,
            network=PublishedEgno(kind="egno-published"),
            published=Published(f_mse=0.0054),
        )
        protocol = BenchmarkProtocol(data=NbodyData(kind="nbody"), models={"egno": model})
        result = {"model": "egno", "seed": 0, "f_mse": 0.0108, "a_mse": None, "epochs": 1.0}
        result |= {"best_epoch": 1.0, "seconds": 1.0, "parameters": 1, "device": "cpu"}
        result["request"] = {"data": {}}
        rows += summarise(protocol, [result], data)
    assert rows[0]["f_mse_deviation"] == pytest.approx(1.0)
    assert rows[1]["published"] is None
    assert rows[1]["f_mse_deviation"] is None
