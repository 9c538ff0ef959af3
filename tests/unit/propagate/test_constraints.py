"""Windows of constrained systems in the loop, with an engine whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from egno_md.propagate.events import Event
from egno_md.propagate.loop import Replica, WindowLoop
from egno_md.propagate.surrogate import Surrogate

from egno_md.core.errors import PotentialError
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.propagate.constraints import FAILED, Projection
from tests.unit.propagate.test_loop import Springs, make_loop, make_replicas

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


def a_loop(system: System, policy: str, **tolerances) -> tuple[WindowLoop, Rod]:
    rod = Rod(system.positions, system.masses)
    loose = {"energy": 1e6, "temperature": 1e6, "force": "1e9 kJ/mol/nm", "bond": "9 nm"}
    loop = make_loop(system, policy, **(loose | tolerances))
    return replace(loop, reference=rod, constraints=Projection(rod, system.masses)), rod


def bond_of(frame: Frame) -> tuple[float, float]:
    a, b = BOND
    r = frame.positions[a] - frame.positions[b]
    return float(np.linalg.norm(r)), float((frame.velocities[a] - frame.velocities[b]) @ r)


def test_every_time_point_and_every_kick_keeps_the_constraint(ethanol: System) -> None:
    loop, _ = a_loop(ethanol, "fallback")
    replicas = make_replicas(ethanol)
    wanted = np.linalg.norm(ethanol.positions[2] - ethanol.positions[8])
    for window in range(4):
        for _, event, trajectory in loop.advance(replicas, window):
            assert event.kind == "accept"
            for point in range(len(trajectory)):
                length, speed = bond_of(trajectory[point])
                assert length == pytest.approx(wanted, abs=1e-9)
                assert abs(speed) < 1e-9
        assert all(abs(bond_of(r.frame)[1]) < 1e-9 for r in replicas)
    assert loop.tally.seconds["constraints"] > 0


def test_projected_windows_keep_the_momenta_of_their_start(ethanol: System) -> None:
    loop, rod = a_loop(ethanol, "off")
    start = rod.evaluate(make_replicas(ethanol, 1)[0].frame)
    window = loop._constrained(start, loop.surrogate.advance(start))
    share = ethanol.masses / ethanol.masses.sum()
    for point in range(len(window)):
        frame = window[point]
        assert np.allclose(share @ frame.velocities, share @ start.velocities, atol=1e-10)


def test_projected_windows_drift_from_where_and_when_they_start(ethanol: System) -> None:
    loop, rod = a_loop(ethanol, "off")
    start = replace(rod.evaluate(make_replicas(ethanol, 1)[0].frame), time=7.0)
    proposal = loop.surrogate.advance(start)
    window = Projection(rod, ethanol.masses).window(start, proposal)
    share = ethanol.masses / ethanol.masses.sum()
    elapsed = proposal.times - 7.0
    assert elapsed == pytest.approx([0.002, 0.004, 0.006, 0.008])
    drifted = share @ start.positions + np.outer(elapsed, share @ start.velocities)
    np.testing.assert_allclose(np.einsum("a,pax->px", share, window.positions), drifted)


@dataclass(frozen=True)
class Proposer:
    """A surrogate that always proposes the same motion from where it is."""

    like: Surrogate
    positions: np.ndarray | None = None

    @property
    def operator(self):
        return self.like.operator

    @property
    def length(self) -> float:
        return self.like.length

    lift = None

    def predict(self, frames: list[Frame]) -> list[Trajectory]:
        windows = self.like.predict(frames)
        if self.positions is None:
            return windows
        return [replace(w, positions=self.positions) for w in windows]

    def complete(self, frames: list[Frame], windows: list[Trajectory]) -> list[Trajectory]:
        return windows


def one_window(loop: WindowLoop, system: System) -> tuple[Event, Trajectory, Replica]:
    replica = make_replicas(system, 1)[0]
    ((_, event, trajectory),) = loop.advance([replica], 0)
    return event, trajectory, replica


def test_a_projection_that_fails_makes_the_window_bad(ethanol: System) -> None:
    loop, rod = a_loop(ethanol, "fallback")
    rod.failing = POINTS
    event, trajectory, _ = one_window(loop, ethanol)
    assert (event.kind, event.reason) == ("fallback", FAILED)
    assert not event.check.keeps_constraints
    assert np.isfinite(trajectory.positions).all()


def test_points_before_a_failed_projection_are_kept(ethanol: System) -> None:
    loop, rod = a_loop(ethanol, "fallback")
    rod.failing = {max(POINTS)}
    event, trajectory, _ = one_window(loop, ethanol)
    assert (event.kind, event.reason) == ("prefix", "3 of 4")
    assert np.isfinite(trajectory.positions).all()


def test_without_checks_a_failed_projection_stops_with_its_reason(ethanol: System) -> None:
    loop, rod = a_loop(ethanol, "off")
    rod.failing = POINTS
    event, _, replica = one_window(loop, ethanol)
    assert (event.kind, replica.stop_reason) == ("stop", FAILED)


def test_a_kick_that_cannot_be_projected_stops_the_replica(ethanol: System) -> None:
    loop, rod = a_loop(ethanol, "fallback")
    rod.failing = {1}
    assert one_window(loop, ethanol)[0].kind == "stop"
    loop, rod = a_loop(ethanol, "fallback")
    rod.failing = {max(POINTS) + 1}
    event, _, replica = one_window(loop, ethanol)
    assert (event.kind, replica.stop_reason) == ("stop", FAILED)


def test_bonds_are_judged_before_a_projection_mends_them(ethanol: System) -> None:
    loop, rod = a_loop(ethanol, "fallback", bond="0.05 angstrom")
    stretched = np.repeat(ethanol.positions[None], 4, axis=0)
    a, b = BOND
    stretched[:, b] += 0.02 * (stretched[:, b] - stretched[:, a]) / 0.097
    event, _, replica = one_window(
        replace(loop, surrogate=Proposer(loop.surrogate, stretched)), ethanol
    )
    assert event.check.bond_deviation == pytest.approx(0.02, rel=0.02)
    assert event.kind == "fallback"
    rod.failing = {rod.projections + 1}
    with pytest.raises(PotentialError, match=FAILED):
        Projection(rod, ethanol.masses).frame(replica.frame)
