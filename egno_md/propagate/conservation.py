"""Conservation laws that a network only learns approximately."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from egno_md.core.state import Frame
from egno_md.core.units import kinetic_energy
from egno_md.geometry.rigid import angular_momentum, angular_velocity, cross, rigid_velocities

Array = np.ndarray


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
    missing = wanted - angular_momentum(arms, velocities, masses)
    spin = angular_velocity(arms, missing, masses)
    return positions, velocities + cross(spin[:, None], arms)


LARGEST_RESCALE = 1.5
"""Factor on internal velocities beyond which energy is not restored but refused."""


def restore_energy(frame: Frame, energy: float, masses: Float[Array, " atoms"]) -> Frame | None:
    """Scale internal velocities so that kinetic plus potential energy is `energy`.

    The rigid motion (translation, and rotation without periodic boundaries) is
    left alone, so both momenta stay as they are.

    Args:
        frame: with its potential energy.
        energy: wanted total, kJ/mol.
        masses: Da.

    Returns:
        The frame, or None where the internal motion cannot give or take that
        much: never a velocity that is not a number.
    """
    assert frame.potential_energy is not None
    rigid = rigid_velocities(frame.positions, frame.velocities, masses, rotation=frame.box is None)
    internal = frame.velocities - rigid
    has = float(kinetic_energy(internal, masses))
    wants = energy - frame.potential_energy - float(kinetic_energy(rigid, masses))
    if not has > 0 or not wants > 0:
        return None
    factor = float(np.sqrt(wants / has))
    if not 1 / LARGEST_RESCALE <= factor <= LARGEST_RESCALE:
        return None
    return replace(frame, velocities=rigid + factor * internal)
