"""From a system's YAML and structure to an OpenMM System."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import openmm
from openmm import app, unit

from egno_md.core.errors import DataError, PotentialError
from egno_md.core.system import System, atomic_numbers, bond_indices
from egno_md.geometry.images import make_whole
from egno_md.md.potentials.forcefield import build_forcefield
from egno_md.md.potentials.python_force import CachedForce, Potential
from egno_md.spec.files import find_system, read_spec
from egno_md.spec.system import (
    ForceFieldPotential,
    OpenMMMLPotential,
    OpenMMXmlPotential,
    SystemSpec,
    TorchMDNetPotential,
    XtbPotential,
)

CENTRE_OF_MASS = 3
"""Degrees of freedom of the centre of mass, which is kept at rest."""


@dataclass(frozen=True, eq=False)
class BuiltSystem:
    """A system with everything OpenMM needs.

    Attributes:
        system: the description without OpenMM.
        openmm_system: forces, masses, constraints.
        topology: OpenMM's own.
        python_force: the function behind a `PythonForce`, if there is one.
        spec: of the system.yaml.
        folder: of the system.yaml, for files it names.
    """

    system: System
    openmm_system: openmm.System
    topology: app.Topology
    python_force: CachedForce | None
    spec: SystemSpec
    folder: Path

    def flexible(self) -> BuiltSystem:
        """The same without constraints.

        Masses stay: OpenMM makes hydrogens of flexible water heavy, those of rigid
        water not.
        """
        if self.openmm_system.getNumConstraints() == 0:
            return self
        built = build_system(self.spec, self.folder, flexible=True)
        for index, mass in enumerate(self.system.masses):
            built.openmm_system.setParticleMass(index, mass)
        return replace(built, system=replace(built.system, masses=self.system.masses))


def load_system(name: str) -> BuiltSystem:
    """Build a shipped system, or one from a folder.

    Args:
        name: a shipped name, a folder with a system.yaml, or that file.

    Raises:
        SpecError: the YAML is missing or wrong.
        DataError: the structure cannot be read.
        PotentialError: the potential cannot be built for it.
    """
    path = find_system(name)
    return build_system(read_spec(path, SystemSpec), path.parent)


def build_system(spec: SystemSpec, folder: Path, *, flexible: bool = False) -> BuiltSystem:
    """Build from a spec; `flexible` leaves out every constraint."""
    spec = with_checksum(spec, folder)
    topology, positions = read_structure(folder / spec.structure)
    md_topology = mdtraj.Topology.from_openmm(topology)
    numbers = atomic_numbers(md_topology)
    constraints = "none" if flexible else spec.constraints
    if flexible and isinstance(spec.potential, ForceFieldPotential):
        rigidless = spec.potential.model_copy(update={"rigid_water": False})
        spec = spec.model_copy(update={"potential": rigidless})
    openmm_system, python_force = _build_potential(
        spec, folder, topology, numbers, constraints, flexible
    )
    masses = particle_masses(openmm_system)
    vectors = topology.getPeriodicBoxVectors()
    box = None if vectors is None else np.array(vectors.value_in_unit(unit.nanometer))
    if box is not None:
        positions = make_whole(positions, bond_indices(md_topology), box)
    system = System(
        name=spec.name,
        topology=md_topology,
        masses=masses,
        positions=positions,
        degrees_of_freedom=3 * len(masses) - openmm_system.getNumConstraints() - CENTRE_OF_MASS,
        box=box,
        constraints=constrained_pairs(openmm_system),
        potential=_describe(spec),
        charge=getattr(spec.potential, "charge", None),
    )
    return BuiltSystem(system, openmm_system, topology, python_force, spec, folder)


def _build_potential(
    spec: SystemSpec,
    folder: Path,
    topology: app.Topology,
    numbers: np.ndarray,
    constraints: str,
    flexible: bool,
) -> tuple[openmm.System, CachedForce | None]:
    match spec.potential:
        case ForceFieldPotential() as potential:
            mass = spec.hydrogen_mass
            return build_forcefield(topology, potential, constraints, mass, folder), None
        case OpenMMXmlPotential() as potential:
            _refuse_constraints(spec)
            from egno_md.md.potentials.openmm_xml import load_openmm_xml

            return load_openmm_xml(folder / potential.file, topology, flexible=flexible), None
        case OpenMMMLPotential() as potential:
            _refuse_constraints(spec)
            from egno_md.md.potentials.openmm_ml import build_openmm_ml

            return build_openmm_ml(topology, potential, folder), None
        case XtbPotential() as potential:
            from egno_md.md.potentials.xtb import XtbForce, check_parameters

            check_parameters(numbers, potential.method)
            force: Potential = XtbForce(numbers, potential)
        case TorchMDNetPotential() as potential:
            from egno_md.md.potentials.torchmdnet import load_force

            force = load_force(folder / potential.model, numbers)
    _refuse_constraints(spec)
    if topology.getPeriodicBoxVectors() is not None:
        raise PotentialError(
            f"system {spec.name}: {spec.potential.kind} has no periodic boundaries here. "
            "Remove the box (CRYST1) from the structure."
        )
    openmm_system = openmm.System()
    for atom in topology.atoms():
        openmm_system.addParticle(atom.element.mass)
    function = CachedForce(force)
    openmm_system.addForce(openmm.PythonForce(function))
    openmm_system.addForce(openmm.CMMotionRemover(1))
    return openmm_system, function


def particle_masses(system: openmm.System) -> np.ndarray:
    """``(particles,)``, Da."""
    count = system.getNumParticles()
    return np.array([system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(count)])


def constrained_pairs(system: openmm.System) -> np.ndarray:
    """``(constraints, 2)`` atoms at a fixed distance."""
    constraints = (system.getConstraintParameters(i) for i in range(system.getNumConstraints()))
    return np.array([pair[:2] for pair in constraints], dtype=np.int64).reshape(-1, 2)


def _refuse_constraints(spec: SystemSpec) -> None:
    if spec.constraints != "none" or spec.hydrogen_mass is not None:
        raise PotentialError(
            f"system {spec.name}: constraints and hydrogen_mass need a force field, "
            f"not {spec.potential.kind}. Remove them."
        )


def with_checksum(spec: SystemSpec, folder: Path) -> SystemSpec:
    """The spec with the checksum of the file its potential is in, for provenance.

    Raises:
        PotentialError: the YAML gives another checksum than the file has.
    """
    match spec.potential:
        case TorchMDNetPotential() as potential:
            files = [folder / potential.model / n for n in ("model.json", "model.safetensors")]
        case OpenMMXmlPotential() as potential:
            files = [folder / potential.file]
        case _:
            return spec
    if not all(f.is_file() for f in files):
        return spec  # its reader says what is missing
    checksum = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
    if potential.sha256 not in (None, checksum):
        raise PotentialError(
            f"{files[0]}: its checksum is {checksum}, {spec.name} asks for {potential.sha256}. "
            "Restore the file, or remove sha256."
        )
    return spec.model_copy(update={"potential": potential.model_copy(update={"sha256": checksum})})


def _describe(spec: SystemSpec) -> str:
    match spec.potential:
        case XtbPotential() as p:
            return p.method
        case ForceFieldPotential() as p:
            names = " + ".join(Path(f).stem for f in p.files)
            return names + (" + OBC2" if p.implicit_solvent == "obc2" else "")
        case TorchMDNetPotential() as p:
            return f"TorchMD-Net {p.model} {(p.sha256 or '')[:8]}"
        case OpenMMXmlPotential() as p:
            return f"{Path(p.file).stem} {(p.sha256 or '')[:8]}"
        case OpenMMMLPotential() as p:
            return p.name


def read_structure(path: Path) -> tuple[app.Topology, np.ndarray]:
    """Topology and positions (nm) of a PDB or mmCIF file.

    Raises:
        DataError: missing, damaged, or with atoms of unknown element.
    """
    readers: dict[str, Callable[[str], Any]] = {".pdb": app.PDBFile, ".cif": app.PDBxFile}
    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"{path}: holds no atoms: the file is empty.")
    if path.suffix not in readers:
        raise DataError(f"{path}: structure must be a .pdb or .cif file.")
    try:
        structure = readers[path.suffix](str(path))
    except FileNotFoundError:
        raise DataError(f"{path}: no such structure file.") from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OSError) as error:
        detail = " ".join(str(error).split())[:160]
        raise DataError(f"{path}: cannot be read as a structure: {detail}.") from None
    positions = np.array(structure.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
    if len(positions) == 0:
        raise DataError(f"{path}: holds no atoms.")
    if not np.isfinite(positions).all():
        raise DataError(f"{path}: holds positions that are not numbers.")
    unknown = [a for a in structure.topology.atoms() if a.element is None]
    if unknown:
        raise DataError(f"{path}: atom {unknown[0].name} has no element. Fill in its column.")
    return structure.topology, positions
