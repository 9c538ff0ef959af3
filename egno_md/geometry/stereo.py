"""Stereocentres and peptide bonds: what lifting and repair must leave as they were."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from egno_md.core.system import System

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Stereo:
    """Where a system could be turned into another molecule, or a peptide bond around.

    Attributes:
        centres: ``(centres, 4)``: three neighbours, and the stereocentre last.
        peptides: ``(peptides, 4)``: CA, C, N, CA of each ω.
        names: of the centres, then of the peptide bonds.
    """

    centres: Int[Array, "centres 4"]
    peptides: Int[Array, "peptides 4"]
    names: tuple[str, ...]

    @classmethod
    def of(cls, system: System) -> Stereo:
        """CA of every chiral residue, CB of isoleucine and threonine, every ω."""
        bonded = {tuple(b) for b in system.bonds.tolist()}
        centres, peptides, names, turns = [], [], [], []
        named = [{a.name: a.index for a in r.atoms} for r in system.topology.residues]
        for residue, atoms in zip(system.topology.residues, named, strict=True):
            wanted = [("N", "C", "CB", "CA")]
            wanted += {
                "ILE": [("CA", "CG1", "CG2", "CB")],
                "THR": [("CA", "OG1", "CG2", "CB")],
            }.get(residue.name, [])
            for four in wanted:
                if atoms.keys() >= set(four):
                    centres.append([atoms[n] for n in four])
                    names.append(f"{residue} {four[3]}")
        for (before, after), residue in zip(
            pairwise(named), list(system.topology.residues)[1:], strict=True
        ):
            c, n = before.get("C"), after.get("N")
            first, last = before.get("CA", before.get("CH3")), after.get("CA", after.get("C"))
            if None in (c, n, first, last) or tuple(sorted((c, n))) not in bonded:  # type: ignore[type-var]
                continue
            peptides.append([first, c, n, last])
            turns.append(f"peptide bond before {residue}")
        return cls(
            np.array(centres, dtype=np.int64).reshape(-1, 4),
            np.array(peptides, dtype=np.int64).reshape(-1, 4),
            (*names, *turns),
        )

    def signs(self, positions: Float[Array, "atoms 3"]) -> Float[Array, " centres"]:
        """±1 per centre: its hand."""
        p = positions[self.centres]
        a, b, c = (p[:, i] - p[:, 3] for i in range(3))
        return np.where(np.einsum("cx,cx->c", a, np.cross(b, c)) > 0, 1.0, -1.0)

    def cosines(self, positions: Float[Array, "atoms 3"]) -> Float[Array, " peptides"]:
        """Cosine of ω per peptide bond: -1 trans, 1 cis."""
        a, b, c, d = (positions[self.peptides[:, i]] for i in range(4))
        m, n = np.cross(b - a, c - b), np.cross(c - b, d - c)
        size = np.linalg.norm(m, axis=1) * np.linalg.norm(n, axis=1)
        return np.einsum("px,px->p", m, n) / np.maximum(size, 1e-12)

    def changed(
        self, before: Float[Array, "atoms 3"], after: Float[Array, "atoms 3"]
    ) -> tuple[str, ...]:
        """Names of centres turned inside out and peptide bonds turned around."""
        flips = self.signs(before) != self.signs(after)
        turns = self.cosines(before) * self.cosines(after) < 0
        return tuple(n for n, bad in zip(self.names, [*flips, *turns], strict=True) if bad)

    def cis(self, positions: Float[Array, "atoms 3"]) -> int:
        """How many peptide bonds are cis."""
        return int((self.cosines(positions) > 0).sum())
