"""Potentials of OpenMM-ML by name, through its own factory interface."""

from __future__ import annotations

import sys

import numpy as np
import openmm
import pytest

from egno_md.core.errors import PotentialError
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.md.build import BuiltSystem, build_system, load_system
from egno_md.md.engine import OpenMMEngine
from egno_md.spec.system import OpenMMMLPotential, SystemSpec

STIFFNESS = 800.0


def a_system(name: str, **keys: dict) -> BuiltSystem:
    ethanol = load_system("ethanol")
    potential = OpenMMMLPotential(kind="openmm-ml", name=name, **keys)
    spec = SystemSpec(name="mine", structure="ethanol.pdb", potential=potential)
    return build_system(spec, ethanol.folder)


@pytest.fixture
def springs(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """A plug-in that puts a spring on every bond; the list holds how it was called."""
    openmmml = pytest.importorskip("openmmml", reason="OpenMM-ML: pip install 'egno-md[ml]'")
    from openmmml.mlpotential import MLPotentialImpl, MLPotentialImplFactory

    calls: list[dict] = []

    class Springs(MLPotentialImpl):
        def addForces(self, topology, system, atoms, forceGroup, **options):
            calls.append(options)
            force = openmm.HarmonicBondForce()
            for bond in topology.bonds():
                force.addBond(bond[0].index, bond[1].index, 0.12, options["stiffness"])
            system.addForce(force)

    class Factory(MLPotentialImplFactory):
        def createImpl(self, name, **arguments):
            calls.append(arguments)
            return Springs()

    monkeypatch.setitem(openmmml.MLPotential._implFactories, "springs", Factory())
    return calls


def test_a_registered_potential_moves_the_atoms(springs: list[dict], ethanol: System) -> None:
    built = a_system("springs", arguments={"size": 3}, options={"stiffness": STIFFNESS})
    assert springs == [{"size": 3}, {"stiffness": STIFFNESS}]
    assert built.system.potential == "springs"
    engine = OpenMMEngine(built, timestep=5e-4, kelvin=300.0, friction=5.0, seed=1)
    frame = engine.evaluate(Frame(ethanol.positions, np.zeros((9, 3))))
    bonds = ethanol.bonds
    lengths = np.linalg.norm(
        ethanol.positions[bonds[:, 0]] - ethanol.positions[bonds[:, 1]], axis=1
    )
    expected = 0.5 * STIFFNESS * ((lengths - 0.12) ** 2).sum()
    assert frame.potential_energy == pytest.approx(expected, rel=1e-6)


def test_a_file_in_the_folder_becomes_its_path(springs: list[dict]) -> None:
    built = a_system(
        "springs", arguments={"modelPath": "ethanol.pdb"}, options={"stiffness": STIFFNESS}
    )
    assert springs[0] == {"modelPath": str(built.folder / "ethanol.pdb")}


def test_an_ase_calculator_is_found_by_name(ethanol: System) -> None:
    pytest.importorskip("openmmml", reason="OpenMM-ML: pip install 'egno-md[ml]'")
    ase = pytest.importorskip("ase", reason="ASE: pip install ase")
    from ase.calculators.emt import EMT
    from ase.units import kJ, mol

    built = a_system("ase", options={"calculator": {"name": "emt", "asap_cutoff": False}})
    engine = OpenMMEngine(built, timestep=5e-4, kelvin=300.0, friction=5.0, seed=1)
    frame = engine.evaluate(Frame(ethanol.positions, np.zeros((9, 3))))
    atoms = ase.Atoms(ethanol.atomic_numbers, ethanol.positions * 10, calculator=EMT())
    energy = atoms.get_potential_energy() / (kJ / mol)
    assert frame.potential_energy == pytest.approx(energy, rel=1e-6)
    forces = atoms.get_forces() / (kJ / mol) * 10
    np.testing.assert_allclose(frame.forces, forces, rtol=1e-5, atol=1e-3)


def test_a_calculator_that_runs_a_command_is_refused() -> None:
    pytest.importorskip("openmmml", reason="OpenMM-ML: pip install 'egno-md[ml]'")
    with pytest.raises(PotentialError, match="runs no commands"):
        a_system("ase", options={"calculator": {"name": "nwchem", "command": "touch x"}})
    with pytest.raises(PotentialError, match="no calculator 'nonsense'"):
        a_system("ase", options={"calculator": "nonsense"})


def test_an_unknown_name_suggests_the_nearest() -> None:
    pytest.importorskip("openmmml", reason="OpenMM-ML: pip install 'egno-md[ml]'")
    with pytest.raises(PotentialError, match="Did you mean 'mace-off23-small'"):
        a_system("mace-off23-smal")


def test_a_model_whose_package_is_missing_is_named() -> None:
    pytest.importorskip("openmmml", reason="OpenMM-ML: pip install 'egno-md[ml]'")
    with pytest.raises(PotentialError, match="potential mace-off23-small: "):
        a_system("mace-off23-small")


def test_without_openmm_ml_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openmmml", None)
    with pytest.raises(PotentialError, match=r"pip install 'egno-md\[ml\]'"):
        a_system("ani2x")


def test_what_a_plug_in_raises_is_one_line(springs: list[dict]) -> None:
    with pytest.raises(PotentialError, match="potential springs: 'stiffness'"):
        a_system("springs")
