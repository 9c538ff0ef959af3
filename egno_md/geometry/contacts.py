"""Clashes: atoms that are too close and not bonded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from egno_md.core.system import System
from egno_md.geometry.bonded import bonded_within, marked

Array = np.ndarray

NEIGHBOURS = 3
"""Bonds apart up to which atoms may be close."""

DENSE_LIMIT = 64
"""Atoms up to which every pair is computed; beyond, a neighbour search."""


@dataclass(frozen=True, eq=False)
class Contacts:
    """Pairs of one topology that may be close, and the smallest distance of all others.

    Attributes:
        near: pairs within `NEIGHBOURS` bonds, as a boolean matrix.
        far: the other pairs of a small system, else None.
    """

    near: csr_array
    far: tuple[Array, Array] | None

    @classmethod
    def of(cls, system: System) -> Contacts:
        """From a system's bonds."""
        near, far = bonded_within(system.bonds, system.n_atoms, NEIGHBOURS), None
        if system.n_atoms <= DENSE_LIMIT:
            first, second = np.nonzero(np.triu(~near.toarray(), 1))
            far = (first, second)
        return cls(near, far)

    def closest(
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
        pairs = pairs[~marked(self.near, *pairs.T)]
        r = positions[pairs[:, 0]] - positions[pairs[:, 1]]
        if sides is not None:
            r -= np.round(r / sides) * sides
        return float(np.linalg.norm(r, axis=1).min(initial=np.inf))
