"""The benchmark for accelerators runs where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import configurations, device


def test_rows_say_how_fast_and_how_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(configurations.CONFIGURATIONS["MD17"], "batch", 2)
    rows = device.training("cpu", 1, {"TF32": {"tf32": True}, "bf16": {"bf16": True}})
    assert torch.get_float32_matmul_precision() == "highest"
    for row in rows.values():
        assert row["ratio"] == pytest.approx(row["eager / ms"] / row["this / ms"], rel=0.1)
    assert rows["TF32"]["largest relative error"] == 0, "a CPU has no TF32"
    assert 0 < rows["bf16"]["largest relative error"] < 0.1


def test_windows_are_counted_for_every_batch() -> None:
    rows = device.windows("cpu", 1, (1, 4))
    assert list(rows) == ["1 at once", "4 at once"]
    assert all(row["windows/s"] > 0 for row in rows.values())


def test_every_part_runs_to_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(configurations.CONFIGURATIONS["MD17"], "batch", 2)
    monkeypatch.setattr(device, "RESULTS", tmp_path / "device.json")
    bundle = Path(__file__).resolve().parents[2] / "golden" / "bundles" / "chignolin-backbone"
    device.main(
        [
            "--device", "cpu", "--ways", "TF32", "--batches", "1", "2", "--repeats", "1",
            "--system", "chignolin", "--operator", str(bundle), "--windows", "1",
        ]
    )  # fmt: skip
    found = json.loads((tmp_path / "device.json").read_text())
    assert found["device"] == "cpu"
    assert set(found["training"]) == {"TF32"}
    assert set(found["windows"]) == {"1 at once", "2 at once"}
    assert found["adk"]["refined"]["windows"] == 1
    assert found["adk"]["refined"]["speed_up"] > 0
