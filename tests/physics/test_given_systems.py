"""Constraints, rigid water, boxes and barostats in the programs that keep their own time."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from egno_md import api as em
from egno_md.core.errors import SpecError
from egno_md.core.thermal import maxwell_velocities
from egno_md.interop.walker import Statistics
from egno_md.md.build import BuiltSystem, load_system
from egno_md.nn.bundle import save_bundle
from egno_md.nn.operator import WindowOperator
from tests.conftest import make_card, make_operator

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
RIGID_WATER = GOLDEN / "bundles" / "waterbox-rigid"
FLEXIBLE_WATER = GOLDEN / "bundles" / "waterbox"
KELVIN = 300 * unit.kelvin

WATER_WINDOW = 4
"""Steps of 1 fs in the operator's 4 fs; time points after 2 and 4."""

PEPTIDE_WINDOW = 2
"""Steps of 4 fs in the operator's 8 fs; time points after 1 and 2."""

GENEROUS = {"energy": 0.15, "temperature": 0.9}
"""Water that is hardly equilibrated is far from its temperature."""

CONSTRAINED = 1e-5
"""Relative error of a constrained length: that of OpenMM's solver, and its default."""

XTC = 2e-3
"""nm: what is written to 1e-3."""


@pytest.fixture(scope="module")
def rigid_water() -> BuiltSystem:
    return load_system(str(GOLDEN / "systems" / "waterbox-rigid"))


@pytest.fixture(scope="module")
def flexible_water() -> BuiltSystem:
    return load_system("waterbox")


@pytest.fixture(scope="module")
def peptide() -> BuiltSystem:
    """Alanine dipeptide with rigid bonds to hydrogens of 4 Da."""
    return load_system("ala2/hmr")


@pytest.fixture(scope="module")
def peptide_operator(peptide: BuiltSystem, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained, with windows near to ballistic ones, so that some of them hold."""
    network = make_operator(peptide.system).card.network
    card = make_card(peptide.system, network)
    scales = card.scales.model_copy(update={"position_residual": 1e-4, "velocity_residual": 0.02})
    changes = {"time_points": (0.004, 0.008), "scales": scales, "kelvin": 300.0}
    folder = tmp_path_factory.mktemp("peptide") / "bundle"
    save_bundle(folder, WindowOperator(card.model_copy(update=changes)).eval())
    return folder


def langevin(femtoseconds: float, seed: int = 3) -> openmm.LangevinMiddleIntegrator:
    integrator = openmm.LangevinMiddleIntegrator(
        KELVIN, 5 / unit.picosecond, femtoseconds * unit.femtoseconds
    )
    integrator.setRandomNumberSeed(seed)
    return integrator


def with_force(built: BuiltSystem, force: openmm.Force) -> openmm.System:
    """A user's own System: that of `built` and one force more."""
    system = openmm.XmlSerializer.clone(built.openmm_system)
    system.addForce(force)
    return system


def barostat(steps: int = WATER_WINDOW) -> openmm.MonteCarloBarostat:
    return openmm.MonteCarloBarostat(1 * unit.bar, KELVIN, steps)


def water_simulation(
    built: BuiltSystem, system: openmm.System | None = None, seed: int = 3, platform: str = "CPU"
):
    made = em.SurrogateSimulation(
        built.topology,
        system or built,
        langevin(1, seed),
        openmm.Platform.getPlatformByName(platform),
        operator=RIGID_WATER,
        device="cpu",
        tolerances=GENEROUS,
    )
    made.context.setPositions(built.system.positions)
    made.context.setVelocitiesToTemperature(KELVIN, 1)
    return made


def peptide_simulation(built: BuiltSystem, operator: Path, seed: int = 3):
    made = em.SurrogateSimulation(
        built.topology,
        built.openmm_system,
        langevin(4, seed),
        openmm.Platform.getPlatformByName("Reference"),
        operator=operator,
        device="cpu",
        tolerances={"energy": 0.3, "temperature": 0.9},
    )
    made.context.setPositions(built.system.positions)
    made.minimizeEnergy(maxIterations=50)
    made.context.setVelocitiesToTemperature(KELVIN, 1)
    return made


def state(made: app.Simulation) -> openmm.State:
    return made.context.getState(positions=True, velocities=True)


def positions(made: app.Simulation) -> np.ndarray:
    return state(made).getPositions(asNumpy=True)._value


def stretched(built: BuiltSystem, frames: np.ndarray) -> float:
    """Largest relative error of a constrained length in frames ``(frames, atoms, 3)``, nm."""
    pairs = built.system.constraints
    forces = built.openmm_system
    wanted = {
        tuple(sorted((a, b))): length.value_in_unit(unit.nanometer)
        for a, b, length in map(forces.getConstraintParameters, range(forces.getNumConstraints()))
    }
    expected = np.array([wanted[tuple(sorted(map(int, p)))] for p in pairs])
    lengths = np.linalg.norm(frames[:, pairs[:, 0]] - frames[:, pairs[:, 1]], axis=-1)
    return float(np.abs(lengths / expected - 1).max())


def untimed(made: em.SurrogateSimulation) -> Statistics:
    return replace(made.statistics, seconds={}, ns_per_day=0.0)


class Frames:
    """A reporter of a user's own, in double precision."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.positions: list[np.ndarray] = []
        self.volumes: list[float] = []

    def describeNextReport(self, simulation):
        steps = self.interval - simulation.currentStep % self.interval
        return {"steps": steps, "periodic": False, "include": ["positions"]}

    def report(self, simulation, state) -> None:
        self.positions.append(state.getPositions(asNumpy=True)._value)
        self.volumes.append(state.getPeriodicBoxVolume()._value)


def test_rigid_water_in_a_box_keeps_shape_and_pressure_under_stock_reporters(
    tmp_path: Path, rigid_water: BuiltSystem
) -> None:
    made = water_simulation(rigid_water, with_force(rigid_water, barostat()))
    table, own = io.StringIO(), Frames(WATER_WINDOW // 2)
    made.reporters += [
        own,
        app.DCDReporter(str(tmp_path / "a.dcd"), WATER_WINDOW),
        app.XTCReporter(str(tmp_path / "a.xtc"), WATER_WINDOW // 2),
        app.PDBReporter(str(tmp_path / "a.pdb"), 2 * WATER_WINDOW),
        app.CheckpointReporter(str(tmp_path / "a.chk"), 2 * WATER_WINDOW),
        app.StateDataReporter(
            table, WATER_WINDOW, step=True, temperature=True, volume=True, density=True
        ),
    ]
    steps = 6 * WATER_WINDOW
    made.step(steps + 1)
    made.reporters.clear()  # closes their files
    assert made.currentStep == steps + 1
    assert len(own.positions) == 12
    assert stretched(rigid_water, np.array(own.positions)) < CONSTRAINED
    kinds = [e.kind for e in made.events]
    assert kinds[-1] == "exact", "one step fills no window"
    assert {"accept", "prefix"} & set(kinds), "windows of the operator are among them"
    topology = mdtraj.Topology.from_openmm(rigid_water.topology)
    dcd = mdtraj.load(str(tmp_path / "a.dcd"), top=topology)
    xtc = mdtraj.load(str(tmp_path / "a.xtc"), top=topology)
    assert (len(dcd), len(xtc)) == (6, 12)
    rows = np.array([r.split(",") for r in table.getvalue().splitlines()[1:]], dtype=float)
    np.testing.assert_array_equal(rows[:, 0], WATER_WINDOW * np.arange(1, 7))
    assert len(np.unique(rows[:, 2].round(6))) > 1, "the volume moves"
    assert (np.abs(rows[:, 2] / 1.87**3 - 1) < 0.2).all()
    assert (np.abs(rows[:, 3] - 1) < 0.2).all(), "g/ml of water"
    np.testing.assert_allclose(dcd.unitcell_volumes, rows[:, 2], rtol=1e-5)
    np.testing.assert_allclose(own.volumes[1::2], rows[:, 2], rtol=1e-6)
    tried, accepted = made._walker.state.volume_moves
    assert tried == 7
    assert 0 < accepted <= tried
    assert made.statistics.seconds["barostat"] > 0
    assert made.statistics.seconds["constraints"] > 0


@pytest.mark.parametrize("at", [WATER_WINDOW, WATER_WINDOW + WATER_WINDOW // 2])
def test_a_checkpoint_of_water_at_constant_pressure_continues_to_the_bit(
    tmp_path: Path, rigid_water: BuiltSystem, at: int
) -> None:
    """On Reference: the neighbour list of the CPU platform has a history that no state holds."""
    system = with_force(rigid_water, barostat())
    first = water_simulation(rigid_water, system, platform="Reference")
    first.reporters.append(app.CheckpointReporter(str(tmp_path / "a.chk"), at))
    first.step(2 * at - 1)
    second = water_simulation(rigid_water, system, seed=4, platform="Reference")
    second.loadCheckpoint(str(tmp_path / "a.chk"))
    assert second.currentStep == at
    second.step(at - 1)
    np.testing.assert_array_equal(positions(second), positions(first))
    boxes = [state(made).getPeriodicBoxVectors(asNumpy=True)._value for made in (first, second)]
    np.testing.assert_array_equal(*boxes)
    assert untimed(second) == untimed(first)


def test_water_without_a_barostat_keeps_its_volume(rigid_water: BuiltSystem) -> None:
    made = water_simulation(rigid_water)
    own = Frames(WATER_WINDOW)
    made.reporters.append(own)
    made.step(2 * WATER_WINDOW)
    assert np.ptp(own.volumes) == 0
    assert made._walker.state.volume_moves == (0, 0)


def test_a_box_that_the_caller_changes_is_taken_over(rigid_water: BuiltSystem) -> None:
    made = water_simulation(rigid_water)
    made.step(WATER_WINDOW)
    box = 1.001 * state(made).getPeriodicBoxVectors(asNumpy=True)._value
    made.context.setPeriodicBoxVectors(*box)
    made.context.setPositions(positions(made) * 1.001)
    made.step(WATER_WINDOW)
    np.testing.assert_allclose(
        state(made).getPeriodicBoxVectors(asNumpy=True)._value, box, rtol=1e-12
    )
    assert stretched(rigid_water, positions(made)[None]) < CONSTRAINED


def test_a_peptide_goes_in_steps_of_4_fs_under_stock_reporters(
    tmp_path: Path, peptide: BuiltSystem, peptide_operator: Path
) -> None:
    made = peptide_simulation(peptide, peptide_operator)
    table, own = io.StringIO(), Frames(1)
    made.reporters += [
        own,
        app.DCDReporter(str(tmp_path / "a.dcd"), PEPTIDE_WINDOW),
        app.XTCReporter(str(tmp_path / "a.xtc"), 1),
        app.PDBReporter(str(tmp_path / "a.pdb"), 10 * PEPTIDE_WINDOW),
        app.CheckpointReporter(str(tmp_path / "a.chk"), 10 * PEPTIDE_WINDOW),
        app.StateDataReporter(table, PEPTIDE_WINDOW, step=True, time=True, temperature=True),
    ]
    made.step(20 * PEPTIDE_WINDOW + 1)
    made.reporters.clear()  # closes their files
    assert len(own.positions) == 41
    assert stretched(peptide, np.array(own.positions)) < CONSTRAINED
    topology = mdtraj.Topology.from_openmm(peptide.topology)
    xtc = mdtraj.load(str(tmp_path / "a.xtc"), top=topology)
    np.testing.assert_allclose(xtc.time, 0.004 * np.arange(1, 42), atol=1e-6)
    dcd = mdtraj.load(str(tmp_path / "a.dcd"), top=topology)
    assert len(dcd) == 20
    np.testing.assert_allclose(xtc.xyz[1::2], dcd.xyz, atol=XTC)
    rows = np.array([r.split(",") for r in table.getvalue().splitlines()[1:]], dtype=float)
    np.testing.assert_allclose(rows[:, 1], 0.008 * np.arange(1, 21), atol=1e-9)
    assert 100 < rows[5:, 2].mean() < 600
    kinds = {e.kind for e in made.events}
    assert {"accept", "prefix"} & kinds, "windows of the operator are among them"
    assert made.events[-1].kind == "exact"
    assert made.events[-1].end.bond_deviation < 0.05


@pytest.mark.parametrize("at", [10 * PEPTIDE_WINDOW, 10 * PEPTIDE_WINDOW + 1])
def test_a_checkpoint_of_a_constrained_peptide_continues_to_the_bit(
    tmp_path: Path, peptide: BuiltSystem, peptide_operator: Path, at: int
) -> None:
    first = peptide_simulation(peptide, peptide_operator)
    first.reporters.append(app.CheckpointReporter(str(tmp_path / "a.chk"), at))
    first.step(2 * at - 1)
    second = peptide_simulation(peptide, peptide_operator, seed=4)
    second.loadCheckpoint(str(tmp_path / "a.chk"))
    second.step(at - 1)
    np.testing.assert_array_equal(positions(second), positions(first))
    assert untimed(second) == untimed(first)


def test_what_windows_cannot_keep_is_refused_by_name(
    rigid_water: BuiltSystem, peptide: BuiltSystem, peptide_operator: Path
) -> None:
    anisotropic = openmm.MonteCarloAnisotropicBarostat(openmm.Vec3(1, 1, 1) * unit.bar, KELVIN)
    with pytest.raises(SpecError, match="MonteCarloAnisotropicBarostat.* a MonteCarloBarostat"):
        water_simulation(rigid_water, with_force(rigid_water, anisotropic))
    andersen = openmm.AndersenThermostat(KELVIN, 1 / unit.picosecond)
    with pytest.raises(SpecError, match="AndersenThermostat"):
        water_simulation(rigid_water, with_force(rigid_water, andersen))
    for system, integrator, options, message in (
        (
            with_force(rigid_water, barostat()),
            openmm.VerletIntegrator(0.001),
            {},
            "MonteCarloBarostat and the integrator keeps the energy. Use a LangevinMiddleIntegrator",
        ),
        (rigid_water, langevin(1), {"policy": "refine"}, "policy 'refine' .* without constraints"),
    ):
        with pytest.raises(SpecError, match=message):
            em.SurrogateSimulation(
                rigid_water.topology, system, integrator, operator=RIGID_WATER, **options
            )
    with pytest.raises(SpecError, match="policy 'refine' .* without constraints"):
        em.SurrogateSimulation(
            peptide.topology, peptide, langevin(4), operator=peptide_operator, policy="refine"
        )


ase = pytest.importorskip("ase", reason="ASE is an optional extra")
from ase import Atoms, units  # noqa: E402
from ase.calculators.calculator import Calculator, all_changes  # noqa: E402
from ase.constraints import FixAtoms  # noqa: E402
from ase.io.trajectory import Trajectory  # noqa: E402

EV = units.kJ / units.mol


class OpenMMCalculator(Calculator):
    """Energy and forces of an OpenMM System, in its box."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, built: BuiltSystem) -> None:
        super().__init__()
        platform = openmm.Platform.getPlatformByName("CPU")
        self.context = openmm.Context(
            built.openmm_system, openmm.VerletIntegrator(0.001), platform, {"Threads": "1"}
        )

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.context.setPeriodicBoxVectors(*np.array(self.atoms.cell) * 0.1)
        self.context.setPositions(self.atoms.positions * 0.1)
        now = self.context.getState(energy=True, forces=True)
        self.results = {
            "energy": now.getPotentialEnergy()._value * EV,
            "forces": now.getForces(asNumpy=True)._value * 0.1 * EV,
        }


@pytest.fixture
def water_atoms(flexible_water: BuiltSystem) -> Callable[[], Atoms]:
    system = flexible_water.system

    def make() -> Atoms:
        atoms = Atoms(
            system.elements,
            system.positions * 10,
            cell=system.box * 10,
            pbc=True,
            calculator=OpenMMCalculator(flexible_water),
        )
        atoms.set_masses(system.masses)
        speeds = maxwell_velocities(system.masses, 300.0, np.random.default_rng(5))
        atoms.set_velocities(speeds * 10 / (1000 * units.fs))
        return atoms

    return make


def test_ase_moves_water_in_its_box(tmp_path: Path, water_atoms: Callable[[], Atoms]) -> None:
    atoms = water_atoms()
    dynamics = em.WindowDynamics(
        atoms,
        FLEXIBLE_WATER,
        temperature_K=300,
        seed=7,
        device="cpu",
        tolerances=GENEROUS,
        trajectory=str(tmp_path / "a.traj"),
    )
    cell = np.array(atoms.cell)
    before = atoms.positions.copy()
    dynamics.run(4)
    assert dynamics.statistics.windows == len(dynamics.events) == 4
    assert {"accept", "prefix"} & {e.kind for e in dynamics.events}
    np.testing.assert_array_equal(atoms.cell, cell)
    moved = np.linalg.norm(atoms.positions - before, axis=1)
    assert 0 < moved.max() < 1.5, "Å: no atom jumps across the box"
    with Trajectory(str(tmp_path / "a.traj")) as frames:
        assert len(frames) == 5
        assert frames[-1].pbc.all()
        np.testing.assert_allclose(frames[-1].positions, atoms.positions)


def test_a_rejected_window_of_ase_is_the_calculator_s_own_dynamics_in_the_box(
    water_atoms: Callable[[], Atoms],
) -> None:
    from ase.md.verlet import VelocityVerlet

    windowed, exact = water_atoms(), water_atoms()
    dynamics = em.WindowDynamics(
        windowed, FLEXIBLE_WATER, device="cpu", tolerances={"energy": 1e-9}
    )
    dynamics.run(2)
    assert [e.kind for e in dynamics.events] == ["fallback"] * 2
    VelocityVerlet(exact, 0.5 * units.fs).run(16)
    np.testing.assert_allclose(windowed.positions, exact.positions, atol=1e-5)


def test_what_ase_windows_cannot_keep_is_refused_by_name(
    water_atoms: Callable[[], Atoms],
) -> None:
    atoms = water_atoms()
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(SpecError, match="a FixAtoms constraint.*SurrogateSimulation"):
        em.WindowDynamics(atoms, FLEXIBLE_WATER)
    atoms = water_atoms()
    atoms.pbc = [True, True, False]
    with pytest.raises(SpecError, match="periodic along some axes alone .pbc .True, True, False"):
        em.WindowDynamics(atoms, FLEXIBLE_WATER)
    with pytest.raises(SpecError, match="policy 'refine' needs OpenMM"):
        em.WindowDynamics(water_atoms(), FLEXIBLE_WATER, policy="refine")
