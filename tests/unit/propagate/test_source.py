"""Windows of operators, of all atoms or of some that carry the others; of samplers; of MD."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from egno_md.core.errors import PotentialError
from egno_md.core.seen import SeenAtoms
from egno_md.core.selection import reduce_system
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.geometry.lift import Lift
from egno_md.nn.sampler import BoundSampler
from egno_md.propagate.source import (
    ExactWindows,
    OperatorWindows,
    SamplerWindows,
    ThermostattedWindows,
)
from egno_md.propagate.state import ReplicaState
from tests.conftest import make_operator, make_sampler
from tests.unit.propagate.springs import Springs

POINTS = (10.0, 20.0, 30.0, 40.0)


def make_frames(system: System) -> list[Frame]:
    random = np.random.default_rng(0)
    return [
        Frame(
            system.positions + 0.002 * random.standard_normal((system.n_atoms, 3)),
            0.5 * random.standard_normal((system.n_atoms, 3)),
            time,
            forces=100.0 * random.standard_normal((system.n_atoms, 3)),
        )
        for time in (0.0, 5.0)
    ]


def states_at(*frames: Frame) -> list[ReplicaState]:
    return [ReplicaState(i, f, np.random.default_rng(i)) for i, f in enumerate(frames)]


def windows_of(source: Any, *frames: Frame) -> list[Trajectory]:
    return [proposal.window for proposal in source.propose(states_at(*frames))]


def test_windows_of_all_atoms_keep_both_momenta(ethanol: System) -> None:
    source, masses = (
        OperatorWindows(make_operator(ethanol).bind(ethanol), ethanol.masses),
        ethanol.masses,
    )
    frames = make_frames(ethanol)
    for frame, window in zip(frames, windows_of(source, *frames), strict=True):
        assert window.velocities is not None
        np.testing.assert_allclose(window.times, frame.time + np.array(source.window.time_points))
        for x, v in zip(window.positions, window.velocities, strict=True):
            np.testing.assert_allclose(masses @ v, masses @ frame.velocities, atol=1e-9)
            spin, before = (
                masses @ np.cross(a - masses @ a / masses.sum(), b)
                for a, b in ((x, v), (frame.positions, frame.velocities))
            )
            np.testing.assert_allclose(spin, before, atol=1e-9)


def test_many_frames_at_once_give_what_each_gives_alone(ethanol: System) -> None:
    source, frames = (
        OperatorWindows(make_operator(ethanol).bind(ethanol), ethanol.masses),
        make_frames(ethanol),
    )
    together = windows_of(source, *frames)
    for frame, window in zip(frames, together, strict=True):
        (alone,) = windows_of(source, frame)
        np.testing.assert_allclose(window.positions, alone.positions, atol=1e-6)
        np.testing.assert_allclose(window.velocities, alone.velocities, atol=1e-4)


def test_the_box_of_the_start_is_that_of_every_point(ethanol: System) -> None:
    source, box = (
        OperatorWindows(make_operator(ethanol).bind(ethanol), ethanol.masses),
        np.diag([3.0, 4.0, 5.0]),
    )
    (window,) = windows_of(source, replace(make_frames(ethanol)[0], box=box))
    np.testing.assert_array_equal(window.box, [box] * len(window))


def test_heavy_atoms_are_predicted_and_carry_the_others(ala2: System) -> None:
    lift, frames = Lift.of(ala2, "heavy"), make_frames(ala2)
    operator = make_operator(reduce_system(ala2, "heavy")).bind()
    source = OperatorWindows(operator, ala2.masses, lift)
    predicted = source._predict(frames)
    for frame, few, window in zip(frames, predicted, windows_of(source, *frames), strict=True):
        assert few.positions.shape == (4, 10, 3)
        assert window.positions.shape == (4, 22, 3)
        np.testing.assert_array_equal(window.positions[:, lift.chosen], few.positions)
        expected = lift.window(frame, few)
        np.testing.assert_array_equal(window.positions, expected.positions)
        np.testing.assert_array_equal(window.velocities, expected.velocities)
    assert source.clocks.seconds["lift"] > 0
    assert source.clocks.seconds["network"] > 0


def make_source(system: System, operator: Any, **draws: Any) -> SamplerWindows:
    atoms = SeenAtoms.of(system, "heavy").atoms
    lift = Lift.relaxed(system, atoms, system.positions)
    return SamplerWindows(BoundSampler(operator, atoms), lift, **{"steps": 2, **draws})


def at_rest(system: System, *shifts: Any) -> list[Frame]:
    still = np.zeros_like(system.positions)
    return [Frame(system.positions + shift, still) for shift in shifts]


def test_draws_stand_where_the_frame_stands_and_depend_on_their_own_stream(ala2: System) -> None:
    source = make_source(ala2, make_sampler(ala2))
    streams = [np.random.default_rng(i) for i in (7, 7)]
    windows = source.draw(at_rest(ala2, 0.0, 500.0), streams)
    assert np.abs(windows[1] - 500.0 - windows[0]).max() < 1e-5
    assert streams[0].bit_generator.state == streams[1].bit_generator.state


def test_a_sampler_proposes_its_lifted_draws_without_velocities(ala2: System) -> None:
    source = make_source(ala2, make_sampler(ala2))
    (frame,) = at_rest(ala2, 0.0)
    frame = replace(frame, time=5.0)
    (proposal,) = source.propose([ReplicaState(0, frame, np.random.default_rng(3))])
    drawn = source.draw([frame], [np.random.default_rng(3)])
    np.testing.assert_array_equal(proposal.window.positions, source.lift.positions(None, drawn)[0])
    assert proposal.window.times.tolist() == [15.0, 25.0, 35.0, 45.0]
    assert not proposal.has_velocities
    assert source.kind == "sampler"
    assert not source.needs_forces


def test_the_network_sees_every_frame_about_its_own_centre(ala2: System) -> None:
    told: list[torch.Tensor] = []
    operator = make_sampler(ala2)
    draw = operator.draw
    operator.draw = lambda start, *rest: told.append(start) or draw(start, *rest)  # type: ignore[method-assign]
    frames = at_rest(ala2, [0, 0, 0], [300, -20, 7.0])
    make_source(ala2, operator, steps=1).draw(frames, [np.random.default_rng(i) for i in (0, 1)])
    np.testing.assert_allclose(told[0].mean(dim=1).numpy(), 0, atol=1e-6)


def test_the_solver_is_the_one_asked_for(ala2: System) -> None:
    drawn = [
        make_source(ala2, make_sampler(ala2), solver=solver).draw(
            at_rest(ala2, 0.0), [np.random.default_rng(0)]
        )
        for solver in ("euler", "heun")
    ]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-6


class Elsewhere:
    """An operator on a device of its own, in double precision."""

    card = type("Card", (), {"window": Window(POINTS)})

    def parameters(self):
        yield torch.zeros(1, device="meta", dtype=torch.float64)

    def draw(self, start, noise, steps, solver) -> torch.Tensor:
        assert {t.device.type for t in (start, noise)} == {"meta"}
        assert {t.dtype for t in (start, noise)} == {torch.float64}
        return torch.zeros(*noise.shape)


def test_frames_and_noise_go_to_the_device_of_the_operator(ala2: System) -> None:
    window = make_source(ala2, Elsewhere()).draw(at_rest(ala2, 0.0), [np.random.default_rng(0)])
    assert window.shape == (1, 4, 10, 3)


class Stuck:
    """MD of either kind that cannot move."""

    def window(self, frame: Frame, *_: Any) -> Trajectory:
        raise PotentialError("springs are stuck")


def test_md_proposes_its_own_windows_with_their_energies(ethanol: System) -> None:
    springs = Springs(ethanol.positions, ethanol.masses)
    source = ExactWindows(springs, Window.uniform(0.008, 4))
    (frame, _) = make_frames(ethanol)
    (proposal,) = source.propose(states_at(frame))
    exact = springs.window(frame, [0.002, 0.004, 0.006, 0.008])
    np.testing.assert_array_equal(proposal.window.positions, exact.positions)
    assert proposal.end.potential_energy == exact.potential_energy[-1]
    assert not source.needs_forces


def test_langevin_windows_take_their_noise_from_the_replica(ethanol: System) -> None:
    asked = []

    class Dynamics(Springs):
        def window(self, frame, elapsed, friction, random) -> Trajectory:  # type: ignore[override]
            asked.append((friction, random))
            return super().window(frame, elapsed)

    dynamics: Any = Dynamics(ethanol.positions, ethanol.masses)
    states = states_at(*make_frames(ethanol))
    ThermostattedWindows(dynamics, Window.uniform(0.008, 4), 2.0).propose(states)
    assert asked == [(2.0, state.random) for state in states]


def test_md_that_fails_says_why_instead_of_a_window(ethanol: System) -> None:
    stuck, window = Stuck(), Window.uniform(0.008, 4)
    sources: list[Any] = [ExactWindows(stuck, window), ThermostattedWindows(stuck, window, 1.0)]  # type: ignore[arg-type]
    for source in sources:
        proposals = source.propose(states_at(*make_frames(ethanol)))
        assert [p.problem for p in proposals] == ["springs are stuck"] * 2
        assert [len(p.window) for p in proposals] == [0, 0]
