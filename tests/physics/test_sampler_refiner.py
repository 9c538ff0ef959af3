"""What refinement makes of a lifted draw is a state of MD."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Refinement as Refined
from egno_md.core.seen import SeenAtoms
from egno_md.core.state import Frame
from egno_md.core.units import BOLTZMANN
from egno_md.geometry.lift import Lift
from egno_md.md.build import BuiltSystem, load_system
from egno_md.md.engine import NVT, OpenMMEngine
from egno_md.md.refine.draws import LangevinDynamics, SamplerRefiner
from egno_md.spec.propagate import Refinement

KELVIN = 300.0
FRAMES = 60
STANDARD_ERRORS = 4.0
"""Of the difference of two means of independent frames."""

KEPT = 0.04
"""nm, root mean square of heavy atoms: thermal motion over 0.2 ps, far below a change of basin."""


@pytest.fixture(scope="module")
def built() -> BuiltSystem:
    return load_system("ala2/hmr")


@pytest.fixture(scope="module")
def engine(built: BuiltSystem) -> OpenMMEngine:
    return OpenMMEngine(
        built, timestep=0.004, kelvin=KELVIN, friction=1.0, seed=3, thermostat="langevin-middle"
    )


@pytest.fixture(scope="module")
def frames(engine: OpenMMEngine) -> list[Frame]:
    """Of MD, 2 ps apart."""
    engine.start()
    engine.skip(5000)
    return [engine.run(500, 500, ensemble=NVT)[0] for _ in range(FRAMES)]


@pytest.fixture(scope="module")
def lifted(built: BuiltSystem, frames: list[Frame]) -> np.ndarray:
    seen = SeenAtoms.of(built.system, "heavy")
    lift = Lift.relaxed(built.system, seen.atoms, frames[0].positions)
    return lift.positions(None, np.array([f.positions[seen.atoms] for f in frames]))


def refiner(built: BuiltSystem, engine: OpenMMEngine, **changes: object) -> SamplerRefiner:
    spec = {"dynamics": "0.2 ps", "restraint": "5000 kJ/mol/nm**2"} | changes
    dynamics = LangevinDynamics(engine, KELVIN)
    return SamplerRefiner(built, Refinement.model_validate(spec), dynamics, "auto")


def refine(tool: SamplerRefiner, positions: np.ndarray, random: np.random.Generator) -> Refined:
    draw = Frame(positions, np.zeros_like(positions))
    return tool.refine(draw, draw, random)


def test_refined_frames_have_the_energy_and_temperature_of_md(
    built: BuiltSystem, engine: OpenMMEngine, frames: list[Frame], lifted: np.ndarray
) -> None:
    tool, random = refiner(built, engine), np.random.default_rng(0)
    found = [refine(tool, x, random) for x in lifted]
    by_md = np.array([f.potential_energy for f in frames])
    by_us = np.array([r.frame.potential_energy for r in found])
    error = np.sqrt((by_md.var() + by_us.var()) / FRAMES)
    assert abs(by_us.mean() - by_md.mean()) < STANDARD_ERRORS * error
    assert np.mean([r.displacement for r in found]) < KEPT
    masses, freedom = built.system.masses[:, None], built.system.degrees_of_freedom
    twice = np.array([(masses * r.frame.velocities**2).sum() for r in found])
    kelvin = twice / (freedom * BOLTZMANN)
    assert abs(kelvin.mean() - KELVIN) < STANDARD_ERRORS * kelvin.std() / np.sqrt(FRAMES)


def test_a_stretch_depends_on_its_start_and_its_stream_alone(
    built: BuiltSystem, engine: OpenMMEngine, lifted: np.ndarray
) -> None:
    tool = refiner(built, engine)
    first = refine(tool, lifted[0], np.random.default_rng(5)).frame
    refine(tool, lifted[1], np.random.default_rng(6))
    other = OpenMMEngine(built, timestep=0.004, kelvin=KELVIN, friction=1.0, seed=9)
    other.start()
    other.skip(7)
    again = refine(tool, lifted[0], np.random.default_rng(5)).frame
    assert np.array_equal(first.positions, again.positions)
    assert np.array_equal(first.velocities, again.velocities)


def test_constraints_hold_after_refinement(
    built: BuiltSystem, engine: OpenMMEngine, frames: list[Frame], lifted: np.ndarray
) -> None:
    frame = refine(refiner(built, engine), lifted[0], np.random.default_rng(1)).frame
    i, j = built.system.constraints.T
    r, v = frame.positions[i] - frame.positions[j], frame.velocities[i] - frame.velocities[j]
    right = np.linalg.norm(frames[0].positions[i] - frames[0].positions[j], axis=1)
    assert np.abs(np.linalg.norm(r, axis=1) / right - 1).max() < 1e-3
    assert np.abs(np.einsum("cx,cx->c", r, v)).max() < 1e-4


def test_a_clash_relaxes_and_a_wreck_is_refused(
    built: BuiltSystem, engine: OpenMMEngine, lifted: np.ndarray
) -> None:
    noisy = lifted[0] + 0.02 * np.random.default_rng(2).standard_normal(lifted[0].shape)
    found = refine(refiner(built, engine), noisy, np.random.default_rng(1))
    assert found.max_force < Refinement().max_force
    strict = refiner(built, engine, max_blocks=1, block_iterations=1, max_force="1 kJ/mol/nm")
    with pytest.raises(PotentialError, match="after 1 blocks. Draw again"):
        refine(strict, noisy, np.random.default_rng(1))


def test_md_in_place_of_a_draw_is_recorded_at_its_points(
    engine: OpenMMEngine, frames: list[Frame]
) -> None:
    window = LangevinDynamics(engine, KELVIN).window(
        frames[0], (0.4, 0.8), 1.0, np.random.default_rng(0)
    )
    assert np.allclose(window.times - frames[0].time, [0.4, 0.8])
    assert np.isfinite(window.positions).all()
    assert window.potential_energy is not None


def test_md_in_place_of_a_draw_does_not_heat_at_its_time_points(
    engine: OpenMMEngine, frames: list[Frame]
) -> None:
    """Velocities drawn anew at 200 points 20 fs apart heated stiff bonds until they broke."""
    points = 0.02 * np.arange(1, 201)
    window = LangevinDynamics(engine, KELVIN).window(
        frames[0], points.tolist(), 1.0, np.random.default_rng(3)
    )
    assert window.potential_energy is not None
    by_md = np.array([f.potential_energy for f in frames])
    late = window.potential_energy[50:].reshape(6, -1).mean(axis=1)
    error = np.sqrt(late.var(ddof=1) / 6 + by_md.var() / FRAMES)
    assert abs(late.mean() - by_md.mean()) < STANDARD_ERRORS * error


def test_md_in_place_of_a_draw_is_one_run_of_langevin_middle(
    engine: OpenMMEngine, frames: list[Frame]
) -> None:
    """In between its velocities are the integrator's own, at the end they are drawn."""
    dynamics = LangevinDynamics(engine, KELVIN)
    window = dynamics.window(frames[2], (0.2, 0.4), 1.0, np.random.default_rng(8))
    random = np.random.default_rng(8)
    engine.load(frames[2])
    frame = replace(frames[2], velocities=dynamics.velocities(random))
    for point in range(2):
        frame = dynamics.stretch(frame, 0.2, 1.0, random)
        assert np.array_equal(window.positions[point], frame.positions)
        assert np.array_equal(window.velocities[point], frame.velocities) is (point == 0)
    assert np.array_equal(window.velocities[1], dynamics.velocities(random))


def mean_energy(move, start: Frame, stretches: int, duration: float) -> tuple[float, float]:
    """Potential energy at the ends of stretches, one after another, and its error."""
    random, found = np.random.default_rng(4), []
    for _ in range(stretches):
        start = move(start, duration, 1.0, random)
        found.append(start.potential_energy)
    blocks = np.array(found[stretches // 5 :]).reshape(8, -1).mean(axis=1)
    return float(blocks.mean()), float(blocks.std(ddof=1) / np.sqrt(8))


def test_seams_of_stretches_do_not_heat_and_those_of_drawn_velocities_do(
    engine: OpenMMEngine, frames: list[Frame]
) -> None:
    """500 seams 20 fs apart; with velocities drawn anew so often MD at 4 fs explodes."""
    dynamics = LangevinDynamics(engine, KELVIN)
    by_md = np.array([f.potential_energy for f in frames])
    kept, error = mean_energy(dynamics.stretch, frames[0], 500, 0.02)
    scale = np.sqrt(error**2 + by_md.var() / FRAMES)
    assert abs(kept - by_md.mean()) < STANDARD_ERRORS * scale
    redrawn, _ = mean_energy(dynamics.run, frames[0], 160, 0.4)
    assert redrawn > kept + STANDARD_ERRORS * scale


def test_a_stretch_depends_on_its_start_and_stream_alone(
    engine: OpenMMEngine, frames: list[Frame]
) -> None:
    dynamics = LangevinDynamics(engine, KELVIN)
    ends = []
    for _ in range(2):
        ends.append(dynamics.stretch(frames[3], 0.2, 1.0, np.random.default_rng(9)))
        dynamics.stretch(frames[7], 0.04, 1.0, np.random.default_rng(1))
    assert np.array_equal(ends[0].positions, ends[1].positions)
    assert np.array_equal(ends[0].velocities, ends[1].velocities)
