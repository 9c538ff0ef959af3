"""Reference dynamics: energy, temperature, velocities on the step, potentials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openmm
import physical_validation as pv
import pytest
from openmm import app, unit

from egno_md.core.errors import PotentialError, SpecError
from egno_md.core.state import Frame
from egno_md.core.units import BOLTZMANN, kinetic_energy
from egno_md.geometry.rigid import angular_momentum
from egno_md.md.build import build_system, load_system
from egno_md.md.engine import NVE, NVT, OpenMMEngine
from egno_md.md.generate.run import run_generate
from egno_md.md.potentials.torchmdnet import save_model
from egno_md.md.refine.refiner import OpenMMRefiner
from egno_md.propagate.check import Checker
from egno_md.spec.files import read_spec, shipped
from egno_md.spec.generate import GenerateProtocol
from egno_md.spec.propagate import Refinement
from egno_md.spec.system import SystemSpec, TorchMDNetPotential

ENERGY_SIGMA = 0.1
"""kJ/mol, over every segment: ethanol, GFN2-xTB, 500 K, frames 0.5 fs apart. It is the
truncation error of the O-H stretch, ∝ (timestep)² × temperature: measured 0.03."""


def engine_of(name: str, **changes) -> OpenMMEngine:
    options = {"timestep": 5e-4, "kelvin": 300.0, "friction": 5.0, "seed": 1} | changes
    return OpenMMEngine(load_system(name), **options)


def test_nve_conserves_energy_computed_from_stored_frames(tmp_path: Path) -> None:
    path = shipped("protocols") / "generate" / "nve-500k.yaml"
    changes = {
        "equilibration": "500 fs",
        "sampling.segments": 4,
        "sampling.segment_length": "300 fs",
        "sampling.decorrelation": "100 fs",
    }
    store = run_generate("ethanol", read_spec(path, GenerateProtocol, changes), tmp_path / "run")
    variances = []
    for segment in store:
        total = segment.potential_energy + kinetic_energy(segment.velocities, store.masses)
        variances.append(total.var())
        # half-step velocities would oscillate with the potential energy instead
        assert total.std() < 0.01 * segment.potential_energy.std()
        momentum = np.einsum("a,fax->fx", store.masses, segment.velocities)
        assert np.abs(momentum).max() < 1e-3
    assert np.sqrt(max(variances)) <= ENERGY_SIGMA


@pytest.mark.parametrize("rotation", ["keep", "remove"])
def test_segments_turn_as_a_whole_unless_told_not_to(rotation: str, tmp_path: Path) -> None:
    path = shipped("protocols") / "generate" / "nve-500k-at-rest.yaml"
    changes = {
        "equilibration": "100 fs",
        "sampling.segments": 2,
        "sampling.segment_length": "200 fs",
        "sampling.decorrelation": "50 fs",
        "sampling.rotation": rotation,
    }
    protocol = read_spec(path, GenerateProtocol, changes)
    store = run_generate("ethanol/mmff94", protocol, tmp_path / "run")
    share = store.masses / store.masses.sum()
    for segment in store:
        arms = segment.positions - np.einsum("a,fax->fx", share, segment.positions)[:, None]
        momentum = angular_momentum(arms, segment.velocities, store.masses)
        scale = np.abs(store.masses[:, None] * np.cross(arms, segment.velocities)).sum(1).max()
        if rotation == "remove":
            assert np.abs(momentum).max() < 1e-4 * scale
        else:
            assert np.linalg.norm(momentum, axis=-1).min() > 0.01 * scale


def test_rotation_is_not_taken_from_a_periodic_box(tmp_path: Path) -> None:
    path = shipped("protocols") / "generate" / "nve-500k-at-rest.yaml"
    with pytest.raises(SpecError, match=r"sampling.rotation: waterbox has a periodic box"):
        run_generate("waterbox", read_spec(path, GenerateProtocol), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_stored_velocities_are_the_derivative_of_stored_positions() -> None:
    engine = engine_of("ala2")
    engine.start()
    engine.skip(200)
    window = engine.window(engine.read(), [5e-4 * (i + 1) for i in range(40)])
    central = (window.positions[2:] - window.positions[:-2]) / (2 * 5e-4)
    error = np.abs(central - window.velocities[1:-1]).max()
    assert error < 0.02 * np.abs(window.velocities).max()


def test_langevin_keeps_the_ensemble() -> None:
    engine = engine_of("ala2", kelvin=300.0, friction=20.0, seed=5)
    engine.start()
    engine.skip(4000)
    trajectory = engine.run(120_000, 60, ensemble=NVT)
    masses = engine.system.masses
    drift = np.einsum("a,fax->fx", masses / masses.sum(), trajectory.velocities)
    kinetic = kinetic_energy(trajectory.velocities - drift[:, None], masses)
    data = pv.data.SimulationData(
        units=pv.data.UnitData.units("GROMACS"),
        ensemble=pv.data.EnsembleData("NVT", natoms=22, volume=1.0, temperature=300.0),
        system=pv.data.SystemData(
            natoms=22, nconstraints=0, ndof_reduction_tra=3, ndof_reduction_rot=0
        ),
        observables=pv.data.ObservableData(
            kinetic_energy=kinetic, potential_energy=trajectory.potential_energy
        ),
    )
    mean, width = pv.kinetic_energy.distribution(data, strict=False, verbosity=0, bootstrap_seed=1)
    assert mean < 4.0, "mean kinetic energy is more than four standard errors off"
    assert width < 4.0, "width of the kinetic energy is more than four standard errors off"


@pytest.mark.parametrize("name", ["ethanol", "ala2"])
def test_forces_are_minus_the_gradient_of_the_energy(name: str) -> None:
    engine = engine_of(name)
    start = engine.start()
    random = np.random.default_rng(0)
    direction = random.standard_normal(start.positions.shape)
    positions = start.positions + 0.003 * random.standard_normal(start.positions.shape)
    step = 1e-5

    def energy(x: np.ndarray) -> float:
        return engine.evaluate(Frame(x, start.velocities)).potential_energy

    slope = (energy(positions + step * direction) - energy(positions - step * direction)) / (
        2 * step
    )
    forces = engine.evaluate(Frame(positions, start.velocities)).forces
    assert slope == pytest.approx(-np.sum(forces * direction), rel=1e-4)


def test_native_obc2_equals_the_custom_force() -> None:
    built = load_system("ala2")
    custom = app.ForceField("amber14/protein.ff14SB.xml", "implicit/obc2.xml").createSystem(
        built.topology, nonbondedMethod=app.NoCutoff
    )
    energies = []
    for system in (built.openmm_system, custom):
        context = openmm.Context(
            system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
        )
        context.setPositions(built.system.positions)
        energy = context.getState(energy=True).getPotentialEnergy()
        energies.append(energy.value_in_unit(unit.kilojoule_per_mole))
    assert energies[0] == pytest.approx(energies[1], abs=0.02)


def test_torchmdnet_model_moves_atoms_inside_openmm(tmp_path: Path) -> None:
    from torchmdnet.models.model import create_model, load_model  # noqa: F401

    arguments = {
        "model": "tensornet",
        "embedding_dimension": 16,
        "num_layers": 1,
        "num_rbf": 8,
        "rbf_type": "expnorm",
        "trainable_rbf": False,
        "activation": "silu",
        "cutoff_lower": 0.0,
        "cutoff_upper": 4.5,
        "max_z": 20,
        "max_num_neighbors": 32,
        "equivariance_invariance_group": "O(3)",
        "prior_model": None,
        "atom_filter": -1,
        "derivative": True,
        "output_model": "Scalar",
        "reduce_op": "add",
        "precision": 64,
        "check_errors": True,
        "static_shapes": False,
        "vector_cutoff": False,
    }
    import torch

    torch.manual_seed(0)
    save_model(tmp_path / "model", create_model(arguments), arguments, energy_unit=1.0)
    ethanol = load_system("ethanol")
    (tmp_path / "ethanol.pdb").write_bytes((ethanol.folder / "ethanol.pdb").read_bytes())
    spec = SystemSpec(
        name="learned",
        structure="ethanol.pdb",
        potential=TorchMDNetPotential(kind="torchmd-net", model="model"),
    )
    engine = OpenMMEngine(
        build_system(spec, tmp_path), timestep=5e-4, kelvin=50.0, friction=5.0, seed=1
    )
    start = Frame(ethanol.system.positions, np.zeros((9, 3)))
    engine.load(start)
    window = engine.run(40, 1, ensemble=NVE)
    total = window.potential_energy + kinetic_energy(window.velocities, ethanol.system.masses)
    assert total.std() < 1e-3 * max(np.ptp(window.potential_energy), 1.0)
    assert np.ptp(window.potential_energy) > 0


def test_failed_scf_is_an_error_that_names_the_system() -> None:
    engine = engine_of("ethanol")
    engine.start()
    collapsed = np.zeros((9, 3))
    collapsed[:, 0] = np.linspace(0, 1e-4, 9)
    for _ in range(2):
        with pytest.raises(PotentialError, match="did not converge for ethanol"):
            engine.evaluate(Frame(collapsed, np.zeros((9, 3))))
    assert engine.evaluate(engine.start()).potential_energy < -29_000


def test_refinement_repairs_a_broken_frame_and_thermalises() -> None:
    built = load_system("ala2")
    engine = engine_of("ala2")
    start = engine.start()
    broken = start.positions + 0.03 * np.random.default_rng(1).standard_normal((22, 3))
    before = engine.evaluate(Frame(broken, start.velocities))
    refiner = OpenMMRefiner(built, Refinement(), 300.0, "auto", seed=1)
    result = refiner.refine(before, start, np.random.default_rng(3))
    after = engine.evaluate(result.frame)
    assert np.linalg.norm(before.forces, axis=1).max() > 1e4
    assert result.max_force < Refinement().max_force
    assert after.potential_energy < before.potential_energy
    checker = Checker.of(built.system, start.positions)
    assert 100 < checker.temperature(after.velocities) < 600
    assert result.displacement < 0.2


def test_minimised_start_is_near_a_minimum() -> None:
    engine = engine_of("ethanol")
    frame = engine.start()
    assert np.linalg.norm(frame.forces, axis=1).max() < 100
    internal = 2 * kinetic_energy(frame.velocities, engine.system.masses) / (27 * BOLTZMANN)
    assert 50 < internal < 900
