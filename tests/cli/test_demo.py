"""The demo, with every step made tiny."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from egno_md.cli import demo
from tests.cli.test_verbs import egno

TINY = {
    "segments": {
        "equilibration": "50 fs", "sampling.segments": 6, "sampling.segment_length": "20 fs",
        "sampling.decorrelation": "10 fs",
    },
    "reference": {"equilibration": "50 fs", "sampling.length": "120 fs"},
    "train": {
        "network.layers": 1, "network.hidden": 8, "network.vectors": 3,
        "optimisation.max_time": None, "optimisation.max_steps": 20, "optimisation.validate_every": 10,
    },
    "propagate": {"length": "36 fs", "record.reference_steps": 10},
}  # fmt: skip


def test_demo_ends_in_a_table_a_report_and_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from egno_md.spec.files import read_spec, shipped

    def tiny(name, model):
        return read_spec(shipped("protocols") / "demo" / f"{name}.yaml", model, dict(TINY[name]))

    monkeypatch.setattr(demo, "demo_protocol", tiny)
    result = egno("demo", "--out", tmp_path / "demo", "--quiet")
    for words in (
        "velocity error",
        "energy drift",
        "net speed-up",
        "fallback",
        "report.html",
        "egno-md train",
    ):
        assert words in result.output
    content = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert set(content["rollouts"]) == {"checked", "refined", "unchecked"}
    assert Path(content["report"]).stat().st_size > 50_000
    again = egno("demo", "--out", tmp_path / "demo", "--resume", "--quiet")
    assert "net speed-up" in again.output
