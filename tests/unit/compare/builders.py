"""Peptides of known backbone torsions, atom by atom."""

from __future__ import annotations

import mdtraj
import numpy as np

from egno_md.core.system import System, element_masses


def place(a, b, c, length: float, angle: float, torsion: float) -> np.ndarray:
    """The atom bonded to c with the given length (nm), angle and torsion (degrees)."""
    angle, torsion = np.radians([angle, torsion])
    bc = (c - b) / np.linalg.norm(c - b)
    n = np.cross(b - a, bc)
    n /= np.linalg.norm(n)
    m = np.cross(n, bc)
    local = [-np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion)]
    return c + length * np.array(local) @ np.array([bc, m, n])


def peptide(torsions: list[tuple[float, float, float]], names: list[str] | None = None) -> System:
    """A chain with φ, ψ and the following ω of each residue, with CB and HA of L residues."""
    names = names or ["ALA"] * len(torsions)
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    n = np.zeros(3)
    ca = np.array([0.1458, 0.0, 0.0])
    c = place(np.array([0.0, 0.1, 0.0]), n, ca, 0.1525, 111.0, -60.0)
    last, before, positions = None, None, []
    for number, ((phi, psi, omega), name) in enumerate(zip(torsions, names, strict=True)):
        residue = topology.add_residue(name, chain, resSeq=number + 1)
        if last is not None:
            c = place(last, n, ca, 0.1525, 111.0, phi)
        following = place(n, ca, c, 0.1329, 116.2, psi)
        places = {"N": n, "CA": ca, "C": c, "O": place(n, ca, c, 0.1231, 120.5, psi + 180.0)}
        places["CB"] = place(c, n, ca, 0.153, 110.0, 122.5)
        places["HA"] = place(c, n, ca, 0.109, 109.0, -119.0)
        if last is not None:
            places["H"] = place(c, ca, n, 0.101, 119.0, phi + 180.0)
        atoms = {}
        for atom, x in places.items():
            element = mdtraj.element.Element.getBySymbol(atom[0])
            atoms[atom] = topology.add_atom(atom, element, residue)
            positions.append(x)
        pairs = [("N", "CA"), ("CA", "C"), ("C", "O"), ("CA", "CB"), ("CA", "HA"), ("N", "H")]
        for one, two in pairs:
            if two in atoms:
                topology.add_bond(atoms[one], atoms[two])
        if last is not None:
            topology.add_bond(before, atoms["N"])
        before = atoms["C"]
        last, n = c, following
        ca = place(ca, c, following, 0.1458, 121.7, omega)
    masses = element_masses(topology)
    return System("peptide", topology, masses, np.array(positions), 3 * len(masses) - 3)
