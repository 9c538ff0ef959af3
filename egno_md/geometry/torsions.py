"""Torsions of four atoms."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from egno_md.geometry.rigid import cross

Array = np.ndarray

SMALLEST_AREA = 1e-12
"""nm⁴: three atoms on a line span less, and their torsion has no cosine."""


def torsion_angles(
    positions: Float[Array, "*frames atoms 3"], quads: Int[Array, "torsions 4"]
) -> Float[Array, "*frames torsions"]:
    """Torsions in radians in [-π, π], positive clockwise along the middle bond (IUPAC 1974)."""
    first, axis, left, right = _planes(positions, quads)
    sine = np.sqrt((axis**2).sum(-1)) * (first * right).sum(-1)
    return np.arctan2(sine, (left * right).sum(-1))


def torsion_cosines(
    positions: Float[Array, "*frames atoms 3"], quads: Int[Array, "torsions 4"]
) -> Float[Array, "*frames torsions"]:
    """Cosines of torsions: -1 trans, 1 cis; 0 where three atoms lie on a line."""
    _, _, left, right = _planes(positions, quads)
    size = np.sqrt((left**2).sum(-1)) * np.sqrt((right**2).sum(-1))
    return (left * right).sum(-1) / np.maximum(size, SMALLEST_AREA)


def _planes(positions: Array, quads: Array) -> tuple[Array, Array, Array, Array]:
    """First bond, middle bond, and the normals of both planes, in double precision."""
    i, j, k, m = (np.asarray(positions[..., quads[:, n], :], np.float64) for n in range(4))
    first, axis, last = j - i, k - j, m - k
    return first, axis, cross(first, axis), cross(axis, last)
