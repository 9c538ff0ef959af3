"""The account of a rollout: what each window says of itself, and the running totals."""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
import pytest
from egno_md.propagate.checks import Check
from egno_md.propagate.events import CLOCKS, Event, Tally


def make_check(**changes: object) -> Check:
    known: dict[str, object] = {
        "energy_error": 1.5, "max_force": 3000.0, "bond_deviation": 0.01, "closest_contact": 0.2,
        "temperature": 301.0, "temperature_by_element": {"C": 299.0, "H": 302.0},
        "is_finite": True,
    }  # fmt: skip
    return Check(**(known | changes))  # type: ignore[arg-type]


def test_a_window_is_one_flat_record_of_all_that_was_measured() -> None:
    event = Event(2, 7, 0.1234567891234, "refine", "every window", 0.12345678, make_check(),
                  {"blocks": 1}, {"helix": 1 / 3, "strand": np.nan})  # fmt: skip
    assert event.to_json() == {
        "replica": 2, "window": 7, "time": 0.123456789, "kind": "refine",
        "reason": "every window", "seconds": 0.123457,
        "energy_error": 1.5, "max_force": 3000.0, "bond_deviation": 0.01,
        "closest_contact": 0.2, "temperature": 301.0,
        "temperature_by_element": {"C": 299.0, "H": 302.0},
        "refined": {"blocks": 1}, "observed": {"helix": 0.333333, "strand": None},
    }  # fmt: skip


def test_what_was_not_measured_or_is_not_finite_is_null() -> None:
    check = make_check(energy_error=None, max_force=np.inf, temperature_by_element={"C": np.nan})
    record = Event(0, 0, 0.0, "stop", "", 0.0, check).to_json()
    assert record["energy_error"] is None
    assert record["max_force"] is None
    assert record["temperature_by_element"] == {"C": None}
    unchecked = Event(0, 0, 0.0, "accept", "", 0.0, None).to_json()
    assert unchecked["temperature"] is None
    assert unchecked["temperature_by_element"] == {}
    assert "refined" not in unchecked
    assert "observed" not in unchecked


def test_only_accepted_windows_keep_their_energy_error() -> None:
    tally = Tally()
    for kind, error in (("accept", 1.0), ("fallback", 5.0), ("accept", None)):
        tally.count(Event(0, 0, 0.0, kind, "", 0.0, make_check(energy_error=error)))
    tally.count(Event(0, 0, 0.0, "stop", "", 0.0, None))
    assert tally.events == {"accept": 2, "fallback": 1, "stop": 1}
    assert tally.moments == {
        "energy_error": [2.0, 6.0, 26.0],
        "kept_energy_error": [1.0, 1.0, 1.0],
    }


def test_mean_and_deviation_are_those_of_finite_samples() -> None:
    tally = Tally()
    for value in (1.0, np.nan, 4.0, np.inf, 7.0):
        tally.add("x", value)
    assert tally.mean("x") == pytest.approx(4.0)
    assert tally.deviation("x") == pytest.approx(np.std([1.0, 4.0, 7.0]))
    for _ in range(3):
        tally.add("same", 0.1)
    assert tally.deviation("same") == pytest.approx(0.0, abs=1e-8)
    assert tally.mean("never") is None
    assert tally.deviation("never") is None


def test_temperatures_are_counted_for_all_atoms_and_by_element() -> None:
    tally = Tally()
    tally.add_temperatures({"all": 300.0, "C": 290.0})
    assert tally.mean("temperature") == 300.0
    assert tally.mean("temperature.C") == 290.0


def test_a_clock_charges_its_own_time_even_to_what_fails() -> None:
    tally = Tally()
    with tally.clock("checks"):
        time.sleep(0.01)
    before = tally.seconds["checks"]
    with suppress(KeyError), tally.clock("checks"):
        time.sleep(0.01)
        raise KeyError
    assert tally.seconds["checks"] >= before + 0.01
    assert 0.02 <= tally.seconds["checks"] < 1.0
    assert sum(tally.seconds.values()) == tally.seconds["checks"]


def test_two_rollouts_add_up_whatever_only_one_of_them_knows() -> None:
    one, other = Tally(), Tally()
    one.events["accept"], other.events["accept"], other.events["stop"] = 3, 4, 1
    one.seconds, other.seconds = {"lift": 1.0, "network": 2.0}, {"network": 3.0, "output": 5.0}
    one.add("x", 2.0)
    one.add("left", 3.0)
    other.add("x", 4.0)
    other.add("right", 5.0)
    one.largest_bond_deviation, other.largest_bond_deviation = 0.02, 0.03
    for both in (one + other, other + one):
        assert both.events == {"accept": 7, "stop": 1}
        assert both.seconds == {"lift": 1.0, "network": 5.0, "output": 5.0}
        assert both.moments == {
            "x": [2.0, 6.0, 20.0],
            "left": [1.0, 3.0, 9.0],
            "right": [1.0, 5.0, 25.0],
        }
        assert both.largest_bond_deviation == 0.03


def test_a_tally_comes_back_from_its_checkpoint_with_clocks_it_did_not_have() -> None:
    tally = Tally(largest_bond_deviation=0.04)
    tally.add("x", 2.0)
    tally.events["accept"] = 3
    tally.seconds = {"network": 2.0}
    again = Tally.from_json(tally.to_json())
    assert again.seconds == dict.fromkeys(CLOCKS, 0.0) | {"network": 2.0}
    assert (again.events, again.moments) == (tally.events, tally.moments)
    assert again.largest_bond_deviation == 0.04
    again.events["refine"] += 1
