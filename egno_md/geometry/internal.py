"""Internal coordinates: bonds, angles and torsions of a topology, and their values."""

from __future__ import annotations

from itertools import combinations

import mdtraj
import numpy as np
from jaxtyping import Float

from egno_md.core.system import System
from egno_md.geometry.bonded import bond_neighbours

Array = np.ndarray

SMALL_MOLECULE = 30
"""Atoms up to which torsions ending in hydrogen are included."""
LARGEST_RING = 8
"""Bonds in rings up to this size do not rotate."""


def angle_indices(system: System) -> Array:
    """``(angles, 3)`` atoms of every angle between two bonds."""
    angles = [
        (i, centre, k)
        for centre, ends in enumerate(bond_neighbours(system.bonds, system.n_atoms))
        for i, k in combinations(ends, 2)
    ]
    return np.array(angles, dtype=np.int64).reshape(-1, 3)


def torsion_indices(system: System) -> Array:
    """``(torsions, 4)`` atoms of proper torsions about rotatable heavy-atom bonds.

    A bond counts as rotatable when it joins two heavy atoms and closes no ring
    of up to eight atoms, whatever its order. Molecules of up to 30 atoms are
    followed in every torsion, hydrogens included; larger ones in the one
    torsion per bond that runs through the heaviest, then first, neighbours.
    """
    bonded, numbers = bond_neighbours(system.bonds, system.n_atoms), system.atomic_numbers
    is_small = system.n_atoms <= SMALL_MOLECULE
    quads = []
    for j, k in system.bonds.tolist():
        if min(numbers[j], numbers[k]) == 1 or _in_ring(bonded, j, k):
            continue
        ends = [
            [n for n in bonded[near] if n != far and (is_small or numbers[n] > 1)]
            for near, far in ((j, k), (k, j))
        ]
        if not is_small:
            ends = [sorted(e, key=lambda n: (-numbers[n], n))[:1] for e in ends]
        quads += [(i, j, k, last) for i in ends[0] for last in ends[1] if i != last]
    return np.array(quads, dtype=np.int64).reshape(-1, 4)


def _in_ring(bonded: list[list[int]], j: int, k: int) -> bool:
    """Whether j and k stay connected within a small ring when their bond is cut."""
    reached, edge = {j}, {j}
    for step in range(LARGEST_RING - 1):
        edge = {n for a in edge for n in bonded[a] if not (step == 0 and n == k)} - reached
        if k in edge:
            return True
        reached |= edge
    return False


def as_mdtraj(system: System, positions: Float[Array, "frames atoms 3"]) -> mdtraj.Trajectory:
    """An MDTraj trajectory of the positions."""
    return mdtraj.Trajectory(np.asarray(positions, dtype=np.float32), system.topology)


def bond_lengths(
    system: System, positions: Float[Array, "frames atoms 3"]
) -> Float[Array, "frames bonds"]:
    """Nm."""
    return mdtraj.compute_distances(as_mdtraj(system, positions), system.bonds, periodic=False)


def angle_values(
    system: System, indices: Array, positions: Float[Array, "frames atoms 3"]
) -> Float[Array, "frames angles"]:
    """Degrees."""
    return np.degrees(mdtraj.compute_angles(as_mdtraj(system, positions), indices, periodic=False))


def labels(system: System, indices: Array) -> tuple[str, ...]:
    """Atom names joined by dashes, led by the residue in proteins."""
    names = [a.name for a in system.topology.atoms]
    residues = [f"{a.residue.name}{a.residue.resSeq}" for a in system.topology.atoms]
    several = system.topology.n_residues > 1
    return tuple(
        (f"{residues[row[len(row) // 2]]} " if several else "") + "–".join(names[i] for i in row)
        for row in indices.tolist()
    )
