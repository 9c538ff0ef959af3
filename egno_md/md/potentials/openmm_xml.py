"""A serialised `openmm.System` as a potential; nothing in it may run code."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import openmm
from openmm import app, unit

from egno_md.core.errors import PotentialError

MASS_TOLERANCE = 0.01
"""Da; tables of atomic weights differ by less."""

FORCES = frozenset(
    name
    for name in dir(openmm)
    if isinstance(force := getattr(openmm, name), type)
    and issubclass(force, openmm.Force)
    and name not in {"Force", "PythonForce"}
)
"""OpenMM's own forces, which are numbers and formulas alone."""


def load_openmm_xml(path: Path, topology: app.Topology, *, flexible: bool = False) -> openmm.System:
    """Read a System and check that it belongs to these atoms.

    Deserialising a `PythonForce` unpickles a function, which runs code: a file
    with any force but OpenMM's own native ones is refused before OpenMM sees it,
    and OpenMM gets exactly the text that was checked.

    Args:
        path: written by `openmm.XmlSerializer`.
        topology: whose atoms it must have.
        flexible: leave out every constraint.

    Raises:
        PotentialError: unreadable, with another kind of force, or of other atoms.
    """
    try:
        tree = ElementTree.fromstring(path.read_bytes())
    except (OSError, ElementTree.ParseError, UnicodeDecodeError, LookupError) as error:
        raise PotentialError(f"{path}: cannot be read as XML: {error}.") from None
    if tree.tag != "System":
        raise PotentialError(
            f"{path}: holds a {tree.tag}, expected a System. Write it with "
            "openmm.XmlSerializer.serialize(system); force-field files belong to kind: forcefield."
        )
    for element in tree.iter():
        kind = element.get("type", "")
        if (element.tag == "Force" or kind.endswith("Force")) and kind not in FORCES:
            raise PotentialError(
                f"{path}: holds a {kind or 'force without a type'}, and only native forces of "
                "OpenMM are read from a file: others could run code. Remove it."
            )
    try:
        system = openmm.XmlSerializer.deserialize(ElementTree.tostring(tree, encoding="unicode"))
    except openmm.OpenMMException as error:
        raise PotentialError(f"{path}: OpenMM cannot read it: {error}.") from None
    _check_atoms(path, system, topology)
    if flexible:
        for index in reversed(range(system.getNumConstraints())):
            system.removeConstraint(index)
    if not any(isinstance(f, openmm.CMMotionRemover) for f in system.getForces()):
        system.addForce(openmm.CMMotionRemover(1))
    return system


def _check_atoms(path: Path, system: openmm.System, topology: app.Topology) -> None:
    atoms = list(topology.atoms())
    if system.getNumParticles() != len(atoms):
        raise PotentialError(
            f"{path}: has {system.getNumParticles()} particles, the structure {len(atoms)} atoms. "
            "Give the file of this molecule."
        )
    for atom in atoms:
        mass = system.getParticleMass(atom.index).value_in_unit(unit.dalton)
        expected = atom.element.mass.value_in_unit(unit.dalton)
        if abs(mass - expected) > MASS_TOLERANCE:
            raise PotentialError(
                f"{path}: particle {atom.index} has a mass of {mass:g} Da, atom {atom.name} of the "
                f"structure {expected:g}. Give the file of this molecule, in this order of atoms."
            )
    if system.usesPeriodicBoundaryConditions() != (topology.getPeriodicBoxVectors() is not None):
        raise PotentialError(
            f"{path}: periodic boundaries are in one of the file and the structure alone. "
            "Give both a box, or neither."
        )
