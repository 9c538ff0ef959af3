"""OpenMM scripts on a SurrogateSimulation: reporters, checkpoints, bad inputs."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from egno_md import api as em
from egno_md.core.errors import BundleMismatch, DataError, PotentialError, SpecError, WindowMismatch
from egno_md.core.units import kinetic_energy
from egno_md.interop.walker import Statistics
from egno_md.md.build import BuiltSystem, load_system
from egno_md.nn.bundle import save_bundle
from tests.conftest import make_operator

OPERATOR = em.find_operator("ethanol", "egno-8fs-500k")
WINDOW = 16
"""Steps of 0.5 fs in the shipped operator's 8 fs."""


@pytest.fixture(scope="module")
def ethanol_built() -> BuiltSystem:
    return load_system("ethanol")


def langevin(timestep: float = 0.5, seed: int = 3) -> openmm.LangevinMiddleIntegrator:
    integrator = openmm.LangevinMiddleIntegrator(
        500 * unit.kelvin, 5 / unit.picosecond, timestep * unit.femtoseconds
    )
    integrator.setRandomNumberSeed(seed)
    return integrator


def simulation(built: BuiltSystem, integrator: openmm.Integrator | None = None, **options):
    made = em.SurrogateSimulation(
        built.topology,
        built,
        integrator or langevin(),
        openmm.Platform.getPlatformByName("Reference"),
        operator=options.pop("operator", OPERATOR),
        **options,
    )
    made.context.setPositions(built.system.positions)
    made.context.setVelocitiesToTemperature(500 * unit.kelvin, 1)
    return made


def untimed(made: em.SurrogateSimulation) -> Statistics:
    """All that does not depend on the machine's speed."""
    return replace(made.statistics, seconds={}, ns_per_day=0.0)


def positions(made: em.SurrogateSimulation) -> np.ndarray:
    return made.context.getState(positions=True).getPositions(asNumpy=True)._value


def test_a_stock_script_runs_with_its_reporters(tmp_path: Path, ethanol_built: BuiltSystem) -> None:
    made = simulation(ethanol_built)
    made.minimizeEnergy(maxIterations=20)
    table = io.StringIO()
    made.reporters += [
        app.DCDReporter(str(tmp_path / "a.dcd"), WINDOW),
        app.XTCReporter(str(tmp_path / "a.xtc"), WINDOW // 2),
        app.PDBReporter(str(tmp_path / "a.pdb"), 5 * WINDOW),
        app.CheckpointReporter(str(tmp_path / "a.chk"), 5 * WINDOW),
        app.StateDataReporter(
            table, WINDOW, step=True, time=True, temperature=True, potentialEnergy=True
        ),
    ]
    made.context.setVelocitiesToTemperature(500 * unit.kelvin, 1)
    made.step(10 * WINDOW)
    made.step(5)
    assert made.currentStep == 10 * WINDOW + 5
    made.reporters.clear()  # closes their files
    topology = mdtraj.Topology.from_openmm(ethanol_built.topology)
    dcd = mdtraj.load(str(tmp_path / "a.dcd"), top=topology)
    xtc = mdtraj.load(str(tmp_path / "a.xtc"), top=topology)
    assert (len(dcd), len(xtc)) == (10, 20)
    assert len(mdtraj.load(str(tmp_path / "a.pdb"))) == 2
    np.testing.assert_allclose(xtc.xyz[1::2], dcd.xyz, atol=1e-3)
    np.testing.assert_allclose(xtc.time, 0.004 * np.arange(1, 21), atol=1e-6)
    rows = np.array([r.split(",") for r in table.getvalue().splitlines()[1:]], dtype=float)
    np.testing.assert_array_equal(rows[:, 0], WINDOW * np.arange(1, 11))
    assert 50 < rows[:, 3].mean() < 900
    assert made.statistics.steps == 165
    assert [e.kind for e in made.events][-1] == "exact", "five steps are no whole window"
    assert made.events[-1].time == pytest.approx(0.0825)
    assert made.speed_up(20) > 0


@pytest.mark.parametrize("at", [2 * WINDOW, 2 * WINDOW + WINDOW // 2])
def test_a_checkpoint_continues_to_the_bit_even_inside_a_window(
    tmp_path: Path, ethanol_built: BuiltSystem, at: int
) -> None:
    first = simulation(ethanol_built)
    first.reporters.append(app.CheckpointReporter(str(tmp_path / "a.chk"), at))
    first.step(2 * at - 1)
    second = simulation(ethanol_built, langevin(seed=4))
    second.loadCheckpoint(str(tmp_path / "a.chk"))
    assert second.currentStep == at
    second.step(at - 1)
    np.testing.assert_array_equal(positions(second), positions(first))
    strip = [(e.window, e.kind, e.time, e.check) for e in first.events]
    continued = [(e.window, e.kind, e.time, e.check) for e in second.events]
    assert continued == strip[-len(continued) :]
    assert untimed(second) == untimed(first)


def test_a_state_is_openmm_s_own(tmp_path: Path, ethanol_built: BuiltSystem) -> None:
    made = simulation(ethanol_built)
    made.step(WINDOW)
    made.saveState(str(tmp_path / "a.xml"))
    plain = app.Simulation(
        ethanol_built.topology,
        ethanol_built.openmm_system,
        langevin(),
        openmm.Platform.getPlatformByName("Reference"),
    )
    plain.loadState(str(tmp_path / "a.xml"))
    assert plain.currentStep == WINDOW
    other = simulation(ethanol_built)
    other.loadState(str(tmp_path / "a.xml"))
    np.testing.assert_array_equal(positions(other), positions(made))
    other.step(WINDOW)
    assert other.currentStep == 2 * WINDOW


@pytest.mark.parametrize("kind", [openmm.VerletIntegrator, openmm.LangevinIntegrator])
def test_leapfrog_integrators_report_the_kinetic_energy_of_the_step(
    ethanol_built: BuiltSystem, kind: type
) -> None:
    step = 0.5 * unit.femtoseconds
    if kind is openmm.VerletIntegrator:
        integrator = kind(step)
    else:
        integrator = kind(500 * unit.kelvin, 5 / unit.picosecond, step)
    made = simulation(ethanol_built, integrator)
    made.step(2 * WINDOW)
    reported = made.context.getState(energy=True).getKineticEnergy()
    expected = kinetic_energy(made._walker.frame.velocities, ethanol_built.system.masses)
    assert reported.value_in_unit(unit.kilojoule_per_mole) == pytest.approx(expected, rel=1e-6)


def test_nve_keeps_its_energy(ethanol_built: BuiltSystem) -> None:
    made = simulation(ethanol_built, openmm.VerletIntegrator(0.5 * unit.femtoseconds))
    made.step(WINDOW)
    frame = made._walker.frame
    masses = ethanol_built.system.masses
    before = frame.potential_energy + kinetic_energy(frame.velocities, masses)
    made.step(10 * WINDOW)
    frame = made._walker.frame
    after = frame.potential_energy + kinetic_energy(frame.velocities, masses)
    assert abs(after - before) < 10.0


def test_what_the_caller_changes_is_taken_over(ethanol_built: BuiltSystem) -> None:
    made = simulation(ethanol_built, openmm.VerletIntegrator(0.5 * unit.femtoseconds))
    made.step(WINDOW)
    made.context.setPositions(ethanol_built.system.positions)
    made.context.setVelocities(np.zeros((9, 3)))
    made.context.setTime(1.0)
    made.step(WINDOW)
    assert np.abs(positions(made) - ethanol_built.system.positions).max() < 0.01
    time = made.context.getState().getTime().value_in_unit(unit.picosecond)
    assert time == pytest.approx(1.008)


def test_a_wall_clock_limit_ends_at_a_window(tmp_path: Path, ethanol_built: BuiltSystem) -> None:
    made = simulation(ethanol_built)
    made.step(WINDOW)
    made.runForClockTime(0.2 * unit.seconds, checkpointFile=str(tmp_path / "a.chk"))
    assert made.currentStep > WINDOW
    assert made.currentStep % WINDOW == 0
    assert (tmp_path / "a.chk").is_file()


def test_a_user_s_own_force_field_system_is_the_judge(tmp_path: Path) -> None:
    """An untrained operator is rejected throughout: what remains is the user's own MD."""
    built = load_system("ala2")
    save_bundle(tmp_path / "bundle", make_operator(built.system))
    field = app.ForceField("amber14/protein.ff14SB.xml", "implicit/obc2.xml")
    system = field.createSystem(
        built.topology, nonbondedMethod=app.NoCutoff, constraints=None, removeCMMotion=True
    )
    made = em.SurrogateSimulation(
        built.topology,
        system,
        openmm.VerletIntegrator(0.5 * unit.femtoseconds),
        openmm.Platform.getPlatformByName("Reference"),
        operator=tmp_path / "bundle",
        tolerances={"energy": 1e-6},
    )
    made.context.setPositions(built.system.positions)
    made.minimizeEnergy(maxIterations=50)
    begun = positions(made)
    made.step(2 * WINDOW)
    assert {e.kind for e in made.events} == {"fallback"}
    exact = openmm.Context(
        system,
        openmm.VerletIntegrator(0.5 * unit.femtoseconds),
        openmm.Platform.getPlatformByName("Reference"),
    )
    exact.setPositions(begun)
    exact.setVelocities(np.zeros_like(begun))
    exact.getIntegrator().step(2 * WINDOW)
    expected = exact.getState(positions=True).getPositions(asNumpy=True)._value
    np.testing.assert_allclose(positions(made), expected, atol=1e-7)


def test_refinement_works_on_a_given_system(ethanol_built: BuiltSystem) -> None:
    made = simulation(ethanol_built, policy="refine", tolerances={"bond": "1e-6 nm"})
    made.step(WINDOW)
    assert [e.kind for e in made.events] == ["refine"]


@pytest.mark.parametrize("interval", [7, 24, 10])
def test_an_interval_between_time_points_says_which_work(
    ethanol_built: BuiltSystem, interval: int
) -> None:
    made = simulation(ethanol_built)
    made.reporters.append(app.StateDataReporter(io.StringIO(), interval, step=True))
    points = made._offsets
    if interval % points[0] == 0:
        made.step(3 * WINDOW)
        return
    with pytest.raises(SpecError, match=r"Use an interval of .*\b8, 16 or a multiple of 16"):
        made.step(3 * WINDOW)


def test_a_broken_molecule_stops_with_what_to_do(ethanol_built: BuiltSystem) -> None:
    made = simulation(ethanol_built, policy="monitor", tolerances={"bond": "1e-6 nm"})
    with pytest.raises(PotentialError, match="stopped at .* Use policy 'fallback'"):
        made.step(WINDOW)


def test_integrators_without_an_ensemble_of_windows_are_refused(
    ethanol_built: BuiltSystem,
) -> None:
    with pytest.raises(SpecError, match="BrownianIntegrator.*VerletIntegrator"):
        simulation(ethanol_built, openmm.BrownianIntegrator(300, 1, 0.0005))
    with pytest.raises(WindowMismatch, match="time point"):
        simulation(ethanol_built, langevin(0.3))
    made = simulation(ethanol_built)
    made.integrator.setTemperature(300 * unit.kelvin)
    with pytest.raises(SpecError, match="integrator was changed"):
        made.step(WINDOW)


def test_another_molecule_is_refused(ethanol_built: BuiltSystem) -> None:
    with pytest.raises(BundleMismatch, match="9 atoms of ethanol"):
        simulation(load_system("ala2"))
    system = openmm.System()
    for atom in ethanol_built.topology.atoms():
        system.addParticle(3.0 if atom.element.symbol == "H" else atom.element.mass)
    with pytest.raises(BundleMismatch, match="weighs 3 Da, in the operator"):
        em.SurrogateSimulation(ethanol_built.topology, system, langevin(), operator=OPERATOR)
    bare = app.Topology()
    residue = bare.addResidue("ETH", bare.addChain())
    for atom in ethanol_built.topology.atoms():
        bare.addAtom(atom.name, atom.element, residue)
    with pytest.raises(BundleMismatch, match="bond between atoms 0 and 1 is only in ethanol"):
        em.SurrogateSimulation(bare, ethanol_built, langevin(), operator=OPERATOR)


def test_forces_that_keep_another_ensemble_are_refused(ethanol_built: BuiltSystem) -> None:
    system = openmm.System()
    for atom in ethanol_built.topology.atoms():
        system.addParticle(atom.element.mass)
    system.addForce(openmm.AndersenThermostat(300, 1))
    with pytest.raises(SpecError, match="AndersenThermostat"):
        em.SurrogateSimulation(ethanol_built.topology, system, langevin(), operator=OPERATOR)


def test_a_hot_integrator_is_warned_of(ethanol_built: BuiltSystem) -> None:
    hot = openmm.LangevinMiddleIntegrator(900, 5, 0.0005)
    with pytest.warns(UserWarning, match="trained at 500 K and is asked for 900 K"):
        simulation(ethanol_built, hot)


def test_a_simulation_without_positions_says_so(ethanol_built: BuiltSystem) -> None:
    made = em.SurrogateSimulation(
        ethanol_built.topology, ethanol_built, langevin(), operator=OPERATOR
    )
    with pytest.raises(SpecError, match="setPositions"):
        made.step(1)
    with pytest.raises(SpecError, match="nothing was simulated"):
        made.speed_up()


def test_a_damaged_checkpoint_is_a_clear_error(tmp_path: Path, ethanol_built: BuiltSystem) -> None:
    made = simulation(ethanol_built)
    path = tmp_path / "a.chk"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match=r"a\.chk: no checkpoint"):
        made.loadCheckpoint(str(path))
    made.step(WINDOW)
    made.saveCheckpoint(str(path))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="no checkpoint"):
        made.loadCheckpoint(str(path))


def test_what_may_be_set_is_checked(ethanol_built: BuiltSystem) -> None:
    with pytest.raises(SpecError, match="tolerances: bnd: unknown key. Did you mean 'bond'"):
        simulation(ethanol_built, tolerances={"bnd": "1 nm"})
    with pytest.raises(SpecError, match="policy 'strikt' is not one of"):
        simulation(ethanol_built, policy="strikt")
