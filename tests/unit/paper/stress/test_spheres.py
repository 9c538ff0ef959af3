"""Spheres in a harmonic attraction: what they conserve, how they bounce, where they start."""

from __future__ import annotations

import math

import numpy as np
import pytest

from egno_md.paper.stress.spec import SpheresQuestion, StressSizes
from egno_md.paper.stress.spheres import (
    FIRST,
    SECOND,
    Repulsion,
    bounce_on,
    simulate_spheres,
    spheres_task,
    velocity_decorrelation_time,
)

SPHERES = SpheresQuestion(diameter=1.25, stiffness=20.0)
ROUNDING = 1e-10
SPLITTING = 4e-3
"""Energy error of kicks every 0.005, in thermal energies."""


def energy(x: np.ndarray, v: np.ndarray, stiffness: float) -> np.ndarray:
    r = np.linalg.norm(x[..., FIRST, :] - x[..., SECOND, :], axis=-1)
    # pairwise attraction of total frequency 1: k/2 Σ r² with k = 1/5
    attraction = 0.1 * np.square(r).sum(-1)
    repulsion = 0.5 * stiffness * np.square(np.maximum(SPHERES.diameter - r, 0)).sum(-1)
    return 0.5 * np.square(v).sum((-2, -1)) + attraction + repulsion


@pytest.mark.parametrize(
    ("repulsion", "stiffness", "tolerance"),
    [("hard", 0.0, ROUNDING), ("soft", SPHERES.stiffness, SPLITTING), ("none", 0.0, ROUNDING)],
)
def test_energy_momentum_and_angular_momentum_are_kept(
    repulsion: Repulsion, stiffness: float, tolerance: float
) -> None:
    x, v, touched = simulate_spheres(30, 20, 0.3, SPHERES, repulsion, np.random.default_rng(0))
    assert touched[:, 1:].mean() > 0.3
    total = energy(x, v, stiffness)
    assert np.abs(total - total[:, :1]).max() < tolerance
    assert np.abs(v.sum(2)).max() < ROUNDING
    spin = np.cross(x, v).sum(2)
    assert np.abs(spin - spin[:, :1]).max() < ROUNDING


def test_hard_spheres_never_overlap_and_soft_ones_do() -> None:
    closest = {}
    for repulsion in ("hard", "soft"):
        x, _, _ = simulate_spheres(50, 30, 0.2, SPHERES, repulsion, np.random.default_rng(1))
        r = np.linalg.norm(x[..., FIRST, :] - x[..., SECOND, :], axis=-1)
        closest[repulsion] = r.min()
    assert closest["hard"] > SPHERES.diameter - ROUNDING
    assert closest["soft"] < 0.8 * SPHERES.diameter


def pair_at(place: list[float], velocity: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Two spheres at opposite places and velocities; three others circle far away from them."""
    x, v = np.zeros((2, 1, 5, 3))
    x[0, 0], x[0, 1] = place, np.negative(place)
    v[0, 0], v[0, 1] = velocity, np.negative(velocity)
    angle = np.arange(3) * 2 * np.pi / 3
    x[0, 2:, 1], x[0, 2:, 2] = 30 * np.cos(angle), 30 * np.sin(angle)
    v[0, 2:, 1], v[0, 2:, 2] = -30 * np.sin(angle), 30 * np.cos(angle)
    return x, v


def test_two_spheres_meet_when_and_bounce_as_they_must() -> None:
    # from rest they are 2 cos t apart: a diameter of 1 at t = π/3, each at a speed of sin t
    x, v = pair_at([1.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    before, fast, none = bounce_on(x, v, math.pi / 3 - 1e-9, 1.0)
    assert not none.any()
    assert np.allclose(fast[0, 0], [-math.sqrt(0.75), 0, 0], atol=1e-6)
    after, turned, hit = bounce_on(x, v, math.pi / 3 + 1e-9, 1.0)
    assert hit.all()
    assert np.allclose(after, before, atol=1e-6)
    assert np.allclose(turned[0, 0], [math.sqrt(0.75), 0, 0], atol=1e-6)
    # elastic: after as long again they are back where they began
    back, stopped, _ = bounce_on(x, v, 2 * math.pi / 3, 1.0)
    assert np.allclose(back[0, :2], x[0, :2], atol=ROUNDING)
    assert np.abs(stopped[0, :2]).max() < ROUNDING


def test_an_oblique_bounce_turns_only_the_normal_velocity() -> None:
    # touching, with the line of centres at 45 degrees to the velocities
    touching = 0.5 * math.sqrt(0.5) * (1 + 1e-9)
    x, v = pair_at([touching, touching, 0.0], [-1.0, 0.0, 0.0])
    _, after, hit = bounce_on(x, v, 1e-6, 1.0)
    assert hit.all()
    assert np.allclose(after[0, 0], [0.0, 1.0, 0.0], atol=1e-5)
    assert np.allclose(after[0, 1], [0.0, -1.0, 0.0], atol=1e-5)


def test_running_backwards_leads_back() -> None:
    start, v, _ = simulate_spheres(20, 1, 0.5, SPHERES, "hard", np.random.default_rng(2))
    there, speed, hit = bounce_on(start[:, 0], v[:, 0], 1.5, SPHERES.diameter)
    back, _, _ = bounce_on(there, -speed, 1.5, SPHERES.diameter)
    assert hit.mean() > 0.5
    assert np.abs(back - start[:, 0]).max() < 1e-8


@pytest.mark.parametrize("repulsion", ["hard", "soft"])
def test_starts_are_at_equilibrium(repulsion: Repulsion) -> None:
    x, v, _ = simulate_spheres(1000, 4, 0.9, SPHERES, repulsion, np.random.default_rng(3))
    for values in (x, v):
        by_frame = np.square(values).mean((0, 2, 3))
        assert np.allclose(by_frame, by_frame.mean(), rtol=0.05)
    # twelve of fifteen coordinates move: the centre of mass is at rest
    assert np.square(v).mean() == pytest.approx(0.8, rel=0.03)


def test_smaller_sets_are_parts_of_larger_ones() -> None:
    few, many = (
        simulate_spheres(n, 3, 0.3, SPHERES, "hard", np.random.default_rng(4)) for n in (10, 900)
    )
    assert np.array_equal(few[0], many[0][:10])


def test_windows_hold_the_task_and_tell_who_touched() -> None:
    sizes = StressSizes(train=40, validation=10, test=60)
    data, touched = spheres_task(sizes, SPHERES, "hard", 0.4)
    assert data.task.time_points == pytest.approx((0.1, 0.2, 0.3, 0.4))
    assert touched.shape == (60,)
    assert 0.2 < touched.mean() < 0.9
    test = data.test
    swing = test.positions * np.cos(0.4) + test.velocities * np.sin(0.4)
    off = np.abs(swing - test.future_positions[:, -1]).max((1, 2))
    assert off[~touched].max() < 1e-5
    assert off[touched].min() > 1e-4


def test_memory_is_lost_in_collisions_and_kept_without() -> None:
    # lags up to half the length count, which is 8
    def memory(repulsion: Repulsion) -> float:
        _, v, _ = simulate_spheres(30, 160, 0.1, SPHERES, repulsion, np.random.default_rng(5))
        return velocity_decorrelation_time(v, 0.1)

    assert memory("hard") < 6
    assert memory("none") >= 7.5


def test_the_decorrelation_time_of_a_damped_swing_is_that_of_its_envelope() -> None:
    random = np.random.default_rng(6)
    decay, frequency, spacing = 2.0, 4.0, 0.05
    # damped swings of random phase kicked at random: a complex Ornstein-Uhlenbeck process
    keep = np.exp((-1 / decay + 1j * frequency) * spacing)
    z = np.zeros((100, 15), dtype=complex)
    kept = []
    for step in range(900):
        noise = random.standard_normal((2, *z.shape))
        z = keep * z + math.sqrt(1 - abs(keep) ** 2) * (noise[0] + 1j * noise[1])
        if step >= 200:
            kept.append(z.real)
    v = np.stack(kept, axis=1).reshape(100, 700, 5, 3)
    found = velocity_decorrelation_time(v, spacing)
    # the last swing above 1/e ends within half a period of the envelope
    assert decay - math.pi / frequency < found < decay + math.pi / frequency
