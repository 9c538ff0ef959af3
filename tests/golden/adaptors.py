"""Golden runs of the programs that keep their own time: OpenMM's Simulation and ASE."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import openmm
from openmm import unit

from egno_md import api as em
from egno_md.md.build import BuiltSystem, load_system
from tests.golden.content import Content, of_events, untimed

OPERATOR = em.find_operator("ethanol", "egno-8fs-500k")
WINDOW = 16
"""Steps of 0.5 fs in the shipped operator's 8 fs."""


class Seen:
    """A reporter that keeps what it is shown, every so many steps since it was made."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.steps: list[int] = []
        self.times: list[float] = []
        self.positions: list[np.ndarray] = []
        self.velocities: list[np.ndarray] = []

    def describeNextReport(self, simulation: Any) -> dict[str, Any]:
        steps = self.interval - simulation.currentStep % self.interval
        return {"steps": steps, "periodic": False, "include": ["positions", "velocities"]}

    def report(self, simulation: Any, state: Any) -> None:
        self.steps.append(simulation.currentStep)
        self.times.append(state.getTime().value_in_unit(unit.picosecond))
        self.positions.append(state.getPositions(asNumpy=True)._value)
        self.velocities.append(state.getVelocities(asNumpy=True)._value)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        fields = ("steps", "times", "positions", "velocities")
        return {f"{name}.{field}": np.array(getattr(self, field)) for field in fields}


def make_simulation(built: BuiltSystem, kind: str, seed: int) -> em.SurrogateSimulation:
    step = 0.5 * unit.femtoseconds
    integrator: openmm.Integrator = openmm.VerletIntegrator(step)
    if kind == "langevin":
        integrator = openmm.LangevinMiddleIntegrator(500 * unit.kelvin, 5 / unit.picosecond, step)
        integrator.setRandomNumberSeed(seed)
    platform = openmm.Platform.getPlatformByName("Reference")
    # energies of which some windows are not believed
    return em.SurrogateSimulation(
        built.topology, built, integrator, platform, operator=OPERATOR, device="cpu",
        tolerances={"energy": 0.005},
    )  # fmt: skip


def simulate(kind: str, is_continued: bool) -> Content:
    """Windows, a remainder of exact steps, a change by the user, and a checkpoint.

    Args:
        kind: `langevin` or `verlet`.
        is_continued: whether a new object goes on from the checkpoint, which is written
            inside a window, and written in any case.
    """
    built = load_system("ethanol")
    seen = {str(n): Seen(n) for n in (4, WINDOW, 3 * WINDOW)}
    made = make_simulation(built, kind, 3)
    made.reporters += list(seen.values())
    made.context.setPositions(built.system.positions)
    made.context.setVelocitiesToTemperature(500 * unit.kelvin, 1)
    made.step(4 * WINDOW + 7)
    made.step(9)
    positions = made.context.getState(positions=True).getPositions(asNumpy=True)._value
    made.context.setPositions(1.002 * positions)
    made.step(2 * WINDOW + WINDOW // 2)
    checkpoint = io.BytesIO()
    made.saveCheckpoint(checkpoint)
    events = of_events(made.events)
    if is_continued:
        before, made = made, make_simulation(built, kind, 3)
        made.reporters += before.reporters
        checkpoint.seek(0)
        made.loadCheckpoint(checkpoint)
        made.step(WINDOW // 2 + 3 * WINDOW + 5)
        events += of_events(made.events)
    else:
        made.step(WINDOW // 2 + 3 * WINDOW + 5)
        events = of_events(made.events)
    text = {"events": events, "statistics": untimed(made.statistics), "step": made.currentStep}
    arrays = {k: a for name, s in seen.items() for k, a in s.arrays(f"every-{name}").items()}
    return Content(text, arrays)


def move_atoms(kelvin: float | None) -> Content:
    """Windows, atoms moved and stopped by the user, windows."""
    from ase import Atoms, units
    from ase.calculators.calculator import Calculator, all_changes

    built = load_system("ethanol")
    energy_unit = units.kJ / units.mol

    class Xtb(Calculator):
        """The shipped ethanol's potential, as any calculator would give it."""

        implemented_properties = ["energy", "forces"]  # noqa: RUF012

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
            super().calculate(atoms, properties, system_changes)
            energy, forces = built.python_force.potential.compute(self.atoms.positions * 0.1)
            self.results = {"energy": energy * energy_unit, "forces": forces * 0.1 * energy_unit}

    atoms = Atoms(built.system.elements, built.system.positions * 10, calculator=Xtb())
    speeds = (
        np.random.default_rng(5).standard_normal((9, 3)) / np.sqrt(built.system.masses)[:, None]
    )
    atoms.set_velocities(2.0 * speeds * 10 / (1000 * units.fs))
    dynamics = em.WindowDynamics(
        atoms, OPERATOR, temperature_K=kelvin, seed=7, device="cpu", tolerances={"energy": 0.005}
    )
    seen: dict[str, list[Any]] = {"times": [], "positions": [], "velocities": []}

    def see() -> None:
        seen["times"].append(dynamics.get_time())
        seen["positions"].append(atoms.get_positions())
        seen["velocities"].append(atoms.get_velocities())

    dynamics.attach(see, interval=1)
    dynamics.run(5)
    atoms.set_positions(1.002 * atoms.get_positions())
    dynamics.run(3)
    atoms.set_momenta(0.5 * atoms.get_momenta())
    dynamics.run(4)
    text = {"events": of_events(dynamics.events), "statistics": untimed(dynamics.statistics)}
    arrays = {f"every-1.{name}": np.array(values) for name, values in seen.items()}
    return Content(text, arrays)
