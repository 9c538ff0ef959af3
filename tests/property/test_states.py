"""Laws of trajectories, momenta, superpositions, boxes and bonds, for any of them."""

from __future__ import annotations

from itertools import pairwise

import networkx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from egno_md.core.molecules import molecule_numbers
from egno_md.core.state import Trajectory, is_evenly_spaced, join
from egno_md.core.thermal import group_temperatures, maxwell_velocities, ornstein_uhlenbeck
from egno_md.core.units import kinetic_energy, temperature
from egno_md.geometry.bonded import complete_pairs, hop_pairs, hops_of
from egno_md.geometry.images import (
    follow,
    lattice_vectors,
    make_whole,
    molecule_centres,
    smallest_height,
)
from egno_md.geometry.superposition import superposed

ROUNDING = 1e-9
"""Of sums of a few hundred doubles of the order of one."""

SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.integers(1, 8)


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    frames, atoms = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(SEEDS))
    whole = {
        "velocities": random.standard_normal((frames, atoms, 3)),
        "forces": random.standard_normal((frames, atoms, 3)),
        "potential_energy": random.standard_normal(frames),
        "box": random.standard_normal((frames, 3, 3)),
    }
    left_out = draw(st.sets(st.sampled_from(sorted(whole))))
    kept = {name: None if name in left_out else values for name, values in whole.items()}
    return Trajectory(random.standard_normal((frames, atoms, 3)), np.arange(frames) * 0.5, **kept)


def assert_same(one: Trajectory, two: Trajectory) -> None:
    for a, b in zip(one.arrays(), two.arrays(), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)


@given(trajectories(), st.data())
def test_parts_joined_are_the_whole(whole: Trajectory, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=4).map(sorted))
    parts = [whole.slice(a, b) for a, b in pairwise([0, *cuts, len(whole)])]
    assert_same(join(parts), whole)
    middle = data.draw(st.integers(0, len(parts)))
    if 0 < middle < len(parts):
        assert_same(join([join(parts[:middle]), join(parts[middle:])]), whole)


@given(trajectories(), *[st.integers(1, 4)] * 2, *[st.integers(0, 12)] * 3)
def test_slices_and_strides_compose(
    whole: Trajectory, one: int, two: int, first: int, start: int, stop: int
) -> None:
    assert_same(whole.every(one, first).every(two), whole.every(one * two, first))
    assert_same(whole.slice(start, stop).slice(1, 3), whole.slice(start + 1, min(start + 3, stop)))
    shifted = np.asarray(whole.times) * (1 + first) + start
    assert is_evenly_spaced(shifted)


@given(st.integers(2, 9), SEEDS, st.floats(1, 1000), st.floats(0.01, 100), st.floats(0, 10))
def test_thermostats_leave_the_centre_of_mass_alone(
    atoms: int, seed: int, kelvin: float, friction: float, duration: float
) -> None:
    random = np.random.default_rng(seed)
    masses = random.uniform(1, 100, atoms)
    at_rest = maxwell_velocities(masses, kelvin, random)
    scale = np.abs(masses[:, None] * at_rest).sum()
    assert np.abs(masses @ at_rest).max() <= ROUNDING * scale
    moving = at_rest + random.standard_normal(3)
    kicked = ornstein_uhlenbeck(moving, masses, kelvin, friction, duration, random)
    np.testing.assert_allclose(masses @ kicked, masses @ moving, atol=ROUNDING * scale + ROUNDING)
    drift = (masses / masses.sum()) @ moving
    internal = kinetic_energy(moving - drift, masses)
    of_the_centre = 0.5 * masses.sum() * drift @ drift
    assert kinetic_energy(moving, masses) == pytest.approx(internal + of_the_centre), "König"
    group = np.zeros(atoms, dtype=np.int64)
    (together,) = group_temperatures(moving, masses, group)
    assert together == pytest.approx(temperature(internal, 3 * atoms - 3))


def least_square(moving: np.ndarray, onto: np.ndarray) -> float:
    """Of all rotations, by the largest eigenvalue of a quaternion matrix (Horn 1987)."""
    x, y = moving - moving.mean(0), onto - onto.mean(0)
    s = x.T @ y
    anti = np.array([s[1, 2] - s[2, 1], s[2, 0] - s[0, 2], s[0, 1] - s[1, 0]])
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[0, 1:], matrix[1:, 0] = np.trace(s), anti, anti
    matrix[1:, 1:] = s + s.T - np.trace(s) * np.eye(3)
    return float((x**2).sum() + (y**2).sum() - 2 * np.linalg.eigvalsh(matrix)[-1])


@given(SEEDS, st.integers(1, 9), st.integers(0, 2), st.floats(0.01, 100))
def test_superposition_undoes_rigid_motion_and_nothing_else(
    seed: int, atoms: int, flat: int, far: float
) -> None:
    random = np.random.default_rng(seed)
    x = random.standard_normal((atoms, 3))
    x[:, 3 - flat :] = 0  # in space, in a plane or on a line
    turned = x @ Rotation.random(random_state=seed % 2**32).as_matrix().T
    moved = turned + far * random.standard_normal(3)
    np.testing.assert_allclose(superposed(moved, x), x, atol=ROUNDING * max(far, 1))
    other = random.standard_normal((atoms, 3))
    best = superposed(other, x)
    assert np.sum((best - x) ** 2) == pytest.approx(least_square(other, x), abs=ROUNDING)
    np.testing.assert_allclose(cdist(best, best), cdist(other, other), atol=1e-6)
    np.testing.assert_allclose(best.mean(0), x.mean(0), atol=ROUNDING)


@st.composite
def boxes(draw: st.DrawFn) -> np.ndarray:
    sides = draw(arrays.arrays(np.float64, 3, elements=st.floats(1, 4)))
    lean = draw(arrays.arrays(np.float64, (3, 3), elements=st.floats(-0.5, 0.5)))
    return np.diag(sides) + np.tril(lean, -1)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, np.ndarray]:
    atoms = draw(COUNTS)
    pair = st.tuples(st.integers(0, atoms - 1), st.integers(0, atoms - 1))
    found = draw(st.sets(pair.map(sorted).map(tuple), max_size=10))
    bonds = sorted(p for p in found if p[0] < p[1])
    return atoms, np.array(bonds, dtype=np.int64).reshape(-1, 2)


@given(boxes(), graphs(), SEEDS)
def test_what_a_box_has_wrapped_becomes_whole_and_follows(
    box: np.ndarray, graph: tuple[int, np.ndarray], seed: int
) -> None:
    atoms, bonds = graph
    random = np.random.default_rng(seed)
    near = smallest_height(box) / 2 / np.sqrt(3) * 0.49
    whole = random.uniform(-near / 2, near / 2, (atoms, 3))  # so are all its differences
    images = random.integers(-3, 4, (atoms, 3)) @ box
    mended = make_whole(whole + images, bonds, box)
    for a, b in bonds:
        np.testing.assert_allclose(mended[a] - mended[b], whole[a] - whole[b], atol=ROUNDING)
    molecule = molecule_numbers(bonds, atoms)
    after = whole + random.uniform(-near / 2, near / 2, (atoms, 3))
    wrapped = after + (random.integers(-3, 4, (molecule.max() + 1, 3)) @ box)[molecule]
    followed = follow(whole, wrapped, box, molecule)
    np.testing.assert_allclose(followed, after, atol=ROUNDING)
    np.testing.assert_allclose(lattice_vectors(images, box), images, atol=ROUNDING)
    centres = molecule_centres(whole, molecule)
    np.testing.assert_allclose(
        np.bincount(molecule) @ centres / atoms, whole.mean(0), atol=ROUNDING
    )


@given(graphs(), st.integers(1, 5))
def test_hops_are_lengths_of_shortest_paths(graph: tuple[int, np.ndarray], limit: int) -> None:
    atoms, bonds = graph
    known = networkx.Graph(bonds.tolist())
    known.add_nodes_from(range(atoms))
    lengths = dict(networkx.all_pairs_shortest_path_length(known))
    pairs, hops = hop_pairs(bonds, atoms, limit)
    expected = {(a, b): n for a in range(atoms) for b, n in lengths[a].items() if 0 < n <= limit}
    assert dict(zip(map(tuple, pairs.tolist()), hops.tolist(), strict=True)) == expected
    assert pairs.tolist() == sorted(pairs.tolist())
    everything = complete_pairs(atoms)
    assume(len(everything))
    found = hops_of(everything, pairs, hops, atoms)
    assert found.tolist() == [expected.get((a, b), 0) for a, b in everything.tolist()]
