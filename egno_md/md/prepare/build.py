"""From a deposited structure to one with all atoms of a force field."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import openmm
from openmm import app, unit

from egno_md.core.errors import PotentialError
from egno_md.md.build import BuiltSystem
from egno_md.md.engine import choose_platform
from egno_md.md.prepare.checks import Protein
from egno_md.md.prepare.records import STANDARD, Structure, pdb_text
from egno_md.md.refine.minimise import minimise
from egno_md.md.refine.restraints import add_position_restraints, set_reference

if TYPE_CHECKING:
    from pdbfixer import PDBFixer

SOLUTE_FILES = ("amber14/protein.ff14SB.xml",)
WATER_FILES = ("amber14/protein.ff14SB.xml", "amber14/tip3pfb.xml")

STIFFNESS = 2000.0
"""kJ/mol/nm², of the restraints that hold heavy atoms of the file while the rest is minimised."""

BLOCK, BLOCKS = 50, 40
"""Minimiser iterations between two checks of the forces, and the largest number of checks."""

TITRATABLE = frozenset({"ASP", "GLU", "HIS", "LYS", "CYS"})


@dataclass(frozen=True, eq=False)
class Prepared:
    """A complete protein.

    Attributes:
        topology: with every atom and bond.
        positions: nm.
        file_atoms: indices of the atoms that the file has.
        built: heavy atoms that were missing, by residue.
        missing: modelled residues, with their places.
        ends: number of residues missing at chain ends, which are not modelled.
        protonation: variant of each titratable residue.
        disulfides: pairs of residues.
    """

    topology: app.Topology
    positions: np.ndarray
    file_atoms: np.ndarray
    built: dict[str, list[str]]
    missing: tuple[str, ...]
    ends: int
    protonation: dict[str, str]
    disulfides: tuple[str, ...]


def complete(
    structure: Structure, protein: Protein, *, caps: bool, acidity: float, seed: int
) -> Prepared:
    """Add what is missing: heavy atoms, termini or caps, chosen loops, hydrogens.

    Heavy atoms are built by PDBFixer, hydrogens by OpenMM's Modeller with the
    protonation that each residue has alone in water at that pH.

    Args:
        structure: for its sequences.
        protein: its residues to prepare.
        caps: ACE and NME at chain ends instead of charged termini.
        acidity: pH.
        seed: of built atoms.

    Raises:
        PotentialError: OpenMM cannot complete it.
    """
    from pdbfixer import PDBFixer

    chains = list(dict.fromkeys(r.chain for r in protein.residues))
    text = pdb_text(protein.residues, structure.sequences if protein.gaps else {})
    try:
        fixer = PDBFixer(pdbfile=io.StringIO(text), platform=_platform())
        fixer.findNonstandardResidues()
        fixer.replaceNonstandardResidues()
        fixer.findMissingResidues()
        ends = _keep_inner(fixer)
        for chain, name in zip(fixer.topology.chains(), chains, strict=True):
            chain.id = name
        missing = tuple(protein.gaps)
        if caps:
            for chain in fixer.topology.chains():
                fixer.missingResidues[chain.index, 0] = ["ACE"]
                fixer.missingResidues[chain.index, len(list(chain.residues()))] = ["NME"]
        before = _places(fixer.topology, fixer.positions)
        fixer.findMissingAtoms()
        built = {
            _residue_name(residue): sorted(a.name for a in atoms)
            for residue, atoms in fixer.missingAtoms.items()
        }
        fixer.addMissingAtoms(seed=seed)
        modeller = app.Modeller(fixer.topology, fixer.positions)
        with _seeded(seed):
            variants = modeller.addHydrogens(
                app.ForceField(*SOLUTE_FILES), pH=acidity, platform=_platform()
            )
    except Exception as error:  # both packages raise bare ones
        detail = " ".join(str(error).split())[:200]
        raise PotentialError(
            f"{structure.path}: the structure cannot be completed: {detail}. Mend that residue in "
            "the file, or take it out."
        ) from None
    positions = _numbers(modeller.positions)
    return Prepared(
        modeller.topology,
        positions,
        _file_atoms(modeller.topology, positions, before),
        built,
        missing,
        ends,
        _protonation(modeller.topology, variants),
        tuple(_disulfides(modeller.topology)),
    )


def solvate(prepared: Prepared, padding: float, salt: float, seed: int) -> Prepared:
    """Put it into a box of TIP3P-FB water, neutral, with salt.

    Args:
        prepared: the protein.
        padding: nm between protein and box.
        salt: mol/l beyond the ions that neutralise.
        seed: of the ions' places.
    """
    modeller = app.Modeller(prepared.topology, prepared.positions * unit.nanometer)
    with _seeded(seed):
        modeller.addSolvent(
            app.ForceField(*WATER_FILES),
            model="tip3p",
            padding=padding * unit.nanometer,
            ionicStrength=salt * unit.molar,
        )
    return replace(prepared, topology=modeller.topology, positions=_numbers(modeller.positions))


@dataclass(frozen=True, eq=False)
class Relaxed:
    """A minimised structure.

    Attributes:
        positions: nm.
        moved: root-mean-square move of the atoms that the file had, nm.
        max_force: largest force on an atom, without restraints, kJ/mol/nm.
        energy: kJ/mol.
    """

    positions: np.ndarray
    moved: float
    max_force: float
    energy: float


def relax(built: BuiltSystem, atoms: np.ndarray, target: float) -> Relaxed:
    """Minimise with the atoms of the file held, until forces are below `target`.

    Args:
        built: the system; its flexible form is minimised.
        atoms: indices to hold.
        target: kJ/mol/nm.

    Raises:
        PotentialError: forces stay too large to start dynamics.
    """
    built = built.flexible()
    start = built.system.positions
    system = openmm.XmlSerializer.clone(built.openmm_system)
    restraint = add_position_restraints(system, atoms, STIFFNESS, built.system.box is not None)
    platform = openmm.Platform.getPlatformByName(choose_platform("auto", built))
    context = openmm.Context(system, openmm.VerletIntegrator(1e-3), platform)
    set_reference(restraint, context, start[atoms])
    context.setPositions(start)
    force = np.inf
    for _ in range(BLOCKS):
        minimise(context, BLOCK, built.spec.name)
        force = float(_strengths(context).max())
        if force < target:
            break
    if not force < 10 * target:
        worst = list(built.topology.atoms())[int(_strengths(context).argmax())]
        raise PotentialError(
            f"{built.spec.name}: {_residue_name(worst.residue)} keeps a force of {force:.3g} "
            "kJ/mol/nm after minimisation. Look for a clash there, or model the residue again."
        )
    context.setParameter("restraint", 0.0)
    state = context.getState(positions=True, energy=True, forces=True)
    positions = state.getPositions(asNumpy=True)._value
    forces = state.getForces(asNumpy=True)._value
    displacement = float(np.sqrt(np.square(positions[atoms] - start[atoms]).sum(1).mean()))
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    return Relaxed(positions, displacement, float(np.linalg.norm(forces, axis=1).max()), energy)


def _strengths(context: openmm.Context) -> np.ndarray:
    """Norm of the force on every atom, kJ/mol/nm."""
    forces = context.getState(forces=True).getForces(asNumpy=True)._value
    return np.linalg.norm(forces, axis=1)


def write_pdb(file: io.TextIOBase, topology: app.Topology, positions: np.ndarray) -> None:
    """A PDB file with the residue numbers of the topology."""
    app.PDBFile.writeFile(topology, positions * unit.nanometer, file, keepIds=True)


def _platform() -> openmm.Platform:
    return openmm.Platform.getPlatformByName("CPU")


def _keep_inner(fixer: PDBFixer) -> int:
    """Only residues missing inside a chain are modelled; how many are missing at ends."""
    ends = 0
    for chain in fixer.topology.chains():
        last = len(list(chain.residues()))
        for place in (0, last):
            ends += len(fixer.missingResidues.pop((chain.index, place), ()))
    return ends


def _residue_name(residue: app.topology.Residue) -> str:
    chain = residue.chain.id.strip()
    return f"{residue.name} {residue.id}" + (f" of chain {chain}" if chain else "")


def _numbers(positions: object) -> np.ndarray:
    return np.array(unit.Quantity(positions).value_in_unit(unit.nanometer), dtype=np.float64)  # type: ignore[arg-type]


def _places(topology: app.Topology, positions: object) -> np.ndarray:
    heavy = [a.index for a in topology.atoms() if a.element is not app.element.hydrogen]
    return _numbers(positions)[heavy]


def _file_atoms(topology: app.Topology, positions: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Indices of heavy atoms at the place of an atom of the file."""
    from scipy.spatial import KDTree

    heavy = [a.index for a in topology.atoms() if a.element is not app.element.hydrogen]
    distance, _ = KDTree(before).query(positions[heavy])
    return np.array(heavy)[distance < 1e-4]


def _protonation(topology: app.Topology, variants: list[str | None]) -> dict[str, str]:
    states = {}
    for residue, variant in zip(topology.residues(), variants, strict=True):
        if residue.name in TITRATABLE and residue.name in STANDARD:
            names = {a.name for a in residue.atoms()}
            states[_residue_name(residue)] = variant or _variant(residue.name, names)
    return states


def _variant(name: str, atoms: set[str]) -> str:
    """The state of a residue by its hydrogens."""
    match name:
        case "HIS":
            both = {"HD1", "HE2"} <= atoms
            return "HIP" if both else "HID" if "HD1" in atoms else "HIE"
        case "ASP":
            return "ASH" if atoms & {"HD1", "HD2"} else "ASP"
        case "GLU":
            return "GLH" if atoms & {"HE1", "HE2"} else "GLU"
        case "LYS":
            return "LYS" if "HZ3" in atoms else "LYN"
        case _:
            return "CYS" if "HG" in atoms else "CYX"


def _disulfides(topology: app.Topology) -> Iterator[str]:
    for a, b in topology.bonds():
        if a.name == b.name == "SG":
            yield f"{_residue_name(a.residue)} to {_residue_name(b.residue)}"


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed Python's own random stream, which Modeller draws from, and restore it afterwards."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
