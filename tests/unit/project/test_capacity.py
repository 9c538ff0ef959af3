"""The simulation behind the capacity plan does what can be worked out by hand."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def capacity() -> Iterator[ModuleType]:
    pytest.importorskip("simpy")
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("capacity")
    sys.path.remove(str(BENCHMARKS))


def calm(capacity: ModuleType, **changes: float):
    return capacity.Chances(**{"days_between_losses": 1e9, "start": 0.0, "spread": 0.0} | changes)


def test_without_costs_tasks_fill_the_workers(capacity: ModuleType) -> None:
    free = capacity.Costs(task=0.0, heartbeat=0.0, turnaround=0.0)
    tasks = np.full(6, 10.0)
    assert capacity.Ensemble(2, tasks, 1.0, free, calm(capacity)).run() == pytest.approx(30.0)
    slow = calm(capacity, start=2.0)
    assert capacity.Ensemble(2, tasks, 1.0, free, slow).run() == pytest.approx(36.0)


def test_tasks_shorter_than_their_message_wait_for_the_scheduler(capacity: ModuleType) -> None:
    costs = capacity.Costs(task=2.0, heartbeat=0.0, turnaround=0.0)
    ensemble = capacity.Ensemble(1000, np.full(100, 0.01), 1.0, costs, calm(capacity))
    assert ensemble.run() == pytest.approx(200.0, rel=0.01), "one after the other"
    assert sum(ensemble.busy.values()) == pytest.approx(200.0, rel=0.01)


def test_lost_workers_cost_what_lies_behind_the_last_checkpoint(capacity: ModuleType) -> None:
    free = capacity.Costs(task=0.0, heartbeat=0.0, turnaround=0.0)
    often = calm(capacity, days_between_losses=0.01, restart=60.0)
    ensemble = capacity.Ensemble(1, np.full(20, 1000.0), 100.0, free, often, seed=2)
    took = ensemble.run()
    assert ensemble.losses > 5
    assert 0 < ensemble.redone < 100.0 * ensemble.losses
    assert took == pytest.approx(20_000 + ensemble.redone + 60.0 * ensemble.losses)
