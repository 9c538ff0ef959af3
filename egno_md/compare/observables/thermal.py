"""Temperatures and energies along a trajectory."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.core.units import kinetic_energy, temperature

Array = np.ndarray


def peculiar_velocities(system: System, trajectory: Trajectory) -> Float[Array, "frames atoms 3"]:
    """Velocities less that of the centre of mass, nm/ps."""
    velocities = np.asarray(trajectory.velocities, dtype=np.float64)
    drift = np.einsum("a,fax->fx", system.masses / system.masses.sum(), velocities)
    return velocities - drift[:, None]


def element_widths(system: System) -> dict[str, float]:
    """Exact width of each element's kinetic temperature over its mean.

    The centre of mass at rest couples the atoms: of the 3N velocity components of
    an element, weighted by √m, 3(N - 1) have the variance kT and three the variance
    kT (1 - M_e/M). A sum of squares with variances λ has the relative width
    √(2 Σλ²)/Σλ.
    """
    total = float(system.masses.sum())
    elements = np.array(system.elements)
    widths = {}
    for e in dict.fromkeys(system.elements):
        chosen = elements == e
        rest = 1.0 - float(system.masses[chosen].sum()) / total
        count = float(chosen.sum()) - 1.0
        widths[e] = float(np.sqrt(2 * 3 * (count + rest**2)) / max(3 * (count + rest), 1e-12))
    return widths


def temperatures(system: System, trajectory: Trajectory) -> Float[Array, " frames"]:
    """Kinetic temperature of each frame without centre-of-mass motion, K."""
    kinetic = kinetic_energy(peculiar_velocities(system, trajectory), system.masses)
    return np.asarray(temperature(kinetic, system.internal_freedom))


def element_temperatures(
    system: System, trajectory: Trajectory
) -> dict[str, Float[Array, " frames"]]:
    """Kinetic temperature of each element's atoms about the centre of mass, K.

    By `System.freedom`. For Maxwell velocities v_i and V = Σ m_i v_i / M, a component of
    v_i - V has variance kT/m_i - 2kT/M + kT/M = (kT/m_i)(1 - m_i/M), so that

        ⟨Σ_{i∈e} ½ m_i |v_i - V|²⟩ = ½ kT · 3 (N_e - M_e/M)

    with N_e atoms of total mass M_e and without constraints. (The argument behind every
    centre-of-mass correction, e.g. Frenkel and Smit, Understanding Molecular Simulation,
    Sec. 4.1, kept per atom.)
    """
    elements = np.array(system.elements)
    v = peculiar_velocities(system, trajectory)
    kelvins = {}
    for e in dict.fromkeys(system.elements):
        chosen = elements == e
        kinetic = kinetic_energy(v[:, chosen], system.masses[chosen])
        kelvins[e] = np.asarray(temperature(kinetic, system.freedom[e]))
    return kelvins


def total_energies(system: System, trajectory: Trajectory) -> Float[Array, " frames"]:
    """Potential plus kinetic energy relative to the centre of mass, kJ/mol."""
    kinetic = kinetic_energy(peculiar_velocities(system, trajectory), system.masses)
    return np.asarray(trajectory.potential_energy, dtype=np.float64) + kinetic
