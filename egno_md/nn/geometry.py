"""Atom kinds and torsions from a molecule's bonds, and the order of atoms in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from egno_md.geometry.bonded import bond_neighbours

Array = np.ndarray

ENVIRONMENT = 4
"""Bonds around an atom that distinguish it from others of its element."""

TINY = 1e-6
"""Added to squared lengths, in units of a bond."""


def environments(
    numbers: Int[Array, " atoms"], bonds: Int[Array, "bonds 2"]
) -> Float[Array, "atoms kinds"]:
    """Kind of every atom, one-hot: element and surroundings, by Weisfeiler-Lehman refinement.

    Renumbering atoms renumbers the rows and nothing else: columns are in the order
    of digests.
    """
    neighbours = bond_neighbours(bonds, len(numbers))
    labels = [str(int(n)) for n in numbers]
    for _ in range(ENVIRONMENT):
        surroundings = [f"{labels[i]}({','.join(sorted(labels[j] for j in n))})"
                  for i, n in enumerate(neighbours)]  # fmt: skip
        labels = [hashlib.sha256(a.encode()).hexdigest() for a in surroundings]
    kinds = sorted(set(labels))
    return (np.array(labels)[:, None] == np.array(kinds)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Torsions:
    """One path of three bonds for every pair of atoms that are three bonds apart.

    Attributes:
        edges: number of each pair among all pairs.
        atoms: the four atoms of its path.
    """

    edges: Int[Array, " torsions"]
    atoms: Int[Array, "torsions 4"]

    @classmethod
    def of(cls, pairs: Int[Array, "edges 2"], hops: Int[Array, " edges"], bonds: Array) -> Torsions:
        """The paths along bonds; of several between two atoms, those of all.

        Args:
            pairs: ordered pairs of atoms.
            hops: bonds between their atoms.
            bonds: each once.
        """
        directed = np.concatenate([bonds, bonds[:, ::-1]])
        number = {(int(a), int(b)): e for e, (a, b) in enumerate(pairs) if hops[e] == 3}
        paths = [
            (number[int(i), int(k)], int(i), int(a), int(b), int(k))
            for a, b in directed
            for i in directed[directed[:, 1] == a, 0]
            for k in directed[directed[:, 0] == b, 1]
            if (int(i), int(k)) in number
        ]
        table = np.array(sorted(paths), dtype=np.int64).reshape(-1, 5)
        return cls(table[:, 0], table[:, 1:])


def sine_cosine(
    positions: Float[Tensor, "nodes 3 *points"], atoms: Int[Tensor, "torsions 4"]
) -> Float[Tensor, "torsions *points 2"]:
    """Sine and cosine of torsions; the sine changes sign in a mirror.

    Both fade to 0 where three atoms of the path are in line.
    """
    a, b, c, d = (positions.index_select(0, atoms[:, i]) for i in range(4))
    first, axis, last = b - a, c - b, d - c
    m, n = torch.linalg.cross(first, axis, dim=1), torch.linalg.cross(axis, last, dim=1)
    length = (axis.square().sum(1) + TINY).sqrt()
    scale = ((m.square().sum(1) + TINY) * (n.square().sum(1) + TINY)).sqrt()
    sine = length * (first * n).sum(1) / scale
    cosine = (m * n).sum(1) / scale
    return torch.stack([sine, cosine], dim=-1)


CELL = 2.0
"""Side of a cell in which atoms count as near, in the operator's unit of length."""

CELLS = 1 << 10
"""Cells along an axis; what lies beyond the last counts as being in it."""


def near_order(positions: Float[Tensor, "nodes 3"], atoms: int) -> Int[Tensor, " nodes"] | None:
    """Nodes along a curve that fills space (Morton 1966), graph by graph; None if they are.

    What lies near in space then lies near in memory, so that an atom's neighbours are in
    the cache when they are read.

    Args:
        positions: of graphs of equally many atoms laid end to end.
        atoms: of each.
    """
    least = positions.amin(0)
    cells = ((positions - least) / CELL).long().clamp_(max=CELLS - 1)
    code = torch.arange(len(positions), device=positions.device) // atoms
    for bit in reversed(range(CELLS.bit_length() - 1)):
        for axis in range(3):
            code = (code << 1) | ((cells[:, axis] >> bit) & 1)
    order = torch.argsort(code, stable=True)
    return None if torch.equal(order, torch.arange(len(order), device=order.device)) else order
