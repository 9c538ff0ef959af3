from __future__ import annotations

import json
from pathlib import Path

from egno_md.md.generate.run import run_generate
from egno_md.registry import protocol

SHORT = {
    "equilibration": "10 fs", "sampling.length": "20 fs", "sampling.frame_spacing": "10 fs",
    "replicas": 1,
}  # fmt: skip


def test_a_resumed_run_counts_only_its_own_picoseconds(tmp_path: Path) -> None:
    asked = protocol("generate", "nvt-300k-4fs", {**SHORT, "timestep": "2 fs"})
    run_generate("ala2", asked, tmp_path / "data", seed=1)
    record = json.loads((tmp_path / "data" / "run.json").read_text())
    assert record["ns_per_day"] > 0
    record["status"] = "running"  # as if it was killed after its last piece
    (tmp_path / "data" / "run.json").write_text(json.dumps(record))
    run_generate("ala2", asked, tmp_path / "data", seed=1, mode="resume")
    assert json.loads((tmp_path / "data" / "run.json").read_text())["ns_per_day"] == 0
