"""The benchmark for accelerators runs where there is none."""

from __future__ import annotations

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
