"""Charged particles: the physics, and the figures that the paper prints of the data."""

from __future__ import annotations

import numpy as np
import pytest

from egno_md.core.errors import SpecError
from egno_md.paper.datasets import nbody
from egno_md.paper.datasets.nbody import FRAME, nbody_frames, nbody_task, simulate

STATIC, BALLISTIC, LINEAR = 0.2715, 0.1079, 0.0819
"""F-MSE of y = x, of y = x + v, and of the fitted x + c v (Xu et al. 2024)."""


def coulomb_energy(x: np.ndarray, v: np.ndarray, charges: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(5, 1)
    r = np.linalg.norm(x[..., first, :] - x[..., second, :], axis=-1)
    products = (charges[:, first] * charges[:, second])[:, None]
    return (products / r).sum(-1) + 0.5 * np.square(v).sum((-2, -1))


def test_momentum_is_kept_and_so_is_energy_where_no_force_is_clipped() -> None:
    x, v, charges = simulate(64, 6, np.random.default_rng(0))
    momentum = v[:, 1:].sum(2)
    first, second = np.triu_indices(5, 1)
    near = np.linalg.norm(x[..., first, :] - x[..., second, :], axis=-1).min((1, 2))
    calm = near > 0.5
    assert calm.sum() > 10
    assert np.abs(momentum[calm] - momentum[calm][:, :1]).max() < 1e-9
    energy = coulomb_energy(x[calm][:, 1:], v[calm][:, 1:], charges[calm])
    # velocities are half a step behind: an error of order Δt a v
    assert np.abs(energy - energy[:, :1]).max() < 5e-3


def test_speeds_and_charges_are_drawn_as_published() -> None:
    x, v, charges = simulate(400, 1, np.random.default_rng(1))
    assert np.allclose(np.linalg.norm(v[:, 0], axis=-1), 0.5, atol=0.1)
    assert set(np.unique(charges)) == {-1.0, 1.0}
    assert abs(charges.mean()) < 0.1
    assert abs(x[:, 0].std() - 1) < 0.05


def test_frames_of_a_window() -> None:
    assert nbody_frames(5) == [32, 34, 36, 38, 40]
    assert nbody_frames(5, "last") == [36, 37, 38, 39, 40]
    assert nbody_frames(1) == [40]
    with pytest.raises(SpecError, match="1, 2, 5 or 10"):
        nbody_frames(3)
    with pytest.raises(SpecError, match="do not fit"):
        nbody_frames(11, "last")


def test_time_points_start_and_past_agree_with_the_frames() -> None:
    data = nbody_task(30, 10, 10)
    assert np.allclose(data.task.time_points, [0.2, 0.4, 0.6, 0.8, 1.0])
    assert pytest.approx(0.1) == FRAME
    windows = data.train
    assert windows.past_positions is not None
    assert np.array_equal(windows.past_positions[:, -1], windows.positions)
    step = windows.future_positions[:, 0] - windows.positions
    slow = np.linalg.norm(windows.velocities, axis=-1) < 1
    assert np.abs(step - 0.2 * windows.velocities)[slow].mean() < 0.05


def test_smaller_training_sets_are_parts_of_larger_ones() -> None:
    small, large = nbody_task(20, 10, 10), nbody_task(40, 10, 10)
    assert np.array_equal(small.train.positions, large.train.positions[:20])
    assert np.array_equal(small.test.positions, large.test.positions)
    assert not np.array_equal(small.train.positions[:10], small.test.positions)


def test_other_sizes_than_the_published_stand_in_for_them(monkeypatch) -> None:
    monkeypatch.setattr(nbody, "SIZES", (21, 9, 8))
    assert not nbody_task(21, 9, 8).stands_in
    assert not nbody_task(21, 9, 8, points=1).stands_in
    for sizes in ((20, 9, 8), (21, 9, 7)):
        assert nbody_task(*sizes).stands_in


@pytest.mark.slow
def test_baselines_are_those_of_the_paper() -> None:
    windows = nbody_task().test
    x, v, y = windows.positions, windows.velocities, windows.future_positions[:, -1]
    assert np.square(y - x).mean() == pytest.approx(STATIC, rel=0.05)
    assert np.square(y - x - v).mean() == pytest.approx(BALLISTIC, rel=0.05)
    c = ((y - x) * v).sum() / np.square(v).sum()
    assert np.square(y - x - c * v).mean() == pytest.approx(LINEAR, rel=0.05)
