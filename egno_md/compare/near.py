"""Points near one another: as they are, or by their nearest images in a periodic box."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from egno_md.core.periodic import images_around, smallest_height

Array = np.ndarray


def near_pairs(
    first: Float[Array, "n 3"],
    second: Float[Array, "m 3"],
    reach: float,
    box: Float[Array, "3 3"] | None = None,
) -> tuple[Int[Array, "pairs 2"], Float[Array, "pairs 3"]]:
    """Pairs of two sets of points within reach of one another.

    Args:
        first: nm, wrapped or not.
        second: likewise.
        reach: nm; may be beyond half the box.
        box: vectors as rows, of any shape; None for points as they are.

    Returns:
        Numbers in the first and in the second set, and vectors from the one to the
        nearest image of the other, nm.
    """
    home, images, origin = np.asarray(first), np.asarray(second), np.arange(len(second))
    if box is not None:
        home = images_around(first, 0.0, box)[0][: len(first)]
        images, origin = images_around(second, reach, box)
    found = KDTree(home).sparse_distance_matrix(KDTree(images), reach, output_type="ndarray")
    if box is not None and 2 * reach > smallest_height(box):
        nearest_first = found[np.argsort(found["v"])]
        codes = nearest_first["i"] * len(second) + origin[nearest_first["j"]]
        found = nearest_first[np.unique(codes, return_index=True)[1]]
    pairs = np.stack([found["i"], origin[found["j"]]], axis=1)
    return pairs, images[found["j"]] - home[found["i"]]
