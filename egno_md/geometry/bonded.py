"""Ordered pairs of atoms, by the number of bonds between them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import csr_array

from egno_md.core.molecules import bond_matrix


def complete_pairs(atoms: int) -> Int[np.ndarray, "edges 2"]:
    """Every ordered pair of different atoms."""
    receivers, senders = np.nonzero(~np.eye(atoms, dtype=bool))
    return np.stack([receivers, senders], axis=1)


def hop_pairs(
    bonds: Int[np.ndarray, "bonds 2"], atoms: int, limit: int
) -> tuple[Int[np.ndarray, "pairs 2"], Int[np.ndarray, " pairs"]]:
    """Ordered pairs at most `limit` bonds apart, ascending, and how many bonds."""
    both = np.concatenate([bonds, bonds[:, ::-1]])
    adjacency = bond_matrix(both, atoms)
    front = np.repeat(np.arange(atoms)[:, None], 2, axis=1)
    reached = front @ [atoms, 1]
    codes, hops = [], []
    for hop in range(1, limit + 1):
        rows, columns = (bond_matrix(front, atoms) @ adjacency).nonzero()
        new_codes = np.setdiff1d(rows.astype(np.int64) * atoms + columns, reached)
        reached = np.concatenate([reached, new_codes])
        front = np.stack(np.divmod(new_codes, atoms), axis=1)
        codes.append(new_codes)
        hops.append(np.full(len(new_codes), hop))
    code, hop = np.concatenate(codes), np.concatenate(hops)
    order = np.argsort(code)
    return np.stack(np.divmod(code[order], atoms), axis=1), hop[order]


def bonded_within(bonds: Int[np.ndarray, "bonds 2"], atoms: int, limit: int) -> csr_array:
    """Which atoms are at most `limit` bonds apart, each with itself, ``(atoms, atoms)``."""
    both = np.concatenate([bonds, bonds[:, ::-1], np.repeat(np.arange(atoms)[:, None], 2, axis=1)])
    step = csr_array(bond_matrix(both, atoms).astype(bool))
    near = step
    for _ in range(limit - 1):
        near = csr_array((near @ step).astype(bool))
    return near


def marked(
    matrix: csr_array, first: Int[np.ndarray, " pairs"], second: Int[np.ndarray, " pairs"]
) -> Bool[np.ndarray, " pairs"]:
    """Which pairs of atoms a matrix of `bonded_within` holds."""
    if len(first) == 0:
        return np.zeros(0, dtype=bool)
    return np.asarray(matrix[first, second]).ravel()


def bond_neighbours(bonds: Int[np.ndarray, "bonds 2"], atoms: int) -> list[list[int]]:
    """The neighbours of each atom, in the order of the bonds."""
    neighbours: list[list[int]] = [[] for _ in range(atoms)]
    for a, b in bonds.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    return neighbours


def hops_of(
    pairs: Int[np.ndarray, "edges 2"],
    bonded: Int[np.ndarray, "pairs 2"],
    hops: Int[np.ndarray, " pairs"],
    atoms: int,
) -> Int[np.ndarray, " edges"]:
    """Bonds between the atoms of each pair, 0 for those not among `bonded` (ascending)."""
    if len(bonded) == 0:
        return np.zeros(len(pairs), dtype=np.int64)
    codes, targets = bonded @ [atoms, 1], pairs @ [atoms, 1]
    where = np.searchsorted(codes, targets).clip(max=len(codes) - 1)
    return np.where(codes[where] == targets, hops[where], 0)
