"""The loop of a corrected sampler: what is drawn, kept, counted and recorded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from egno_md.core.errors import PotentialError
from egno_md.core.system import System
from egno_md.core.units import kinetic_energy
from egno_md.geometry.rotors import find_rotors
from tests.metropolis_toy import Still, Surface, make_chain, make_replicas, visited

COLD = {"draws": 2, "uniform": 0.5}


class Moving(Still):
    """MD that shifts every atom, so that each stretch can be told."""

    def __init__(self) -> None:
        self.starts: list = []

    def stretch(self, frame, duration, friction, random):
        self.starts.append(frame)
        return replace(frame, positions=frame.positions + 1.0, potential_energy=-3.0)


def test_every_window_is_a_move_and_then_md_whether_or_not_it_is_made(ala2: System) -> None:
    dynamics = Moving()
    loop = replace(make_chain(ala2, dynamics="2 ps"), dynamics=dynamics)
    replicas = make_replicas(ala2, 6)
    kinds = []
    for window in range(6):
        before = [r.frame for r in replicas]
        for index, event, trajectory in loop.advance(replicas, window):
            start = dynamics.starts[len(kinds)]
            assert (start is before[index]) == (event.kind == "stay")
            assert event.reason.startswith("energy ")
            assert trajectory.times.tolist() == [2.0 * (window + 1)]
            assert trajectory.potential_energy is not None
            assert trajectory.potential_energy.tolist() == [-3.0]
            assert trajectory.velocities is not None
            assert replicas[index].frame.time == 2.0 * (window + 1)
            kinds.append(event.kind)
    assert set(kinds) == {"accept", "stay"}
    assert loop.tally.events == {k: kinds.count(k) for k in set(kinds)}
    assert loop.tally.mean("moves_accepted") == kinds.count("accept") / len(kinds)
    assert loop.tally.mean("potential_energy") == -3.0
    assert loop.tally.seconds["dynamics"] > 0


def test_both_ends_of_a_move_are_drawn_from_with_fresh_noise(ala2: System) -> None:
    loop = make_chain(ala2, draws=3)
    draw, told = loop.drawer.draw, []

    def listen(frames, random):
        told.append([f.positions for f in frames])
        return draw(frames, random)

    loop.drawer.draw = listen  # type: ignore[method-assign]
    replicas = make_replicas(ala2, 4)
    list(loop.advance(replicas, 0))
    ahead, back = told
    assert len(ahead) == 4 * 3
    weighed = round(4 * (loop.tally.mean("moves_weighed") or 0.0))
    assert len(back) == weighed * 3
    assert not any(np.array_equal(a, b) for a in back for b in ahead), "from the other end"
    assert loop.tally.moments["windows_drawn"][1] == len(ahead) + len(back)


def test_hopeless_moves_are_settled_without_a_way_back(ala2: System) -> None:
    class Steep(Surface):
        def energy(self, angles):
            return 1e6 * (angles**2).sum(-1)

    loop = replace(make_chain(ala2), evaluator=Steep(find_rotors(ala2)))
    replicas = make_replicas(ala2, 4)
    for replica in replicas:
        x, v = loop.rotors.turned(
            replica.frame.positions, replica.frame.velocities,
            -loop.rotors.angles(replica.frame.positions),
        )  # fmt: skip
        replica.frame = replace(replica.frame, positions=x, velocities=v)
    assert {e.kind for _, e, _ in loop.advance(replicas, 0)} == {"stay"}
    assert loop.tally.mean("moves_weighed") == 0
    assert loop.tally.moments["windows_drawn"][1] == 4 * 4


@pytest.mark.parametrize("energy", [np.nan, np.inf])
def test_a_move_to_where_there_is_no_energy_is_not_made(ala2: System, energy: float) -> None:
    class Broken(Surface):
        def evaluate_all(self, frames):
            self.calls = getattr(self, "calls", 0) + 1
            value = 0.0 if self.calls % 2 else energy
            return {i: replace(f, potential_energy=value) for i, f in frames.items()}

    loop = replace(make_chain(ala2), evaluator=Broken(find_rotors(ala2)))
    assert {e.kind for _, e, _ in loop.advance(make_replicas(ala2, 3), 0)} == {"stay"}


def test_at_uniform_one_nothing_is_drawn(ala2: System) -> None:
    loop = make_chain(ala2, uniform=1)
    loop.drawer.draw = None  # type: ignore[assignment,method-assign]
    visited(loop, make_replicas(ala2, 3), 3, 0)
    assert loop.tally.mean("moves_weighed") == pytest.approx(1.0, abs=0.7)


def test_wild_draws_are_neither_looked_at_nor_fatal(ala2: System) -> None:
    loop = make_chain(ala2, uniform=0)
    loop.drawer.draw = lambda frames, _: np.full((len(frames), 4, 10, 3), np.inf)  # type: ignore[method-assign]
    angles = visited(loop, make_replicas(ala2, 8), 6, 0)
    assert np.isfinite(angles).all()
    assert 0 < (loop.tally.mean("moves_accepted") or 0.0) < 1


def test_some_torsions_at_a_time_leave_the_others(ala2: System) -> None:
    loop = make_chain(ala2, torsions=1)
    replicas = make_replicas(ala2, 8)
    for window in range(5):
        before = loop.rotors.angles(np.stack([r.frame.positions for r in replicas]))
        list(loop.advance(replicas, window))
        after = loop.rotors.angles(np.stack([r.frame.positions for r in replicas]))
        away = np.abs(np.angle(np.exp(1j * (after - before))))
        assert ((away > 1e-9).sum(axis=1) <= 1).all()


def test_a_move_keeps_kinetic_energy_on_average_and_no_momentum(ala2: System) -> None:
    loop = make_chain(ala2)
    (replica,) = make_replicas(ala2, 1)
    random = np.random.default_rng(3)
    velocities = random.standard_normal(ala2.positions.shape)
    velocities -= ala2.masses @ velocities / ala2.masses.sum()
    replica.frame = replace(replica.frame, velocities=velocities)
    moved = [loop._turned(replica, loop.rotors, np.array([1.0, 2.0])) for _ in range(400)]
    momenta = np.array([ala2.masses @ f.velocities for f in moved])
    assert np.abs(momenta).max() < 1e-9
    energies = np.array([kinetic_energy(f.velocities, ala2.masses) for f in moved])
    assert energies.std() > 0, "the centre of mass has a velocity while half of it turns"
    assert len({f.velocities.tobytes() for f in moved}) == 400


def test_a_replica_that_md_cannot_move_ends(ala2: System) -> None:
    class Stuck(Still):
        def stretch(self, frame, duration, friction, random):
            raise PotentialError("no force on ala2 is finite")

    loop = replace(make_chain(ala2), dynamics=Stuck())
    replicas = make_replicas(ala2, 2)
    found = list(loop.advance(replicas, 0))
    assert [e.kind for _, e, _ in found] == ["stop", "stop"]
    assert all(len(t) == 0 for _, _, t in found)
    assert list(loop.advance(replicas, 1)) == []


def test_a_replicas_path_depends_on_its_own_stream(ala2: System) -> None:
    together, alone = make_replicas(ala2, 3), make_replicas(ala2, 3)[1:2]
    visited(make_chain(ala2, **COLD), together, 4, 0)
    visited(make_chain(ala2, **COLD), alone, 4, 0)
    assert np.array_equal(together[1].frame.positions, alone[0].frame.positions)
