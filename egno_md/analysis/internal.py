"""Internal coordinates: bonds, angles and torsions of a topology, and their values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import mdtraj
import numpy as np
from scipy.special import rel_entr

from egno_md.analysis.histograms import Measure
from egno_md.analysis.statistics import inefficiency
from egno_md.core.state import Trajectory
from egno_md.core.system import System

Array = np.ndarray

TORSION_BINS = 36
SMALL_MOLECULE = 30
"""Atoms up to which torsions ending in hydrogen are followed too."""
LARGEST_RING = 8
"""Bonds in rings up to this size do not rotate."""


def jensen_shannon(p: Array, q: Array) -> Array:
    """Jensen–Shannon distance, base 2, of probabilities ``(..., bins)``.

    As scipy.spatial.distance.jensenshannon, which gives NaN where rounding
    makes the divergence of two equal histograms negative.
    """
    middle = (p + q) / 2
    nats = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=-1) / 2
    return np.sqrt(np.maximum(nats / np.log(2.0), 0.0))


JENSEN_SHANNON = Measure(
    "Jensen–Shannon distance",
    jensen_shannon,
    "Root of the Jensen–Shannon divergence in bits of two histograms with 36 bins of 10°: "
    "0 where equal, 1 where disjoint (Lin 1991, IEEE Trans. Inf. Theory 37, 145).",
)


def as_mdtraj(trajectory: Trajectory, topology: mdtraj.Topology) -> mdtraj.Trajectory:
    """Positions and topology as MDTraj wants them."""
    positions = np.asarray(trajectory.positions, dtype=np.float32)
    return mdtraj.Trajectory(positions, topology, time=trajectory.times)


def neighbours(system: System) -> dict[int, list[int]]:
    """Bonded atoms of each atom, sorted."""
    bonded: dict[int, list[int]] = defaultdict(list)
    for i, j in system.bonds.tolist():
        bonded[i].append(j)
        bonded[j].append(i)
    return {i: sorted(bonded[i]) for i in range(system.n_atoms)}


def angle_indices(system: System) -> Array:
    """``(angles, 3)`` atoms of every angle between two bonds."""
    angles = [
        (i, centre, k)
        for centre, ends in neighbours(system).items()
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
    bonded, numbers = neighbours(system), system.atomic_numbers
    is_small = system.n_atoms <= SMALL_MOLECULE
    found = []
    for j, k in system.bonds.tolist():
        if min(numbers[j], numbers[k]) == 1 or _in_ring(bonded, j, k):
            continue
        ends = [
            [n for n in bonded[near] if n != far and (is_small or numbers[n] > 1)]
            for near, far in ((j, k), (k, j))
        ]
        if not is_small:
            ends = [sorted(e, key=lambda n: (-numbers[n], n))[:1] for e in ends]
        found += [(i, j, k, last) for i in ends[0] for last in ends[1] if i != last]
    return np.array(found, dtype=np.int64).reshape(-1, 4)


def _in_ring(bonded: dict[int, list[int]], j: int, k: int) -> bool:
    """Whether j and k stay connected within a small ring when their bond is cut."""
    reached, edge = {j}, {j}
    for step in range(LARGEST_RING - 1):
        edge = {n for a in edge for n in bonded[a] if not (step == 0 and n == k)} - reached
        if k in edge:
            return True
        reached |= edge
    return False


def bond_lengths(system: System, chains: Sequence[Trajectory]) -> list[Array]:
    """``(frames, bonds)`` per chain, nm."""
    return [
        mdtraj.compute_distances(as_mdtraj(c, system.topology), system.bonds, periodic=False)
        for c in chains
    ]


def angle_values(system: System, indices: Array, chains: Sequence[Trajectory]) -> list[Array]:
    """``(frames, angles)`` per chain, degrees."""
    return [
        np.degrees(mdtraj.compute_angles(as_mdtraj(c, system.topology), indices, periodic=False))
        for c in chains
    ]


def torsion_values(system: System, indices: Array, chains: Sequence[Trajectory]) -> list[Array]:
    """``(frames, torsions)`` per chain, degrees in [-180, 180]."""
    return [
        np.degrees(mdtraj.compute_dihedrals(as_mdtraj(c, system.topology), indices, periodic=False))
        for c in chains
    ]


def torsion_counts(chains: Sequence[Array]) -> list[Array]:
    """One-hot histogram per frame, ``(frames, bins)`` per chain, from degrees."""
    each = np.eye(TORSION_BINS, dtype=np.float32)
    return [
        each[np.floor((c + 180.0) / 360.0 * TORSION_BINS).astype(int) % TORSION_BINS]
        for c in chains
    ]


def torsion_inefficiency(chains: Sequence[Array]) -> float:
    """Frames per independent frame of an angle, from its sine and cosine."""
    radians = [np.radians(c) for c in chains]
    return max(inefficiency([f(r) for r in radians]) for f in (np.sin, np.cos))


def labels(system: System, indices: Array) -> tuple[str, ...]:
    """Atom names joined by dashes, led by the residue in proteins."""
    names = [a.name for a in system.topology.atoms]
    residues = [f"{a.residue.name}{a.residue.resSeq}" for a in system.topology.atoms]
    several = system.topology.n_residues > 1
    return tuple(
        (f"{residues[row[len(row) // 2]]} " if several else "") + "–".join(names[i] for i in row)
        for row in indices.tolist()
    )
