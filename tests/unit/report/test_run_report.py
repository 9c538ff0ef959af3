from __future__ import annotations

import csv
import json
import shutil

import pytest

from egno_md.core.errors import DataError
from egno_md.report.run import run_report

from .conftest import write_run


def test_the_page_is_written_whole(folders, tmp_path):
    page = run_report(list(folders.values()), tmp_path / "out", title="A <title>")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<h1>A &lt;title&gt;</h1>" in text
    beside = sorted(p.name for p in page.parent.iterdir() if p.name != ".lock")
    assert beside == ["figures", "numbers", "report.html", "run.json"]


def test_figures_and_numbers_stand_beside_the_page(folders, tmp_path):
    out = run_report(list(folders.values()), tmp_path / "out").parent
    names = {p.name for p in (out / "figures").iterdir()}
    assert {"timeline.svg", "timeline.png", "speed.svg", "speed.png", "distances.png"} <= names
    with (out / "numbers" / "verdicts-0.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["observable"] == "Temperature (K)"
    assert float(rows[0]["difference"]) == 100.0
    content = json.loads((out / "numbers" / "report.json").read_text())
    assert content["folders"][3]["summary"]["speed_up"] == 6.0


def test_stores_among_the_folders_play_side_by_side(folders, harmonic_store, tmp_path):
    store = shutil.copytree(harmonic_store.root, tmp_path / "store")
    write_run(store, "generate")
    page = run_report([store, folders["checked"]], tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert 'id="viewer"' in text
    assert '"label": "store"' in text


def test_a_store_that_cannot_be_read_is_a_sentence(folders, tmp_path):
    page = run_report([folders["reference"]], tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert 'id="viewer"' not in text
    assert "manifest.json" in text


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(DataError, match="nothing to report"):
        run_report([], tmp_path / "out")


def test_a_foreign_folder_leaves_no_output(folders, tmp_path):
    with pytest.raises(DataError):
        run_report([folders["checked"], tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()
