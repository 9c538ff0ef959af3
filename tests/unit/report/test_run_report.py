from __future__ import annotations

import pytest

from egno_md.core.errors import DataError
from egno_md.workflows.report import run_report


def test_the_page_is_written_whole(folders, tmp_path):
    page = run_report(list(folders.values()), tmp_path / "out", title="A <title>")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<h1>A &lt;title&gt;</h1>" in text
    assert sorted(p.name for p in page.parent.iterdir()) == ["report.html", "run.json"]


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(DataError, match="nothing to report"):
        run_report([], tmp_path / "out")


def test_a_foreign_folder_leaves_no_output(folders, tmp_path):
    with pytest.raises(DataError):
        run_report([folders["checked"], tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()
