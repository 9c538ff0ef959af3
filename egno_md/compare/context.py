"""Indices and reference values that the measurements of both sides share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from egno_md.compare.sides import Survey
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.geometry import internal
from egno_md.geometry.bonded import bonded_within
from egno_md.geometry.peptide import Peptide, find_peptide
from egno_md.geometry.stereocentres import Stereochemistry
from egno_md.geometry.superposition import heavy_atoms, mean_structure

Array = np.ndarray

MOST_FOLLOWED = 40
"""Torsions whose series is kept for kinetics; backbone torsions of peptides come first."""


@dataclass(frozen=True, eq=False)
class Context:
    """Properties of the reference on which measurements depend.

    Attributes:
        survey: of the reference.
    """

    survey: Survey

    @property
    def system(self) -> System:
        """The reference's system."""
        return self.survey.side.system

    @cached_property
    def has_images(self) -> bool:
        """Whether distances use nearest images: for several molecules in a periodic box."""
        return self.survey.has_box and self.survey.side.has_several_molecules

    @property
    def needs_box(self) -> str | None:
        """The field that a probe of nearest-image distances needs."""
        return "box" if self.has_images else None

    def boxes(self, part: Trajectory) -> Sequence[Array | None]:
        """Box vectors of each frame, None where distances do not use nearest images."""
        if not self.has_images or part.box is None:
            return [None] * len(part)
        return list(np.asarray(part.box, np.float64))

    @cached_property
    def target(self) -> Float[Array, "atoms 3"]:
        """Mean structure, nm."""
        return mean_structure(self.survey.sample, heavy_atoms(self.system.atomic_numbers))

    @property
    def start(self) -> Float[Array, "atoms 3"]:
        """The first frame, nm."""
        return np.asarray(self.survey.sample[0], np.float64)

    @cached_property
    def equilibrium(self) -> Float[Array, " bonds"]:
        """Mean bond lengths, nm."""
        return internal.bond_lengths(self.system, self.survey.sample).mean(axis=0)

    @cached_property
    def angles(self) -> Array:
        """``(angles, 3)`` atoms."""
        return internal.angle_indices(self.system)

    @cached_property
    def torsions(self) -> Array:
        """``(torsions, 4)`` atoms."""
        return internal.torsion_indices(self.system)

    @cached_property
    def followed(self) -> Array:
        """``(followed,)`` numbers of the torsions whose series is kept."""
        backbone = {tuple(b) for b in self.peptide.backbone_bonds} if self.peptide else set()
        middles = [tuple(sorted(t[1:3])) for t in self.torsions.tolist()]
        order = sorted(range(len(middles)), key=lambda t: (middles[t] not in backbone, t))
        return np.array(sorted(order[:MOST_FOLLOWED]), dtype=np.int64)

    @cached_property
    def peptide(self) -> Peptide | None:
        """Its peptide backbone, if it has one."""
        return find_peptide(self.system)

    @cached_property
    def stereochemistry(self) -> Stereochemistry:
        """Its stereocentres and peptide bonds."""
        return Stereochemistry.of(self.system)

    @cached_property
    def bonds_apart(self) -> csr_array:
        """Which atoms are up to three bonds apart, ``(atoms, atoms)``."""
        return bonded_within(self.system.bonds, self.system.n_atoms, 3)
