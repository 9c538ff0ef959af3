from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from egno_md.propagate.checks import Check
from egno_md.propagate.controller import Controller, RunningTemperature

from egno_md.core.ports import Accept, Fallback, Refine, Stop
from egno_md.core.units import BOLTZMANN
from egno_md.propagate.constraints import FAILED
from egno_md.spec.propagate import Policy, Tolerances

GOOD = Check(0.5, 3e3, 0.01, 300.0, {"H": 300.0, "C": 300.0}, is_finite=True)
POINTS = 4
SCALE = BOLTZMANN * 300.0 * 24


def controller(policy: Policy) -> Controller:
    return Controller(policy, Tolerances(), 300.0, 300.0, 24)


def running() -> RunningTemperature:
    return RunningTemperature({"all": 24.0, "H": 18.0, "C": 5.0})


def earlier(*checks: Check):
    def measure() -> Iterator[tuple[int, Check]]:
        yield from zip(range(POINTS - 2, -1, -1), checks, strict=False)

    return measure


@pytest.mark.parametrize("policy", ["monitor", "refine", "fallback", "strict"])
def test_a_good_window_is_accepted_whole(policy: Policy) -> None:
    assert controller(policy).judge(GOOD, running(), POINTS, earlier()) == Accept(POINTS - 1)


BAD = {
    "energy": replace(GOOD, energy_error=0.3 * SCALE),
    "cold energy": replace(GOOD, energy_error=-0.3 * SCALE),
    "force": replace(GOOD, max_force=3e4),
    "bond": replace(GOOD, bond_deviation=0.06),
    "finite": replace(GOOD, is_finite=False),
    "chirality": replace(GOOD, inverted_centres=1),
    "hot atom": replace(GOOD, hottest_atom=31 * BOLTZMANN * 300.0),
    "contact": replace(GOOD, closest_contact=0.09),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_window_is_met_as_the_policy_says(name: str) -> None:
    bad = BAD[name]
    assert isinstance(controller("refine").judge(bad, running(), POINTS, earlier()), Refine)
    falls = controller("fallback").judge(bad, running(), POINTS, earlier(bad, bad, bad))
    assert isinstance(falls, Fallback)


def test_the_longest_prefix_that_holds_is_kept() -> None:
    bad = BAD["energy"]
    verdict = controller("fallback").judge(bad, running(), POINTS, earlier(bad, GOOD, GOOD))
    assert verdict == Accept(1)


def test_strict_halves_every_tolerance() -> None:
    doubtful = replace(GOOD, energy_error=0.15 * SCALE)
    assert controller("fallback").problem(doubtful) is None
    assert controller("strict").problem(doubtful) is not None


def test_monitor_goes_on_when_doubtful_and_stops_when_broken() -> None:
    judge = controller("monitor")
    assert judge.judge(BAD["bond"], running(), POINTS, earlier()) == Accept(POINTS - 1)
    broken = replace(GOOD, bond_deviation=0.2)
    assert isinstance(judge.judge(broken, running(), POINTS, earlier()), Stop)
    assert isinstance(judge.judge(BAD["finite"], running(), POINTS, earlier()), Stop)


def test_a_hot_element_brings_md_back_but_noise_does_not() -> None:
    hot = replace(GOOD, temperature_by_element={"H": 480.0, "C": 300.0})
    kelvins = {"all": 300.0, "H": 480.0, "C": 300.0}
    temperatures = running()
    temperatures.update(kelvins, 0.008)
    judge = controller("fallback")
    assert judge.judge(hot, temperatures, POINTS, earlier()) == Accept(POINTS - 1)
    for _ in range(500):
        temperatures.update(kelvins, 0.008)
    verdict = judge.judge(hot, temperatures, POINTS, earlier())
    assert isinstance(verdict, Fallback)
    assert "temperature of H 480 K" in verdict.reason


def test_running_temperature_forgets_the_past() -> None:
    temperatures = running()
    for kelvin, windows in ((600.0, 1000), (300.0, 2000)):
        for _ in range(windows):
            temperatures.update({"all": kelvin}, 0.008)
    assert temperatures.values["all"] == pytest.approx(300.0, abs=1.0)


LIMITS = Tolerances()
AT_THE_LIMIT = {
    "bond": {"bond_deviation": LIMITS.bond},
    "atom": {"hottest_atom": LIMITS.atom * BOLTZMANN * 300.0},
    "force": {"max_force": LIMITS.force},
    "heat": {"energy_error": LIMITS.energy * SCALE},
    "cold": {"energy_error": -LIMITS.energy * SCALE},
}
"""A measure that just reaches its tolerance."""


@pytest.mark.parametrize("name", AT_THE_LIMIT)
def test_each_measure_is_held_against_its_tolerance(name: str) -> None:
    ((field, value),) = AT_THE_LIMIT[name].items()
    judge = controller("fallback")
    assert judge.problem(replace(GOOD, **{field: 0.999 * value})) is None
    assert judge.problem(replace(GOOD, **{field: 1.001 * value})) is not None
    assert controller("strict").problem(replace(GOOD, **{field: 0.499 * value})) is None
    assert controller("strict").problem(replace(GOOD, **{field: 0.501 * value})) is not None


def test_contacts_may_not_be_closer_than_their_tolerance() -> None:
    """Strict or not: twice the distance would make contacts of hydrogen bonds."""
    nearest = LIMITS.contact
    for policy in ("fallback", "strict"):
        judge = controller(policy)  # type: ignore[arg-type]
        assert judge.problem(replace(GOOD, closest_contact=nearest)) is None
        assert judge.problem(replace(GOOD, closest_contact=0.999 * nearest)) is not None


def test_what_only_just_reaches_a_tolerance_is_believed() -> None:
    judge = controller("fallback")
    for changes in (AT_THE_LIMIT["bond"], AT_THE_LIMIT["force"], AT_THE_LIMIT["atom"]):
        assert judge.problem(replace(GOOD, **changes)) is None


REASONS = {
    FAILED: {"keeps_constraints": False},
    "not finite": {"is_finite": False},
    "bond off by 0.60 Å": {"bond_deviation": 0.06},
    "an atom with a kinetic energy of 80 kJ/mol": {"hottest_atom": 80.0},
    "ALA2 CA turned around (2 in all)": {"turned": ("ALA2 CA", "THR3 CB")},
    "2 centres inverted": {"inverted_centres": 2},
    "contact of 0.90 Å": {"closest_contact": 0.09},
    "force 3e+04 kJ/mol/nm": {"max_force": 3e4},
    "energy error -20 kJ/mol": {"energy_error": -20.0},
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_names_the_measure_with_its_value(reason: str) -> None:
    assert controller("fallback").problem(replace(GOOD, **REASONS[reason])) == reason


def test_a_window_whose_start_was_not_evaluated_has_no_energy_error() -> None:
    assert controller("fallback").problem(replace(GOOD, energy_error=None)) is None


BROKEN = {
    "bond": (3 * LIMITS.bond, "bond_deviation"),
    "force": (10 * LIMITS.force, "max_force"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_monitor_stops_only_beyond_repair(name: str) -> None:
    limit, field = BROKEN[name]
    judge = controller("monitor")
    doubtful, broken = replace(GOOD, **{field: limit}), replace(GOOD, **{field: 1.001 * limit})
    assert judge.judge(doubtful, running(), POINTS, earlier()) == Accept(POINTS - 1)
    assert isinstance(judge.judge(broken, running(), POINTS, earlier()), Stop)


def test_monitor_stops_where_a_molecule_became_another() -> None:
    judge = controller("monitor")
    for changes in ({"inverted_centres": 1}, {"turned": ("ALA2 CA",)}):
        assert isinstance(judge.judge(replace(GOOD, **changes), running(), POINTS, earlier()), Stop)
    far = replace(GOOD, closest_contact=0.05)
    assert judge.judge(far, running(), POINTS, earlier()) == Accept(POINTS - 1)


def hot(**kelvins: float) -> RunningTemperature:
    """Long since at these temperatures, with hardly any noise."""
    return RunningTemperature(dict.fromkeys(kelvins, 1e8), dict(kelvins), 10.0)


def test_policies_meet_a_wrong_temperature_each_in_its_way() -> None:
    wrong, reason = hot(all=300.0, H=480.0), "temperature of H 480 K"
    for policy in ("fallback", "strict"):
        verdict = controller(policy).judge(GOOD, wrong, POINTS, earlier(GOOD))  # type: ignore[arg-type]
        assert verdict == Fallback(reason), "a shorter prefix would be as hot"
    assert controller("refine").judge(GOOD, wrong, POINTS, earlier()) == Refine(reason)
    assert controller("monitor").judge(GOOD, wrong, POINTS, earlier()) == Accept(POINTS - 1)
    nve = replace(controller("fallback"), kelvin=None)
    assert nve.judge(GOOD, wrong, POINTS, earlier()) == Accept(POINTS - 1)


def test_strict_halves_the_tolerance_of_temperatures_too() -> None:
    between = hot(all=300.0 * (1 + 0.75 * LIMITS.temperature))
    assert controller("fallback").judge(GOOD, between, POINTS, earlier()) == Accept(POINTS - 1)
    assert isinstance(controller("strict").judge(GOOD, between, POINTS, earlier()), Fallback)


def test_the_worst_temperature_is_the_one_furthest_off() -> None:
    assert hot(all=300.0, H=200.0, C=450.0).worst(300.0, 0.2) == ("C", 450.0)
    assert hot(all=300.0, H=100.0, C=450.0).worst(300.0, 0.2) == ("H", 100.0)
    assert hot(H=359.0).worst(300.0, 0.2) is None
    assert hot(H=361.0).worst(300.0, 0.2) == ("H", 361.0)


@pytest.mark.parametrize(("elapsed", "samples"), [(0.0, 1), (0.5, 5), (2.0, 20), (50.0, 20)])
def test_a_temperature_within_four_standard_errors_is_noise(elapsed: float, samples: int) -> None:
    noise = 4 * (2 / 18 / samples) ** 0.5
    for excess, found in ((0.99 * noise, False), (1.01 * noise, True)):
        kelvin = 300.0 * (1 + excess)
        temperatures = RunningTemperature({"H": 18.0}, {"H": kelvin}, elapsed)
        assert (temperatures.worst(300.0, 0.01) == ("H", kelvin)) is found


def test_young_running_temperatures_are_means_weighted_by_time() -> None:
    temperatures = RunningTemperature({"all": 24.0})
    temperatures.update({"all": 300.0}, 0.5)
    assert temperatures.values == {"all": 300.0}
    temperatures.update({"all": 600.0}, 1.0)
    assert temperatures.values["all"] == pytest.approx(500.0)
    temperatures.update({"all": 100.0}, 1.0)
    assert temperatures.values["all"] == pytest.approx(300.0), "two ps of memory: half is new"
    temperatures.update({"all": 400.0}, 7.0)
    assert temperatures.values["all"] == pytest.approx(400.0)
    assert temperatures.elapsed == pytest.approx(9.5)


def test_a_copy_of_the_running_temperatures_leaves_them_alone() -> None:
    temperatures = RunningTemperature({"all": 24.0}, {"all": 300.0}, 1.0)
    copy = temperatures.copy()
    assert copy == temperatures
    copy.update({"all": 900.0}, 1.0)
    assert temperatures == RunningTemperature({"all": 24.0}, {"all": 300.0}, 1.0)
