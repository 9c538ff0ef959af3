"""Reference dynamics: one OpenMM context for evaluation, NVE and NVT."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import openmm
from jaxtyping import Float
from openmm import unit

from egno_md.core.errors import PotentialError, SpecError
from egno_md.core.state import Frame, Trajectory, join
from egno_md.core.system import System
from egno_md.core.units import whole_multiple
from egno_md.geometry.images import follow
from egno_md.md.build import BuiltSystem
from egno_md.md.constraints import ConstraintProjector
from egno_md.md.given import GivenSystem
from egno_md.md.integrators import langevin, velocity_verlet
from egno_md.md.potentials.python_force import OWN_DYNAMICS
from egno_md.md.refine.minimise import minimise

REFERENCE_PLATFORM_LIMIT = 25
"""Atoms up to which OpenMM's Reference platform beats CPU (measured)."""

MINIMISATION = 500
"""Iterations of the minimiser before dynamics."""

GPU_PLATFORMS = ("CUDA", "HIP")
NVE, NVT = 0, 1
ThermostatName = Literal["langevin", "langevin-middle"]


class OpenMMEngine:
    """OpenMM behind the project's interfaces.

    Args:
        built: the system.
        timestep: ps.
        kelvin: temperature of NVT dynamics.
        friction: 1/ps, of NVT dynamics.
        seed: of OpenMM's random streams; 0 is refused (OpenMM takes it as "any").
        platform: an OpenMM platform name, or ``"auto"``.
        thermostat: `langevin` (OBABO, velocities on the step) or `langevin-middle`.
        nve_timestep: ps, of NVE dynamics; `timestep` by default.
        pressure: bar, of NVT dynamics, which become NPT; NVE stays NVE.
        barostat_every: steps between OpenMM's trial moves of the volume.
        nvt: integrator of NVT dynamics in place of `thermostat`'s.

    Attributes:
        context: OpenMM's own, for refinement and other moves of the atoms.

    Raises:
        SpecError: the platform is not available here, or a pressure without a box.
    """

    def __init__(
        self,
        built: BuiltSystem | GivenSystem,
        *,
        timestep: float,
        kelvin: float,
        friction: float,
        seed: int,
        platform: str = "auto",
        thermostat: ThermostatName = "langevin",
        nve_timestep: float | None = None,
        pressure: float | None = None,
        barostat_every: int = 25,
        nvt: openmm.Integrator | None = None,
    ) -> None:
        self.built = built
        self.timestep = timestep
        self._timesteps = {NVE: nve_timestep or timestep, NVT: timestep}
        self.kelvin = kelvin
        seed = seed % (2**31 - 2) + 1
        self._integrator = openmm.CompoundIntegrator()
        verlet = velocity_verlet(self._timesteps[NVE], is_closed=pressure is not None)
        self._integrator.addIntegrator(verlet)
        if nvt is not None:
            self._integrator.addIntegrator(nvt)
        elif thermostat == "langevin":
            self._integrator.addIntegrator(langevin(timestep, kelvin, friction, seed))
        else:
            middle = openmm.LangevinMiddleIntegrator(kelvin, friction, timestep)
            middle.setRandomNumberSeed(seed)
            self._integrator.addIntegrator(middle)
        openmm_system = built.openmm_system
        self._has_barostat = pressure is not None
        if pressure is not None:
            openmm_system = _with_barostat(built, pressure, kelvin, barostat_every, seed)
        self.context = _new_context(built, openmm_system, self._integrator, platform)
        self._projector = ConstraintProjector(self.context)
        self._velocity_seed = seed

    @property
    def system(self) -> System:
        """What is simulated."""
        return self.built.system

    @property
    def platform(self) -> str:
        """Name of the OpenMM platform in use."""
        return self.context.getPlatform().getName()

    def start(
        self,
        minimised: Float[np.ndarray, "atoms 3"] | None = None,
        iterations: int = MINIMISATION,
    ) -> Frame:
        """Minimise the start structure and draw Maxwell velocities.

        Args:
            minimised: nm, of an earlier call; minimising thousands of atoms takes minutes.
            iterations: of the minimiser at most. Constraints take two force calls each.
        """
        if minimised is None:
            self.context.setPositions(self.system.positions)
            minimise(self.context, iterations, self.system.name)
            self.forgive()
        else:
            self.context.setPositions(minimised)
        self.context.getState(energy=True)
        self._check_potential()
        self.context.setVelocitiesToTemperature(self.kelvin, self._velocity_seed)
        return replace(self.read(), time=0.0)

    def load(self, frame: Frame) -> None:
        """Make `frame` the context's state."""
        self._set_box(frame)
        self.context.setPositions(np.asarray(frame.positions, dtype=np.float64))
        self.context.setVelocities(np.asarray(frame.velocities, dtype=np.float64))
        self.context.setTime(frame.time)

    def read(self, *, is_evaluated: bool = True) -> Frame:
        """The context's state; `is_evaluated` has its forces and energy computed."""
        state = self.context.getState(
            positions=True, velocities=True, forces=is_evaluated, energy=is_evaluated
        )
        periodic = self.built.openmm_system.usesPeriodicBoundaryConditions()
        return Frame(
            positions=state.getPositions(asNumpy=True)._value,
            velocities=state.getVelocities(asNumpy=True)._value,
            time=state.getTime().value_in_unit(unit.picosecond),
            forces=state.getForces(asNumpy=True)._value if is_evaluated else None,
            potential_energy=state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
            if is_evaluated
            else None,
            box=state.getPeriodicBoxVectors(asNumpy=True)._value if periodic else None,
        )

    def evaluate(self, frame: Frame, walker: int = OWN_DYNAMICS) -> Frame:
        """The same frame with forces and potential energy.

        Args:
            frame: what to evaluate.
            walker: whose last evaluation a self-consistent potential starts from.

        Raises:
            PotentialError: the potential gives no energy there.
        """
        self._follow(walker)
        self._set_box(frame)
        self.context.setPositions(np.asarray(frame.positions, dtype=np.float64))
        state = self.context.getState(forces=True, energy=True)
        self._check_potential()
        return replace(
            frame,
            forces=state.getForces(asNumpy=True)._value,
            potential_energy=state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole),
        )

    def evaluate_all(self, frames: Mapping[int, Frame]) -> dict[int, Frame]:
        """Frames of many replicas; the energy is NaN where there is none."""
        evaluated = {}
        for walker, frame in frames.items():
            try:
                evaluated[walker] = self.evaluate(frame, walker)
            except PotentialError:
                evaluated[walker] = replace(frame, potential_energy=np.nan)
        return evaluated

    def run(self, steps: int, every: int, *, ensemble: int) -> Trajectory:
        """Move the context and record every `every` steps, the start not included.

        Raises:
            PotentialError: the potential failed, or the system exploded.
        """
        self._follow(OWN_DYNAMICS)
        self._integrator.setCurrentIntegrator(ensemble)
        origin = self.context.getTime().value_in_unit(unit.picosecond)
        frames: list[Frame] = []
        for count in range(1, steps // every + 1):
            self._step(every)
            time = origin + count * every * self._timesteps[ensemble]
            frames.append(replace(self.read(), time=time))
        self._check_potential()
        trajectory = Trajectory.of(frames)
        if not np.isfinite(trajectory.positions).all():
            raise PotentialError(
                f"{self.system.name}: positions became NaN. Use a shorter timestep than "
                f"{self.timestep * 1e3:g} fs, or a longer equilibration."
            )
        return trajectory

    def skip(self, steps: int, *, ensemble: int = NVT) -> None:
        """Move the context without recording."""
        self._follow(OWN_DYNAMICS)
        self._integrator.setCurrentIntegrator(ensemble)
        self._step(steps)
        self._check_potential()

    def reseed(self, seed: int, friction: float) -> None:
        """Give NVT dynamics of `langevin-middle` a random stream and friction of its own.

        The context is made anew, since OpenMM seeds its streams only then; `load` what
        is to be moved after it. Keeping the state would keep the old stream with it.

        Args:
            seed: greater than 0.
            friction: 1/ps.
        """
        middle = self._integrator.getIntegrator(NVT)
        middle.setFriction(friction)
        middle.setRandomNumberSeed(seed)
        self.context.reinitialize()

    def window(self, frame: Frame, elapsed: Sequence[float]) -> Trajectory:
        """NVE dynamics from `frame`, recorded after the times `elapsed` (ps, increasing).

        Raises:
            WindowMismatch: a time is no whole number of timesteps.
        """
        timestep = self._timesteps[NVE]
        stops = [whole_multiple(t, timestep, "the time point", "timesteps") for t in elapsed]
        self.load(frame)
        parts = [
            self.run(stop - start, stop - start, ensemble=NVE)
            for start, stop in zip([0, *stops[:-1]], stops, strict=True)
        ]
        return replace(join(parts), times=frame.time + np.asarray(elapsed))

    def _follow(self, walker: int) -> None:
        if self.built.python_force is not None:
            self.built.python_force.follow(walker)

    def forget(self) -> None:
        """Drop cached densities and forces, so that results do not depend on earlier evaluations."""
        if self.built.python_force is not None:
            self.built.python_force.reset()

    def checkpoint(self) -> bytes:
        """Everything needed to continue bit for bit on this platform."""
        self.forget()
        return self.context.createCheckpoint()

    def restore(self, checkpoint: bytes) -> None:
        """Continue from `checkpoint`.

        Raises:
            PotentialError: it was written by another platform or version.
        """
        self.forget()
        try:
            self.context.loadCheckpoint(checkpoint)
        except openmm.OpenMMException as error:
            raise PotentialError(f"the checkpoint cannot be restored: {error}.") from None

    def project(self, frame: Frame) -> Frame | None:
        """The nearest frame that keeps the constraints, in positions and velocities.

        Both are moved along the mass-weighted gradients of the constraints, which
        leaves total momentum and the centre of mass alone. Forces and energy are
        dropped.

        Returns:
            None where OpenMM's projection does not converge.
        """
        if not frame.is_finite:
            return None
        self._set_box(frame)
        return self._projector.project(frame)

    def _set_box(self, frame: Frame) -> None:
        if frame.box is not None:
            self.context.setPeriodicBoxVectors(*np.asarray(frame.box, dtype=np.float64))

    def _step(self, steps: int) -> None:
        """Move; a barostat wraps the molecules it moves, which is undone.

        The context itself gets the continuous positions, so that a checkpoint
        continues them. Molecules that diffuse half a box between two steps of
        the same call would be lost: calls are short enough.
        """
        if not self._has_barostat:
            self._advance(steps)
            return
        before, _ = self._positions_and_box()
        self._advance(steps)
        after, box = self._positions_and_box()
        unwrapped = follow(before, after, box, self.system.molecules)
        if not np.array_equal(unwrapped, after):
            self.context.setPositions(unwrapped)

    def _positions_and_box(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the context, nm."""
        state = self.context.getState(positions=True)
        box = state.getPeriodicBoxVectors(asNumpy=True)._value
        return state.getPositions(asNumpy=True)._value, box

    def _advance(self, steps: int) -> None:
        try:
            self._integrator.step(steps)
        except openmm.OpenMMException as error:
            raise PotentialError(
                f"{self.system.name}: OpenMM stopped: {error}. Use a shorter timestep than "
                f"{self.timestep * 1e3:g} fs, or minimise first."
            ) from None

    def forgive(self) -> None:
        """Ignore failed trial steps of a minimiser, which backs off from their high energy."""
        if self.built.python_force is not None:
            self.built.python_force.take_failures()

    def _check_potential(self) -> None:
        force = self.built.python_force
        failures = 0 if force is None else force.take_failures()
        if failures:
            raise PotentialError(
                f"{self.system.potential} did not converge for {self.system.name} "
                f"({failures} times): the geometry is too distorted. "
                "Start from a relaxed structure or use a shorter timestep."
            )


def _with_barostat(
    built: BuiltSystem, pressure: float, kelvin: float, every: int, seed: int
) -> openmm.System:
    if built.system.box is None:
        raise SpecError(
            f"pressure: {built.system.name} has no periodic box, so it has no volume. "
            "Leave out pressure, or use a periodic system."
        )
    system = copy.deepcopy(built.openmm_system)
    barostat = openmm.MonteCarloBarostat(pressure, kelvin, every)
    barostat.setRandomNumberSeed(seed)
    system.addForce(barostat)
    return system


def _new_context(
    built: BuiltSystem | GivenSystem,
    openmm_system: openmm.System,
    integrator: openmm.Integrator,
    platform: str,
) -> openmm.Context:
    name = choose_platform(platform, built)
    properties = {}
    if name == "CPU":
        properties = {"Threads": os.environ.get("OPENMM_CPU_THREADS", "1")}
    try:
        chosen = openmm.Platform.getPlatformByName(name)
        return openmm.Context(openmm_system, integrator, chosen, properties)
    except openmm.OpenMMException as error:
        names = ", ".join(platform_names())
        raise SpecError(f"platform '{name}' cannot be used: {error}. Available: {names}.") from None


def platform_names() -> list[str]:
    """OpenMM's platforms on this machine."""
    count = openmm.Platform.getNumPlatforms()
    return [openmm.Platform.getPlatform(i).getName() for i in range(count)]


def choose_platform(platform: str, built: BuiltSystem | GivenSystem, device: str = "auto") -> str:
    """An OpenMM platform by name.

    Args:
        platform: a name, or `auto`: a GPU for force fields where there is one,
            Reference for small systems, else CPU.
        built: the system.
        device: narrows `auto`: ``cpu`` never takes a GPU, ``gpu`` always does.

    Raises:
        SpecError: a GPU is asked for and OpenMM has none.
    """
    if platform != "auto":
        return platform
    names = platform_names()
    gpus = [name for name in GPU_PLATFORMS if name in names]
    is_large = built.system.n_atoms > REFERENCE_PLATFORM_LIMIT
    if device == "gpu" and not gpus:
        raise SpecError("--device gpu: OpenMM finds no GPU here. Use --device cpu.")
    if gpus and (device == "gpu" or (device == "auto" and built.python_force is None and is_large)):
        return gpus[0]
    return "CPU" if is_large and built.python_force is None else "Reference"
