"""Steps of a sampler with draws whose faults are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Refinement
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.propagate.assemble import Parts, Rules, assemble
from egno_md.propagate.check import Checker
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.event import RefinementRecord
from egno_md.propagate.observe import Observer
from egno_md.propagate.proposal import Outcome, Proposal
from egno_md.propagate.source import ThermostattedWindows
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.step import WindowMove
from egno_md.propagate.totals import Totals
from egno_md.spec import propagate as spec
from tests.unit.propagate.springs import advance, kinds

KELVIN = 300.0
POINTS = (10.0, 20.0, 30.0, 40.0)
WINDOW = Window(POINTS)


@dataclass
class Scripted:
    """Draws the start again; broken so often per replica as it is told."""

    broken: list[int]
    clocks: Clocks
    window: Window = WINDOW
    kind: str = "sampler"
    needs_forces: bool = False
    batches: list[int] = field(default_factory=list)

    def propose(self, states: Sequence[ReplicaState]) -> list[Proposal]:
        self.batches.append(len(states))
        return [Proposal.of(self._draw(state)) for state in states]

    def _draw(self, state: ReplicaState) -> Trajectory:
        x = np.repeat(state.frame.positions[None], len(POINTS), 0)
        if self.broken[state.index] > 0:
            self.broken[state.index] -= 1
            x[2, 0] = x[2, -1]
        return Trajectory(x, state.frame.time + np.array(POINTS))


@dataclass
class Standing:
    """MD that stands still, and a refiner that may fail."""

    system: System
    calls: list[str] = field(default_factory=list)
    fails: int = 0
    end: np.ndarray | None = None

    def window(self, frame: Frame, elapsed, friction: float, random) -> Trajectory:
        self.calls.append("window")
        x = np.repeat(frame.positions[None], len(elapsed), 0)
        return Trajectory(x, frame.time + np.array(elapsed), velocities=np.zeros_like(x))

    def stretch(self, frame: Frame, duration: float, friction: float, random) -> Frame:
        return frame

    def refine(self, end: Frame, start: Frame, random: np.random.Generator) -> Refinement:
        self.calls.append("refine")
        if self.fails:
            self.fails -= 1
            raise PotentialError("refinement of ala2 ended with a force of 1e6")
        x = end.positions if self.end is None else self.end
        frame = Frame(x, np.zeros_like(x), forces=np.zeros_like(x), potential_energy=-1.0)
        return Refinement(frame, 1, 0.01, 1.0, np.full(len(x), 0.1))


class Silent:
    """An evaluator whom nobody asks."""

    def evaluate_all(self, frames: Mapping[int, Frame]) -> dict[int, Frame]:
        raise AssertionError("a sampler asks for no energies")


def make_move(
    system: System,
    *,
    md: Standing | None = None,
    broken: Sequence[int] = (0, 0),
    every: int | None = 1,
    redraws: int = 4,
    is_judged: bool = True,
    observers: Sequence[Observer] = (),
) -> tuple[WindowMove, Standing]:
    md, clocks = md or Standing(system), Clocks()
    source: Any = Scripted(list(broken), clocks)
    parts = Parts(
        exact=ThermostattedWindows(md, source.window, 1.0),
        evaluation=Evaluation(Silent(), clocks),
        checker=Checker.of(system, system.positions, clocks=clocks),
        clocks=clocks,
        refiner=lambda: md,
        observers=observers,
    )
    judge = spec.ShapeJudge(kind="shape") if is_judged else spec.NoJudge(kind="none")
    correct = spec.Redraw(kind="redraw", redraws=redraws)
    refine = None if every is None else spec.Refinement(every=every)
    return assemble(source, parts, Rules(judge, correct, refine, KELVIN)), md


def make_states(system: System) -> list[ReplicaState]:
    frame = Frame(system.positions, np.zeros_like(system.positions))
    return [ReplicaState(i, frame, np.random.default_rng(i)) for i in range(2)]


def batches(move: WindowMove) -> list[int]:
    source: Any = move.source
    return source.batches


def test_every_second_end_is_refined_and_time_goes_on(ala2: System) -> None:
    move, md = make_move(ala2, every=2)
    states, totals = make_states(ala2), Totals()
    for window in range(4):
        states, outcomes = advance(move, states, 1, totals)
        for outcome in outcomes:
            assert outcome.event.kind == ("refine" if window % 2 else "accept")
            assert outcome.event.reason == ("every 2 windows" if window % 2 else "")
            assert outcome.end.times.tolist() == [40.0 * (window + 1)]
            assert outcome.state.frame.time == 40.0 * (window + 1)
            assert (outcome.end.velocities is None) == (window % 2 == 0)
    assert md.calls == ["refine"] * 4
    assert totals.events == {"accept": 4, "refine": 4}


def test_a_refined_end_brings_its_energy_and_forces_and_how_far_it_moved(ala2: System) -> None:
    move, _ = make_move(ala2)
    totals = Totals()
    _, outcomes = advance(move, make_states(ala2), 1, totals)
    for outcome in outcomes:
        assert outcome.end.potential_energy is not None
        assert outcome.end.potential_energy.tolist() == [-1.0]
        assert outcome.end.forces is not None
        assert outcome.end.forces.shape == outcome.end.positions.shape
        assert outcome.event.reason == "every window"
    assert totals.refinement_displacement.mean == 0.01
    assert totals.potential_energy.mean == -1.0


def test_a_refined_end_has_its_check_and_its_refinement_in_the_event(ala2: System) -> None:
    move, _ = make_move(ala2)
    for outcome in move.step(make_states(ala2)):
        check = outcome.event.check
        assert check is not None
        assert (check.energy_error, check.is_finite, check.max_force) == (None, True, 0.0)
        refined = outcome.event.refined
        assert isinstance(refined, RefinementRecord)
        assert refined.to_json()["residues"] == {"ACE1": 0.1, "ALA2": 0.1, "NME3": 0.1}
    unrefined, _ = make_move(ala2, every=None)
    assert all(o.event.check is o.event.refined is None for o in unrefined.step(make_states(ala2)))


def test_never_refined_windows_keep_every_point(ala2: System) -> None:
    move, md = make_move(ala2, every=None)
    outcomes = move.step(make_states(ala2))
    assert [len(o.window) for o in outcomes] == [4, 4]
    assert [len(o.end) for o in outcomes] == [1, 1]
    assert md.calls == []


def test_points_of_a_window_have_no_velocities_whoever_made_it(ala2: System) -> None:
    move, _ = make_move(ala2, broken=(9, 0), redraws=0)
    replaced, refined = move.step(make_states(ala2))
    assert kinds([replaced, refined]) == ["fallback", "refine"]
    for outcome in (replaced, refined):
        assert outcome.window.velocities is outcome.window.potential_energy is None
        assert outcome.end.velocities is not None


def test_only_a_window_that_does_not_hold_is_drawn_again(ala2: System) -> None:
    move, md = make_move(ala2, broken=(0, 2), every=None)
    totals = Totals()
    _, outcomes = advance(move, make_states(ala2), 1, totals)
    assert batches(move) == [2, 1, 1]
    assert outcomes[0].event.reason == ""
    assert outcomes[1].event.reason.startswith("drawn again after: ")
    assert [o.event.redraws for o in outcomes] == [0, 2]
    assert totals.redraws == 2
    assert md.calls == []


def test_a_redrawn_window_that_is_refined_says_that_it_was_drawn_again(ala2: System) -> None:
    move, _ = make_move(ala2, broken=(0, 1))
    first, second = (o.event for o in move.step(make_states(ala2)))
    assert (first.kind, first.reason) == ("refine", "every window")
    assert second.kind == "refine"
    assert second.reason.startswith("drawn again after: bond off by")


def test_events_come_in_the_order_of_replicas_however_often_each_is_drawn(ala2: System) -> None:
    move, _ = make_move(ala2, broken=(2, 0), every=None)
    outcomes = move.step(make_states(ala2))
    assert [o.event.replica for o in outcomes] == [0, 1]
    assert [o.event.redraws for o in outcomes] == [2, 0]


def test_md_takes_a_window_that_no_draw_fills(ala2: System) -> None:
    move, md = make_move(ala2, broken=(9, 0), redraws=2, every=None)
    outcomes = move.step(make_states(ala2))
    assert {o.event.replica: o.event.kind for o in outcomes} == {0: "fallback", 1: "accept"}
    assert outcomes[0].event.reason.startswith("bond off by")
    assert outcomes[0].event.redraws == 2
    assert batches(move) == [2, 1, 1]
    assert md.calls == ["window"]
    assert move.clocks.seconds["fallback"] > 0


class Stuck(Standing):
    """MD that cannot move either."""

    def window(self, frame: Frame, elapsed, friction: float, random) -> Trajectory:
        raise PotentialError("no force on ala2 is finite")


def test_a_replica_that_neither_draws_nor_md_can_move_ends_without_frames(ala2: System) -> None:
    move, _ = make_move(ala2, md=Stuck(ala2), broken=(9, 0), redraws=1, every=None)
    states, totals = [replace(s, window=3) for s in make_states(ala2)], Totals()
    moved, outcomes = advance(move, states, 1, totals)
    event, trajectory = outcomes[0].event, outcomes[0].window
    assert (event.kind, event.reason) == ("stop", "no force on ala2 is finite")
    assert (event.replica, event.window, event.time) == (0, 3, 0.0)
    assert trajectory.positions.shape == (0, 22, 3)
    assert moved[0].stop_reason == event.reason
    assert totals.events == {"stop": 1, "accept": 1}
    assert (moved[1].frame.velocities == 0).all(), "a draw has no velocities"
    assert outcomes[1].event.end is not None
    assert outcomes[1].event.end.temperatures is None
    assert totals.temperature.count == 0


def test_a_failed_refinement_is_a_reason_to_draw_again(ala2: System) -> None:
    move, md = make_move(ala2, md=Standing(ala2, fails=1))
    events = [o.event for o in move.step(make_states(ala2))]
    assert {e.kind for e in events} == {"refine"}
    assert events[0].reason.startswith("drawn again after: refinement of ala2 ended with a force")
    assert md.calls == ["refine"] * 3


def test_a_refined_end_that_is_not_believed_is_drawn_again_and_then_left_to_md(
    ala2: System,
) -> None:
    move, md = make_move(ala2, md=Standing(ala2, end=1.5 * ala2.positions), redraws=1)
    for outcome in move.step(make_states(ala2)):
        assert outcome.event.kind == "fallback"
        assert outcome.event.reason.startswith("after refinement: bond off by")
        assert outcome.event.redraws == 1
        assert outcome.event.check is not None
        assert outcome.event.refined is not None
    assert md.calls == ["refine"] * 2 + ["refine", "window"] * 2


def test_a_failed_refinement_is_a_reason_to_draw_again_even_unjudged(ala2: System) -> None:
    md = Standing(ala2, fails=1)
    move, _ = make_move(ala2, md=md, is_judged=False)
    outcomes = move.step(make_states(ala2))
    assert kinds(outcomes) == ["refine", "refine"]
    assert [o.event.redraws for o in outcomes] == [1, 0]


def test_unjudged_draws_are_kept_whatever_they_look_like(ala2: System) -> None:
    move, _ = make_move(ala2, broken=(9, 9), every=None, is_judged=False)
    outcomes = move.step(make_states(ala2))
    assert [(o.event.kind, o.event.redraws) for o in outcomes] == [("accept", 0)] * 2


def test_a_stopped_replica_is_left_alone(ala2: System) -> None:
    move, _ = make_move(ala2)
    first, second = make_states(ala2)
    outcomes = move.step([replace(first, stop_reason="done"), second])
    assert [o.event.replica for o in outcomes] == [1]


def test_observers_see_where_each_draw_ends(ala2: System) -> None:
    class Count:
        def measure(self, frame: Frame) -> Mapping[str, float]:
            return {"atoms": float(len(frame.positions))}

    move, _ = make_move(ala2, every=2, observers=[Count()])
    _, outcomes = advance(move, make_states(ala2), 2)
    assert [o.event.observed for o in outcomes] == [{"atoms": 22.0}] * 4


def test_a_step_leaves_its_states_alone(ala2: System) -> None:
    states = make_states(ala2)
    before = [s.random.bit_generator.state for s in states]

    def ends() -> list[np.ndarray]:
        move, _ = make_move(ala2)
        outcomes: list[Outcome] = move.step(states)
        return [o.state.frame.positions for o in outcomes]

    for one, other in zip(ends(), ends(), strict=True):
        assert np.array_equal(one, other)
    assert [s.random.bit_generator.state for s in states] == before
    assert all(s.frame.time == 0.0 for s in states)
