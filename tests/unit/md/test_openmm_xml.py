"""A serialised System is read only when nothing in it can run code."""

from __future__ import annotations

from pathlib import Path

import openmm
import pytest
from openmm import unit

from egno_md.core.errors import PotentialError
from egno_md.md.build import BuiltSystem, build_system, load_system
from egno_md.md.potentials.openmm_xml import load_openmm_xml
from egno_md.spec.system import OpenMMXmlPotential, SystemSpec

RAN: list[str] = []


class Trap:
    """What a pickle can do: this is called when it is opened."""

    def __call__(self, state: openmm.State) -> tuple:
        return 0.0, state.getPositions(asNumpy=True)._value * 0

    def __setstate__(self, state: dict) -> None:
        RAN.append("opened")

    def __getstate__(self) -> dict:
        return {"any": 1}


@pytest.fixture(scope="module")
def built() -> BuiltSystem:
    return load_system("ethanol/mmff94")


def write(path: Path, system: openmm.System) -> Path:
    path.write_text(openmm.XmlSerializer.serialize(system))
    return path


def particles(built: BuiltSystem) -> openmm.System:
    system = openmm.System()
    for atom in built.topology.atoms():
        system.addParticle(atom.element.mass)
    return system


def test_a_python_force_is_refused_before_it_is_opened(built: BuiltSystem, tmp_path: Path) -> None:
    system = particles(built)
    system.addForce(openmm.PythonForce(Trap()))
    path = write(tmp_path / "trap.xml", system)
    openmm.XmlSerializer.deserialize(path.read_text())
    assert RAN == ["opened"], "the trap would not have been one"
    RAN.clear()
    with pytest.raises(PotentialError, match="PythonForce"):
        load_openmm_xml(path, built.topology)
    assert RAN == []


def test_a_python_force_inside_another_force_is_refused(built: BuiltSystem, tmp_path: Path) -> None:
    system, outer = particles(built), openmm.CustomCVForce("inner")
    outer.addCollectiveVariable("inner", openmm.PythonForce(Trap()))
    system.addForce(outer)
    path = write(tmp_path / "nested.xml", system)
    RAN.clear()
    with pytest.raises(PotentialError, match="PythonForce"):
        load_openmm_xml(path, built.topology)
    assert RAN == []


def test_a_force_spelt_by_entities_is_refused(built: BuiltSystem, tmp_path: Path) -> None:
    system = particles(built)
    system.addForce(openmm.PythonForce(Trap()))
    text = openmm.XmlSerializer.serialize(system).replace("PythonForce", "&#80;ythonForce")
    (tmp_path / "spelt.xml").write_text(text)
    RAN.clear()
    with pytest.raises(PotentialError, match="PythonForce"):
        load_openmm_xml(tmp_path / "spelt.xml", built.topology)
    assert RAN == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no xml", "cannot be read as XML"),
        ("<ForceField/>", "expected a System"),
        ('<System type="System" openmmVersion="8"><Forces/></System>', "OpenMM cannot read it"),
        ('<System><Force type="TorchForce" file="x.pt"/></System>', "TorchForce"),
        ("<System><Force/></System>", "without a type"),
    ],
)
def test_what_is_no_system_is_named(
    text: str, message: str, built: BuiltSystem, tmp_path: Path
) -> None:
    path = tmp_path / "file.xml"
    path.write_text(text)
    with pytest.raises(PotentialError, match=message):
        load_openmm_xml(path, built.topology)


def test_a_missing_file_is_named(built: BuiltSystem, tmp_path: Path) -> None:
    with pytest.raises(PotentialError, match=r"nowhere\.xml"):
        load_openmm_xml(tmp_path / "nowhere.xml", built.topology)


def test_another_molecule_is_refused(built: BuiltSystem) -> None:
    file = built.folder / "mmff94.xml"
    with pytest.raises(PotentialError, match="9 particles, the structure 12 atoms"):
        load_openmm_xml(file, load_system("benzene").topology)
    with pytest.raises(PotentialError, match="particle 2 has a mass of 15.999"):
        load_openmm_xml(file, load_system("malonaldehyde").topology)


def test_constraints_are_left_out_where_asked(built: BuiltSystem, tmp_path: Path) -> None:
    system = particles(built)
    system.addConstraint(0, 1, 0.15)
    path = write(tmp_path / "rigid.xml", system)
    assert load_openmm_xml(path, built.topology).getNumConstraints() == 1
    flexible = load_openmm_xml(path, built.topology, flexible=True)
    assert flexible.getNumConstraints() == 0
    assert any(isinstance(f, openmm.CMMotionRemover) for f in flexible.getForces())
    assert flexible.getParticleMass(0).value_in_unit(unit.dalton) == pytest.approx(12.011, abs=0.01)


def test_a_box_on_one_side_alone_is_refused(built: BuiltSystem, tmp_path: Path) -> None:
    system, force = particles(built), openmm.NonbondedForce()
    for _ in range(9):
        force.addParticle(0.0, 0.1, 0.0)
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    system.addForce(force)
    with pytest.raises(PotentialError, match="periodic boundaries"):
        load_openmm_xml(write(tmp_path / "box.xml", system), built.topology)


def test_the_checksum_follows_the_file(built: BuiltSystem) -> None:
    potential = built.spec.potential
    assert isinstance(potential, OpenMMXmlPotential)
    assert potential.sha256 is not None
    assert built.system.potential == f"mmff94 {potential.sha256[:8]}"
    other = potential.model_copy(update={"sha256": "0" * 64})
    spec = built.spec.model_copy(update={"potential": other})
    with pytest.raises(PotentialError, match="its checksum is"):
        build_system(spec, built.folder)


def test_constraints_of_a_spec_need_a_force_field(built: BuiltSystem) -> None:
    content = built.spec.model_dump(mode="json") | {"constraints": "h-bonds"}
    with pytest.raises(PotentialError, match="need a force field"):
        build_system(SystemSpec.model_validate(content), built.folder)
