"""How a molecule sits and moves as a whole: deviation, fluctuation, extent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from egno_md.core.state import Trajectory
from egno_md.core.system import System

Array = np.ndarray

MEAN_ITERATIONS = 5
"""Superpose-and-average rounds; the mean moves by less than 1e-4 nm after three."""


def heavy_atoms(system: System) -> Array:
    """Indices of atoms other than hydrogen; all atoms where there are too few to align."""
    heavy = np.flatnonzero(system.atomic_numbers > 1)
    return heavy if len(heavy) >= 3 else np.arange(system.n_atoms)


def mean_structure(system: System, chains: Sequence[Trajectory]) -> Float[Array, "atoms 3"]:
    """Mean over all frames after superposition of the heavy atoms on that mean.

    Generalised Procrustes analysis: superpose on the first frame, average,
    and repeat with the average as the target.

    Returns:
        nm, centred at the heavy atoms' centroid as the first frame has it.
    """
    target = np.asarray(chains[0].positions[0], dtype=np.float64)
    for _ in range(MEAN_ITERATIONS):
        target = np.concatenate(superposed(system, chains, target)).mean(axis=0)
    return target


def superposed(
    system: System, chains: Sequence[Trajectory], target: Float[Array, "atoms 3"]
) -> list[Float[Array, "frames atoms 3"]]:
    """Positions of each chain with the heavy atoms superposed on `target`, nm.

    The rotation that minimises their RMSD (Kabsch 1976, Acta Cryst. A32, 922),
    in double precision: MDTraj's single-precision quaternion iteration gives
    up on some frames of small molecules and then leaves them unrotated.
    """
    align = heavy_atoms(system)
    centre = target[align].mean(axis=0)
    moved = []
    for chain in chains:
        x = np.asarray(chain.positions, dtype=np.float64)
        x = x - x[:, align].mean(axis=1, keepdims=True)
        u, _, vt = np.linalg.svd(np.swapaxes(x[:, align], 1, 2) @ (target[align] - centre))
        u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]  # a rotation, never a reflection
        moved.append(x @ (u @ vt) + centre)
    return moved


def deviations(
    system: System, chains: Sequence[Trajectory], target: Float[Array, "atoms 3"]
) -> list[Float[Array, " frames"]]:
    """Heavy-atom RMSD of each frame to `target` after superposition, nm."""
    heavy = heavy_atoms(system)
    return [
        np.sqrt(((x[:, heavy] - target[heavy]) ** 2).sum(-1).mean(-1))
        for x in superposed(system, chains, target)
    ]


def squared_fluctuations(
    system: System, chains: Sequence[Trajectory], target: Float[Array, "atoms 3"]
) -> list[Float[Array, "frames atoms"]]:
    """Squared distance of each atom from its own mean position, nm².

    Frames are superposed on `target`; the mean is that of these chains, so
    that the root of the time average is the RMSF (`mdtraj.rmsf` measures from
    a given frame instead).
    """
    aligned = superposed(system, chains, target)
    mean = np.concatenate(aligned).mean(axis=0)
    return [((x - mean) ** 2).sum(-1) for x in aligned]


def radii_of_gyration(
    system: System, chains: Sequence[Trajectory]
) -> list[Float[Array, " frames"]]:
    """√(Σ m |x - x_com|² / Σ m), nm."""
    share = system.masses / system.masses.sum()
    radii = []
    for chain in chains:
        x = np.asarray(chain.positions, dtype=np.float64)
        x = x - np.einsum("a,fax->fx", share, x)[:, None]
        radii.append(np.sqrt(np.einsum("a,fax,fax->f", share, x, x)))
    return radii
