"""The sampler's loop with draws whose faults are known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from egno_md.propagate.checks import Checker
from egno_md.propagate.controller import Controller, RunningTemperature
from egno_md.propagate.drawing import Drawer
from egno_md.propagate.loop import Replica
from egno_md.propagate.sampler_loop import SamplerLoop

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Refinement
from egno_md.core.seen import SeenAtoms
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.geometry.lift import Lift
from egno_md.propagate.shapes import Shapes
from egno_md.spec.propagate import Draws, Tolerances
from tests.conftest import make_sampler

KELVIN = 300.0
POINTS = (10.0, 20.0, 30.0, 40.0)
FAULT = "contact of"


@dataclass
class Scripted:
    """Draws the start again; broken so often per replica as it is told."""

    seen: SeenAtoms
    lift: Lift
    draws: Draws
    broken: list[int] = field(default_factory=lambda: [0, 0])
    time_points: tuple[float, ...] = POINTS
    batches: list[int] = field(default_factory=list)

    def draw(self, frames, random) -> np.ndarray:
        self.batches.append(len(frames))
        windows = np.stack([np.repeat(f.positions[None, self.seen.atoms], 4, 0) for f in frames])
        for place, generator in enumerate(random):
            replica = int(generator.bit_generator.seed_seq.entropy)
            if self.broken[replica] > 0:
                self.broken[replica] -= 1
                windows[place, 2, 0] = windows[place, 2, -1]
        return windows


@dataclass
class Exact:
    """MD that stands still, and a refiner that may fail."""

    calls: list[str] = field(default_factory=list)
    fails: int = 0

    def window(self, frame, elapsed, friction, random) -> Trajectory:
        self.calls.append("window")
        x = np.repeat(frame.positions[None], len(elapsed), 0)
        return Trajectory(x, frame.time + np.array(elapsed), velocities=np.zeros_like(x))

    def refine(self, positions, random) -> Refinement:
        self.calls.append("refine")
        if self.fails:
            self.fails -= 1
            raise PotentialError("refinement of ala2 ended with a force of 1e6")
        frame = Frame(positions, np.zeros_like(positions), forces=np.zeros_like(positions))
        return Refinement(
            replace(frame, potential_energy=-1.0), 1, 0.01, 1.0, np.zeros(len(positions))
        )


def make_loop(
    system: System,
    *,
    exact: Exact | None = None,
    broken=(0, 0),
    points=False,
    refine_every=1,
    **draws,
):
    seen = SeenAtoms.of(system, "heavy")
    lift = Lift.relaxed(system, seen.atoms, system.positions)
    exact = exact or Exact()
    tolerances = Tolerances()
    drawer = Scripted(seen, lift, Draws(**draws), list(broken))
    loop = SamplerLoop(
        drawer=drawer,  # type: ignore[arg-type]
        dynamics=exact,
        refiner=lambda: exact,
        shapes=Shapes.of(system, system.positions, tolerances),
        checker=Checker.of(system, system.positions),
        controller=Controller("fallback", tolerances, KELVIN, KELVIN, system.degrees_of_freedom),
        friction=1.0,
        refine_every=refine_every,
        saves_points=points,
    )
    return loop, exact


def make_replicas(system: System) -> list[Replica]:
    still = np.zeros_like(system.positions)
    return [
        Replica(
            Frame(system.positions, still),
            np.random.default_rng(i),
            RunningTemperature({"all": 1.0}),
            np.zeros(0),
        )
        for i in range(2)
    ]


def test_every_second_end_is_refined_and_time_goes_on(ala2: System) -> None:
    loop, exact = make_loop(ala2, refine_every=2)
    replicas = make_replicas(ala2)
    for window in range(4):
        for index, event, trajectory in loop.advance(replicas, window):
            assert event.kind == ("refine" if window % 2 else "accept")
            assert trajectory.times.tolist() == [40.0 * (window + 1)]
            assert replicas[index].frame.time == 40.0 * (window + 1)
            assert (trajectory.velocities is None) == (window % 2 == 0)
    assert exact.calls == ["refine"] * 4
    assert loop.tally.events == {"accept": 4, "refine": 4}


def test_a_refined_end_brings_its_energy_and_forces_and_how_far_it_moved(ala2: System) -> None:
    loop, _ = make_loop(ala2)
    for _, _, trajectory in loop.advance(make_replicas(ala2), 0):
        assert trajectory.potential_energy is not None
        assert trajectory.potential_energy.tolist() == [-1.0]
        assert trajectory.forces is not None
        assert trajectory.forces.shape == trajectory.positions.shape
    assert loop.tally.mean("refinement_shift") == 0.01
    assert loop.tally.mean("potential_energy") == -1.0


def test_never_refined_windows_keep_every_point(ala2: System) -> None:
    loop, exact = make_loop(ala2, refine_every=0, points=True)
    found = list(loop.advance(make_replicas(ala2), 0))
    assert [len(t) for _, _, t in found] == [4, 4]
    assert exact.calls == []


def test_only_a_window_that_does_not_hold_is_drawn_again(ala2: System) -> None:
    loop, exact = make_loop(ala2, broken=(0, 2), refine_every=0)
    found = {i: e for i, e, _ in loop.advance(make_replicas(ala2), 0)}
    assert loop.drawer.batches == [2, 1, 1]  # type: ignore[attr-defined]
    assert found[0].reason == ""
    assert found[1].reason.startswith("drawn again after: ")
    assert loop.tally.moments["redraws"][1] == 2
    assert exact.calls == []


def test_md_takes_a_window_that_no_draw_fills(ala2: System) -> None:
    loop, exact = make_loop(ala2, broken=(9, 0), redraws=2, refine_every=0)
    found = {i: e for i, e, _ in loop.advance(make_replicas(ala2), 0)}
    assert {i: e.kind for i, e in found.items()} == {0: "fallback", 1: "accept"}
    assert exact.calls == ["window"]
    assert loop.tally.seconds["fallback"] > 0


class Stuck(Exact):
    """MD that cannot move either."""

    def window(self, frame, elapsed, friction, random) -> Trajectory:
        raise PotentialError("no force on ala2 is finite")


def test_a_replica_that_neither_draws_nor_md_can_move_ends_without_frames(ala2: System) -> None:
    loop, _ = make_loop(ala2, exact=Stuck(), broken=(9, 0), redraws=1, refine_every=0)
    replicas = make_replicas(ala2)
    found = {i: (e, t) for i, e, t in loop.advance(replicas, 3)}
    event, trajectory = found[0]
    assert (event.kind, event.reason) == ("stop", "no force on ala2 is finite")
    assert (event.replica, event.window, event.time) == (0, 3, 0.0)
    assert trajectory.positions.shape == (0, 22, 3)
    assert replicas[0].stop_reason == event.reason
    assert loop.tally.events == {"stop": 1, "accept": 1}
    assert (replicas[1].frame.velocities == 0).all(), "a draw has no velocities"


def test_a_failed_refinement_is_a_reason_to_draw_again(ala2: System) -> None:
    loop, exact = make_loop(ala2, exact=Exact(fails=1))
    found = {i: e for i, e, _ in loop.advance(make_replicas(ala2), 0)}
    assert {e.kind for e in found.values()} == {"refine"}
    assert "ended with a force" in found[0].reason
    assert exact.calls == ["refine"] * 3


def test_a_stopped_replica_is_left_alone(ala2: System) -> None:
    loop, _ = make_loop(ala2)
    replicas = make_replicas(ala2)
    replicas[0].stop_reason = "done"
    assert [i for i, _, _ in loop.advance(replicas, 0)] == [1]


@pytest.fixture
def shapes(ala2: System) -> Shapes:
    return Shapes.of(ala2, ala2.positions, Tolerances())


def test_each_fault_of_a_shape_is_named(shapes: Shapes, ala2: System) -> None:
    whole = np.stack([ala2.positions[None]] * 5)
    names = [a.name for a in ala2.topology.atoms]
    whole[1, 0, 0] = np.nan
    whole[2, 0, names.index("CB")] += 0.2
    alpha = names.index("CA")
    hydrogen, beta = names.index("HA"), names.index("CB")
    arms = ala2.positions[[hydrogen, beta]] - ala2.positions[alpha]
    sizes = np.linalg.norm(arms, axis=1)
    side = [i for i in range(22) if names[i] in ("HB1", "HB2", "HB3")]
    moved = ala2.positions[alpha] + arms[0] / sizes[0] * sizes[1]
    whole[3, 0, hydrogen] = ala2.positions[alpha] + arms[1] / sizes[1] * sizes[0]
    whole[3, 0, side] += moved - ala2.positions[beta]
    whole[3, 0, beta] = moved
    omega = shapes.stereo.peptides[0]
    axis = ala2.positions[omega[2]] - ala2.positions[omega[1]]
    axis /= np.linalg.norm(axis)
    first = [i for i in range(22) if ala2.topology.atom(i).residue.index == 0]
    x = ala2.positions[first] - ala2.positions[omega[1]]
    whole[4, 0, first] = ala2.positions[omega[1]] + 2 * np.outer(x @ axis, axis) - x
    found = shapes.problems(np.stack([ala2.positions] * 5), whole)
    assert found[0] is None
    assert found[1] == "not finite"
    assert str(found[2]).startswith("bond off by")
    assert str(found[3]).endswith("centres inverted")
    assert "peptide bonds turned over" in str(found[4])


def test_draws_stand_where_the_frame_stands_and_depend_on_their_own_stream(ala2: System) -> None:
    operator = make_sampler(ala2)
    seen = SeenAtoms.of(ala2, "heavy")
    lift = Lift.relaxed(ala2, seen.atoms, ala2.positions)
    drawer = Drawer(operator, seen, lift, Draws(steps=2))
    far = Frame(ala2.positions + 500.0, np.zeros_like(ala2.positions))
    near = Frame(ala2.positions, np.zeros_like(ala2.positions))
    streams = [np.random.default_rng(i) for i in (7, 7)]
    windows = drawer.draw([near, far], streams)
    assert np.abs(windows[1] - 500.0 - windows[0]).max() < 1e-5
    assert streams[0].bit_generator.state == streams[1].bit_generator.state


def make_drawer(system: System, operator: object, **draws: object) -> Drawer:
    seen = SeenAtoms.of(system, "heavy")
    lift = Lift.relaxed(system, seen.atoms, system.positions)
    return Drawer(operator, seen, lift, Draws.model_validate(draws))  # type: ignore[arg-type]


def test_the_network_sees_every_frame_about_its_own_centre(ala2: System) -> None:
    told: list[torch.Tensor] = []
    operator = make_sampler(ala2)
    draw = operator.draw
    operator.draw = lambda start, *rest: told.append(start) or draw(start, *rest)  # type: ignore[method-assign]
    still = np.zeros_like(ala2.positions)
    frames = [Frame(ala2.positions + far, still) for far in ([0, 0, 0], [300, -20, 7.0])]
    make_drawer(ala2, operator, steps=1).draw(frames, [np.random.default_rng(i) for i in (0, 1)])
    np.testing.assert_allclose(told[0].mean(dim=1).numpy(), 0, atol=1e-6)


def test_the_solver_is_the_one_asked_for(ala2: System) -> None:
    frames = [Frame(ala2.positions, np.zeros_like(ala2.positions))]
    drawn = [
        make_drawer(ala2, make_sampler(ala2), steps=2, solver=solver).draw(
            frames, [np.random.default_rng(0)]
        )
        for solver in ("euler", "heun")
    ]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-6


class Elsewhere:
    """An operator on a device of its own, in double precision."""

    card = type("Card", (), {"time_points": POINTS})

    def parameters(self):
        yield torch.zeros(1, device="meta", dtype=torch.float64)

    def draw(self, start, noise, steps, solver) -> torch.Tensor:
        assert {t.device.type for t in (start, noise)} == {"meta"}
        assert {t.dtype for t in (start, noise)} == {torch.float64}
        return torch.zeros(*noise.shape)


def test_frames_and_noise_go_to_the_device_of_the_operator(ala2: System) -> None:
    still = np.zeros_like(ala2.positions)
    window = make_drawer(ala2, Elsewhere()).draw(
        [Frame(ala2.positions, still)], [np.random.default_rng(0)]
    )
    assert window.shape == (1, 4, 10, 3)
