"""What bonds say of atoms, and torsions of shapes."""

from __future__ import annotations

import numpy as np
import torch

from egno_md.geometry.bonded import complete_pairs, hop_pairs, hops_of
from egno_md.nn.geometry import Torsions, environments, sine_cosine

BUTANE = np.array([[0, 1], [1, 2], [2, 3]])


def test_atoms_in_other_surroundings_are_of_another_kind() -> None:
    kinds = environments(np.array([6, 6, 6, 8]), BUTANE)
    assert (kinds.sum(axis=1) == 1).all()
    assert len(np.unique(kinds.argmax(axis=1))) == 4


def test_equivalent_atoms_are_of_one_kind_and_renumbering_moves_rows_only() -> None:
    kinds = environments(np.array([6, 6, 6, 6]), BUTANE)
    assert kinds[0].tolist() == kinds[3].tolist() != kinds[1].tolist()
    order = np.array([2, 0, 3, 1])
    renumbered = environments(np.array([6, 6, 6, 6]), np.argsort(order)[BUTANE])
    assert np.array_equal(renumbered, kinds[order])


def test_pairs_of_atoms_are_indices_in_ascending_order() -> None:
    pairs, hops = hop_pairs(BUTANE, 4, 2)
    assert pairs.dtype.kind == hops.dtype.kind == "i"
    assert pairs.tolist() == sorted(pairs.tolist())
    assert dict(zip(map(tuple, pairs.tolist()), hops.tolist(), strict=True)) == {
        (0, 1): 1, (1, 0): 1, (1, 2): 1, (2, 1): 1, (2, 3): 1, (3, 2): 1,
        (0, 2): 2, (2, 0): 2, (1, 3): 2, (3, 1): 2,
    }  # fmt: skip


def test_a_torsion_has_its_angle_and_a_mirror_changes_its_sign() -> None:
    angle = 0.7
    x = torch.tensor(
        [[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [np.cos(angle), np.sin(angle), 1]]
    ).double()
    pairs = complete_pairs(4)
    hops = hops_of(pairs, *hop_pairs(BUTANE, 4, 4), 4)
    torsions = Torsions.of(pairs, hops, BUTANE)
    assert sorted(map(tuple, pairs[torsions.edges].tolist())) == [(0, 3), (3, 0)]
    found = sine_cosine(x, torch.from_numpy(torsions.atoms))
    assert torch.allclose(found[:, 1], torch.tensor(np.cos(angle)), atol=1e-5)
    assert torch.allclose(found[:, 0].abs(), torch.tensor(np.sin(angle)), atol=1e-5)
    mirrored = sine_cosine(x * torch.tensor([1.0, -1, 1]), torch.from_numpy(torsions.atoms))
    assert torch.allclose(mirrored[:, 0], -found[:, 0])
