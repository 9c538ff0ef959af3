"""One replica in a program of its own, moved by windows and by what is left of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from egno_md.core.errors import PotentialError, SpecError
from egno_md.core.system import System
from egno_md.interop.walker import Statistics, Surroundings, Walker, Watch
from egno_md.propagate.policy import Policy
from tests.conftest import make_operator
from tests.unit.propagate.springs import LOOSE, Healer, Springs, make_states

TIMESTEP = 0.0005


def make_walker(
    system: System, policy: Policy = "fallback", *, kelvin: float | None = 300.0, **tolerances: Any
) -> tuple[Walker, Springs]:
    springs = Springs(system.positions, system.masses)
    around = Surroundings(
        timestep=TIMESTEP,
        kelvin=kelvin,
        friction=None if kelvin is None else 5.0,
        seed=3,
        refiner=lambda: Healer(system, system.positions),
    )
    watch = Watch.of(policy, tolerances, None, 1, 0.3)
    walker = Walker(system, make_operator(system).bind(system), springs, watch, around)
    walker.place(make_states(system, 1)[0].frame)
    return walker, springs


def test_windows_and_exact_steps_are_counted_in_typed_statistics(ethanol: System) -> None:
    walker, _ = make_walker(ethanol, **LOOSE)
    assert walker.statistics.ns_per_day == 0.0
    walker.window()
    walker.exactly(5)
    walker.exactly(1)
    found = walker.statistics
    assert isinstance(found, Statistics)
    assert found.events == {"accept": 1, "exact": 2}
    assert (found.steps, found.windows, found.simulated_ps) == (22, 3, 0.011)
    assert found.temperature is not None
    assert set(found.temperature_by_element) == {"C", "O", "H"}
    assert found.seconds["total"] > 0
    assert found.ns_per_day > 0
    assert walker.frame.time == pytest.approx(0.011)
    assert [e.kind for e in walker.events] == ["accept", "exact", "exact"]


def test_exact_steps_move_running_temperature_and_friction_too(ethanol: System) -> None:
    walker, springs = make_walker(ethanol, **LOOSE)
    assert walker.state is not None
    assert walker.state.excess_friction.tolist() == [0.0, 0.0, 0.0]
    walker.exactly(4)
    assert walker.state.running.elapsed == pytest.approx(4 * TIMESTEP)
    assert set(walker.state.running.values) == {"all", "C", "O", "H"}
    assert np.abs(walker.state.excess_friction).min() > 0
    assert springs.calls.count("window 1") == 1


def test_exact_steps_of_nve_keep_the_energy_of_the_engine(ethanol: System) -> None:
    walker, springs = make_walker(ethanol, kelvin=None)
    checker = walker._parts.checker
    before = checker.total_energy(springs.evaluate(walker.frame))
    for _ in range(20):
        walker.exactly(7)
    assert checker.total_energy(springs.evaluate(walker.frame)) == pytest.approx(before, rel=1e-9)


def test_the_last_frame_of_a_window_has_the_velocities_after_its_kick(ethanol: System) -> None:
    walker, _ = make_walker(ethanol, **LOOSE)
    window = walker.window()
    assert window.velocities is not None
    np.testing.assert_array_equal(window.velocities[-1], walker.frame.velocities)


def test_a_packed_walker_goes_on_to_the_bit(ethanol: System) -> None:
    walker, _ = make_walker(ethanol, **LOOSE)
    walker.window()
    other, _ = make_walker(ethanol, **LOOSE)
    other.unpack(walker.pack())
    for each in (walker, other):
        each.exactly(3)
        each.window()
    np.testing.assert_array_equal(walker.frame.positions, other.frame.positions)
    np.testing.assert_array_equal(walker.frame.velocities, other.frame.velocities)
    assert walker.totals == other.totals
    assert (walker.steps, other.steps) == (35, 35)


def test_what_cannot_go_on_says_so_and_can_be_placed_anew(ethanol: System) -> None:
    walker, springs = make_walker(ethanol)
    springs.fails = True
    with pytest.raises(PotentialError, match=r"stopped at 0 ps: .*Use policy 'fallback', or start"):
        walker.window()
    springs.fails = False
    walker.place(make_states(ethanol, 1)[0].frame)
    walker.window()
    assert walker.steps == 16


@pytest.mark.parametrize(
    ("policy", "judge", "correct"),
    [("off", "none", None), ("monitor", "energy", "monitor"), ("refine", "energy", "refine"),
     ("fallback", "energy", "fallback"), ("strict", "energy", "fallback")],
)  # fmt: skip
def test_a_policy_is_a_judge_and_a_corrector(
    policy: Policy, judge: str, correct: str | None
) -> None:
    watch = Watch.of(policy, {"bond": "0.01 nm"}, {"max_blocks": 3}, 2, None)
    assert watch.judge.kind == judge
    assert getattr(watch.correct, "kind", None) == correct
    assert (watch.refine is not None) == (policy == "refine")
    if policy != "off":
        assert watch.judge.strict is (policy == "strict")  # type: ignore[union-attr]
        assert watch.judge.tolerances.bond == 0.01  # type: ignore[union-attr]


def test_policies_and_paces_that_do_not_exist_are_refused() -> None:
    wrong: Any = "sometimes"
    with pytest.raises(SpecError, match="policy 'sometimes' is not one of: off, monitor"):
        Watch.of(wrong, None, None, 1, None)
    with pytest.raises(SpecError, match="check_every 0: give a whole number from 1"):
        Watch.of("fallback", None, None, 0, None)
