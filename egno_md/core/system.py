"""The description of a molecular system, independent of how it is simulated."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property

import mdtraj
import numpy as np
from jaxtyping import Float, Int

from egno_md.core.molecules import molecule_numbers
from egno_md.core.thermal import atom_freedom

Array = np.ndarray


def _no_pairs() -> Array:
    return np.zeros((0, 2), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class System:
    """A named system: its topology, masses and start structure.

    Attributes:
        name: as the user calls it.
        topology: MDTraj topology with bonds.
        masses: Da, after any hydrogen mass repartitioning.
        positions: start structure, nm.
        box: box vectors as rows, nm, or None.
        degrees_of_freedom: 3N minus constraints minus centre-of-mass motion.
        constraints: pairs of atoms at a fixed distance.
        potential: name of the potential that moves it, for provenance.
        charge: net charge, e; None where unknown.
    """

    name: str
    topology: mdtraj.Topology
    masses: Float[Array, " atoms"]
    positions: Float[Array, "atoms 3"]
    degrees_of_freedom: int
    box: Float[Array, "3 3"] | None = None
    constraints: Int[Array, "constraints 2"] = field(default_factory=_no_pairs)
    potential: str = ""
    charge: int | None = None

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.masses)

    @cached_property
    def atomic_numbers(self) -> Array:
        """``(atoms,)`` integers."""
        return atomic_numbers(self.topology)

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Element symbol per atom."""
        return tuple(a.element.symbol for a in self.topology.atoms)

    @cached_property
    def bonds(self) -> Array:
        """``(bonds, 2)`` atom indices, each bond once."""
        return bond_indices(self.topology)

    @cached_property
    def molecules(self) -> Array:
        """Number of the molecule per atom, ``(atoms,)``."""
        return molecule_numbers(self.bonds, self.n_atoms)

    @cached_property
    def atom_freedom(self) -> Float[Array, " atoms"]:
        """Degrees of freedom that each atom's velocity carries."""
        return atom_freedom(self.masses, self.constraints, self.positions)

    @cached_property
    def freedom(self) -> dict[str, float]:
        """Degrees of freedom of all atoms ("all"), and of each element's by its symbol.

        Constraints and the centre of mass at rest take from each element what
        `atom_freedom` says.
        """
        elements = np.array(self.elements)
        by_element = {
            str(e): float(self.atom_freedom[elements == e].sum()) for e in np.unique(elements)
        }
        return {"all": float(self.degrees_of_freedom)} | by_element

    @property
    def internal_freedom(self) -> int:
        """Degrees of freedom relative to the centre of mass, whether it is kept at rest or not."""
        return min(self.degrees_of_freedom, 3 * self.n_atoms - 3)

    @property
    def has_constraints(self) -> bool:
        """Whether there are fewer degrees of freedom than 3N - 3."""
        return self.degrees_of_freedom < 3 * self.n_atoms - 3

    @cached_property
    def digest(self) -> str:
        """SHA-256 of elements, order, bonds and masses, which an operator must match."""
        return system_digest(self.topology, self.masses)


def atomic_numbers(topology: mdtraj.Topology) -> Array:
    """Atomic number per atom, ``(atoms,)``."""
    return np.array([a.element.atomic_number for a in topology.atoms], dtype=np.int64)


def bond_indices(topology: mdtraj.Topology) -> Array:
    """``(bonds, 2)`` sorted atom indices."""
    pairs = sorted(tuple(sorted((a.index, b.index))) for a, b in topology.bonds)
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def element_masses(topology: mdtraj.Topology) -> Float[Array, " atoms"]:
    """Standard atomic weights, Da."""
    return np.array([a.element.mass for a in topology.atoms], dtype=np.float64)


def system_digest(topology: mdtraj.Topology, masses: Array) -> str:
    """SHA-256 over elements in order, bonds and masses (to 1e-3 Da)."""
    content = {
        "elements": atomic_numbers(topology).tolist(),
        "bonds": bond_indices(topology).tolist(),
        "masses": [round(float(m), 3) for m in masses],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
