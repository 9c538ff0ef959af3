"""The demo of a sampler, with every step made tiny."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from egno_md.cli import demo_sampler
from egno_md.spec.files import read_spec, shipped
from tests.cli.test_verbs import egno

TINY = {
    "ala2-reference": {
        "equilibration": "200 fs", "sampling.length": "2 ps", "sampling.frame_spacing": "20 fs",
    },
    "ala2-train": {
        "window.length": "80 fs", "window.points": 2, "network.layers": 1, "network.hidden": 8,
        "network.vectors": 3, "network.noise": "0.002 nm", "optimisation.max_time": None,
        "optimisation.max_steps": 4, "optimisation.validate_every": 2,
        "optimisation.batch_size": 4, "split.validation": 0.2, "split.test": 0.2,
    },
    "ala2-propagate": {
        "length": "240 fs", "replicas": 2, "source.steps": 2, "record.reference_steps": 20,
        "refine.dynamics": "20 fs", "judge.tolerances.bond": "0.08 nm",
    },
}  # fmt: skip


def test_the_demo_of_a_sampler_ends_in_maps_a_report_and_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tiny(name, model):
        path = shipped("protocols") / "demo" / f"{name}.yaml"
        return read_spec(path, model, dict(TINY[name]))

    monkeypatch.setattr(demo_sampler, "demo_protocol", tiny)
    result = egno("demo", "--system", "ala2", "--out", tmp_path / "demo", "--quiet")
    for words in ("net speed-up", "Jensen", "not kinetics", "report.html", "egno-md train"):
        assert words in result.output
    content = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert set(content["rollouts"]) == {"refined", "unrefined"}
    assert content["rollouts"]["refined"]["events"]["refine"] == 6
    assert content["rollouts"]["unrefined"]["events"]["accept"] == 6
    assert content["maps"]["reference"]["distance"] == 0.0
    assert "not kinetics" in Path(content["report"]).read_text()


def test_shipped_protocols_of_the_demo_are_read() -> None:
    for name, model in (
        ("ala2-reference", demo_sampler.GenerateProtocol),
        ("ala2-train", demo_sampler.TrainProtocol),
        ("ala2-propagate", demo_sampler.PropagateProtocol),
    ):
        assert demo_sampler.demo_protocol(name, model)
