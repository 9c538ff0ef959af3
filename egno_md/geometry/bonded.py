"""Ordered pairs of atoms, told apart by the bonds between them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array


def complete_pairs(atoms: int) -> Int[np.ndarray, "edges 2"]:
    """Every ordered pair of different atoms."""
    receivers, senders = np.nonzero(~np.eye(atoms, dtype=bool))
    return np.stack([receivers, senders], axis=1)


def hop_pairs(
    bonds: Int[np.ndarray, "bonds 2"], atoms: int, limit: int
) -> tuple[Int[np.ndarray, "pairs 2"], Int[np.ndarray, " pairs"]]:
    """Ordered pairs at most `limit` bonds apart, ascending, and how many bonds."""
    both = np.concatenate([bonds, bonds[:, ::-1]])
    adjacency = _matrix(both, atoms)
    front = np.repeat(np.arange(atoms)[:, None], 2, axis=1)
    reached = front @ [atoms, 1]
    codes, hops = [], []
    for hop in range(1, limit + 1):
        rows, columns = (_matrix(front, atoms) @ adjacency).nonzero()
        found = np.setdiff1d(rows.astype(np.int64) * atoms + columns, reached)
        reached = np.concatenate([reached, found])
        front = np.stack(np.divmod(found, atoms), axis=1)
        codes.append(found)
        hops.append(np.full(len(found), hop))
    code, hop = np.concatenate(codes), np.concatenate(hops)
    order = np.argsort(code)
    return np.stack(np.divmod(code[order], atoms), axis=1), hop[order]


def bond_neighbours(bonds: Int[np.ndarray, "bonds 2"], atoms: int) -> list[list[int]]:
    """Whom each atom is bonded to, in the order of the bonds."""
    neighbours: list[list[int]] = [[] for _ in range(atoms)]
    for a, b in bonds.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    return neighbours


def _matrix(pairs: Int[np.ndarray, "pairs 2"], atoms: int) -> csr_array:
    ones = np.ones(len(pairs), dtype=np.int32)
    return csr_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(atoms, atoms))


def hops_of(
    pairs: Int[np.ndarray, "edges 2"],
    known: Int[np.ndarray, "pairs 2"],
    hops: Int[np.ndarray, " pairs"],
    atoms: int,
) -> Int[np.ndarray, " edges"]:
    """Bonds between the atoms of each pair, 0 for those that are not `known` (ascending)."""
    if len(known) == 0:
        return np.zeros(len(pairs), dtype=np.int64)
    codes, wanted = known @ [atoms, 1], pairs @ [atoms, 1]
    where = np.searchsorted(codes, wanted).clip(max=len(codes) - 1)
    return np.where(codes[where] == wanted, hops[where], 0)
