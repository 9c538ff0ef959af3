"""A small molecule's file becomes a system: GFN2-xTB, and MMFF94 beside it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from openmm import app, unit
from rdkit import Chem, rdBase
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from egno_md.core.errors import DataError, PotentialError
from egno_md.md.build import read_structure
from egno_md.md.potentials.mmff94 import rdkit_molecule

MOLFILES = frozenset({".sdf", ".mol"})
"""Formats that say bond orders and formal charges."""

LARGEST_FOR_XTB = 200
"""Atoms beyond which GFN2-xTB takes seconds a step."""

ADD_HYDROGENS = (
    "Add them, with RDKit's Chem.AddHs(molecule, addCoords=True) or "
    "'obabel FILE -O out.sdf -h' for instance"
)
PLAIN_PDB = 4 | 8 | 32
"""CONECT records in both directions and once a bond, whatever its order; TER."""


@dataclass(frozen=True, eq=False)
class Molecule:
    """One small molecule with all its hydrogens.

    Attributes:
        graph: RDKit's, with bond orders and formal charges.
        topology: the same atoms in the same order, with bonds.
        positions: ``(atoms, 3)``, nm.
    """

    graph: Chem.Mol
    topology: app.Topology
    positions: np.ndarray

    @property
    def charge(self) -> int:
        """Of the molecule, e."""
        return Chem.GetFormalCharge(self.graph)

    @property
    def formula(self) -> str:
        """Such as C2H6O."""
        return CalcMolFormula(self.graph)

    @property
    def smiles(self) -> str:
        """Canonical, without hydrogens."""
        return Chem.MolToSmiles(Chem.RemoveHs(self.graph))


def read_molecule(path: Path) -> Molecule:
    """Read a molecule of a PDB file, or of an SDF or MDL mol file.

    A PDB file says its bonds in CONECT records and its formal charges in columns 79
    and 80; bond orders are those that fit.

    Raises:
        DataError: missing, damaged, several molecules, or without hydrogens, bonds or
            places in space.
        PotentialError: no bond orders fit.
    """
    molecule = _read_molfile(path) if path.suffix in MOLFILES else _read_pdb(path)
    atoms = list(molecule.graph.GetAtoms())
    parts = len(Chem.GetMolFrags(molecule.graph))
    if parts > 1:
        raise DataError(
            f"{path}: {len(atoms)} atoms in {parts} molecules, which bonds do not join. Give one "
            "molecule; of a PDB file, with all its CONECT records."
        )
    if len(atoms) > LARGEST_FOR_XTB:
        raise DataError(
            f"{path}: {len(atoms)} atoms, for which GFN2-xTB takes seconds a step. Give a molecule "
            f"of at most {LARGEST_FOR_XTB}, or write a system.yaml with a force field by hand."
        )
    for atom in atoms:
        name = f"{atom.GetSymbol()}{atom.GetIdx() + 1}"
        if missing := atom.GetTotalNumHs():
            raise DataError(f"{path}: atom {name} lacks {missing} hydrogens. {ADD_HYDROGENS}.")
        if atom.GetNumRadicalElectrons():
            raise DataError(
                f"{path}: atom {name} has an unpaired electron, or lacks a hydrogen. "
                f"{ADD_HYDROGENS}; for a radical use 'egno-md init system'."
            )
    return molecule


def _read_pdb(path: Path) -> Molecule:
    topology, positions = read_structure(path)
    elements = {a.element.symbol for a in topology.atoms()}
    if "C" in elements and "H" not in elements:
        raise DataError(
            f"{path}: has no hydrogens. {ADD_HYDROGENS}; a molecule that has none needs an SDF "
            "file, which says its bond orders."
        )
    if len(positions) > 1 and not topology.getNumBonds():
        raise DataError(f"{path}: names no bonds. Add CONECT records, or give an SDF file.")
    charge = sum(a.formalCharge or 0 for a in topology.atoms())
    try:
        graph = rdkit_molecule(topology, positions, charge)
    except PotentialError as error:
        raise PotentialError(
            f"{path}: {error.args[0]} Check CONECT records, hydrogens and the formal charges in "
            "columns 79 and 80, or give an SDF file."
        ) from None
    return Molecule(graph, topology, positions)


def _read_molfile(path: Path) -> Molecule:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise DataError(f"{path}: no such structure file.") from None
    records = [r for r in text.split("$$$$") if r.strip()]
    if len(records) > 1:
        raise DataError(f"{path}: holds {len(records)} molecules. Give a file of one.")
    try:
        with rdBase.BlockLogs():
            graph = Chem.MolFromMolBlock(text, sanitize=False, removeHs=False) or Chem.Mol()
            if not graph.GetNumAtoms():
                raise ValueError("no atoms of an MDL mol file")
            Chem.SanitizeMol(graph)
    except (ValueError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:160]
        raise DataError(f"{path}: cannot be read as a structure: {detail}.") from None
    if not graph.GetConformer().Is3D():
        raise DataError(
            f"{path}: is a flat drawing. Give places in space, with RDKit's "
            "AllChem.EmbedMolecule or 'obabel FILE -O out.sdf -h --gen3d' for instance."
        )
    written: Any = app.PDBFile(io.StringIO(Chem.MolToPDBBlock(graph, flavor=PLAIN_PDB)))
    positions = written.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return Molecule(graph, written.topology, np.array(positions))
