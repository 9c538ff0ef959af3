"""What a structure must not do between frames: invert a centre, or run into itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array, eye_array
from scipy.spatial import KDTree

from egno_md.core.system import System

Array = np.ndarray

NEIGHBOURS = 3
"""Bonds apart up to which atoms may be close."""

DENSE_LIMIT = 64
"""Atoms up to which every pair is looked at; beyond, a neighbour search."""


@dataclass(frozen=True, eq=False)
class Integrity:
    """Chirality and close contacts of one topology.

    Attributes:
        centres: four-coordinate atoms' neighbours.
        near: pairs within `NEIGHBOURS` bonds, as a boolean matrix.
        far: the other pairs of a small system, else None.
    """

    centres: Int[Array, "centres 4"]
    near: csr_array
    far: tuple[Array, Array] | None

    @classmethod
    def of(cls, system: System) -> Integrity:
        """From a system's bonds."""
        count, bonds = system.n_atoms, system.bonds
        ones = np.ones(2 * len(bonds), dtype=bool)
        ends = np.concatenate([bonds, bonds[:, ::-1]])
        bonded: Any = csr_array((ones, (ends[:, 0], ends[:, 1])), shape=(count, count))
        step = bonded + eye_array(count, dtype=bool, format="csr")
        near = step
        for _ in range(NEIGHBOURS - 1):
            near = csr_array((near @ step).astype(bool))
        rows = [bonded.indices[a:b] for a, b in pairwise(bonded.indptr)]
        centres = np.array([r for r in rows if len(r) == 4], dtype=np.int64).reshape(-1, 4)
        far = None
        if count <= DENSE_LIMIT:
            first, second = np.nonzero(np.triu(~near.toarray(), 1))
            far = (first, second)
        return cls(centres, near, far)

    def inverted(self, before: Float[Array, "atoms 3"], after: Float[Array, "atoms 3"]) -> int:
        """How many four-coordinate centres turned inside out."""
        if len(self.centres) == 0:
            return 0
        return int((self._volumes(before) * self._volumes(after) < 0).sum())

    def _volumes(self, positions: Array) -> Float[Array, " centres"]:
        corners = positions[self.centres]
        a, b, c = (corners[:, i] - corners[:, 3] for i in range(3))
        return np.einsum("cx,cx->c", a, np.cross(b, c))

    def closest_contact(
        self, positions: Float[Array, "atoms 3"], limit: float, box: Array | None = None
    ) -> float:
        """Smallest distance of atoms further than `NEIGHBOURS` bonds apart, nm.

        Args:
            positions: nm; what is not finite has no contacts.
            limit: nm; distances beyond may be reported as infinite.
            box: vectors as rows; only orthorhombic boxes are searched across
                their faces.
        """
        if not np.isfinite(positions).all():
            return np.inf
        if self.far is not None and box is None:
            first, second = self.far
            if len(first) == 0:
                return np.inf
            r = positions[first] - positions[second]
            return float(np.sqrt(np.einsum("px,px->p", r, r).min()))
        sides = None
        if box is not None and np.allclose(box, np.diag(np.diag(box))):
            sides = np.diag(box)
            positions = positions - np.floor(positions / sides) * sides
            positions = np.where(positions >= sides, 0.0, positions)
        tree = KDTree(positions, boxsize=sides)
        pairs = tree.query_pairs(limit, output_type="ndarray")
        if len(pairs) == 0:
            return np.inf
        pairs = pairs[~np.asarray(self.near[pairs[:, 0], pairs[:, 1]]).ravel()]
        r = positions[pairs[:, 0]] - positions[pairs[:, 1]]
        if sides is not None:
            r -= np.round(r / sides) * sides
        return float(np.linalg.norm(r, axis=1).min(initial=np.inf))
