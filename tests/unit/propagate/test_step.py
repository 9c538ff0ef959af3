"""One step of windows with an engine whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from egno_md.core.errors import PotentialError
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.propagate.event import RefinementRecord
from egno_md.propagate.proposal import Outcome, Proposal
from egno_md.propagate.source import ExactWindows
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.step import NO_ENERGY, WindowMove
from egno_md.propagate.thermostat import LangevinKicks
from egno_md.propagate.totals import Totals
from egno_md.spec import propagate as spec
from tests.unit.propagate.springs import (
    FALLBACK,
    KELVIN,
    LOOSE,
    MONITOR,
    REPAIR,
    UNJUDGED,
    Correct,
    Healer,
    Quack,
    Springs,
    advance,
    kinds,
    make_move,
    make_states,
    springs_of,
)

WINDOW = Window.uniform(0.008, 4)
NVE: dict[str, Any] = {"excess_friction": np.zeros(0)}
"""Of states without a thermostat."""


def one_window(move: WindowMove, system: System, **changes: Any) -> Outcome:
    (outcome,) = move.step(make_states(system, 1, **changes))
    return outcome


def test_generous_tolerances_accept_every_window(ethanol: System) -> None:
    move, totals = make_move(ethanol, **LOOSE), Totals()
    states, outcomes = advance(move, make_states(ethanol), 5, totals)
    assert set(kinds(outcomes)) == {"accept"}
    assert totals.events == {"accept": 10}
    assert all(s.frame.time == pytest.approx(0.04) for s in states)
    assert all(s.window == 5 for s in states)
    assert move.clocks.seconds["network"] > 0


def test_impossible_tolerances_give_back_exact_md(ethanol: System) -> None:
    move = make_move(ethanol, energy=1e-12)
    states, outcomes = advance(move, make_states(ethanol), 5)
    assert set(kinds(outcomes)) == {"fallback"}
    assert all(np.isfinite(move.ending.checker.total_energy(s.frame)) for s in states)


def test_nve_fallback_conserves_the_energy_of_the_engine(ethanol: System) -> None:
    move = make_move(ethanol, thermostat=None, energy=1e-12)
    states, checker = make_states(ethanol, 1, **NVE), move.ending.checker
    before = checker.total_energy(springs_of(move).evaluate(states[0].frame))
    (state,), _ = advance(move, states, 20)
    assert checker.total_energy(state.frame) == pytest.approx(before, rel=1e-9)


def test_a_step_leaves_its_states_alone_and_depends_on_nothing_else(ethanol: System) -> None:
    move = make_move(ethanol, thermostat=LangevinKicks.of(ethanol, KELVIN, 5.0, 0.5), **LOOSE)
    states = make_states(ethanol)
    before = [
        (s.frame.positions.copy(), s.frame.velocities.copy(), s.random.bit_generator.state)
        for s in states
    ]
    first, again = move.step(states), move.step(states)
    for state, (x, v, random) in zip(states, before, strict=True):
        np.testing.assert_array_equal(state.frame.positions, x)
        np.testing.assert_array_equal(state.frame.velocities, v)
        assert state.random.bit_generator.state == random
        assert (state.window, state.last_event, state.running.elapsed) == (0, None, 0.0)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.window.positions, other.window.positions)
        np.testing.assert_array_equal(one.state.frame.velocities, other.state.frame.velocities)
        np.testing.assert_array_equal(one.state.excess_friction, other.state.excess_friction)
        assert one.state.random.bit_generator.state == other.state.random.bit_generator.state
        assert one.state.running == other.state.running
        assert replace(one.event, seconds=0.0) == replace(other.event, seconds=0.0)
        assert one.state.last_event is one.event


def test_refine_policy_repairs_the_end_and_its_event_says_how(ethanol: System) -> None:
    outcome = one_window(make_move(ethanol, REPAIR, energy=1e-12), ethanol)
    assert outcome.event.kind == "refine"
    assert outcome.event.reason.startswith("energy error")
    assert outcome.event.refined == RefinementRecord(1, 0.25, 4.0, {})
    assert outcome.event.check is not None
    np.testing.assert_array_equal(outcome.state.frame.positions, ethanol.positions)


@pytest.mark.parametrize(("every", "due"), [(1, "every window"), (2, "every 2 windows")])
def test_windows_are_refined_when_asked_whatever_their_checks_say(
    ethanol: System, every: int, due: str
) -> None:
    totals = Totals()
    (state,), outcomes = advance(
        make_move(ethanol, every=every, **LOOSE), make_states(ethanol, 1), 4, totals
    )
    wanted = ["accept" if (n + 1) % every else "refine" for n in range(4)]
    assert kinds(outcomes) == wanted
    np.testing.assert_array_equal(state.frame.positions, ethanol.positions)
    assert totals.refinement_blocks.mean == 1
    assert totals.refinement_displacement.mean == 0.25
    for outcome in outcomes:
        is_refined = outcome.event.kind == "refine"
        assert outcome.event.reason == (due if is_refined else "")
        assert (outcome.event.refined is not None) is is_refined
        assert outcome.event.check is not None
        assert (outcome.event.check.energy_error is None) is is_refined


def test_a_repair_that_leaves_another_molecule_ends_the_rollout(ala2: System) -> None:
    mirrored = ala2.positions * np.array([1.0, 1.0, -1.0])
    move = make_move(ala2, REPAIR, refiner=lambda: Healer(ala2, mirrored), energy=1e-12)
    outcome = one_window(move, ala2)
    assert outcome.event.kind == "stop"
    assert (
        outcome.event.reason
        == "after refinement: ALA2 CA turned around (1 in all). Use policy fallback."
    )
    assert len(outcome.window) == len(outcome.end) == 0


@pytest.mark.parametrize(("correct", "kind"), [(FALLBACK, "fallback"), (MONITOR, "stop")])
def test_what_cannot_be_refined_goes_to_md_or_ends(
    ethanol: System, correct: Correct, kind: str
) -> None:
    move = make_move(ethanol, correct, every=1, refiner=lambda: Quack(ethanol))
    outcome = one_window(move, ethanol)
    assert outcome.event.kind == kind
    assert outcome.event.reason == "too far from any structure"
    assert len(outcome.window) == (4 if kind == "fallback" else 0)


class Stuck(Springs):
    """Springs that know their energy but cannot move."""

    def window(self, frame: Frame, elapsed: Sequence[float]) -> Trajectory:
        raise PotentialError("springs are stuck")


def test_what_neither_refinement_nor_md_can_move_ends_without_frames(ethanol: System) -> None:
    stuck = Stuck(ethanol.positions, ethanol.masses)
    move = make_move(ethanol, every=1, refiner=lambda: Quack(ethanol), springs=stuck)
    states = make_states(ethanol, 1)
    (outcome,) = move.step(states)
    assert outcome.state.last_event is outcome.event
    assert (outcome.event.kind, outcome.event.reason) == ("stop", "springs are stuck")
    assert outcome.event.end is None
    assert len(outcome.window) == 0
    assert outcome.state.stop_reason == "springs are stuck"
    assert outcome.state.frame is states[0].frame, "it stays where it was"
    assert move.step([outcome.state]) == []


def test_a_refined_end_that_is_still_broken_is_not_kept(ethanol: System) -> None:
    move = make_move(ethanol, every=1, refiner=lambda: Healer(ethanol, ethanol.positions * 1.5))
    event = one_window(move, ethanol).event
    assert event.kind == "fallback"
    assert event.reason.startswith("after refinement: bond off by")
    assert event.check is not None
    assert event.refined is not None


def test_off_never_checks_but_force_channels_are_fed(ethanol: System) -> None:
    move = make_move(ethanol, None, judge=UNJUDGED)
    _, outcomes = advance(move, make_states(ethanol, 1), 4)
    assert set(kinds(outcomes)) == {"accept"}
    assert len(springs_of(move).calls) == 5


def test_every_second_window_is_judged_when_asked(ethanol: System) -> None:
    tolerances = spec.Tolerances(energy=1e-12)
    judge = spec.EnergyJudge(kind="energy", every=2, tolerances=tolerances)
    _, outcomes = advance(make_move(ethanol, judge=judge), make_states(ethanol, 1), 4)
    assert kinds(outcomes) == ["accept", "fallback"] * 2


def test_one_force_call_serves_the_check_and_the_next_window(ethanol: System) -> None:
    move = make_move(ethanol, MONITOR, **LOOSE)
    advance(move, make_states(ethanol, 1), 6)
    assert springs_of(move).calls == ["evaluate"] * 7


def test_a_failing_potential_stops_with_its_reason_not_an_exception(ethanol: System) -> None:
    move, totals = make_move(ethanol, **(LOOSE | {"force": "2e4 kJ/mol/nm"})), Totals()
    states, _ = advance(move, make_states(ethanol, 1), 1, totals)
    springs_of(move).fails = True
    (state,), outcomes = advance(move, states, 2, totals)
    assert kinds(outcomes) == ["stop"]
    assert state.stop_reason == "springs broke"
    assert totals.events["stop"] == 1


def test_a_stopped_replica_leaves_the_others_running(ethanol: System) -> None:
    first, second, third = make_states(ethanol, 3)
    second = replace(second, stop_reason="earlier")
    outcomes = make_move(ethanol, MONITOR, **LOOSE).step([first, second, third])
    assert [o.event.replica for o in outcomes] == [0, 2]


def test_nve_windows_of_an_untrained_operator_keep_their_energy(ethanol: System) -> None:
    move = make_move(ethanol, MONITOR, thermostat=None, keeps_energy=True, **LOOSE)
    states, outcomes = advance(move, make_states(ethanol, 2, **NVE), 10)
    assert kinds(outcomes).count("accept") >= 1
    checker, springs = move.ending.checker, springs_of(move)
    for state in states:
        total = checker.total_energy(springs.evaluate(state.frame))
        assert total == pytest.approx(state.energy, rel=1e-9)


def test_energy_beyond_repair_goes_back_to_md(ethanol: System) -> None:
    move = make_move(ethanol, MONITOR, thermostat=None, keeps_energy=True, **LOOSE)
    (outcome,) = move.step(make_states(ethanol, 1, energy=-1e6, **NVE))
    assert (outcome.event.kind, outcome.event.reason) == ("fallback", "energy beyond repair")


def test_the_energy_to_keep_is_that_of_the_first_evaluated_start(ethanol: System) -> None:
    move = make_move(ethanol, thermostat=None, **LOOSE)
    (state,) = make_states(ethanol, 1, **NVE)
    state = replace(state, frame=replace(state.frame, time=3.0))
    checker = move.ending.checker
    total = checker.total_energy(springs_of(move).evaluate(state.frame))
    (state,), _ = advance(move, [state], 3)
    assert (state.energy, state.begun) == (pytest.approx(total), 3.0)


def test_a_start_that_cannot_be_evaluated_stops_its_replica_alone(ethanol: System) -> None:
    move = make_move(ethanol, None, judge=UNJUDGED)
    states, _ = advance(move, make_states(ethanol, 2))
    first = replace(states[0], frame=replace(states[0].frame, potential_energy=None))
    springs_of(move).fails = True
    outcomes = move.step([first, states[1]])
    assert kinds(outcomes)[0] == "stop"
    assert outcomes[0].state.stop_reason == NO_ENERGY
    assert "no energy" in NO_ENERGY
    assert not outcomes[1].event.reason.startswith(NO_ENERGY)


def test_rejected_windows_do_not_count_towards_the_temperature(ethanol: System) -> None:
    move = make_move(ethanol, thermostat=None, energy=1e-12)
    (state,), _ = advance(move, make_states(ethanol, 1, **NVE))
    kept = move.ending.checker.temperature(state.frame.velocities)
    assert state.running.values["all"] == pytest.approx(kept)


@dataclass
class Lost:
    """A source whose windows are not finite from some point on."""

    window: Window = WINDOW
    kind: str = "dynamics"
    needs_forces: bool = False
    first: int = 3

    def propose(self, states: Sequence[ReplicaState]) -> list[Proposal]:
        windows = []
        for state in states:
            x = np.repeat(state.frame.positions[None], 4, 0)
            x[self.first :] = np.nan
            times = state.frame.time + np.array(self.window.time_points)
            velocities = np.zeros_like(x) if self.kind == "dynamics" else None
            windows.append(Proposal.of(Trajectory(x, times, velocities=velocities)))
        return windows


@pytest.mark.parametrize("kind", ["dynamics", "sampler"])
def test_what_is_not_finite_ends_the_rollout_even_unjudged(ethanol: System, kind: str) -> None:
    source: Any = Lost(kind=kind)
    outcome = one_window(make_move(ethanol, None, judge=UNJUDGED, source=source), ethanol)
    assert (outcome.event.kind, outcome.event.reason) == ("stop", "not finite")
    assert len(outcome.window) == 0


def test_what_is_finite_of_a_window_is_kept_under_fallback(ethanol: System) -> None:
    source: Any = Lost()
    outcome = one_window(make_move(ethanol, source=source, thermostat=None), ethanol, **NVE)
    assert (outcome.event.kind, outcome.event.reason) == ("prefix", "3 of 4")
    assert np.isfinite(outcome.window.positions).all()


def make_exact(system: System, springs: Springs | None = None, **changes: Any) -> WindowMove:
    springs = springs or Springs(system.positions, system.masses)
    source = ExactWindows(springs, WINDOW)
    return make_move(system, MONITOR, source=source, springs=springs, accepted="exact", **changes)


def test_windows_of_md_are_exact_and_move_temperature_and_friction_too(ethanol: System) -> None:
    thermostat = LangevinKicks.of(ethanol, KELVIN, 5.0, 0.5)
    move = make_exact(ethanol, thermostat=thermostat)
    (state,), outcomes = advance(move, make_states(ethanol, 1), 3)
    assert kinds(outcomes) == ["exact"] * 3
    assert [o.event.reason for o in outcomes] == [""] * 3
    assert state.running.elapsed == pytest.approx(0.024)
    assert np.abs(state.excess_friction).min() > 0
    assert springs_of(move).calls.count("window 4") == 3


def test_md_that_fails_stops_with_its_reason(ethanol: System) -> None:
    outcome = one_window(make_exact(ethanol, Stuck(ethanol.positions, ethanol.masses)), ethanol)
    assert (outcome.event.kind, outcome.event.reason) == ("stop", "springs are stuck")


def test_exact_windows_of_springs_conserve_their_energy(ethanol: System) -> None:
    move = make_exact(ethanol, thermostat=None)
    _, outcomes = advance(move, make_states(ethanol, 1, **NVE), 5)
    for outcome in outcomes:
        assert outcome.event.check is not None
        assert outcome.event.check.energy_error == pytest.approx(0.0, abs=1e-9)


class Distance:
    """Observes how far the first atom is from the origin."""

    def measure(self, frame: Frame) -> Mapping[str, float]:
        return {"distance": float(np.linalg.norm(frame.positions[0]))}


def test_observers_see_where_each_window_ends_behind_the_boundary(ethanol: System) -> None:
    move, totals = make_move(ethanol, observers=[Distance()], **LOOSE), Totals()
    _, outcomes = advance(move, make_states(ethanol), 2, totals)
    for outcome in outcomes:
        x = outcome.state.frame.positions[0]
        assert outcome.event.observed == {"distance": float(np.linalg.norm(x))}
    assert totals.observed["distance"].count == 4
    assert move.clocks.seconds["observables"] > 0


def test_an_event_says_what_is_measured_where_the_window_ended(ethanol: System) -> None:
    thermostat = LangevinKicks.of(ethanol, KELVIN, 5.0, 0.5)
    move = make_move(ethanol, thermostat=thermostat, **LOOSE)
    outcome = one_window(move, ethanol)
    state, end, checker = outcome.state, outcome.event.end, move.ending.checker
    assert end is not None
    assert end.temperatures == checker.temperatures(state.frame.velocities)
    assert end.bond_deviation == checker.bond_deviation(state.frame)
    assert end.potential_energy == state.frame.potential_energy
    assert end.volume is None
    assert end.excess_friction == dict(
        zip(thermostat.elements, state.excess_friction.tolist(), strict=True)
    )
    np.testing.assert_array_equal(outcome.end.positions[0], outcome.window.positions[-1])
    assert not np.array_equal(outcome.end.velocities[0], state.frame.velocities), "before the kick"
