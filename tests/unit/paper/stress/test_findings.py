"""What the stress questions say, out of made-up numbers."""

from __future__ import annotations

from typing import Any

import pytest

from egno_md.paper.stress.findings import findings
from egno_md.paper.stress.tables import stress_tables

TITLES = {"a": "Model A"}


def said(question: str, answer: dict[str, Any], model: str = "a") -> list[str]:
    rows = [{"model": model, **row} for row in answer["rows"]]
    return findings({question: {**answer, "rows": rows}}, TITLES)[question]


def turned(residual: float) -> dict[str, Any]:
    return {"symmetry": "rotation", "amount": 3.0, "float32": residual, "float64": 2e-15}


def moved(distance: float, residual: float) -> dict[str, Any]:
    return {
        "symmetry": "translation",
        "amount": distance,
        "float32": residual,
        "float32_input": residual / 2,
        "float64": 1e-13,
    }


def test_a_symmetry_that_holds_needs_nothing_and_one_that_breaks_says_from_where() -> None:
    near = [moved(10.0, 1e-6), moved(1000.0, 2e-4)]
    rotation, translation = said("equivariance", {"rows": [turned(8e-7), *near]})
    assert "up to and including π" in rotation
    assert "8.0e-07" in rotation
    assert "no augmentation" in rotation
    assert "up to 1000 system sizes" in translation
    assert "no centring" in translation
    rotation, translation = said("equivariance", {"rows": [turned(0.1), *near, moved(1e4, 5e-3)]})
    assert "do not commute" in rotation
    assert "10000 system sizes from the origin" in translation
    assert "5.0e-03 of the move, of which rounding the positions alone makes 2.5e-03" in translation
    assert "stay within 1000 sizes" in translation


def at_points(points: str, f_mse: float, a_mse: float, by_spline: float) -> dict[str, Any]:
    return {"points": points, "f_mse": f_mse, "a_mse": a_mse, "a_mse_by_spline": by_spline}


def test_resolution_advises_the_better_of_asking_and_interpolating() -> None:
    home = at_points("8", 0.01, 0.005, 0.005)
    (spline,) = said(
        "resolution",
        {"trained_points": 8, "rows": [home, at_points("64", 0.03, 0.02, 0.005)]},
    )
    assert "at worst 3 times" in spline
    assert "(64 points)" in spline
    assert "up to 4 times in A-MSE" in spline
    assert "decode at the trained points and interpolate" in spline
    (ask,) = said(
        "resolution",
        {"trained_points": 8, "rows": [home, at_points("64", 0.01, 0.005, 0.02)]},
    )
    assert "ask directly" in ask
    (mixed,) = said(
        "resolution",
        {
            "trained_points": 8,
            "rows": [
                home,
                at_points("2", 0.03, 0.02, 0.005),
                at_points("4", 0.02, 0.02, 0.005),
                at_points("64", 0.01, 0.005, 0.02),
            ],
        },
    )
    assert "better for 2 and 4 points, asking is better for 64" in mixed
    (same,) = said(
        "resolution", {"trained_points": 8, "rows": [home, at_points("16", 0.01, 0.005, 0.005)]}
    )
    assert "take either" in same


def contact(kind: str, touch: float, miss: float) -> dict[str, Any]:
    return {
        "contact": kind,
        "windows_that_touch": 0.5,
        "f_mse_touch": touch,
        "f_mse_miss": miss,
        "over_ballistic_touch": 0.4,
        "over_ballistic_miss": 0.02,
    }


def test_collisions_advise_care_only_where_they_cost() -> None:
    (costly,) = said(
        "collisions",
        {"rows": [contact("hard", 0.8, 0.1), contact("soft", 0.2, 0.1), contact("none", 0.1, 0.1)]},
    )
    assert "8 times that of windows without" in costly
    assert "40% of the error of x + vτ is left, 2.0% without" in costly
    assert "soft repulsion of the same range 2 times" in costly
    assert "pass through each other 1 times" in costly
    assert "leave such windows to MD" in costly
    even = [contact(k, 0.1, 0.1) for k in ("hard", "soft", "none")]
    (cheap,) = said("collisions", {"rows": even})
    assert "no special care" in cheap


def test_windows_that_all_touch_leave_nothing_to_compare() -> None:
    rows = [contact(k, 0.1, 0.1) for k in ("hard", "soft", "none")]
    rows[0].pop("f_mse_miss")
    rows[0]["windows_that_touch"] = 1.0
    (text,) = said("collisions", {"rows": rows})
    assert "100% of the windows hold a bounce" in text
    assert "change spheres.length" in text


def rung(multiple: float, error: float, spread: float) -> dict[str, Any]:
    return {"multiple": multiple, "over_nothing": error, "spread": spread}


def test_long_windows_name_the_longest_that_says_something() -> None:
    rows = [rung(0.1, 0.05, 0.95), rung(0.3, 0.3, 0.7), rung(1.0, 0.8, 0.2), rung(3.0, 0.98, 0.02)]
    (text,) = said("ladder", {"rows": rows})
    assert "at 3 velocity decorrelation times the error is 98% of knowing nothing" in text
    assert "vary by 2% of the true variance" in text
    assert "lost from 1 on" in text
    assert "at most 0.3 decorrelation times" in text
    (text,) = said("ladder", {"rows": rows[:2]})
    assert "still carry most of the dynamics" in text


@pytest.mark.parametrize("seeds", [1, 3])
def test_modes_name_the_choice_and_what_it_leaves_out(seeds: int) -> None:
    rows = [
        {"modes": i, "a_mse": e, "power_above": p}
        for i, e, p in ((0, 0.02, 1.0), (2, 0.0101, 0.03), (5, 0.01, 0.0))
    ]
    first, guess, *rest = said("modes", {"seeds": seeds, "chosen": {"a": 2}, "rows": rows})
    assert "at most 3.0% of the displacement power above it, here I = 2" in guess
    assert "I = 2 is the smallest within one standard error of the best (I = 5" in first
    assert "I = 0 2 times that" in first
    assert "set network.modes: 2" in first
    assert "3.0% of the displacement power" in first
    assert bool(rest) == (seeds == 1)
    _, needless, *_ = said("modes", {"seeds": seeds, "chosen": {"a": 0}, "rows": rows})
    assert "network.modes: 0 saves" in needless
    everything = said("modes", {"seeds": 3, "chosen": {"a": 5}, "rows": rows})
    assert len(everything) == 1


def test_tables_keep_models_side_by_side_and_pi_apart_from_nearly_pi() -> None:
    import math

    rows = [
        {"model": m, "symmetry": "rotation", "amount": a, "float32": r, "float64": 0.0}
        for m, r in (("a", 1e-7), ("b", 2e-7))
        for a in (0.1, math.pi - 1e-6, math.pi)
    ]
    content = {"models": {"a": "A", "b": "B"}, "questions": {"equivariance": {"rows": rows}}}
    _, columns, lines = stress_tables(content)["equivariance"]
    assert columns[:3] == ["symmetry", "rad, or system sizes", "A: float32"]
    assert [line[1] for line in lines] == ["0.1", "π - 1e-6", "π"]
    assert lines[0][2] == "1e-07"
    assert lines[0][columns.index("B: float32")] == "2e-07"
    assert lines[0][columns.index("A: float32, rounding of the input")] == "–"
