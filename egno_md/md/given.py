"""A system that comes as OpenMM objects, with no system.yaml behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import mdtraj
import numpy as np
import openmm
from openmm import app, unit

from egno_md.core.errors import SpecError
from egno_md.core.system import System
from egno_md.md.build import CENTRE_OF_MASS, constrained_pairs, particle_masses
from egno_md.md.potentials.python_force import CachedForce

ENSEMBLE_FORCES = (
    openmm.AndersenThermostat,
    openmm.MonteCarloAnisotropicBarostat,
    openmm.MonteCarloFlexibleBarostat,
    openmm.MonteCarloMembraneBarostat,
)

THERMAL = (openmm.LangevinMiddleIntegrator, openmm.LangevinIntegrator)


@dataclass(frozen=True)
class IsotropicBarostat:
    """Settings of OpenMM's `MonteCarloBarostat`.

    Attributes:
        pressure: bar.
        every: steps between two trial moves.
    """

    pressure: float
    every: int


@dataclass(frozen=True, eq=False)
class GivenSystem:
    """OpenMM objects with what an engine needs.

    Attributes:
        system: the description without OpenMM.
        openmm_system: forces, masses and constraints, without a barostat.
        topology: OpenMM's own.
        python_force: the function behind a `PythonForce`, or None.
        barostat: that the user's System holds; None at constant volume.
    """

    system: System
    openmm_system: openmm.System
    topology: app.Topology
    python_force: CachedForce | None = None
    barostat: IsotropicBarostat | None = None

    def at(self, positions: np.ndarray) -> GivenSystem:
        """The same with a start structure, nm."""
        return replace(self, system=replace(self.system, positions=positions))

    def flexible(self) -> GivenSystem:
        """Itself, of a system without constraints.

        Raises:
            SpecError: it has constraints, and no forces are known that could replace them.
        """
        if self.openmm_system.getNumConstraints():
            raise SpecError(
                "policy 'refine' minimises a copy of the System without constraints, and a given one "
                "does not say which forces would take their place. Use policy 'fallback'."
            )
        return self


def give_system(
    topology: app.Topology, openmm_system: openmm.System, python_force: CachedForce | None = None
) -> GivenSystem:
    """Describe a user's system.

    Raises:
        SpecError: something in it that windows do not keep, or no elements.
    """
    particles = openmm_system.getNumParticles()
    if particles != topology.getNumAtoms():
        raise SpecError(
            f"the topology has {topology.getNumAtoms()} atoms, the System {particles} particles. "
            "Make both from the same structure."
        )
    for force in openmm_system.getForces():
        if isinstance(force, ENSEMBLE_FORCES):
            raise SpecError(
                f"the System holds a {type(force).__name__}, which windows do not keep. Remove "
                "it; the temperature is the integrator's, and pressure a MonteCarloBarostat's."
            )
    openmm_system, barostat = _without_barostat(openmm_system)
    nameless = [a for a in topology.atoms() if a.element is None]
    if nameless:
        raise SpecError(f"atom {nameless[0]} of the topology has no element. Give it one.")
    masses = particle_masses(openmm_system)
    if masses.min() <= 0:
        raise SpecError(
            f"particle {int(masses.argmin())} has no mass: windows move every atom. "
            "Use a System without frozen atoms and virtual sites."
        )
    periodic = openmm_system.usesPeriodicBoundaryConditions()
    box = np.array(
        [
            [x.value_in_unit(unit.nanometer) for x in v]
            for v in openmm_system.getDefaultPeriodicBoxVectors()
        ]
    )
    system = System(
        name="the given system",
        topology=mdtraj.Topology.from_openmm(topology),
        masses=masses,
        positions=np.zeros((particles, 3)),
        degrees_of_freedom=3 * particles - openmm_system.getNumConstraints() - CENTRE_OF_MASS,
        box=box if periodic else None,
        constraints=constrained_pairs(openmm_system),
    )
    return GivenSystem(system, openmm_system, topology, python_force, barostat)


def _without_barostat(
    system: openmm.System,
) -> tuple[openmm.System, IsotropicBarostat | None]:
    """The System for engines that keep the volume, and what its barostat says."""
    numbers = [
        n
        for n, force in enumerate(system.getForces())
        if isinstance(force, openmm.MonteCarloBarostat) and force.getFrequency() > 0
    ]
    if not numbers:
        return system, None
    force = system.getForce(numbers[0])
    pressure = force.getDefaultPressure().value_in_unit(unit.bar)
    barostat = IsotropicBarostat(pressure, force.getFrequency())
    copy = openmm.XmlSerializer.clone(system)
    for number in reversed(numbers):
        copy.removeForce(number)
    return copy, barostat


@dataclass(frozen=True)
class IntegratorSettings:
    """Settings of an OpenMM integrator.

    Attributes:
        timestep: ps.
        kelvin: temperature, None in NVE.
        friction: 1/ps, None in NVE.
        seed: of its random stream; 0 for any.
        velocity_lag: ps that its velocities lie before its positions, where OpenMM
            takes this into account in the kinetic energy.
    """

    timestep: float
    kelvin: float | None
    friction: float | None
    seed: int
    velocity_lag: float


def read_integrator(integrator: openmm.Integrator) -> IntegratorSettings:
    """The ensemble that an integrator stands for.

    Raises:
        SpecError: windows do not run in its ensemble.
    """
    timestep = integrator.getStepSize().value_in_unit(unit.picosecond)
    if isinstance(integrator, THERMAL):
        return IntegratorSettings(
            timestep,
            integrator.getTemperature().value_in_unit(unit.kelvin),
            integrator.getFriction().value_in_unit(unit.picosecond**-1),
            integrator.getRandomNumberSeed(),
            0.0,
        )
    if isinstance(integrator, openmm.VerletIntegrator):
        return IntegratorSettings(timestep, None, None, 0, 0.5 * timestep)
    raise SpecError(
        f"{type(integrator).__name__}: windows run at constant temperature "
        "(LangevinMiddleIntegrator, LangevinIntegrator) or energy (VerletIntegrator). Use one of "
        "these."
    )
