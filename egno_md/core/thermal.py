"""Maxwell velocities and the Ornstein-Uhlenbeck process on velocities."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from egno_md.core.units import BOLTZMANN, thermal_speed

Array = np.ndarray


def maxwell_velocities(
    masses: Float[Array, " atoms"], kelvin: float, random: np.random.Generator
) -> Float[Array, "atoms 3"]:
    """Maxwell-Boltzmann velocities without centre-of-mass motion, nm/ps."""
    velocities = random.standard_normal((len(masses), 3)) * thermal_speed(masses, kelvin)[:, None]
    return velocities - (masses / masses.sum()) @ velocities


def ornstein_uhlenbeck(
    velocities: Float[Array, "atoms 3"],
    masses: Float[Array, " atoms"],
    kelvin: float,
    friction: float,
    duration: float,
    random: np.random.Generator,
    damping: Float[Array, "atoms 1"] | float = 1.0,
) -> Float[Array, "atoms 3"]:
    """Exact friction and noise over `duration` ps; the centre of mass is left alone.

    Args:
        velocities: nm/ps.
        masses: Da.
        kelvin: temperature.
        friction: 1/ps.
        duration: ps.
        random: draws the noise.
        damping: further factor on the velocities before the noise.
    """
    share = masses / masses.sum()
    drift = share @ velocities
    keep = np.exp(-friction * duration)
    noise = random.standard_normal(velocities.shape)
    noise *= (np.sqrt(1 - keep**2) * thermal_speed(masses, kelvin))[:, None]
    internal = keep * damping * (velocities - drift) + noise
    return internal - share @ internal + drift


def group_temperatures(
    velocities: Float[Array, "atoms 3"], masses: Float[Array, " atoms"], group: Array
) -> Float[Array, " groups"]:
    """Kinetic temperature of each group of atoms, K.

    Without centre-of-mass motion atom i carries 3(1 - mᵢ/M) degrees of freedom,
    since ⟨mᵢvᵢ²⟩ = 3 k_B T (1 - mᵢ/M) there. Constraints are not shared out.
    """
    share = masses / masses.sum()
    internal = velocities - share @ velocities
    twice_kinetic = np.bincount(group, masses * np.einsum("ax,ax->a", internal, internal))
    return twice_kinetic / (np.bincount(group, 3 * (1 - share)) * BOLTZMANN)
