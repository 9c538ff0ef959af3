"""One superposition for rollouts, samplers, comparisons and movies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from egno_md.geometry.superposition import mean_structure, rigid_fit, superposed, superposed_rmsd

ROUNDING = 1e-12
"""nm, of double precision over a few nanometres."""
SINGLE = 1e-5


def cloud(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*shape, 3))


def test_mirror_images_are_never_superposed() -> None:
    x = cloud(6)
    assert np.abs(superposed(x + 3, x) - x).max() < SINGLE
    assert np.abs(superposed(x * [-1.0, 1, 1], x) - x).max() > 0.1


def test_superposed_rmsd_ignores_a_rigid_move_but_not_a_mirror() -> None:
    points = cloud(12)
    turn = Rotation.from_rotvec([0.1, 2.0, -1.0]).as_matrix()
    assert superposed_rmsd(points, points @ turn.T + 4) < 1e-7
    assert superposed_rmsd(points, points * [1, 1, -1]) > 0.1
    other = cloud(12, seed=1)
    left = superposed(other, points) - points
    assert superposed_rmsd(points, other) == pytest.approx(np.sqrt((left**2).sum(-1).mean()))


def test_windows_of_many_replicas_are_turned_as_each_frame_alone() -> None:
    windows, starts = cloud(2, 3, 7), cloud(2, 7, seed=1)
    together = superposed(windows, starts[:, None])
    for replica, point in np.ndindex(2, 3):
        alone = superposed(windows[replica, point], starts[replica])
        np.testing.assert_allclose(together[replica, point], alone, atol=ROUNDING)


def test_only_chosen_atoms_are_fitted_and_the_others_move_along() -> None:
    x = cloud(8)
    turn = Rotation.from_rotvec([1.0, -0.4, 0.2]).as_matrix()
    moved = x @ turn.T + 2.0
    moved[5:] += 0.3
    fitted = superposed(moved, x, np.arange(5))
    np.testing.assert_allclose(fitted[:5], x[:5], atol=ROUNDING)
    np.testing.assert_allclose(fitted[5:] - x[5:], np.full((3, 3), 0.3) @ turn, atol=ROUNDING)


def test_heavier_points_are_fitted_closer() -> None:
    x, y = cloud(5), cloud(5, seed=1)
    weights = np.array([1e6, 1e6, 1e6, 1.0, 1.0])
    old, new, turn = rigid_fit(x, y, weights)
    first = rigid_fit(x[:3], y[:3])
    for found, expected in zip((old, new, turn), first, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_single_precision_is_fitted_in_double() -> None:
    x = cloud(6).astype(np.float32)
    assert superposed(x, x).dtype == np.float64
    np.testing.assert_allclose(superposed(x, x), x, atol=ROUNDING)


def test_the_mean_structure_of_a_tumbling_body_is_the_body() -> None:
    x = cloud(6)
    turns = Rotation.random(20, random_state=0).as_matrix()
    sample = x @ turns + cloud(20, 1)
    mean = mean_structure(sample, np.arange(4))
    assert superposed_rmsd(mean, x) < ROUNDING
    np.testing.assert_allclose(mean[:4].mean(0), sample[0, :4].mean(0), atol=ROUNDING)
