from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from egno_md.core.ports import Accept, Fallback, Refine, Stop
from egno_md.core.units import BOLTZMANN
from egno_md.rollout.checks import Check
from egno_md.rollout.controller import Controller, RunningTemperature
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
