from __future__ import annotations

import numpy as np
import pytest

from egno_md.core.errors import SpecError
from egno_md.geometry.bonded import hop_pairs, hops_of
from egno_md.geometry.images import lattice_vectors, smallest_height
from egno_md.nn.neighbours import NeighbourList, find_pairs

BOXES = {
    "none": None,
    "cubic": 1.6 * np.eye(3),
    "triclinic": np.array([[1.8, 0.0, 0.0], [0.6, 1.7, 0.0], [-0.5, 0.4, 1.6]]),
    "turned": 1.6 * np.linalg.qr(np.random.default_rng(9).standard_normal((3, 3)))[0],
}
NOTHING = np.zeros((0, 2), dtype=np.int64)


def by_hand(x: np.ndarray, cutoff: float, box: np.ndarray | None) -> set[tuple[int, int]]:
    r = x[:, None] - x[None]
    if box is not None:
        steps = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T @ box
        flat = r.reshape(-1, 3)
        flat = flat - lattice_vectors(flat, box)
        r = np.linalg.norm(flat[:, None] + steps, axis=2).min(1).reshape(len(x), -1)
    else:
        r = np.linalg.norm(r, axis=2)
    return {(int(a), int(b)) for a, b in np.argwhere(r < cutoff) if a != b}


@pytest.mark.parametrize("name", BOXES)
def test_pairs_are_those_of_every_image_by_hand(name: str) -> None:
    box = BOXES[name]
    random = np.random.default_rng(0)
    x = random.uniform(-3, 4, (150, 3)) if box is not None else random.uniform(0, 2, (150, 3))
    cutoff = 0.6 if box is None else 0.49 * smallest_height(box)
    pairs = find_pairs(x, cutoff, box)
    found = set(map(tuple, pairs.tolist()))
    assert len(found) == len(pairs), "no pair twice"
    assert found == by_hand(x, cutoff, box)
    found = NeighbourList(cutoff, NOTHING).find(x, box)
    r = x[found.pairs[:, 0]] - x[found.pairs[:, 1]] + found.offsets
    assert np.linalg.norm(r, axis=1).max() < cutoff


def test_a_list_with_a_skin_equals_a_fresh_one_and_searches_less() -> None:
    box, random = BOXES["triclinic"], np.random.default_rng(1)
    x = random.uniform(0, 1.6, (80, 3))
    bonded = np.array([[0, 1], [1, 0]])
    kept = NeighbourList(0.5, bonded, skin=0.1)
    for step in range(60):
        x = x + 0.003 * random.standard_normal(x.shape)
        if step == 30:
            box = box * 1.01
        ours, fresh = kept.find(x, box), NeighbourList(0.5, bonded).find(x, box)
        np.testing.assert_array_equal(ours.pairs, fresh.pairs)
        np.testing.assert_array_equal(ours.offsets, fresh.offsets)
        codes = ours.pairs @ [80, 1]
        assert (np.diff(codes) > 0).all()
        assert {(0, 1), (1, 0)} <= set(map(tuple, ours.pairs.tolist()))
    assert kept.searches < 30


def test_a_skin_that_does_not_fit_the_box_is_done_without() -> None:
    box = 1.02 * np.eye(3)
    x = np.random.default_rng(2).uniform(0, 1, (40, 3))
    kept = NeighbourList(0.5, NOTHING, skin=0.1)
    for _ in range(3):
        x = x + 0.01
        fresh = NeighbourList(0.5, NOTHING).find(x, box)
        np.testing.assert_array_equal(kept.find(x, box).pairs, fresh.pairs)


def test_a_radius_beyond_half_the_box_says_what_fits() -> None:
    with pytest.raises(SpecError, match=r"beyond half the box, which is 1.6 nm.*at most 0.8 nm"):
        find_pairs(np.zeros((2, 3)), 0.81, BOXES["cubic"])


def test_hops_are_bonds_on_the_shortest_path() -> None:
    bonds = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 0], [5, 6]])
    pairs, hops = hop_pairs(bonds, 8, 3)
    table = dict(zip(map(tuple, pairs.tolist()), hops.tolist(), strict=True))
    assert (table[0, 1], table[0, 2], table[0, 3]) == (1, 2, 3)
    assert (table[6, 0], table[6, 1], table[6, 4], table[6, 3]) == (2, 3, 2, 3)
    assert (6, 2) not in table, "four bonds away"
    assert not any(7 in p for p in table)
    asked = np.array([[0, 1], [7, 1], [0, 3], [3, 3]])
    assert hops_of(asked, pairs, hops, 8).tolist() == [1, 0, 3, 0]
    none, no_hops = hop_pairs(np.zeros((0, 2), dtype=np.int64), 3, 4)
    assert len(none) == 0
    assert hops_of(asked[:1], none, no_hops, 3).tolist() == [0]
