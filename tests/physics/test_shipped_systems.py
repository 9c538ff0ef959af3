"""Every shipped system builds, is the molecule it says, and is at rest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from openmm import unit

from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.data.md17 import guess_bonds, read_md17
from egno_md.md.build import load_system
from egno_md.md.engine import OpenMMEngine
from egno_md.spec.files import find_operator, find_system, shipped_systems

FORMULAS = {
    "ala2": "C6H12N2O2",
    "aspirin": "C9H8O4",
    "benzene": "C6H6",
    "ethanol": "C2H6O",
    "malonaldehyde": "C3H4O2",
    "naphthalene": "C10H8",
    "paracetamol": "C8H9NO2",
    "salicylic-acid": "C7H6O3",
    "toluene": "C7H8",
    "uracil": "C4H4N2O2",
}
RINGS = {"aspirin": 1, "benzene": 1, "naphthalene": 2, "paracetamol": 1, "salicylic-acid": 1}
RINGS |= {"toluene": 1, "uracil": 1}
VALENCES = {"H": {1}, "O": {1, 2}, "N": {3}, "C": {3, 4}}
"""Neighbours an atom may have in these molecules."""

PROTEINS = {"adk", "chignolin", "trpcage"}
"""Tested by themselves, in test_protein.py."""

LARGEST_FORCE = 150.0
"""kJ/mol/nm; a PDB file rounds to 5e-5 nm, and four bonds of 4e5 kJ/mol/nm² may add up."""

REVISED_MD17 = {
    name: name.split("-")[0] for name in FORMULAS if name not in {"ala2", "paracetamol"}
}


def neighbours(system: System) -> Counter:
    return Counter(system.bonds.ravel().tolist())


def test_every_shipped_system_is_in_this_list() -> None:
    names = shipped_systems()
    assert {n for n in names if "/" not in n and "water" not in n} == set(FORMULAS) | PROTEINS
    others = {n for n in names if "/" in n}
    assert others == {f"{n}/mmff94" for n in set(FORMULAS) - {"ala2"}} | {"ala2/hmr"}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_bonds_and_valences_are_right(name: str) -> None:
    system = load_system(name).system
    counts = Counter(system.elements)
    formula = "".join(f"{e}{n if n > 1 else ''}" for e, n in sorted(counts.items()))
    assert formula == FORMULAS[name]
    assert len(system.topology.to_bondgraph().nodes) == system.n_atoms
    import networkx

    assert networkx.is_connected(system.topology.to_bondgraph())
    assert len(system.bonds) == system.n_atoms - 1 + RINGS.get(name, 0)
    for atom, count in neighbours(system).items():
        assert count in VALENCES[system.elements[atom]], f"{name}: atom {atom}"


@pytest.mark.parametrize("name", sorted(set(FORMULAS) - {"ala2"}))
def test_bonds_are_where_atoms_touch(name: str) -> None:
    system = load_system(name).system
    near = guess_bonds(list(system.elements), system.positions)
    assert [tuple(b) for b in system.bonds.tolist()] == sorted(near)


@pytest.mark.parametrize("name", sorted(set(FORMULAS) - {"ala2"}))
def test_structures_are_relaxed(name: str) -> None:
    built = load_system(name)
    engine = OpenMMEngine(built, timestep=5e-4, kelvin=300.0, friction=5.0, seed=1)
    still = np.zeros_like(built.system.positions)
    frame = engine.evaluate(Frame(built.system.positions, still))
    assert np.linalg.norm(frame.forces, axis=1).max() < LARGEST_FORCE


@pytest.mark.parametrize("name", REVISED_MD17)
def test_atoms_are_in_the_order_of_revised_md17(name: str, shared_data: Path) -> None:
    file = shared_data / "rmd17" / f"rmd17_{REVISED_MD17[name]}.npz"
    if not file.is_file():
        pytest.skip(f"{file.name} is not there")
    trajectory, topology = read_md17(file)
    system = load_system(name).system
    assert tuple(a.element.symbol for a in topology.atoms) == system.elements
    distances = mdtraj.compute_distances(
        mdtraj.Trajectory(trajectory.positions[::50], topology), system.bonds
    )
    expected = np.linalg.norm(np.diff(system.positions[system.bonds], axis=1), axis=-1)[:, 0]
    assert np.abs(distances.mean(0) - expected).max() < 0.012


def test_another_potential_of_the_same_atoms_is_a_name() -> None:
    assert find_system("ethanol/mmff94").name == "mmff94.yaml"
    assert find_system(str(find_system("ethanol").parent) + "/mmff94").name == "mmff94.yaml"
    ours, theirs = load_system("ethanol").system, load_system("ethanol/mmff94").system
    assert ours.digest == theirs.digest
    assert ours.potential != theirs.potential
    name = "egno-8fs-500k"
    assert find_operator("ethanol/mmff94", name) == find_operator("ethanol", name)


AMBER = ("amber14-all.xml", "amber14/protein.ff14SB.xml", "amber19-all.xml")


def with_force_field(file: str, solvent: str, structure: Path, folder: Path) -> OpenMMEngine:
    lines = structure.read_text().splitlines(keepends=True)
    without_box = [line for line in lines if not line.startswith("CRYST1")]
    (folder / "structure.pdb").write_text("".join(without_box))
    (folder / "system.yaml").write_text(
        "name: mine\nstructure: structure.pdb\n"
        f"potential: {{kind: forcefield, files: [{file}], implicit_solvent: {solvent}}}\n"
    )
    return OpenMMEngine(load_system(str(folder)), timestep=5e-4, kelvin=300.0, friction=5.0, seed=1)


@pytest.mark.parametrize("file", AMBER)
@pytest.mark.parametrize("solvent", ["none", "obc2"])
def test_amber_works_by_its_file_names(file: str, solvent: str, tmp_path: Path) -> None:
    engine = with_force_field(file, solvent, find_system("ala2").parent / "ala2.pdb", tmp_path)
    frame = engine.start()
    assert -400 < frame.potential_energy < 200
    assert np.linalg.norm(frame.forces, axis=1).max() < 500


@pytest.mark.parametrize(
    ("asked", "distance"),
    [
        ("nonbonded: cutoff", 0.9),
        ("cutoff: 1.1 nm", 1.1),
        ("nonbonded: no-cutoff, cutoff: 0.9 nm", None),
        ("nonbonded: auto", None),
    ],
)
def test_implicit_solvent_ends_where_coulomb_ends(
    asked: str, distance: float | None, tmp_path: Path
) -> None:
    lines = (find_system("ala2").parent / "ala2.pdb").read_text().splitlines(keepends=True)
    (tmp_path / "structure.pdb").write_text("".join(x for x in lines if "CRYST1" not in x))
    (tmp_path / "system.yaml").write_text(
        "name: mine\nstructure: structure.pdb\n"
        "potential: {kind: forcefield, files: [amber14/protein.ff14SB.xml], "
        f"implicit_solvent: obc2, {asked}}}\n"
    )
    forces = load_system(str(tmp_path)).openmm_system.getForces()
    long_ranged = [f for f in forces if hasattr(f, "getCutoffDistance")]
    assert len(long_ranged) == 2
    for force in long_ranged:
        assert force.getNonbondedMethod() == (0 if distance is None else 1)
        if distance is not None:
            assert force.getCutoffDistance().value_in_unit(unit.nanometer) == distance


@pytest.mark.slow
def test_charmm_works_by_its_file_name(shared_data: Path, tmp_path: Path) -> None:
    """On a protein without caps: CHARMM36 knows ACE and NME as patches, not as residues."""
    structure = shared_data / "adk" / "adk_open.pdb"
    if not structure.is_file():
        pytest.skip(f"{structure.name} is not there")
    engine = with_force_field("charmm36.xml", "obc2", structure, tmp_path)
    still = np.zeros_like(engine.system.positions)
    frame = engine.evaluate(Frame(engine.system.positions, still))
    assert engine.system.n_atoms == 3341
    assert np.isfinite(frame.forces).all()
    assert engine.system.potential == "charmm36 + OBC2"
