"""Local frames of three atoms, and positions of other atoms in them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

Array = np.ndarray
Axes = Callable[[Array, Array, Array], Array]
"""Right-handed axes as rows, from the places of a centre and of two atoms near it, nm."""

FLAT = 1e-9
"""nm: shorter vectors have no direction, and carry their atoms without turning."""

SOFT = 1e-12
"""nm²: added to squared lengths, so that shorter vectors fade instead of turning at random."""


def bisector_axes(
    centre: Float[Array, "*batch 3"],
    first: Float[Array, "*batch 3"],
    second: Float[Array, "*batch 3"],
) -> Float[Array, "*batch 3 3"]:
    """Bisector, in-plane, normal.

    An error of either direction turns the frame by half of it.
    """
    u, v = _unit(first - centre), _unit(second - centre)
    bisector = _unit(u + v)
    normal = _unit(np.cross(u, v))
    return np.stack([bisector, np.cross(normal, bisector), normal], axis=-2)


def bond_axes(
    centre: Float[Array, "*batch 3"],
    first: Float[Array, "*batch 3"],
    second: Float[Array, "*batch 3"],
) -> Float[Array, "*batch 3 3"]:
    """Along the first direction, in-plane, normal: angles to the first one are exact."""
    x = _softened(first - centre)
    y = second - centre
    y = _softened(y - (x * y).sum(-1, keepdims=True) * x)
    columns = np.stack([x, y, np.cross(x, y)], axis=-1)  # the layout decides rounding
    return np.swapaxes(columns, -1, -2)


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(length, FLAT)


def _softened(vectors: Array) -> Array:
    return vectors / np.sqrt((vectors**2).sum(-1, keepdims=True) + SOFT)


def local_places(
    positions: Float[Array, "atoms 3"],
    atoms: Int[Array, " n"],
    anchors: Int[Array, "n 3"],
    axes: Axes,
) -> Float[Array, "n 3"]:
    """Positions of atoms in the frames of their anchors, nm.

    Args:
        positions: nm.
        atoms: indices.
        anchors: of each: the centre of its frame, and two directions.
        axes: of the frames.
    """
    centre, first, second = positions[anchors.T]
    return np.einsum("nij,nj->ni", axes(centre, first, second), positions[atoms] - centre)


def placed(
    local: Float[Array, "n 3"],
    positions: Float[Array, "*batch atoms 3"],
    anchors: Int[Array, "n 3"],
    axes: Axes,
) -> Float[Array, "*batch n 3"]:
    """The inverse of `local_places`, whose anchors may have moved since, nm."""
    centre, first, second = (positions[..., atom, :] for atom in anchors.T)
    return centre + np.einsum("...nij,ni->...nj", axes(centre, first, second), local)
