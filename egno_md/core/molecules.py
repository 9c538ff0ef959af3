"""Molecules of a bonded graph."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

Array = np.ndarray


def bond_matrix(bonds: Int[Array, "bonds 2"], atoms: int) -> csr_array:
    """Adjacency matrix with a one for each bond, in the order of its two atoms."""
    ones = np.ones(len(bonds), dtype=np.int8)
    return csr_array((ones, (bonds[:, 0], bonds[:, 1])), shape=(atoms, atoms))


def molecule_numbers(bonds: Int[Array, "bonds 2"], atoms: int) -> Int[Array, " atoms"]:
    """Number of the molecule (by bonds) that each atom belongs to, from 0."""
    return connected_components(bond_matrix(bonds, atoms), directed=False)[1]
