"""What each window says of itself."""

from __future__ import annotations

import numpy as np

from egno_md.propagate.check import Check
from egno_md.propagate.event import Event, RefinementRecord


def make_check(**changes: object) -> Check:
    known: dict[str, object] = {
        "energy_error": 1.5, "max_force": 3000.0, "bond_deviation": 0.01, "closest_contact": 0.2,
        "temperature": 301.0, "temperature_by_element": {"C": 299.0, "H": 302.0},
        "is_finite": True,
    }  # fmt: skip
    return Check(**(known | changes))  # type: ignore[arg-type]


def test_a_window_is_one_flat_record_of_all_that_was_measured() -> None:
    event = Event(2, 7, 0.1234567891234, "refine", "every window", 0.12345678, make_check(),
                  RefinementRecord(1, 0.1, 2.0, {}), {"helix": 1 / 3, "strand": np.nan})  # fmt: skip
    assert event.to_json() == {
        "replica": 2, "window": 7, "time": 0.123456789, "kind": "refine",
        "reason": "every window", "seconds": 0.123457,
        "energy_error": 1.5, "max_force": 3000.0, "bond_deviation": 0.01,
        "closest_contact": 0.2, "temperature": 301.0,
        "temperature_by_element": {"C": 299.0, "H": 302.0},
        "refined": {"blocks": 1, "displacement": 0.1, "max_force": 2.0},
        "observed": {"helix": 0.333333, "strand": None},
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
