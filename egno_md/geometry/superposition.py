"""Superposition: the rigid motion with the least squared distance (Kabsch 1976)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

Array = np.ndarray

MEAN_ITERATIONS = 5
"""Superpose-and-average rounds; the mean moves by less than 1e-4 nm after three."""


def heavy_atoms(numbers: Int[Array, " atoms"]) -> Int[Array, " chosen"]:
    """Atoms other than hydrogen, by which to fit; all atoms where those are fewer than three."""
    heavy = np.flatnonzero(numbers > 1)
    return heavy if len(heavy) >= 3 else np.arange(len(numbers))


def rigid_fit(
    before: Float[Array, "*batch points 3"],
    after: Float[Array, "*batch points 3"],
    weights: Float[Array, " points"] | None = None,
) -> tuple[Float[Array, "*batch 3"], Float[Array, "*batch 3"], Float[Array, "*batch 3 3"]]:
    """Weighted centres, and proper rotations R with after ≈ R before (Kabsch 1976).

    By singular values in double precision. MDTraj's quaternion iteration in single
    precision gives up on some frames of small or planar molecules and leaves them
    unrotated. Mirror images are never used.

    Args:
        before: nm.
        after: nm; leading axes are broadcast.
        weights: of the points; equal by default.

    Returns:
        Centre before, centre after, rotation.
    """
    weights = np.ones(before.shape[-2]) if weights is None else weights
    share = weights / weights.sum()
    old = np.einsum("p,...px->...x", share, before)
    new = np.einsum("p,...px->...x", share, after)
    arms = share[:, None] * (after - new[..., None, :])
    covariance = np.einsum("...px,...py->...xy", arms, before - old[..., None, :])
    u, _, vt = np.linalg.svd(covariance)
    u[..., :, 2] *= np.linalg.det(u @ vt)[..., None]
    return old, new, u @ vt


def superposed(
    moving: Float[Array, "*frames atoms 3"],
    onto: Float[Array, "*frames atoms 3"],
    by: Int[Array, " chosen"] | slice = slice(None),
) -> Float[Array, "*frames atoms 3"]:
    """Structures turned and shifted onto others, in double precision, nm.

    Args:
        moving: nm.
        onto: nm; leading axes are broadcast.
        by: atoms that are fitted; all by default.
    """
    x, y = np.asarray(moving, np.float64), np.asarray(onto, np.float64)
    old, new, turn = rigid_fit(x[..., by, :], y[..., by, :])
    return (x - old[..., None, :]) @ np.swapaxes(turn, -1, -2) + new[..., None, :]


def superposed_rmsd(a: Float[Array, "points 3"], b: Float[Array, "points 3"]) -> float:
    """Root-mean-square deviation after the best superposition, nm."""
    before, after, turn = rigid_fit(b, a)
    left = (a - after) - (b - before) @ turn.T
    return float(np.sqrt(np.square(left).sum() / len(a)))


def mean_structure(
    sample: Float[Array, "frames atoms 3"], by: Int[Array, " chosen"]
) -> Float[Array, "atoms 3"]:
    """Mean over frames after superposition on that mean.

    Generalised Procrustes analysis: superpose on the first frame, average,
    and repeat with the average as the target.

    Args:
        sample: nm.
        by: atoms that are fitted.

    Returns:
        nm, centred at the fitted atoms' centroid as the first frame has it.
    """
    target = np.asarray(sample[0], dtype=np.float64)
    for _ in range(MEAN_ITERATIONS):
        target = superposed(sample, target, by).mean(axis=0)
    return target
