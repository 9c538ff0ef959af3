"""SIGKILL at any moment loses nothing: the machinery is that of benchmarks/kills.py."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "kills.py"


@pytest.fixture(scope="module")
def kills() -> Iterator[ModuleType]:
    """The benchmark as a module that the killed processes find too."""
    sys.path.insert(0, str(BENCHMARK.parent))
    yield importlib.import_module(BENCHMARK.stem)
    sys.path.remove(str(BENCHMARK.parent))


@pytest.mark.slow
def test_twenty_kills_leave_no_trace(tmp_path: Path, kills: ModuleType) -> None:
    report = kills.storm(tmp_path, 20, seed=1)
    assert report["kills"] == 20
    assert all(v["runs_completed_and_compared"] for v in report["verbs"].values())


@pytest.mark.slow
def test_three_kills_of_generate_leave_no_trace(tmp_path: Path, kills: ModuleType) -> None:
    verb = kills.verbs(tmp_path)[0]
    verb.arguments[-1] = "sampling.decorrelation='5 fs'"
    kills.run_whole(verb, tmp_path / "unbroken-generate")
    kills.fire(verb, tmp_path, 3, np.random.default_rng(2))
    assert len(verb.delays) == 3
    assert verb.completed >= 1
