"""Stereocentres and peptide bonds, whose inversion or turn makes another molecule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from egno_md.core.molecules import bond_matrix
from egno_md.core.system import System
from egno_md.geometry.bonded import bond_neighbours
from egno_md.geometry.peptide import find_peptide
from egno_md.geometry.rigid import cross
from egno_md.geometry.torsions import torsion_cosines

Array = np.ndarray


def signed_volumes(
    positions: Float[Array, "*frames atoms 3"], centres: Int[Array, "centres 4"]
) -> Float[Array, "*frames centres"]:
    """Triple product of three neighbours about their centre, the last of the four, nm³."""
    a, b, c, centre = (np.asarray(positions[..., centres[:, n], :], np.float64) for n in range(4))
    return ((a - centre) * cross(b - centre, c - centre)).sum(-1)


@dataclass(frozen=True, eq=False)
class Stereochemistry:
    """The stereocentres of a system, and its peptide bonds.

    A stereocentre is an atom with four neighbours that the bonded graph tells apart:
    inverted, it belongs to another molecule. Hydrogens of a methyl group or a methylene
    may swap. Centres that differ only by the handedness of others (pseudoasymmetric
    ones) are not among them.

    Attributes:
        centres: three neighbours of each stereocentre, and the centre itself last.
        peptides: CA, C, N, CA of each ω.
        names: of the centres, then of the peptide bonds.
    """

    centres: Int[Array, "centres 4"]
    peptides: Int[Array, "peptides 4"]
    names: tuple[str, ...]

    @classmethod
    def of(cls, system: System) -> Stereochemistry:
        """Stereocentres by the bonded graph, in the order of the atoms; every ω."""
        centres, peptide = find_stereocentres(system), find_peptide(system)
        peptides = np.zeros((0, 4), np.int64) if peptide is None else peptide.peptide_bonds
        names = [_centre_name(system, atom) for atom in centres[:, 3].tolist()]
        after = [system.topology.atom(atom).residue for atom in peptides[:, 2].tolist()]
        return cls(centres, peptides, (*names, *(f"peptide bond before {r}" for r in after)))

    def inverted(
        self, before: Float[Array, "*frames atoms 3"], after: Float[Array, "*frames atoms 3"]
    ) -> Bool[Array, "*frames centres"]:
        """Which stereocentres are mirrored; leading axes are broadcast."""
        return signed_volumes(before, self.centres) * signed_volumes(after, self.centres) < 0

    def turned(
        self, before: Float[Array, "*frames atoms 3"], after: Float[Array, "*frames atoms 3"]
    ) -> Bool[Array, "*frames peptides"]:
        """Which peptide bonds went from trans to cis or back; leading axes are broadcast."""
        return torsion_cosines(before, self.peptides) * torsion_cosines(after, self.peptides) < 0

    def changed(
        self, before: Float[Array, "*frames atoms 3"], after: Float[Array, "*frames atoms 3"]
    ) -> Bool[Array, "*frames names"]:
        """Which centres are inverted and which peptide bonds turned, in the order of `names`."""
        return np.concatenate([self.inverted(before, after), self.turned(before, after)], axis=-1)

    def named(self, changed: Bool[Array, " names"]) -> tuple[str, ...]:
        """Names of what `changed` marks in one frame."""
        return tuple(self.names[i] for i in np.flatnonzero(changed))

    def cis(self, positions: Float[Array, "*frames atoms 3"]) -> Bool[Array, "*frames peptides"]:
        """Which peptide bonds are cis."""
        return torsion_cosines(positions, self.peptides) > 0


def find_stereocentres(system: System) -> Int[Array, "centres 4"]:
    """Three neighbours of each stereocentre in the order of their numbers, and the centre.

    The neighbour that is left out is the lightest, a hydrogen in most molecules.
    """
    classes = graph_classes(system.atomic_numbers, system.bonds)
    rows = []
    for centre, ends in enumerate(bond_neighbours(system.bonds, system.n_atoms)):
        if len(ends) == 4 and len(set(classes[ends].tolist())) == 4:
            lightest = min(ends, key=lambda n: (system.atomic_numbers[n], -n))
            rows.append([*sorted(n for n in ends if n != lightest), centre])
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def graph_classes(
    numbers: Int[Array, " atoms"], bonds: Int[Array, "bonds 2"]
) -> Int[Array, " atoms"]:
    """Atoms with the same surroundings have the same class.

    Refinement of the elements over the bonds (Morgan 1965, J. Chem. Doc. 5, 107; Weisfeiler and
    Lehman 1968) until no class splits. A class is a 64-bit code of an atom and of the
    codes of its neighbours in the round before, in whatever order.

    Args:
        numbers: atomic numbers.
        bonds: pairs of atoms.
    """
    adjacency = bond_matrix(bonds, len(numbers)).astype(np.uint64)
    adjacency = adjacency + adjacency.T
    codes, classes = _mixed(numbers.astype(np.uint64)), 0
    while (count := len(np.unique(codes))) > classes:
        classes = count
        codes = _mixed(codes + np.uint64(3) * (adjacency @ _mixed(codes)))
    return np.unique(codes, return_inverse=True)[1]


def _mixed(codes: Array) -> Array:
    """Bits of 64-bit codes spread over all of them (splitmix64, Steele et al. 2014)."""
    codes = (codes + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    codes = (codes ^ (codes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return codes ^ (codes >> np.uint64(31))


def _centre_name(system: System, index: int) -> str:
    atom = system.topology.atom(index)
    if {"N", "CA", "C"} <= {a.name for a in atom.residue.atoms}:
        return f"{atom.residue} {atom.name}"
    return f"atom {atom.name} of {atom.residue}"
