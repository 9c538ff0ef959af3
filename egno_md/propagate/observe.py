"""What a protein does while it is propagated: fold, extent, and distance to known states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import mdtraj
import numpy as np
from jaxtyping import Float, Int
from mdtraj.core.topology import Residue

from egno_md.core.errors import DataError
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.geometry.superposition import superposed_rmsd
from egno_md.md.build import BuiltSystem, read_structure

Array = np.ndarray

FOLDS = {"helix": "H", "strand": "E", "coil": "C"}
"""Classes of DSSP (Kabsch & Sander 1983), three of them."""


class Observer(Protocol):
    """Measures the end of every window."""

    def measure(self, frame: Frame) -> Mapping[str, float]:
        """Values by name."""
        ...


@dataclass(frozen=True, eq=False)
class ProteinObserver:
    """Measures frames of one protein.

    Attributes:
        system: what is measured.
        carbons: its CA atoms.
        atoms: of its amino acids.
        protein: topology of those.
        states: CA positions of known structures by name, nm.
    """

    system: System
    carbons: Int[Array, " residues"]
    atoms: Int[Array, " atoms"]
    protein: mdtraj.Topology
    states: Mapping[str, Float[Array, "residues 3"]]

    @classmethod
    def of(
        cls, system: System, states: Mapping[str, Float[Array, "residues 3"]]
    ) -> ProteinObserver | None:
        """An observer of a protein; None of anything else.

        Raises:
            DataError: a state has another number of residues.
        """
        residues = [r for r in system.topology.residues if {"N", "CA", "C", "O"} <= _names(r)]
        if len(residues) < 4:
            return None
        carbons = np.array([a.index for r in residues for a in r.atoms if a.name == "CA"])
        atoms = np.array([a.index for r in residues for a in r.atoms])
        for name, places in states.items():
            if len(places) != len(carbons):
                raise DataError(
                    f"state '{name}' has {len(places)} CA atoms, {system.name} has {len(carbons)}. "
                    "Give a PDB file of the same residues."
                )
        return cls(system, carbons, atoms, system.topology.subset(atoms.tolist()), states)

    def measure(self, frame: Frame) -> dict[str, float]:
        """Radius of gyration and RMSD in nm, shares of residues, energy in kJ/mol."""
        x = frame.positions
        masses = self.system.masses[self.atoms]
        centred = x[self.atoms] - masses @ x[self.atoms] / masses.sum()
        found = {
            "radius_of_gyration": float(np.sqrt(masses @ np.square(centred).sum(1) / masses.sum()))
        }
        for name, places in self.states.items():
            found[f"ca_rmsd.{name}"] = superposed_rmsd(x[self.carbons], places)
        single = mdtraj.Trajectory(x[self.atoms].astype(np.float32), self.protein)
        codes = mdtraj.compute_dssp(single, simplified=True)[0]
        for name, code in FOLDS.items():
            found[name] = float(np.mean(codes == code))
        if frame.potential_energy is not None and np.isfinite(frame.potential_energy):
            found["potential_energy"] = frame.potential_energy
        return found


def _names(residue: Residue) -> set[str]:
    return {a.name for a in residue.atoms}


def find_observers(built: BuiltSystem) -> tuple[Observer, ...]:
    """What is measured of a system while it is propagated; nothing of what is no protein.

    Raises:
        DataError: a state of the system cannot be read, or has other residues.
    """
    states = {}
    for name, file in built.spec.states.items():
        topology, positions = read_structure(built.folder / file)
        carbons = [
            a.index
            for a in topology.atoms()
            if a.name == "CA" and a.residue.name not in ("CA", "HOH")
        ]
        if not carbons:
            raise DataError(
                f"{built.folder / file}: state '{name}' has no CA atoms. Give a PDB file of the "
                "protein."
            )
        states[name] = positions[carbons]
    observer = ProteinObserver.of(built.system, states)
    return () if observer is None else (observer,)
