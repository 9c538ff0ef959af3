"""Shipped MMFF94 files against RDKit's own MMFF94."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import unit
from rdkit import Chem
from rdkit.Chem import AllChem, rdForceFieldHelpers

from egno_md.core.errors import PotentialError
from egno_md.core.units import KJ_PER_KCAL, NANOMETRE_PER_ANGSTROM
from egno_md.md.build import BuiltSystem, load_system
from egno_md.md.potentials.mmff94 import rdkit_molecule
from egno_md.md.prepare.run import run_prepare
from egno_md.spec.files import shipped

MOLECULES = sorted(p.parent.name for p in shipped("systems").glob("*/mmff94.yaml"))
RELATIVE = 1e-9
"""Both are double precision and the same formulas: measured, they agree to 1e-14."""


def openmm_values(built: BuiltSystem, positions: np.ndarray) -> tuple[float, np.ndarray]:
    context = openmm.Context(
        built.openmm_system,
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatformByName("Reference"),
    )
    context.setPositions(positions)
    state = context.getState(energy=True, forces=True)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    return energy, np.array(state.getForces(asNumpy=True)._value)


def distorted(positions: np.ndarray, seed: int) -> np.ndarray:
    """Atoms moved by 0.1 Å: every term is off its minimum."""
    return positions + 0.01 * np.random.default_rng(seed).standard_normal(positions.shape)


def test_mmff94_is_shipped_for_every_molecule_of_quantum_chemistry() -> None:
    names = [p.parent.name for p in shipped("systems").glob("*/system.yaml")]
    xtb = {n for n in names if load_system(n).spec.potential.kind == "xtb"}
    assert set(MOLECULES) == xtb
    for name in MOLECULES:
        assert (shipped("systems") / name / "mmff94.xml").stat().st_size < 300_000


@pytest.mark.parametrize("name", MOLECULES)
def test_energies_and_forces_are_rdkits(name: str) -> None:
    built = load_system(f"{name}/mmff94")
    start = built.system.positions
    molecule = rdkit_molecule(built.topology, start)
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule)
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(molecule, properties, nonBondedThresh=1e3)
    for seed in range(3):
        positions = distorted(start, seed)
        coordinates = (positions / NANOMETRE_PER_ANGSTROM).ravel().tolist()
        energy, forces = openmm_values(built, positions)
        expected = field.CalcEnergy(coordinates)
        assert energy / KJ_PER_KCAL == pytest.approx(expected, rel=RELATIVE)
        gradient = -np.array(field.CalcGrad(coordinates)).reshape(-1, 3)
        ours = forces * NANOMETRE_PER_ANGSTROM / KJ_PER_KCAL
        assert np.abs(ours - gradient).max() < RELATIVE * np.abs(gradient).max()


@pytest.mark.parametrize("name", MOLECULES)
def test_forces_are_the_slope_of_the_energy(name: str) -> None:
    built = load_system(f"{name}/mmff94")
    positions = distorted(built.system.positions, 5)
    direction = np.random.default_rng(6).standard_normal(positions.shape)
    step = 1e-5
    ahead, behind = (
        openmm_values(built, positions + sign * step * direction)[0] for sign in (1, -1)
    )
    slope = -(openmm_values(built, positions)[1] * direction).sum()
    assert (ahead - behind) / (2 * step) == pytest.approx(slope, rel=1e-5)


def test_shipped_files_are_what_prepare_writes(tmp_path: Path) -> None:
    shipped_one = load_system("uracil/mmff94")
    source = shipped_one.folder / shipped_one.spec.structure
    run_prepare(source, tmp_path / "uracil")
    again = load_system(str(tmp_path / "uracil" / "mmff94.yaml"))
    assert again.system.digest == shipped_one.system.digest
    positions = shipped_one.system.positions
    assert openmm_values(again, positions)[0] == pytest.approx(
        openmm_values(shipped_one, positions)[0], abs=1e-6
    )


@pytest.mark.parametrize("smiles", ["CC(=O)[O-]", "C[NH2+]CC#N", "O=C1C=CC(=O)N1Cl"])
def test_a_prepared_molecule_has_the_bond_orders_and_charges_of_its_file(
    smiles: str, tmp_path: Path
) -> None:
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(molecule, randomSeed=1)
    source = tmp_path / "molecule.mol"
    source.write_text(Chem.MolToMolBlock(molecule))
    made = run_prepare(source, tmp_path / "made")
    assert made.recipe["smiles"] == Chem.CanonSmiles(smiles)
    assert made.built.spec.potential.charge == Chem.GetFormalCharge(molecule)
    built = load_system(str(tmp_path / "made" / "mmff94.yaml"))
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule)
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(molecule, properties, nonBondedThresh=1e3)
    positions = distorted(built.system.positions, 0)
    expected = field.CalcEnergy((positions / NANOMETRE_PER_ANGSTROM).ravel().tolist())
    assert openmm_values(built, positions)[0] / KJ_PER_KCAL == pytest.approx(expected, rel=RELATIVE)


def test_bonds_without_valid_orders_are_named() -> None:
    built = load_system("benzene")
    with pytest.raises(PotentialError, match="bond orders"):
        rdkit_molecule(built.topology, built.system.positions, charge=7)
