"""Metropolis moves of a sampler's torsions: what is drawn, kept, counted and recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from egno_md.core.errors import PotentialError
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.core.units import kinetic_energy
from egno_md.geometry.rotors import find_rotors
from egno_md.propagate.totals import Totals
from tests.metropolis_toy import Still, Surface, make_chain, make_states, visit

COLD = {"draws": 2, "uniform": 0.5}


class Moving(Still):
    """MD that shifts every atom, so that each stretch can be told."""

    def __init__(self) -> None:
        self.starts: list[Frame] = []

    def stretch(self, frame, duration, friction, random):
        self.starts.append(frame)
        return replace(frame, positions=frame.positions + 1.0, potential_energy=-3.0)


def test_every_window_is_a_move_and_then_md_whether_or_not_it_is_made(ala2: System) -> None:
    dynamics, totals = Moving(), Totals()
    move = make_chain(ala2, md=dynamics, dynamics="2 ps")
    states = make_states(ala2, 6)
    kinds: list[str] = []
    for window in range(6):
        before, outcomes = [s.frame for s in states], move.step(states)
        for outcome in outcomes:
            event, totals_before = outcome.event, len(kinds)
            start = dynamics.starts[totals_before]
            assert (start is before[event.replica]) == (event.kind == "stay")
            assert event.reason.startswith("energy ")
            assert event.time == 2.0 * (window + 1)
            for trajectory in (outcome.window, outcome.end):
                assert trajectory.times.tolist() == [2.0 * (window + 1)]
                assert trajectory.potential_energy is not None
                assert trajectory.potential_energy.tolist() == [-3.0]
                assert trajectory.velocities is not None
            assert outcome.state.frame.time == 2.0 * (window + 1)
            kinds.append(event.kind)
            totals.take(event)
        states = [o.state for o in outcomes]
    assert set(kinds) == {"accept", "stay"}
    assert totals.events == {k: kinds.count(k) for k in set(kinds)}
    assert totals.moves_accepted.mean == kinds.count("accept") / len(kinds)
    assert totals.potential_energy.mean == -3.0
    assert move.clocks.seconds["dynamics"] > 0


def test_both_ends_of_a_move_are_drawn_from_with_fresh_noise(ala2: System) -> None:
    move = make_chain(ala2, draws=3)
    sampler: Any = move.sampler
    draw, told = sampler.draw, []

    def listen(frames, random):
        told.append([f.positions for f in frames])
        return draw(frames, random)

    sampler.draw = listen
    totals = visit(move, make_states(ala2, 4), 1).totals
    ahead, back = told
    assert len(ahead) == 4 * 3
    weighed = round(4 * (totals.moves_weighed.mean or 0.0))
    assert len(back) == weighed * 3
    assert not any(np.array_equal(a, b) for a in back for b in ahead), "from the other end"
    assert totals.windows_drawn == len(ahead) + len(back)


def test_hopeless_moves_are_settled_without_a_way_back(ala2: System) -> None:
    class Steep(Surface):
        def energy(self, angles):
            return 1e6 * (angles**2).sum(-1)

    move = make_chain(ala2, surface=Steep(find_rotors(ala2)))
    states = []
    for state in make_states(ala2, 4):
        frame = state.frame
        away = -move.rotors.angles(frame.positions)
        x, v = move.rotors.turned(frame.positions, frame.velocities, away)
        states.append(replace(state, frame=replace(frame, positions=x, velocities=v)))
    totals = visit(move, states, 1).totals
    assert set(totals.events) == {"stay"}
    assert totals.moves_weighed.mean == 0
    assert totals.windows_drawn == 4 * 4


@pytest.mark.parametrize("energy", [np.nan, np.inf])
def test_a_move_to_where_there_is_no_energy_is_not_made(ala2: System, energy: float) -> None:
    class Broken(Surface):
        calls = 0

        def evaluate_all(self, frames: Mapping[int, Frame]) -> dict[int, Frame]:
            self.calls += 1
            value = 0.0 if self.calls % 2 else energy
            return {i: replace(f, potential_energy=value) for i, f in frames.items()}

    move = make_chain(ala2, surface=Broken(find_rotors(ala2)))
    assert {o.event.kind for o in move.step(make_states(ala2, 3))} == {"stay"}


def test_at_uniform_one_nothing_is_drawn(ala2: System) -> None:
    move = make_chain(ala2, uniform=1)
    sampler: Any = move.sampler
    sampler.draw = None
    totals = visit(move, make_states(ala2, 3), 3).totals
    assert totals.moves_weighed.mean == pytest.approx(1.0, abs=0.7)
    assert totals.windows_drawn == 0


def test_wild_draws_are_neither_looked_at_nor_fatal(ala2: System) -> None:
    move = make_chain(ala2, uniform=0)
    sampler: Any = move.sampler
    sampler.draw = lambda frames, _: np.full((len(frames), 4, 10, 3), np.inf)
    visited = visit(move, make_states(ala2, 8), 6)
    assert np.isfinite(visited.angles).all()
    assert 0 < (visited.totals.moves_accepted.mean or 0.0) < 1


def test_some_torsions_at_a_time_leave_the_others(ala2: System) -> None:
    move = make_chain(ala2, torsions=1)
    states = make_states(ala2, 8)
    for _ in range(5):
        before = move.rotors.angles(np.stack([s.frame.positions for s in states]))
        states = [o.state for o in move.step(states)]
        after = move.rotors.angles(np.stack([s.frame.positions for s in states]))
        away = np.abs(np.angle(np.exp(1j * (after - before))))
        assert ((away > 1e-9).sum(axis=1) <= 1).all()


def test_a_move_keeps_kinetic_energy_on_average_and_no_momentum(ala2: System) -> None:
    move = make_chain(ala2)
    (state,) = make_states(ala2, 1)
    random = np.random.default_rng(3)
    velocities = random.standard_normal(ala2.positions.shape)
    velocities -= ala2.masses @ velocities / ala2.masses.sum()
    state = replace(state, frame=replace(state.frame, velocities=velocities))
    moved = [move._turned(state, move.rotors, np.array([1.0, 2.0])) for _ in range(400)]
    momenta = np.array([ala2.masses @ f.velocities for f in moved])
    assert np.abs(momenta).max() < 1e-9
    energies = np.array([kinetic_energy(f.velocities, ala2.masses) for f in moved])
    assert energies.std() > 0, "the centre of mass has a velocity while half of it turns"
    assert len({f.velocities.tobytes() for f in moved}) == 400


def test_a_replica_that_md_cannot_move_ends(ala2: System) -> None:
    class Stuck(Still):
        def stretch(self, frame, duration, friction, random):
            raise PotentialError("no force on ala2 is finite")

    move = make_chain(ala2, md=Stuck())
    outcomes = move.step(make_states(ala2, 2))
    assert [o.event.kind for o in outcomes] == ["stop", "stop"]
    assert all(len(o.window) == len(o.end) == 0 for o in outcomes)
    assert all(o.state.stop_reason == "no force on ala2 is finite" for o in outcomes)
    assert move.step([o.state for o in outcomes]) == []


def test_a_replicas_path_depends_on_its_own_stream(ala2: System) -> None:
    together = visit(make_chain(ala2, **COLD), make_states(ala2, 3), 4).states
    alone = visit(make_chain(ala2, **COLD), make_states(ala2, 3)[1:2], 4).states
    assert np.array_equal(together[1].frame.positions, alone[0].frame.positions)


def test_a_step_leaves_its_states_alone(ala2: System) -> None:
    move, states = make_chain(ala2), make_states(ala2, 3)
    before = [s.random.bit_generator.state for s in states]
    first, again = move.step(states), move.step(states)
    assert [s.random.bit_generator.state for s in states] == before
    for one, other, state in zip(first, again, states, strict=True):
        assert np.array_equal(state.frame.positions, ala2.positions)
        assert np.array_equal(one.window.positions, other.window.positions)
        assert one.event.move == other.event.move


def test_observers_see_where_each_move_and_its_md_end(ala2: System) -> None:
    class Distance:
        def measure(self, frame: Frame) -> dict[str, float]:
            return {"x": float(frame.positions[0, 0])}

    move = make_chain(ala2, md=Moving(), observers=[Distance()])
    for outcome in move.step(make_states(ala2, 2)):
        assert outcome.event.observed == {"x": outcome.state.frame.positions[0, 0]}
