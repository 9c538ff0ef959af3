"""MMFF94 (Halgren 1996) as native OpenMM forces, with RDKit's types and parameters."""

from __future__ import annotations

from itertools import combinations
from math import pi
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app
from rdkit import Chem, rdBase
from rdkit.Chem import Mol, rdDetermineBonds, rdForceFieldHelpers
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from egno_md.core.errors import PotentialError
from egno_md.core.units import KJ_PER_KCAL, NANOMETRE_PER_ANGSTROM
from egno_md.spec.system import SystemSpec

FILE = "mmff94.xml"
ELEMENTS = frozenset(
    [
        "H",
        "Li",
        "C",
        "N",
        "O",
        "F",
        "Na",
        "Mg",
        "Si",
        "P",
        "S",
        "Cl",
        "K",
        "Ca",
        "Fe",
        "Cu",
        "Zn",
        "Br",
        "I",
    ]
)
"""With MMFF94 atom types."""

LINEAR_TYPES = frozenset({4, 53, 61})
"""Atom types with linear angles (MMFFPROP.PAR): alkyne and nitrile C, =N=, nitrilium N."""

MDYNE_ANGSTROM = 143.9325 * KJ_PER_KCAL
"""kJ/mol per mdyn Å (Halgren 1996, Eq. 2)."""

COULOMB = 332.0716 * KJ_PER_KCAL * NANOMETRE_PER_ANGSTROM
"""kJ nm/mol/e² (Halgren 1996, Eq. 9)."""

BOND = "0.5*k*d^2*(1 - 20*d + 7/12*400*d^2); d = r - r0"
ANGLE = f"0.5*k*d^2*(1 - {0.006981317 * 180 / pi}*d); d = theta - theta0"
LINEAR_ANGLE = "k*(1 + cos(theta))"
STRETCH_BEND = (
    "(ka*(distance(p1, p2) - ra) + kb*(distance(p3, p2) - rb))*(angle(p1, p2, p3) - theta0)"
)
OUT_OF_PLANE = (
    "0.5*k*asin(max(-1, min(1, (cx*cx4 + cy*cy4 + cz*cz4)/sqrt((cx^2 + cy^2 + cz^2)"
    "*(cx4^2 + cy4^2 + cz4^2)))))^2;"
    "cx = ay*bz - az*by; cy = az*bx - ax*bz; cz = ax*by - ay*bx;"
    "ax = x1 - x2; ay = y1 - y2; az = z1 - z2;"
    "bx = x3 - x2; by = y3 - y2; bz = z3 - z2;"
    "cx4 = x4 - x2; cy4 = y4 - y2; cz4 = z4 - z2"
)
PAIR = "epsilon*(1.07*rs/(r + 0.07*rs))^7*(1.12*rs^7/(r^7 + 0.12*rs^7) - 2) + qq/(r + 0.005)"


def mmff94_system(molecule: Mol) -> openmm.System:
    """Every MMFF94 term of a molecule without a box.

    Pairs are explicit bonds of a `CustomBondForce`: MMFF's combination rules
    for the buffered 14-7 potential are no simple means, and a molecule has few.

    Args:
        molecule: with all hydrogens, bond orders and formal charges.

    Raises:
        PotentialError: MMFF94 lacks parameters.
    """
    properties = _parametrise(molecule)
    system = openmm.System()
    for atom in molecule.GetAtoms():
        system.addParticle(app.Element.getByAtomicNumber(atom.GetAtomicNum()).mass)
    angles = [
        (i, atom.GetIdx(), k)
        for atom in molecule.GetAtoms()
        for i, k in combinations(sorted(n.GetIdx() for n in atom.GetNeighbors()), 2)
    ]
    for force in (
        _bonds(molecule, properties),
        *_angles(molecule, properties, angles),
        _stretch_bends(molecule, properties, angles),
        _out_of_plane(molecule, properties),
        _torsions(molecule, properties),
        _pairs(molecule, properties),
    ):
        system.addForce(force)
    system.addForce(openmm.CMMotionRemover(1))
    return system


def write_mmff94(folder: Path, spec: SystemSpec, molecule: Mol) -> None:
    """Write `mmff94.xml` and `mmff94.yaml` beside a system of the same atoms.

    Args:
        folder: of the system.
        spec: its system.yaml.
        molecule: its atoms in their order.

    Raises:
        PotentialError: MMFF94 lacks parameters.
    """
    built = mmff94_system(molecule)
    (folder / FILE).write_text(openmm.XmlSerializer.serialize(built), encoding="utf-8")
    title = spec.description.split(",")[0] or spec.name
    (folder / "mmff94.yaml").write_text(
        f"name: {spec.name}\n"
        f"description: {title}, MMFF94 as native OpenMM forces.\n"
        f"structure: {spec.structure}\n"
        f"potential: {{kind: openmm-xml, file: {FILE}}}\n",
        encoding="utf-8",
    )


def rdkit_molecule(topology: app.Topology, positions: np.ndarray, charge: int = 0) -> Mol:
    """The molecule with bond orders perceived from elements and bonds.

    Args:
        topology: atoms with all bonds.
        positions: ``(atoms, 3)``, nm.
        charge: of the molecule, e.

    Raises:
        PotentialError: no bond orders are valid.
    """
    editable = Chem.RWMol()
    for atom in topology.atoms():
        new = Chem.Atom(atom.element.atomic_number)
        new.SetNoImplicit(True)
        editable.AddAtom(new)
    for bond in topology.bonds():
        editable.AddBond(bond[0].index, bond[1].index, Chem.BondType.SINGLE)
    conformer = Chem.Conformer(editable.GetNumAtoms())
    conformer.SetPositions(np.asarray(positions, dtype=float) / NANOMETRE_PER_ANGSTROM)
    editable.AddConformer(conformer)
    molecule = editable.GetMol()
    try:
        rdDetermineBonds.DetermineBondOrders(molecule, charge=charge)
        Chem.SanitizeMol(molecule)
    except ValueError as error:
        detail = " ".join(str(error).split())[:160]
        raise PotentialError(f"MMFF94: no bond orders fit these bonds: {detail}.") from None
    return molecule


def _parametrise(molecule: Mol) -> Any:
    with rdBase.BlockLogs():
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule)
    if properties is None:
        elements = {a.GetSymbol() for a in molecule.GetAtoms()} - ELEMENTS
        which = f", which has {' and '.join(sorted(elements))}" if elements else ""
        raise PotentialError(
            f"MMFF94 has no parameters for {CalcMolFormula(molecule)}{which}. Use GFN2-xTB alone, "
            "with 'egno-md init system'."
        )
    return properties


def _bonds(molecule: Mol, properties: Any) -> openmm.Force:
    force = openmm.CustomBondForce(BOND)
    force.addPerBondParameter("k")
    force.addPerBondParameter("r0")
    for bond in molecule.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        _, k, length = properties.GetMMFFBondStretchParams(molecule, i, j)
        stiffness = k * MDYNE_ANGSTROM / NANOMETRE_PER_ANGSTROM**2
        force.addBond(i, j, [stiffness, length * NANOMETRE_PER_ANGSTROM])
    return force


def _angles(
    molecule: Mol, properties: Any, angles: list[tuple[int, int, int]]
) -> list[openmm.Force]:
    bent, linear = openmm.CustomAngleForce(ANGLE), openmm.CustomAngleForce(LINEAR_ANGLE)
    for name in ("k", "theta0"):
        bent.addPerAngleParameter(name)
    linear.addPerAngleParameter("k")
    for angle in angles:
        _, k, theta = properties.GetMMFFAngleBendParams(molecule, *angle)
        if properties.GetMMFFAtomType(angle[1]) in LINEAR_TYPES:
            linear.addAngle(*angle, [k * MDYNE_ANGSTROM])
        else:
            bent.addAngle(*angle, [k * MDYNE_ANGSTROM, np.radians(theta)])
    return [bent, linear] if linear.getNumAngles() else [bent]


def _stretch_bends(
    molecule: Mol, properties: Any, angles: list[tuple[int, int, int]]
) -> openmm.Force:
    force = openmm.CustomCompoundBondForce(3, STRETCH_BEND)
    for name in ("ka", "kb", "ra", "rb", "theta0"):
        force.addPerBondParameter(name)
    for i, j, k in angles:
        parameters = properties.GetMMFFStretchBendParams(molecule, i, j, k)
        if parameters is None or properties.GetMMFFAtomType(j) in LINEAR_TYPES:
            continue
        stiffness = [x * MDYNE_ANGSTROM / NANOMETRE_PER_ANGSTROM for x in parameters[1:]]
        lengths = [
            properties.GetMMFFBondStretchParams(molecule, a, j)[2] * NANOMETRE_PER_ANGSTROM
            for a in (i, k)
        ]
        theta = np.radians(properties.GetMMFFAngleBendParams(molecule, i, j, k)[2])
        force.addBond([i, j, k], [*stiffness, *lengths, theta])
    return force


def _out_of_plane(molecule: Mol, properties: Any) -> openmm.Force:
    """The Wilson angle of each neighbour of a centre with three, above the plane of the rest."""
    force = openmm.CustomCompoundBondForce(4, OUT_OF_PLANE)
    force.addPerBondParameter("k")
    for atom in molecule.GetAtoms():
        around = sorted(n.GetIdx() for n in atom.GetNeighbors())
        if len(around) != 3:
            continue
        for above in around:
            i, k = (a for a in around if a != above)
            stiffness = properties.GetMMFFOopBendParams(molecule, i, atom.GetIdx(), k, above)
            if stiffness:
                force.addBond([i, atom.GetIdx(), k, above], [stiffness * MDYNE_ANGSTROM])
    return force


def _torsions(molecule: Mol, properties: Any) -> openmm.Force:
    force = openmm.PeriodicTorsionForce()
    for bond in molecule.GetBonds():
        j, k = bond.GetBeginAtom(), bond.GetEndAtom()
        for first in j.GetNeighbors():
            for last in k.GetNeighbors():
                four = (first.GetIdx(), j.GetIdx(), k.GetIdx(), last.GetIdx())
                parameters = (
                    properties.GetMMFFTorsionParams(molecule, *four) if _is_four(four) else None
                )
                for n, height in enumerate(parameters[1:] if parameters else (), start=1):
                    if height:
                        phase = pi if n == 2 else 0.0
                        force.addTorsion(*four, n, phase, 0.5 * height * KJ_PER_KCAL)
    return force


def _is_four(atoms: tuple[int, ...]) -> bool:
    return len(set(atoms)) == 4


def _pairs(molecule: Mol, properties: Any) -> openmm.Force:
    """Buffered 14-7 and buffered Coulomb beyond two bonds; Coulomb is 0.75 over three."""
    force = openmm.CustomBondForce(PAIR)
    for name in ("epsilon", "rs", "qq"):
        force.addPerBondParameter(name)
    apart = Chem.GetDistanceMatrix(molecule)
    charges = [properties.GetMMFFPartialCharge(i) for i in range(molecule.GetNumAtoms())]
    for i, j in combinations(range(molecule.GetNumAtoms()), 2):
        if apart[i, j] < 3:
            continue
        _, _, radius, epsilon = properties.GetMMFFVdWParams(i, j)
        product = charges[i] * charges[j] * (0.75 if apart[i, j] == 3 else 1.0)
        force.addBond(
            i, j, [epsilon * KJ_PER_KCAL, radius * NANOMETRE_PER_ANGSTROM, product * COULOMB]
        )
    return force
