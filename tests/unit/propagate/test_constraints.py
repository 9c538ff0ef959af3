"""Windows of constrained systems in a step, with an engine whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from egno_md.core.errors import PotentialError
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.propagate.constraints import FAILED, Projection
from egno_md.propagate.proposal import Outcome, Proposal
from egno_md.propagate.source import OperatorWindows, ProjectedWindows, WindowSource
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.step import WindowMove
from tests.conftest import make_operator
from tests.unit.propagate.springs import FALLBACK, LOOSE, UNJUDGED, Springs, make_move, make_states

POINTS = {2, 3, 4, 5}
"""Projections of a first window: after the kick at its start, before that at its end."""

BOND = (2, 8)
"""The O-H bond of ethanol, held at its length in the structure."""


@dataclass
class Rod(Springs):
    """Springs with one rigid bond; some projections fail on request."""

    failing: set[int] = field(default_factory=set)
    projections: int = 0

    def project(self, frame: Frame) -> Frame | None:
        self.projections += 1
        if self.projections in self.failing:
            return None
        a, b = BOND
        x, v, m = frame.positions.copy(), frame.velocities.copy(), self.masses
        wanted = np.linalg.norm(self.home[a] - self.home[b])
        r = x[a] - x[b]
        unit = r / np.linalg.norm(r)
        excess = np.linalg.norm(r) - wanted
        x[a] -= m[b] / (m[a] + m[b]) * excess * unit
        x[b] += m[a] / (m[a] + m[b]) * excess * unit
        along = (v[a] - v[b]) @ unit
        v[a] -= m[b] / (m[a] + m[b]) * along * unit
        v[b] += m[a] / (m[a] + m[b]) * along * unit
        return replace(frame, positions=x, velocities=v, forces=None, potential_energy=None)


def a_move(system: System, **changes: Any) -> tuple[WindowMove, Rod]:
    rod = Rod(system.positions, system.masses)
    chosen = {"correct": FALLBACK, "springs": rod, "is_constrained": True, **LOOSE, **changes}
    return make_move(system, **chosen), rod


def free(system: System) -> OperatorWindows:
    """Windows before any projection."""
    return OperatorWindows(make_operator(system).bind(system), system.masses)


def bond_of(frame: Frame) -> tuple[float, float]:
    a, b = BOND
    r = frame.positions[a] - frame.positions[b]
    return float(np.linalg.norm(r)), float((frame.velocities[a] - frame.velocities[b]) @ r)


def test_every_time_point_and_every_kick_keeps_the_constraint(ethanol: System) -> None:
    move, _ = a_move(ethanol)
    states = make_states(ethanol)
    wanted = np.linalg.norm(ethanol.positions[2] - ethanol.positions[8])
    for _ in range(4):
        outcomes = move.step(states)
        for outcome in outcomes:
            assert outcome.event.kind == "accept"
            for point in range(len(outcome.window)):
                length, speed = bond_of(outcome.window[point])
                assert length == pytest.approx(wanted, abs=1e-9)
                assert abs(speed) < 1e-9
        states = [o.state for o in outcomes]
        assert all(abs(bond_of(s.frame)[1]) < 1e-9 for s in states)
    assert move.clocks.seconds["constraints"] > 0


def test_projected_windows_keep_the_momenta_of_their_start(ethanol: System) -> None:
    move, rod = a_move(ethanol, correct=None, judge=UNJUDGED)
    (state,) = make_states(ethanol, 1)
    start = rod.evaluate(state.frame)
    (proposal,) = move.source.propose([replace(state, frame=start)])
    share = ethanol.masses / ethanol.masses.sum()
    for point in range(len(proposal.window)):
        frame = proposal.window[point]
        assert np.allclose(share @ frame.velocities, share @ start.velocities, atol=1e-10)


def test_a_projected_proposal_knows_what_it_was_before(ethanol: System) -> None:
    move, rod = a_move(ethanol)
    (state,) = make_states(ethanol, 1)
    state = replace(state, frame=rod.evaluate(state.frame))
    (proposal,), (before,) = move.source.propose([state]), free(ethanol).propose([state])
    np.testing.assert_array_equal(proposal.unprojected.positions, before.window.positions)
    np.testing.assert_array_equal(proposal.unprojected_end.positions, before.end.positions)
    np.testing.assert_array_equal(proposal.end.positions, proposal.window.positions[-1])


def test_projected_windows_drift_from_where_and_when_they_start(ethanol: System) -> None:
    _, rod = a_move(ethanol)
    (state,) = make_states(ethanol, 1)
    start = replace(rod.evaluate(state.frame), time=7.0)
    proposal = free(ethanol).propose([replace(state, frame=start)])[0].window
    window = Projection(rod, ethanol.masses).window(start, proposal)
    share = ethanol.masses / ethanol.masses.sum()
    elapsed = proposal.times - 7.0
    assert elapsed == pytest.approx([0.002, 0.004, 0.006, 0.008])
    drifted = share @ start.positions + np.outer(elapsed, share @ start.velocities)
    np.testing.assert_allclose(np.einsum("a,pax->px", share, window.positions), drifted)


@dataclass(frozen=True)
class Proposer:
    """A source that always proposes the same motion from where it is."""

    like: OperatorWindows
    positions: np.ndarray

    def __getattr__(self, name: str) -> Any:
        return getattr(self.like, name)

    def propose(self, states: Sequence[ReplicaState]) -> list[Proposal]:
        windows = [p.window for p in self.like.propose(states)]
        return [Proposal.of(replace(w, positions=self.positions)) for w in windows]


def one_window(move: WindowMove, system: System) -> Outcome:
    (outcome,) = move.step(make_states(system, 1))
    return outcome


def test_a_projection_that_fails_makes_the_window_bad(ethanol: System) -> None:
    move, rod = a_move(ethanol)
    rod.failing = POINTS
    outcome = one_window(move, ethanol)
    assert (outcome.event.kind, outcome.event.reason) == ("fallback", FAILED)
    assert outcome.event.check is not None
    assert not outcome.event.check.keeps_constraints
    assert np.isfinite(outcome.window.positions).all()


def test_points_before_a_failed_projection_are_kept(ethanol: System) -> None:
    move, rod = a_move(ethanol)
    rod.failing = {max(POINTS)}
    outcome = one_window(move, ethanol)
    assert (outcome.event.kind, outcome.event.reason) == ("prefix", "3 of 4")
    assert np.isfinite(outcome.window.positions).all()


def test_without_checks_a_failed_projection_stops_with_its_reason(ethanol: System) -> None:
    move, rod = a_move(ethanol, correct=None, judge=UNJUDGED)
    rod.failing = POINTS
    outcome = one_window(move, ethanol)
    assert (outcome.event.kind, outcome.state.stop_reason) == ("stop", FAILED)


@pytest.mark.parametrize("failing", [1, max(POINTS) + 1])
def test_a_kick_that_cannot_be_projected_stops_the_replica(ethanol: System, failing: int) -> None:
    move, rod = a_move(ethanol)
    rod.failing = {failing}
    outcome = one_window(move, ethanol)
    assert (outcome.event.kind, outcome.state.stop_reason) == ("stop", FAILED)
    assert len(outcome.window) == 0


def test_bonds_are_judged_before_a_projection_mends_them(ethanol: System) -> None:
    stretched = np.repeat(ethanol.positions[None], 4, axis=0)
    a, b = BOND
    stretched[:, b] += 0.02 * (stretched[:, b] - stretched[:, a]) / 0.097
    source: Any = Proposer(free(ethanol), stretched)
    move, rod = a_move(ethanol, source=source, bond="0.05 angstrom")
    outcome = one_window(move, ethanol)
    assert outcome.event.check is not None
    assert outcome.event.check.bond_deviation == pytest.approx(0.02, rel=0.02)
    assert outcome.event.kind == "fallback"
    rod.failing = {rod.projections + 1}
    with pytest.raises(PotentialError, match=FAILED):
        Projection(rod, ethanol.masses).frame(outcome.state.frame)


def test_atoms_that_are_only_carried_along_are_not_projected(ethanol: System) -> None:
    """They are brought onto the constraints by their refinement alone."""
    source: WindowSource = free(ethanol)
    move, _ = a_move(ethanol, source=source, is_lifted=True, every=1)
    assert move.source is source
    assert isinstance(a_move(ethanol, source=source)[0].source, ProjectedWindows)
    outcome = one_window(move, ethanol)
    assert outcome.event.kind == "refine"
    length, _ = bond_of(outcome.end[0])
    assert length == pytest.approx(np.linalg.norm(ethanol.positions[2] - ethanol.positions[8]))
