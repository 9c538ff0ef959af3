"""Maxwell velocities and the Ornstein-Uhlenbeck process on velocities."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from egno_md.core.molecules import molecule_numbers
from egno_md.core.units import BOLTZMANN, thermal_speed

Array = np.ndarray

RANK_TOLERANCE = 1e-6
"""Relative size below which a combination of constraints restricts nothing new."""


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
    velocities: Float[Array, "atoms 3"],
    masses: Float[Array, " atoms"],
    group: Array,
    freedom: Float[Array, " atoms"] | None = None,
) -> Float[Array, " groups"]:
    """Kinetic temperature of each group of atoms, K.

    Args:
        velocities: nm/ps.
        masses: Da.
        group: number of its group per atom.
        freedom: degrees of freedom per atom (`atom_freedom`); those without
            constraints if None.
    """
    share = masses / masses.sum()
    internal = velocities - share @ velocities
    twice_kinetic = np.bincount(group, masses * np.einsum("ax,ax->a", internal, internal))
    carried = 3 * (1 - share) if freedom is None else freedom
    return twice_kinetic / (np.bincount(group, carried) * BOLTZMANN)


def atom_freedom(
    masses: Float[Array, " atoms"],
    constraints: Int[Array, "constraints 2"],
    positions: Float[Array, "atoms 3"],
) -> Float[Array, " atoms"]:
    """Degrees of freedom that each atom's velocity carries, ⟨mᵢvᵢ²⟩/(k_B T).

    Allowed velocities are a projection P of all velocities in mass-weighted
    coordinates, so that atom i carries the trace of its 3 × 3 block of P. The
    centre of mass at rest takes 3mᵢ/M from it. Each connected group of
    constraints takes the trace of the projector on its mass-weighted
    gradients; a lone bond takes mⱼ/(mᵢ + mⱼ) from atom i. The sum is 3N - 3
    minus the number of independent constraints. Where constraints share atoms
    the split depends, weakly, on the angle between them at `positions`; it is
    exact for rigid water.
    """
    freedom = 3 * (1 - masses / masses.sum())
    if len(constraints) == 0:
        return freedom
    cluster = molecule_numbers(constraints, len(masses))[constraints[:, 0]]
    order = np.argsort(cluster, kind="stable")
    begins = np.flatnonzero(np.diff(cluster[order]))
    for pairs in np.split(constraints[order], begins + 1):
        atoms = np.unique(pairs)
        first, second = np.searchsorted(atoms, pairs).T
        bond = positions[pairs[:, 0]] - positions[pairs[:, 1]]
        gradient = np.zeros((len(atoms), 3, len(pairs)))
        count = np.arange(len(pairs))
        gradient[first, :, count] = bond / np.sqrt(masses[pairs[:, 0]])[:, None]
        gradient[second, :, count] = -bond / np.sqrt(masses[pairs[:, 1]])[:, None]
        flat = gradient.reshape(-1, len(pairs))
        basis, sizes, _ = np.linalg.svd(flat, full_matrices=False)
        basis = basis[:, sizes > RANK_TOLERANCE * sizes[0]]
        freedom[atoms] -= np.square(basis).sum(1).reshape(-1, 3).sum(1)
    return freedom
