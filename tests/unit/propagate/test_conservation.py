"""What restoring momenta and energy leaves alone, and where it gives up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from egno_md.core.state import Frame
from egno_md.core.units import kinetic_energy
from egno_md.geometry.rigid import angular_momentum
from egno_md.propagate.conservation import (
    LARGEST_RESCALE,
    restore_energy,
    restore_momenta,
)

MASSES = np.array([1.0, 12.0, 16.0, 4.0, 2.0])
SHARE = MASSES / MASSES.sum()
BOX = 3.0 * np.eye(3)


def a_frame(seed: int = 0, **changes) -> Frame:
    x, v = np.random.default_rng(seed).standard_normal((2, 5, 3))
    return replace(Frame(x, v, potential_energy=-50.0), **changes)


def total(frame: Frame) -> float:
    assert frame.potential_energy is not None
    return float(kinetic_energy(frame.velocities, MASSES)) + frame.potential_energy


def rigid_and_internal(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Velocities split by least squares in mass-weighted space: no inertia tensor needed."""
    arms = frame.positions - SHARE @ frame.positions
    motions = [np.broadcast_to(e, arms.shape) for e in np.eye(3)]
    if frame.box is None:
        motions += [np.cross(e, arms) for e in np.eye(3)]
    weight = np.sqrt(MASSES)[:, None]
    basis = np.stack([(weight * m).ravel() for m in motions], axis=1)
    found, *_ = np.linalg.lstsq(basis, (weight * frame.velocities).ravel(), rcond=None)
    rigid = (basis @ found).reshape(arms.shape) / weight
    return rigid, frame.velocities - rigid


def test_angular_momentum_is_the_sum_of_moments() -> None:
    frame = a_frame()
    wanted = sum(
        m * np.cross(x, v)
        for m, x, v in zip(MASSES, frame.positions, frame.velocities, strict=True)
    )
    np.testing.assert_allclose(angular_momentum(frame.positions, frame.velocities, MASSES), wanted)


def test_velocities_are_corrected_by_a_rigid_motion_alone() -> None:
    start = a_frame()
    x, v = np.random.default_rng(1).standard_normal((2, 3, 5, 3))
    times = np.array([0.5, 1.0, 1.5])
    new_x, new_v = restore_momenta(start, x, v, times, MASSES)
    for point in range(3):
        moved = new_x[point] - x[point]
        np.testing.assert_allclose(moved, np.broadcast_to(moved[0], (5, 3)), atol=1e-12)
        change = Frame(new_x[point], new_v[point] - v[point])
        np.testing.assert_allclose(rigid_and_internal(change)[1], 0.0, atol=1e-10)


def test_with_a_box_only_the_drift_is_restored() -> None:
    start = a_frame(box=BOX)
    x, v = np.random.default_rng(1).standard_normal((2, 3, 5, 3))
    new_x, new_v = restore_momenta(start, x, v, np.array([0.5, 1.0, 1.5]), MASSES)
    change = new_v - v
    np.testing.assert_allclose(change, np.broadcast_to(change[:, :1], change.shape), atol=1e-12)
    np.testing.assert_allclose(np.einsum("a,pax->px", SHARE, new_v), [SHARE @ start.velocities] * 3)
    drifted = SHARE @ start.positions + np.outer([0.5, 1.0, 1.5], SHARE @ start.velocities)
    np.testing.assert_allclose(np.einsum("a,pax->px", SHARE, new_x), drifted)


@pytest.mark.parametrize("box", [None, BOX])
def test_restored_energy_scales_the_internal_motion_alone(box: np.ndarray | None) -> None:
    frame = a_frame(box=box)
    rigid, internal = rigid_and_internal(frame)
    for factor in (1 / 1.49, 0.9, 1.0, 1.49):
        wanted = replace(frame, velocities=rigid + factor * internal)
        restored = restore_energy(frame, total(wanted), MASSES)
        assert restored is not None
        np.testing.assert_allclose(restored.velocities, wanted.velocities, atol=1e-9)
        assert restored.positions is frame.positions
    for factor in (1 / 1.51, 1.51):
        beyond = replace(frame, velocities=rigid + factor * internal)
        assert restore_energy(frame, total(beyond), MASSES) is None
    assert LARGEST_RESCALE == 1.5


def test_little_energy_is_restored_as_well() -> None:
    frame = a_frame()
    slow = replace(frame, velocities=0.05 * frame.velocities)
    assert total(slow) + 50.0 < 1.0
    restored = restore_energy(slow, total(slow) + 0.01, MASSES)
    assert restored is not None
    assert total(restored) == pytest.approx(total(slow) + 0.01, rel=1e-12)


def test_energy_is_not_restored_where_nothing_moves_inside() -> None:
    frame = a_frame(velocities=np.ones((5, 3)), box=BOX)
    assert restore_energy(replace(frame, velocities=np.zeros((5, 3))), -40.0, MASSES) is None
    assert restore_energy(a_frame(), -50.0, MASSES) is None, "no energy is left for motion"


def test_a_linear_molecule_turns_about_both_axes_that_have_inertia() -> None:
    masses = np.array([16.0, 12.0, 16.0])
    line = np.array([[-0.1, 0, 0], [0, 0, 0], [0.1, 0, 0]])
    spin = np.array([0.0, 2.0, -3.0])
    start = Frame(line, np.cross(spin, line))
    _, v = restore_momenta(start, line[None], np.zeros((1, 3, 3)), np.zeros(1), masses)
    np.testing.assert_allclose(v[0], start.velocities, atol=1e-10)


def test_one_broken_point_leaves_the_others_whole() -> None:
    start = a_frame()
    x, v = np.random.default_rng(1).standard_normal((2, 3, 5, 3))
    times = np.array([0.5, 1.0, 1.5])
    sound_x, sound_v = restore_momenta(start, x, v, times, MASSES)
    x[1, 2] = np.nan
    new_x, new_v = restore_momenta(start, x, v, times, MASSES)
    for point in (0, 2):
        np.testing.assert_array_equal(new_x[point], sound_x[point])
        np.testing.assert_array_equal(new_v[point], sound_v[point])
    assert np.isnan(new_v[1]).any()
