"""Whether drawn windows are molecules at all: bonds, contacts, handedness, peptide bonds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from egno_md.core.system import System
from egno_md.geometry.contacts import Contacts
from egno_md.geometry.stereocentres import Stereochemistry
from egno_md.spec.propagate import ShapeTolerances

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Shapes:
    """Looks at whole windows of many replicas at once.

    Attributes:
        bonds: pairs of atoms.
        lengths: nm, of each in a relaxed structure.
        contacts: which atoms may be close.
        stereo: stereocentres and peptide bonds.
        tolerances: for bonds and contacts.
    """

    bonds: Int[Array, "bonds 2"]
    lengths: Float[Array, " bonds"]
    contacts: Contacts
    stereo: Stereochemistry
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
        stereo = Stereochemistry.of(system)
        return cls(system.bonds, lengths, Contacts.of(system), stereo, tolerances)

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
        starts = starts[:, None]
        flipped = self.stereo.inverted(starts, windows).any(axis=1).sum(axis=-1)
        turned = self.stereo.turned(starts, windows).any(axis=1).sum(axis=-1)
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
        far = self.contacts.far
        if far is None:
            limit = self.tolerances.contact
            return np.array([min(self.contacts.closest(x, limit) for x in w) for w in windows])
        if len(far[0]) == 0:
            return np.full(len(windows), np.inf)
        r = windows[..., far[0], :] - windows[..., far[1], :]
        return np.sqrt(np.einsum("wpfx,wpfx->wpf", r, r).min(axis=(1, 2)))
