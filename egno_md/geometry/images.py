"""Periodic boxes: lattice vectors, nearest images, pairs of neighbours, whole molecules.

Box vectors are the rows of a matrix. The fractional coordinates of a
displacement shorter than half the smallest height of the box lie within ½ of
zero, so rounding them finds the nearest image of every such displacement, in
any box.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse.csgraph import breadth_first_order
from scipy.spatial import KDTree

from egno_md.core.molecules import bond_matrix, molecule_numbers

Array = np.ndarray


def smallest_height(box: Float[Array, "3 3"]) -> float:
    """The least distance between opposite faces, nm."""
    return float(1 / np.linalg.norm(np.linalg.inv(box), axis=0).max())


def lattice_vectors(
    displacements: Float[Array, "n 3"], box: Float[Array, "3 3"]
) -> Float[Array, "n 3"]:
    """The lattice vectors whose fractional coordinates are nearest, nm."""
    return np.round(displacements @ np.linalg.inv(box)) @ box


def images_around(
    positions: Float[Array, "atoms 3"], reach: float, box: Float[Array, "3 3"]
) -> tuple[Float[Array, "images 3"], Int[Array, " images"]]:
    """Positions wrapped into the box, and then every image of them within reach of it.

    Args:
        positions: nm, wrapped or not.
        reach: nm.
        box: vectors as rows, of any shape.

    Returns:
        Places, nm, of which the first `atoms` lie in the box, and of which atom each is
        an image. Some images are a little farther than `reach`.
    """
    inverse = np.linalg.inv(box)
    fractions = positions @ inverse
    fractions -= np.floor(fractions)
    margin = reach * np.linalg.norm(inverse, axis=0)
    images, origin = fractions, np.arange(len(positions))
    for axis in range(3):
        copies = [(images, origin)]
        for number in range(1, int(np.ceil(margin[axis])) + 1):
            step = number * np.eye(3)[axis]
            low = images[:, axis] < margin[axis] - number + 1
            high = images[:, axis] >= number - margin[axis]
            copies += [(images[low] + step, origin[low]), (images[high] - step, origin[high])]
        images, origin = (np.concatenate(c) for c in zip(*copies, strict=True))
    return images @ box, origin


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
    matches = KDTree(home).sparse_distance_matrix(KDTree(images), reach, output_type="ndarray")
    if box is not None and 2 * reach > smallest_height(box):
        nearest_first = matches[np.argsort(matches["v"])]
        codes = nearest_first["i"] * len(second) + origin[nearest_first["j"]]
        matches = nearest_first[np.unique(codes, return_index=True)[1]]
    pairs = np.stack([matches["i"], origin[matches["j"]]], axis=1)
    return pairs, images[matches["j"]] - home[matches["i"]]


def molecule_centres(
    positions: Float[Array, "atoms 3"], molecule: Int[Array, " atoms"]
) -> Float[Array, "molecules 3"]:
    """Geometric centre of each molecule, nm."""
    sums = [np.bincount(molecule, weights=positions[:, axis]) for axis in range(3)]
    return np.stack(sums, axis=1) / np.bincount(molecule)[:, None]


def make_whole(
    positions: Float[Array, "atoms 3"], bonds: Int[Array, "bonds 2"], box: Float[Array, "3 3"]
) -> Float[Array, "atoms 3"]:
    """Every atom at the image that is nearest to its bonded neighbour's.

    The first atom of each molecule stays where it is.
    """
    atoms = len(positions)
    adjacency = bond_matrix(bonds, atoms)
    whole = np.array(positions, dtype=np.float64)
    _, first = np.unique(molecule_numbers(bonds, atoms), return_index=True)
    for root in first:
        order, parents = breadth_first_order(adjacency, root, directed=False)
        for atom in order[1:]:
            step = whole[atom] - whole[parents[atom]]
            whole[atom] -= lattice_vectors(step[None], box)[0]
    return whole


def follow(
    before: Float[Array, "atoms 3"],
    after: Float[Array, "atoms 3"],
    box: Float[Array, "3 3"],
    molecule: Int[Array, " atoms"],
) -> Float[Array, "atoms 3"]:
    """Molecules of `after` moved as wholes to the images nearest to `before`.

    Exact where no molecule moves half a box between the two.
    """
    displacements = molecule_centres(after, molecule) - molecule_centres(before, molecule)
    return after - lattice_vectors(displacements, box)[molecule]
