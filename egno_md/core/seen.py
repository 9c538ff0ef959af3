"""The atoms of a system that a sampler sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from egno_md.core.system import System

Array = np.ndarray
Choice = Literal["heavy", "all"]


@dataclass(frozen=True, eq=False)
class SeenAtoms:
    """Some atoms of a system, renumbered from 0.

    Attributes:
        atoms: their numbers in the system, ascending.
        atomic_numbers: of each.
        bonds: between them, each once.
    """

    atoms: Int[Array, " seen"]
    atomic_numbers: Int[Array, " seen"]
    bonds: Int[Array, "bonds 2"]

    @classmethod
    def of(cls, system: System, choice: Choice) -> SeenAtoms:
        """Heavy atoms, or all."""
        numbers = system.atomic_numbers
        atoms = np.flatnonzero(numbers > 1) if choice == "heavy" else np.arange(len(numbers))
        place = np.full(len(numbers), -1)
        place[atoms] = np.arange(len(atoms))
        bonds = place[system.bonds].reshape(-1, 2)
        return cls(atoms, numbers[atoms], bonds[(bonds >= 0).all(axis=1)])
