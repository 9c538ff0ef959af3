"""Structures as PDB files with every bond."""

from __future__ import annotations

from pathlib import Path

import mdtraj
import numpy as np
from openmm import app, unit


def write_structure(path: Path, topology: mdtraj.Topology, positions: np.ndarray) -> None:
    """Write a PDB file with CONECT records, readable as a system's structure.

    Args:
        path: of the file.
        topology: atoms and bonds.
        positions: ``(atoms, 3)``, nm.
    """
    with path.open("w", encoding="utf-8") as file:
        app.PDBFile.writeFile(topology.to_openmm(), positions * unit.nanometer, file)
