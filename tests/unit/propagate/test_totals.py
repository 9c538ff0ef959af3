"""What the events of a rollout come to."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from egno_md.propagate.event import EndState, Event, EventKind, MoveRecord, RefinementRecord
from egno_md.propagate.totals import Moments, Totals
from tests.unit.propagate.test_event import make_check


def total(*events: Event) -> Totals:
    totals = Totals()
    for event in events:
        totals.take(event)
    return totals


def event(kind: EventKind = "accept", **fields: Any) -> Event:
    return Event(0, 0, 0.0, kind, "", 0.0, **{"check": None, **fields})


def end(**fields: Any) -> EndState:
    return EndState(**{"temperatures": None, "bond_deviation": 0.01, **fields})


def test_only_accepted_windows_keep_their_energy_error() -> None:
    found = total(
        event("accept", check=make_check(energy_error=1.0)),
        event("fallback", check=make_check(energy_error=5.0)),
        event("accept", check=make_check(energy_error=None)),
        event("stop"),
    )
    assert found.events == {"accept": 2, "fallback": 1, "stop": 1}
    assert found.energy_error == Moments(2.0, 6.0, 26.0)
    assert found.kept_energy_error == Moments(1.0, 1.0, 1.0)


def test_mean_and_deviation_are_those_of_finite_samples() -> None:
    moments, same = Moments(), Moments()
    for value in (1.0, np.nan, 4.0, np.inf, 7.0):
        moments.add(value)
    assert moments.mean == pytest.approx(4.0)
    assert moments.deviation == pytest.approx(np.std([1.0, 4.0, 7.0]))
    for _ in range(3):
        same.add(0.1)
    assert same.deviation == pytest.approx(0.0, abs=1e-8)
    assert Moments().mean is None
    assert Moments().deviation is None


def test_temperatures_are_counted_for_all_atoms_and_by_element() -> None:
    found = total(event(end=end(temperatures={"all": 300.0, "C": 290.0})), event(end=end()))
    assert found.temperature == Moments(1.0, 300.0, 9e4)
    assert {n: m.mean for n, m in found.temperature_by_element.items()} == {"C": 290.0}


def test_all_that_an_event_knows_is_counted() -> None:
    found = total(
        event(
            "refine",
            refined=RefinementRecord(3, 0.2, 9.0, {"ALA1": 0.1}),
            observed={"helix": 0.5},
            redraws=2,
            end=end(potential_energy=-4.0, volume=30.0, excess_friction={"H": 1.5}),
        ),
        event("accept", move=MoveRecord(True, False, 8), end=end(bond_deviation=0.03)),
        event("stay", move=MoveRecord(False, False, 4)),
    )
    assert (found.refinement_blocks.mean, found.refinement_displacement.mean) == (3, 0.2)
    assert {n: m.mean for n, m in found.refined.items()} == {"ALA1": 0.1}
    assert {n: m.mean for n, m in found.observed.items()} == {"helix": 0.5}
    assert {n: m.mean for n, m in found.excess_friction.items()} == {"H": 1.5}
    assert (found.potential_energy.mean, found.volume.mean) == (-4.0, 30.0)
    assert (found.redraws, found.windows_drawn) == (2, 12)
    assert (found.moves_weighed.mean, found.moves_accepted.mean) == (0.5, 0.0)
    assert found.largest_bond_deviation == 0.03


def test_two_rollouts_add_up_whatever_only_one_of_them_knows() -> None:
    one = total(
        *[event(observed={"x": 2.0, "left": 3.0}, redraws=1, end=end(bond_deviation=0.02))] * 3
    )
    other = total(
        *[event(observed={"x": 4.0, "right": 5.0}, end=end(bond_deviation=0.03))] * 4,
        event("stop"),
    )
    for both in (one + other, other + one):
        assert both.events == {"accept": 7, "stop": 1}
        assert both.observed == {
            "x": Moments(7.0, 22.0, 76.0),
            "left": Moments(3.0, 9.0, 27.0),
            "right": Moments(4.0, 20.0, 100.0),
        }
        assert both.redraws == 3
        assert both.largest_bond_deviation == 0.03
    assert one.observed["x"] == Moments(3.0, 6.0, 12.0), "a sum leaves its parts alone"


def test_totals_come_back_from_their_checkpoint_and_grow_on() -> None:
    totals = total(
        event(
            "refine",
            check=make_check(),
            refined=RefinementRecord(3, 0.2, 9.0, {"ALA1": 0.1}),
            move=MoveRecord(True, True, 8),
            end=end(temperatures={"all": 301.0, "C": 1 / 3}, bond_deviation=0.04),
        )
    )
    again = Totals.from_json(json.loads(json.dumps(totals.to_json())))
    assert again == totals
    assert again.largest_bond_deviation == 0.04
    again.take(event("refine"))
    assert again.events["refine"] == 2
