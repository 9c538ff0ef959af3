"""ASE moved by windows: trajectories, logs, bad inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from egno_md import api as em
from egno_md.core.errors import BundleMismatch, PotentialError, SpecError, WindowMismatch
from egno_md.core.thermal import maxwell_velocities
from egno_md.md.build import BuiltSystem, load_system

ase = pytest.importorskip("ase", reason="ASE is an optional extra")
from ase import Atoms, units  # noqa: E402
from ase.calculators.calculator import Calculator, all_changes  # noqa: E402
from ase.constraints import FixAtoms  # noqa: E402
from ase.io.trajectory import Trajectory  # noqa: E402

OPERATOR = em.find_operator("ethanol", "egno-8fs-500k")
KJ_PER_MOL = units.kJ / units.mol


class Xtb(Calculator):
    """The shipped ethanol's potential, as any calculator would give it."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, built: BuiltSystem) -> None:
        super().__init__()
        self.force, self.calls = built.python_force, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        energy, forces = self.force.potential.compute(self.atoms.positions * 0.1)
        self.results = {"energy": energy * KJ_PER_MOL, "forces": forces * 0.1 * KJ_PER_MOL}


@pytest.fixture
def ethanol_atoms() -> Callable[[], Atoms]:
    built = load_system("ethanol")

    def make() -> Atoms:
        atoms = Atoms(built.system.elements, built.system.positions * 10, calculator=Xtb(built))
        speeds = maxwell_velocities(built.system.masses, 500.0, np.random.default_rng(5))
        atoms.set_velocities(speeds * 10 / (1000 * units.fs))
        return atoms

    return make


def test_trajectory_and_log_count_windows(
    tmp_path: Path, ethanol_atoms: Callable[[], Atoms]
) -> None:
    atoms = ethanol_atoms()
    dynamics = em.WindowDynamics(
        atoms,
        OPERATOR,
        temperature_K=500,
        trajectory=str(tmp_path / "a.traj"),
        logfile=str(tmp_path / "a.log"),
        loginterval=2,
    )
    seen = []
    dynamics.attach(lambda: seen.append(dynamics.get_time()), interval=3)
    dynamics.run(6)
    with Trajectory(str(tmp_path / "a.traj")) as frames:
        assert len(frames) == 4
        np.testing.assert_allclose(frames[-1].positions, atoms.positions)
        assert 50 < np.mean([f.get_temperature() for f in frames]) < 1000
    np.testing.assert_allclose(seen, [0, 24 * units.fs, 48 * units.fs])
    assert len((tmp_path / "a.log").read_text().splitlines()) == 5
    assert dynamics.statistics.windows == len(dynamics.events) == 6
    assert atoms.calc.calls <= 6 + 2, "a window that is accepted costs one call"


def test_nve_keeps_its_energy_and_runs_on_from_changed_atoms(
    ethanol_atoms: Callable[[], Atoms],
) -> None:
    atoms = ethanol_atoms()
    dynamics = em.WindowDynamics(atoms, OPERATOR)
    before = atoms.get_total_energy()
    dynamics.run(5)
    assert abs(atoms.get_total_energy() - before) < 10 * KJ_PER_MOL
    atoms.set_momenta(np.zeros((9, 3)))
    dynamics.run(1)
    assert atoms.get_temperature() < 500


def test_a_rejected_window_is_the_calculator_s_own_dynamics(
    ethanol_atoms: Callable[[], Atoms],
) -> None:
    from ase.md.verlet import VelocityVerlet

    windowed, exact = ethanol_atoms(), ethanol_atoms()
    dynamics = em.WindowDynamics(windowed, OPERATOR, tolerances={"energy": 1e-9})
    dynamics.run(2)
    assert [e.kind for e in dynamics.events] == ["fallback"] * 2
    VelocityVerlet(exact, 0.5 * units.fs).run(32)
    np.testing.assert_allclose(windowed.positions, exact.positions, atol=1e-5)


def test_bad_atoms_are_refused(ethanol_atoms: Callable[[], Atoms]) -> None:
    atoms = ethanol_atoms()
    with pytest.raises(WindowMismatch, match="time point"):
        em.WindowDynamics(atoms, OPERATOR, 0.3 * units.fs)
    with pytest.raises(SpecError, match="refine"):
        em.WindowDynamics(atoms, OPERATOR, policy="refine")
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(SpecError, match="FixAtoms constraint"):
        em.WindowDynamics(atoms, OPERATOR)
    atoms = ethanol_atoms()
    atoms.pbc = True
    with pytest.raises(BundleMismatch, match="without a periodic box and the Atoms object has one"):
        em.WindowDynamics(atoms, OPERATOR)
    with pytest.raises(SpecError, match="no calculator"):
        em.WindowDynamics(Atoms("H"), OPERATOR)
    swapped = ethanol_atoms()[[1, 0, 2, 3, 4, 5, 6, 7, 8][::-1]]
    swapped.calc = atoms.calc
    with pytest.raises(BundleMismatch, match="atom 0 is element"):
        em.WindowDynamics(swapped, OPERATOR)
    heavy = ethanol_atoms()
    heavy.set_masses([2.014 if s == "H" else None for s in heavy.symbols])
    with pytest.raises(BundleMismatch, match=r"weighs 2\.014 Da"):
        em.WindowDynamics(heavy, OPERATOR)


def test_a_calculator_that_fails_says_so(ethanol_atoms: Callable[[], Atoms]) -> None:
    atoms = ethanol_atoms()
    dynamics = em.WindowDynamics(atoms, OPERATOR)

    def fail(*_: object) -> None:
        raise RuntimeError("no convergence")

    atoms.calc.calculate = fail
    with pytest.raises(PotentialError, match="stopped at 0 ps: the reference gives no energy"):
        dynamics.step()
