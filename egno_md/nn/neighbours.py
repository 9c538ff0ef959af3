"""Which atoms lie within a radius of each other, at linear cost, in any box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from egno_md.core.errors import SpecError
from egno_md.geometry.images import images_around, lattice_vectors, smallest_height

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Directed pairs, ascending by receiver and then by sender.

    Attributes:
        pairs: receiver and sender.
        offsets: nm, added to receiver minus sender for the nearest image's
            displacement.
    """

    pairs: Int[Array, "edges 2"]
    offsets: Float[Array, "edges 3"]


def find_pairs(
    positions: Float[Array, "atoms 3"], cutoff: float, box: Float[Array, "3 3"] | None
) -> Int[Array, "edges 2"]:
    """Every ordered pair whose nearest images lie within `cutoff`, by a k-d tree.

    In a box, atoms near a face are copied to the other side of it, so that the
    cost is linear in the atoms for any shape of box.

    Args:
        positions: nm, wrapped or not.
        cutoff: nm, at most half the least height of the box.
        box: box vectors as rows, or None.

    Raises:
        SpecError: the cutoff is beyond half the box.
    """
    if box is None:
        pairs = KDTree(positions).query_pairs(cutoff, output_type="ndarray")
        return np.concatenate([pairs, pairs[:, ::-1]]).astype(np.int64)
    height = smallest_height(box)
    if 2 * cutoff > height:
        raise SpecError(
            f"a radius of {cutoff:g} nm is beyond half the box, which is {height:.4g} nm across. "
            f"Set network.cutoff to at most {np.floor(50 * height) / 100:g} nm, or use a larger "
            "box."
        )
    everywhere, origin = images_around(positions, cutoff, box)
    home = KDTree(everywhere[: len(positions)])
    matrix = home.sparse_distance_matrix(KDTree(everywhere), cutoff, output_type="ndarray")
    pairs = np.stack([matrix["i"], origin[matrix["j"]]], axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]


class NeighbourList:
    """Neighbours of one set of atoms, searched anew only when atoms have moved far enough.

    Candidates are found within `cutoff` + `skin` and kept until an atom has
    moved by half the skin or the box has changed. What comes out depends on the
    positions alone, to the bit, never on the calls before.

    Args:
        cutoff: nm.
        bonded: pairs that are always there, however far apart.
        skin: nm; 0 for positions that have nothing to do with each other.
    """

    def __init__(self, cutoff: float, bonded: Int[Array, "pairs 2"], skin: float = 0.0) -> None:
        self.cutoff, self.bonded, self.skin = cutoff, bonded, skin
        self.searches = 0
        self._candidates: Array | None = None
        self._positions: Array | None = None
        self._box: Array | None = None

    def find(
        self, positions: Float[Array, "atoms 3"], box: Float[Array, "3 3"] | None
    ) -> Neighbours:
        """The pairs at `positions`.

        Raises:
            SpecError: the cutoff is beyond half the box.
        """
        if not self._is_current(positions, box):
            self._search(positions, box)
        assert self._candidates is not None
        receivers, senders = self._candidates.T
        r = positions[receivers] - positions[senders]
        offsets = np.zeros_like(r) if box is None else -lattice_vectors(r, box)
        near = np.square(r + offsets).sum(1) < self.cutoff**2
        is_bonded = np.arange(len(r)) < len(self.bonded)
        near |= is_bonded[self._order]
        return Neighbours(self._candidates[near], offsets[near])

    def _is_current(self, positions: Array, box: Array | None) -> bool:
        if (
            self._candidates is None
            or self._positions is None
            or len(self._positions) != len(positions)
        ):
            return False
        if box is None or self._box is None:
            if box is not self._box:
                return False
        elif not np.array_equal(box, self._box):
            return False
        farthest = np.square(positions - self._positions).sum(1).max()
        return bool(farthest < (0.5 * self.skin) ** 2)

    def _search(self, positions: Array, box: Array | None) -> None:
        reach = self.cutoff + self.skin
        if box is not None:
            # where the box leaves no room for a skin, every call searches
            reach = max(min(reach, 0.5 * smallest_height(box)), self.cutoff)
        pairs = find_pairs(positions, reach, box)
        atoms = len(positions)
        codes = pairs[:, 0] * atoms + pairs[:, 1]
        bond_codes = self.bonded[:, 0] * atoms + self.bonded[:, 1]
        codes = np.concatenate([bond_codes, codes[~np.isin(codes, bond_codes)]])
        self._order = np.argsort(codes, kind="stable")
        self._candidates = np.stack(np.divmod(codes[self._order], atoms), axis=1)
        self._positions = positions.copy() if reach == self.cutoff + self.skin else None
        self._box = None if box is None else box.copy()
        self.searches += 1
