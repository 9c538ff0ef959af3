"""Whether drawn windows are molecules at all: bonds, contacts, handedness, peptide bonds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from egno_md.core.system import System
from egno_md.geometry.integrity import Integrity
from egno_md.geometry.peptide import find_peptide
from egno_md.spec.propagate import ShapeTolerances

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Shapes:
    """Looks at whole windows of many replicas at once.

    Attributes:
        bonds: pairs of atoms.
        lengths: nm, of each in a relaxed structure.
        integrity: centres and contacts.
        omegas: four atoms of each peptide bond's torsion.
        tolerances: for bonds and contacts.
    """

    bonds: Int[Array, "bonds 2"]
    lengths: Float[Array, " bonds"]
    integrity: Integrity
    omegas: Int[Array, "peptides 4"]
    tolerances: ShapeTolerances

    @classmethod
    def of(
        cls, system: System, lengths: Float[Array, " bonds"], tolerances: ShapeTolerances
    ) -> Shapes:
        """For a system.

        Args:
            system: whose shape it is.
            lengths: of its bonds in a relaxed structure, nm.
            tolerances: for bonds and contacts.
        """
        peptide = find_peptide(system)
        omegas = np.zeros((0, 4), dtype=np.int64) if peptide is None else peptide.peptide_bonds
        return cls(system.bonds, lengths, Integrity.of(system), omegas, tolerances)

    def problems(
        self,
        starts: Float[Array, "replicas atoms 3"],
        windows: Float[Array, "replicas points atoms 3"],
    ) -> list[str | None]:
        """What is wrong with each window, or None.

        Args:
            starts: nm; handedness and peptide bonds must stay as they are there.
            windows: nm, all atoms.
        """
        off = self.bond_deviations(windows)
        close = self._contacts(windows)
        flipped = self._inverted(starts, windows)
        turned = self._turned(starts, windows)
        finite = [bool(np.isfinite(window).all()) for window in windows]
        return [
            self._name(finite[i], off[i], int(flipped[i]), int(turned[i]), close[i])
            for i in range(len(windows))
        ]

    def _name(
        self, finite: bool, off: float, flipped: int, turned: int, close: float
    ) -> str | None:
        limits = self.tolerances
        if not finite:
            return "not finite"
        if off > limits.bond:
            return f"bond off by {off * 10:.2f} Å"
        if flipped:
            return f"{flipped} centres inverted"
        if turned:
            return f"{turned} peptide bonds turned over"
        if close < limits.contact:
            return f"contact of {close * 10:.2f} Å"
        return None

    def bond_deviations(
        self, windows: Float[Array, "replicas points atoms 3"]
    ) -> Float[Array, " replicas"]:
        """Largest departure of a bond from its length in the relaxed structure, nm."""
        if len(self.bonds) == 0:
            return np.zeros(len(windows))
        r = windows[..., self.bonds[:, 0], :] - windows[..., self.bonds[:, 1], :]
        return np.abs(np.linalg.norm(r, axis=-1) - self.lengths).max(axis=(1, 2))

    def _contacts(self, windows: Array) -> Array:
        far = self.integrity.far
        if far is None:
            limit = self.tolerances.contact
            return np.array(
                [min(self.integrity.closest_contact(x, limit) for x in w) for w in windows]
            )
        if len(far[0]) == 0:
            return np.full(len(windows), np.inf)
        r = windows[..., far[0], :] - windows[..., far[1], :]
        return np.sqrt(np.einsum("wpfx,wpfx->wpf", r, r).min(axis=(1, 2)))

    def _inverted(self, starts: Array, windows: Array) -> Array:
        centres = self.integrity.centres
        if len(centres) == 0:
            return np.zeros(len(windows), dtype=np.int64)
        flipped = _volumes(starts, centres)[:, None] * _volumes(windows, centres) < 0
        return flipped.any(axis=1).sum(axis=-1)

    def _turned(self, starts: Array, windows: Array) -> Array:
        if len(self.omegas) == 0:
            return np.zeros(len(windows), dtype=np.int64)
        turned = _cosines(starts, self.omegas)[:, None] * _cosines(windows, self.omegas) < 0
        return turned.any(axis=1).sum(axis=-1)


def _volumes(positions: Array, centres: Array) -> Array:
    corners = positions[..., centres, :]
    a, b, c = (corners[..., i, :] - corners[..., 3, :] for i in range(3))
    return np.einsum("...x,...x->...", a, np.cross(b, c))


def _cosines(positions: Array, torsions: Array) -> Array:
    """Proportional to the cosines of torsions."""
    a, b, c, d = (positions[..., torsions[:, i], :] for i in range(4))
    m, n = np.cross(b - a, c - b), np.cross(c - b, d - c)
    return np.einsum("...x,...x->...", m, n)
