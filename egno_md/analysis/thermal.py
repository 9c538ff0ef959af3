"""Temperatures and energies along a trajectory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from egno_md.analysis.statistics import (
    RESAMPLES,
    Estimate,
    cut,
    effective_samples,
    inefficiency,
)
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.core.units import kinetic_energy, temperature

Array = np.ndarray


def peculiar_velocities(system: System, trajectory: Trajectory) -> Float[Array, "frames atoms 3"]:
    """Velocities less that of the centre of mass, nm/ps."""
    velocities = np.asarray(trajectory.velocities, dtype=np.float64)
    drift = np.einsum("a,fax->fx", system.masses / system.masses.sum(), velocities)
    return velocities - drift[:, None]


def element_degrees_of_freedom(system: System) -> dict[str, float]:
    """Degrees of freedom of each element's atoms with the centre of mass at rest.

    For Maxwell velocities v_i and V = Σ m_i v_i / M, a component of v_i - V has
    variance kT/m_i - 2kT/M + kT/M = (kT/m_i)(1 - m_i/M), so that

        ⟨Σ_{i∈e} ½ m_i |v_i - V|²⟩ = ½ kT · 3 (N_e - M_e/M)

    with N_e atoms of total mass M_e; the sum over elements is 3N - 3. (The
    argument behind every centre-of-mass correction, e.g. Frenkel and Smit,
    Understanding Molecular Simulation, Sec. 4.1, kept per atom.)
    Without constraints only; see `has_constraints`.
    """
    total = float(system.masses.sum())
    elements = np.array(system.elements)
    return {
        e: 3.0 * (np.sum(elements == e) - system.masses[elements == e].sum() / total)
        for e in dict.fromkeys(system.elements)
    }


def has_constraints(system: System) -> bool:
    """Whether the system has fewer degrees of freedom than 3N - 3."""
    return system.degrees_of_freedom < 3 * system.n_atoms - 3


def temperatures(system: System, chains: Sequence[Trajectory]) -> list[Float[Array, " frames"]]:
    """Kinetic temperature of each frame without centre-of-mass motion, K."""
    freedom = min(system.degrees_of_freedom, 3 * system.n_atoms - 3)
    return [
        np.asarray(
            temperature(kinetic_energy(peculiar_velocities(system, c), system.masses), freedom)
        )
        for c in chains
    ]


def element_temperatures(
    system: System, chains: Sequence[Trajectory]
) -> dict[str, list[Float[Array, " frames"]]]:
    """Kinetic temperature of each element's atoms, K (see `element_degrees_of_freedom`)."""
    elements = np.array(system.elements)
    relative = [peculiar_velocities(system, c) for c in chains]
    return {
        e: [
            np.asarray(
                temperature(
                    kinetic_energy(v[:, elements == e], system.masses[elements == e]), freedom
                )
            )
            for v in relative
        ]
        for e, freedom in element_degrees_of_freedom(system).items()
    }


def total_energies(system: System, chains: Sequence[Trajectory]) -> list[Float[Array, " frames"]]:
    """Potential plus kinetic energy relative to the centre of mass, kJ/mol."""
    return [
        np.asarray(c.potential_energy, dtype=np.float64)
        + kinetic_energy(peculiar_velocities(system, c), system.masses)
        for c in chains
    ]


def drift(
    chains: Sequence[Array], times: Sequence[Array], generator: np.random.Generator
) -> Estimate:
    """Least-squares slope of a series over time, one slope for all chains.

    Each chain has its own offset. The standard error comes from a wild block
    bootstrap (Shao 2010, J. Am. Stat. Assoc. 105, 218): blocks of the
    residuals are given random signs.

    Args:
        chains: each ``(frames,)``.
        times: ps.
        generator: draws the signs.

    Returns:
        Slope in units of the series per ps.
    """
    centred = [(t - t.mean(), x - x.mean()) for t, x in zip(times, chains, strict=True)]
    spread = max(sum(float(t @ t) for t, _ in centred), np.finfo(float).tiny)
    slope = sum(float(t @ x) for t, x in centred) / spread
    residuals = [x - slope * t for t, x in centred]
    g = inefficiency(residuals)
    weighted = [t * r for (t, _), r in zip(centred, residuals, strict=True)]
    pieces = np.array([b.sum() for b in cut(weighted, g)])
    signs = generator.choice([-1.0, 1.0], size=(RESAMPLES, len(pieces)))
    resampled = slope + signs @ pieces / spread
    return Estimate(slope, resampled, len(pieces), effective_samples(residuals, g))
