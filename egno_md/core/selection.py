"""Which atoms of a system an operator sees: all, heavy, backbone or alpha carbons."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Literal

import mdtraj
import numpy as np
from jaxtyping import Int
from mdtraj.core.topology import Residue

from egno_md.core.errors import SpecError
from egno_md.core.system import System

Array = np.ndarray

AtomChoice = Literal["all", "heavy", "backbone", "ca"]

BACKBONE = ("N", "CA", "C", "O")
TERMINAL = frozenset({"OXT", "OT2", "OC2"})
"""Names of the carboxylate oxygen that only the last residue of a chain has."""


def choose_atoms(topology: mdtraj.Topology, choice: AtomChoice, name: str) -> Int[Array, " atoms"]:
    """Indices of the atoms of a choice, ascending.

    `backbone` is N, CA, C and O of every residue, without the two oxygens of a
    terminal carboxylate, which are equivalent: 855 atoms for adenylate kinase, as
    in the published benchmark, where CHARMM calls them OT1 and OT2.

    Args:
        topology: of the whole system.
        choice: which atoms.
        name: of the system, for messages.

    Raises:
        SpecError: there are none, or molecules without any.
    """
    if choice == "all":
        return np.arange(topology.n_atoms)
    if choice == "heavy":
        atoms = [a.index for a in topology.atoms if a.element.atomic_number > 1]
    else:
        names = BACKBONE if choice == "backbone" else ("CA",)
        atoms = [i for residue in topology.residues for i in _of_residue(residue, names)]
    if len(atoms) < 4:
        raise SpecError(
            f"atoms: {choice} leaves {len(atoms)} atoms of {name}, too few to carry the others. "
            "Use atoms: all."
        )
    loose = next((r for r in topology.residues if r.is_water), None)
    if loose is not None:
        raise SpecError(
            f"atoms: {choice} says nothing of where the solvent of {name} goes. Use atoms: all, or "
            "a system with implicit solvent."
        )
    return np.array(sorted(atoms), dtype=np.int64)


def _of_residue(residue: Residue, names: tuple[str, ...]) -> list[int]:
    by_name = {a.name: a.index for a in residue.atoms}
    if not {"N", "CA", "C"} <= by_name.keys():
        return []
    if by_name.keys() & TERMINAL:
        names = tuple(n for n in names if n != "O")
    return [by_name[n] for n in names if n in by_name]


def reduce_system(system: System, choice: AtomChoice) -> System:
    """The system of the atoms that an operator sees.

    Bonds are those between chosen atoms; alpha carbons of neighbouring residues
    count as bonded. Masses are the atoms' own. Nothing is constrained, since
    bonds to hydrogen are what constraints are for.

    Raises:
        SpecError: see `choose_atoms`.
    """
    if choice == "all":
        return system
    chosen = choose_atoms(system.topology, choice, system.name)
    topology = system.topology.subset(chosen.tolist())
    if choice == "ca":
        for chain in topology.chains:
            for before, after in pairwise(chain.atoms):
                if after.residue.resSeq - before.residue.resSeq == 1:
                    topology.add_bond(before, after)
    return replace(
        system,
        topology=topology,
        masses=system.masses[chosen],
        positions=system.positions[chosen],
        degrees_of_freedom=3 * len(chosen) - 3,
        constraints=np.zeros((0, 2), dtype=np.int64),
    )
