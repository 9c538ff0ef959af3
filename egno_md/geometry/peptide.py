"""Atoms of peptide backbones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from egno_md.core.system import System
from egno_md.geometry.torsions import torsion_angles

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Peptide:
    """The backbone of the system's peptide chains.

    Attributes:
        residues: topology index, name, and atoms N, CA, C by name, for each amino acid.
        peptide_bonds: ``(bonds, 4)`` atoms CA, C, N, CA of each ω; caps count.
        ramachandran: ``(residues, 5)`` atoms C, N, CA, C, N around each residue with φ and ψ.
        ramachandran_residues: topology index of each of those.
        chains: topology index of the chain of each amino acid.
    """

    residues: tuple[tuple[int, str, dict[str, int]], ...]
    peptide_bonds: Array
    ramachandran: Array
    ramachandran_residues: tuple[int, ...]
    chains: tuple[int, ...]

    @cached_property
    def alpha(self) -> Array:
        """Atoms CA."""
        return np.array([atoms["CA"] for _, _, atoms in self.residues], dtype=np.int64)

    @cached_property
    def numbers(self) -> Array:
        """Topology index of each residue."""
        return np.array([number for number, _, _ in self.residues], dtype=np.int64)

    @property
    def longest(self) -> Array:
        """Atoms CA of the chain with the most amino acids."""
        return self.alpha[np.array(self.chains) == np.bincount(self.chains).argmax()]

    @property
    def has_several_chains(self) -> bool:
        """Whether the amino acids are not all of one chain."""
        return len(set(self.chains)) > 1

    @property
    def backbone_bonds(self) -> list[tuple[int, int]]:
        """N-CA and CA-C of every residue, sorted atoms."""
        return [
            tuple(sorted((atoms[a], atoms["CA"])))  # type: ignore[misc]
            for _, _, atoms in self.residues
            for a in ("N", "C")
        ]

    def phi_psi(
        self, positions: Float[Array, "*frames atoms 3"]
    ) -> Float[Array, "*frames residues 2"]:
        """φ and ψ of each residue that has both, radians."""
        quads = (self.ramachandran[:, :4], self.ramachandran[:, 1:])
        return np.stack([torsion_angles(positions, q) for q in quads], axis=-1)


def find_peptide(system: System) -> Peptide | None:
    """The backbone, by atom names and bonds; None without a peptide bond."""
    topology = system.topology
    bonded = {tuple(b) for b in system.bonds.tolist()}
    named = [{a.name: a.index for a in r.atoms} for r in topology.residues]
    links = [
        (i, j)
        for i, j in pairwise(range(len(named)))
        if "C" in named[i] and "N" in named[j]
        and tuple(sorted((named[i]["C"], named[j]["N"]))) in bonded
    ]  # fmt: skip
    if not links:
        return None
    residues = tuple(
        (i, topology.residue(i).name, atoms)
        for i, atoms in enumerate(named)
        if {"N", "CA", "C"} <= atoms.keys()
    )
    omegas = [
        (first, named[i]["C"], named[j]["N"], last)
        for i, j in links
        if (first := _alpha(named[i], "CA", "CH3")) is not None
        and (last := _alpha(named[j], "CA", "CH3", "C")) is not None
    ]
    before, after = {j: i for i, j in links}, dict(links)
    whole = [i for i, _, _ in residues if i in before and i in after]
    fives = [
        (named[before[i]]["C"], *(named[i][a] for a in ("N", "CA", "C")), named[after[i]]["N"])
        for i in whole
    ]
    return Peptide(
        residues,
        np.array(omegas, dtype=np.int64).reshape(-1, 4),
        np.array(fives, dtype=np.int64).reshape(-1, 5),
        tuple(whole),
        tuple(topology.residue(i).chain.index for i, _, _ in residues),
    )


def _alpha(atoms: dict[str, int], *names: str) -> int | None:
    """The carbon at a residue's end of ω; caps call it CH3, and C in N-methylamide."""
    return next((atoms[n] for n in names if n in atoms), None)
