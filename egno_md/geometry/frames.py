"""Local frames: carrying atoms rigidly with others."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

Array = np.ndarray

FLAT = 1e-9
"""nm: shorter vectors have no direction, and carry their atoms without turning."""


def axes(
    centre: Float[Array, "*batch 3"],
    first: Float[Array, "*batch 3"],
    second: Float[Array, "*batch 3"],
) -> Float[Array, "*batch 3 3"]:
    """Right-handed axes at `centre`, as rows: bisector, in-plane, normal.

    Built on the bisector of both directions, so that an error of either turns
    the frame by half of it.
    """
    u, v = _unit(first - centre), _unit(second - centre)
    bisector = _unit(u + v)
    normal = _unit(np.cross(u, v))
    return np.stack([bisector, np.cross(normal, bisector), normal], axis=-2)


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(length, FLAT)


def carry(
    before: Float[Array, "atoms 3"],
    after: Float[Array, "*batch atoms 3"],
    carried: Int[Array, " n"],
    anchors: Int[Array, "n 3"],
) -> Float[Array, "*batch n 3"]:
    """Where `carried` go when the frames of their anchors move rigidly.

    Args:
        before: nm, all atoms.
        after: nm; the anchors are in place.
        carried: atoms.
        anchors: of each: the centre of its frame, and two directions.
    """
    centre, first, second = anchors.T
    old = axes(before[centre], before[first], before[second])
    new = axes(after[..., centre, :], after[..., first, :], after[..., second, :])
    local = np.einsum("nij,nj->ni", old, before[carried] - before[centre])
    return after[..., centre, :] + np.einsum("...nij,ni->...nj", new, local)
