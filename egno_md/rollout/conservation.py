"""Conservation laws that a network only learns approximately."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from egno_md.core.state import Frame

Array = np.ndarray

SMALLEST_INERTIA = 1e-6
"""Relative moment of inertia below which an axis is left alone (linear molecules)."""


def restore_momenta(
    start: Frame,
    positions: Float[Array, "points atoms 3"],
    velocities: Float[Array, "points atoms 3"],
    elapsed: Float[Array, " points"],
    masses: Float[Array, " atoms"],
) -> tuple[Float[Array, "points atoms 3"], Float[Array, "points atoms 3"]]:
    """Give a predicted window the start frame's linear and angular momentum.

    The centre of mass moves ballistically; velocities are corrected by the
    smallest rigid motion that restores both momenta. With periodic boundaries
    angular momentum is not conserved and is left alone.

    Args:
        start: the frame the window starts from.
        positions: nm.
        velocities: nm/ps.
        elapsed: ps since the start at each point.
        masses: Da.

    Returns:
        Corrected positions and velocities.
    """
    share = masses / masses.sum()
    centre, drift = share @ start.positions, share @ start.velocities
    target = centre + drift * elapsed[:, None]
    positions = positions + (target - np.einsum("a,pax->px", share, positions))[:, None]
    velocities = velocities + (drift - np.einsum("a,pax->px", share, velocities))[:, None]
    if start.box is not None:
        return positions, velocities
    wanted = angular_momentum(start.positions - centre, start.velocities, masses)
    arms = positions - target[:, None]
    spin = np.stack(
        [
            _angular_velocity(arm, wanted - angular_momentum(arm, v, masses), masses)
            for arm, v in zip(arms, velocities, strict=True)
        ]
    )
    return positions, velocities + np.cross(spin[:, None], arms)


def angular_momentum(
    arms: Float[Array, "atoms 3"], velocities: Float[Array, "atoms 3"], masses: Array
) -> Float[Array, " 3"]:
    """Σ m r × v about the point the arms start from, Da nm²/ps."""
    return masses @ np.cross(arms, velocities)


def _angular_velocity(arms: Array, momentum: Array, masses: Array) -> Array:
    """ω with I ω = L, over the axes that have inertia."""
    weighted = masses[:, None] * arms
    inertia = np.eye(3) * np.sum(weighted * arms) - weighted.T @ arms
    if not np.isfinite(inertia).all():
        return np.zeros(3)
    moments, axes = np.linalg.eigh(inertia)
    usable = moments > SMALLEST_INERTIA * moments[-1]
    along = np.where(usable, (axes.T @ momentum) / np.where(usable, moments, 1.0), 0.0)
    return axes @ along
