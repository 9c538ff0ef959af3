from __future__ import annotations

import numpy as np
import pytest

from egno_md.core.molecules import molecule_numbers
from egno_md.core.thermal import atom_freedom
from egno_md.geometry.images import (
    follow,
    images_around,
    lattice_vectors,
    make_whole,
    molecule_centres,
    smallest_height,
)

TRICLINIC = np.array([[2.0, 0.0, 0.0], [0.6, 1.8, 0.0], [-0.5, 0.4, 1.7]])
ROUNDING = 1e-12
BONDS = np.array([[0, 1], [0, 2], [3, 4], [3, 5]])


def waters() -> np.ndarray:
    one = np.array([[0.0, 0, 0], [0.0957, 0, 0], [-0.024, 0.0926, 0]])
    return np.concatenate(
        [np.add(one, [0.3, 0.2, 0.1]), one @ np.diag([1, -1, 1]) + [1.1, 0.9, 0.8]]
    )


def test_smallest_height_is_the_least_distance_of_faces() -> None:
    assert smallest_height(np.diag([3.0, 2.0, 4.0])) == pytest.approx(2.0)
    a, b, c = TRICLINIC
    volume = np.linalg.det(TRICLINIC)
    areas = [np.linalg.norm(np.cross(*p)) for p in ((b, c), (c, a), (a, b))]
    assert smallest_height(TRICLINIC) == pytest.approx(volume / max(areas))


def test_lattice_vectors_find_every_displacement_below_half_the_height() -> None:
    random = np.random.default_rng(0)
    whole = random.integers(-5, 6, (300, 3)) @ TRICLINIC
    direction = random.standard_normal((300, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    short = direction * random.uniform(0, 0.499 * smallest_height(TRICLINIC), (300, 1))
    np.testing.assert_allclose(lattice_vectors(whole + short, TRICLINIC), whole, atol=ROUNDING)


def test_images_around_a_box_begin_with_what_is_inside_and_hold_all_within_reach() -> None:
    x = np.random.default_rng(3).uniform(-5, 5, (20, 3))
    for reach in (0.0, 0.5, 2.4):
        places, origin = images_around(x, reach, TRICLINIC)
        inside = places[:20] @ np.linalg.inv(TRICLINIC)
        assert ((inside >= 0) & (inside < 1)).all()
        assert origin[:20].tolist() == list(range(20))
        lattice = (places - x[origin]) @ np.linalg.inv(TRICLINIC)
        np.testing.assert_allclose(lattice, np.round(lattice), atol=ROUNDING)
        assert len(np.unique(np.round(places, 9), axis=0)) == len(places)
        steps = np.array(np.meshgrid(*[range(-4, 5)] * 3)).reshape(3, -1).T @ TRICLINIC
        everywhere = places[:20, None] + steps
        for k in range(20):
            near = (np.linalg.norm(everywhere[k] - places[:20, None], axis=-1) < reach).any(axis=0)
            held = places[origin == k]
            for place in everywhere[k][near]:
                assert np.linalg.norm(held - place, axis=1).min() < ROUNDING


def test_molecules_broken_across_faces_become_whole() -> None:
    whole = waters()
    broken = whole + np.random.default_rng(1).integers(-2, 3, (6, 3)) @ TRICLINIC
    mended = make_whole(broken, BONDS, TRICLINIC)
    for a, b in BONDS:
        np.testing.assert_allclose(mended[a] - mended[b], whole[a] - whole[b], atol=1e-9)
    np.testing.assert_array_equal(mended[[0, 3]], broken[[0, 3]])
    assert make_whole(broken.astype(np.float32), BONDS, TRICLINIC).dtype == np.float64


def test_wrapped_molecules_follow_where_they_were() -> None:
    molecule = molecule_numbers(BONDS, 6)
    assert molecule.tolist() == [0, 0, 0, 1, 1, 1]
    before, after = waters(), waters() + 0.05
    wrapped = after + np.repeat([[0, 0, 0], [1, -2, 3]], 3, axis=0) @ TRICLINIC
    np.testing.assert_allclose(follow(before, wrapped, TRICLINIC, molecule), after, atol=1e-9)


def test_centres_are_means_over_the_atoms_of_a_molecule() -> None:
    x = np.random.default_rng(3).standard_normal((6, 3))
    found = molecule_centres(x, np.array([0, 1, 0, 1, 1, 2]))
    np.testing.assert_allclose(found, [x[[0, 2]].mean(0), x[[1, 3, 4]].mean(0), x[5]])


def test_a_lone_constraint_is_shared_by_the_other_mass() -> None:
    masses = np.array([12.0, 1.0, 16.0])
    positions = np.array([[0.0, 0, 0], [0.1, 0, 0], [0, 0.2, 0]])
    freedom = atom_freedom(masses, np.array([[0, 1]]), positions)
    free = 3 * (1 - masses / masses.sum())
    np.testing.assert_allclose(free - freedom, [1 / 13, 12 / 13, 0], atol=ROUNDING)


def test_rigid_water_shares_its_constraints_as_projected_maxwell_velocities_do() -> None:
    masses = np.tile([15.999, 1.008, 1.008], 2)
    pairs = np.array([[0, 1], [0, 2], [1, 2], [3, 4], [3, 5], [4, 5]])
    x = waters()
    freedom = atom_freedom(masses, pairs, x)
    assert freedom.sum() == pytest.approx(18 - 6 - 3)
    gradient = np.zeros((6, 6, 3))
    for row, (a, b) in enumerate(pairs):
        gradient[row, a], gradient[row, b] = x[a] - x[b], x[b] - x[a]
    drift = np.repeat(masses[None, :, None] * np.eye(3)[:, None], 1, axis=1)
    removed = np.concatenate([gradient, drift]).reshape(9, 18)
    weights = np.repeat(1 / np.sqrt(masses), 3)
    basis, _ = np.linalg.qr((removed * weights).T)
    random = np.random.default_rng(2)
    samples = random.standard_normal((200_000, 18))
    samples -= samples @ basis @ basis.T
    measured = np.square(samples).mean(0).reshape(6, 3).sum(1)
    np.testing.assert_allclose(measured, freedom, rtol=0.01)


def test_redundant_constraints_are_counted_once() -> None:
    masses = np.full(3, 10.0)
    line = np.array([[0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]])
    freedom = atom_freedom(masses, np.array([[0, 1], [1, 2], [0, 2]]), line)
    assert freedom.sum() == pytest.approx(9 - 3 - 2)
