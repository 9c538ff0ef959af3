"""What a replica remembers: running temperatures, and a random stream that a step copies."""

from __future__ import annotations

import pytest

from egno_md.core.system import System
from egno_md.propagate.state import RunningTemperature
from tests.unit.propagate.springs import make_states

FREEDOM = {"all": 24.0, "H": 18.0, "C": 5.0}


def long_at(**kelvins: float) -> RunningTemperature:
    """Long since at these temperatures."""
    return RunningTemperature(kelvins, 10.0)


def worst(running: RunningTemperature) -> tuple[str, float] | None:
    """With hardly any noise."""
    return running.worst(300.0, 0.2, dict.fromkeys(running.values, 1e8))


def test_running_temperature_forgets_the_past() -> None:
    running = RunningTemperature()
    for kelvin, windows in ((600.0, 1000), (300.0, 2000)):
        for _ in range(windows):
            running = running.updated({"all": kelvin}, 0.008)
    assert running.values["all"] == pytest.approx(300.0, abs=1.0)


def test_the_worst_temperature_is_the_one_furthest_off() -> None:
    assert worst(long_at(all=300.0, H=200.0, C=450.0)) == ("C", 450.0)
    assert worst(long_at(all=300.0, H=100.0, C=450.0)) == ("H", 100.0)
    assert worst(long_at(H=359.0)) is None
    assert worst(long_at(H=361.0)) == ("H", 361.0)


@pytest.mark.parametrize(("elapsed", "samples"), [(0.0, 1), (0.5, 5), (2.0, 20), (50.0, 20)])
def test_a_temperature_within_four_standard_errors_is_noise(elapsed: float, samples: int) -> None:
    noise = 4 * (2 / 18 / samples) ** 0.5
    for excess, is_beyond in ((0.99 * noise, False), (1.01 * noise, True)):
        kelvin = 300.0 * (1 + excess)
        running = RunningTemperature({"H": kelvin}, elapsed)
        assert (running.worst(300.0, 0.01, FREEDOM) == ("H", kelvin)) is is_beyond


def test_young_running_temperatures_are_means_weighted_by_time() -> None:
    running = RunningTemperature().updated({"all": 300.0}, 0.5)
    assert running.values == {"all": 300.0}
    running = running.updated({"all": 600.0}, 1.0)
    assert running.values["all"] == pytest.approx(500.0)
    running = running.updated({"all": 100.0}, 1.0)
    assert running.values["all"] == pytest.approx(300.0), "two ps of memory: half is new"
    running = running.updated({"all": 400.0}, 7.0)
    assert running.values["all"] == pytest.approx(400.0)
    assert running.elapsed == pytest.approx(9.5)


def test_updated_temperatures_leave_those_they_were_made_of_alone() -> None:
    before = RunningTemperature({"all": 300.0}, 1.0)
    after = before.updated({"all": 900.0}, 1.0)
    assert after.values["all"] == pytest.approx(600.0)
    assert before == RunningTemperature({"all": 300.0}, 1.0)


def test_a_fork_draws_the_same_numbers_and_leaves_the_original_alone(ethanol: System) -> None:
    (state,) = make_states(ethanol, 1)
    before = state.random.bit_generator.state
    drawn = state.forked().random.random(5)
    assert state.random.bit_generator.state == before
    assert drawn.tolist() == state.random.random(5).tolist()
