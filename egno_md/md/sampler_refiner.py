"""From a lifted draw to a state of MD: guarded minimisation, velocities, short Langevin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import openmm
from jaxtyping import Float

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Refinement
from egno_md.core.state import Frame, Trajectory, join
from egno_md.core.thermal import maxwell_velocities, ornstein_uhlenbeck
from egno_md.md.build import BuiltSystem
from egno_md.md.engine import NVE, OpenMMEngine
from egno_md.spec.propagate import Refinement as RefinementSpec

KICK = 0.02
"""ps between thermostat kicks: each is exact, so that how often they come is free."""

FRICTION = 10.0
"""1/ps, of the short dynamics after minimisation."""

CONSTRAINT_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class LangevinWindows:
    """Langevin dynamics whose noise is ours: exact kicks between stretches of Verlet.

    OpenMM's own random streams depend on every other context of the process; these
    do not, so that a rollout is reproducible and resumes exactly.

    Attributes:
        engine: that moves.
        kelvin: temperature.
    """

    engine: OpenMMEngine
    kelvin: float

    def run(
        self, frame: Frame, duration: float, friction: float, random: np.random.Generator
    ) -> Frame:
        """Move a frame.

        Args:
            frame: with velocities.
            duration: ps, at least one timestep.
            friction: 1/ps.
            random: draws the noise.

        Raises:
            PotentialError: the dynamics failed.
        """
        engine, masses = self.engine, self.engine.system.masses
        steps = max(round(duration / engine.timestep), 1)
        block = max(round(KICK / engine.timestep), 1)
        context = engine._context
        while steps > 0:
            count = min(block, steps)
            velocities = ornstein_uhlenbeck(
                frame.velocities, masses, self.kelvin, friction, count * engine.timestep, random
            )
            engine.load(replace(frame, velocities=velocities, time=0.0))
            if len(engine.system.constraints):
                context.applyVelocityConstraints(CONSTRAINT_TOLERANCE)
            engine.skip(count, ensemble=NVE)
            frame = replace(engine.read(), time=frame.time)
            steps -= count
        if not frame.is_finite:
            raise PotentialError(
                f"{engine.system.name}: positions became NaN after a draw. Use a shorter timestep "
                f"than {engine.timestep * 1e3:g} fs."
            )
        return frame

    def window(
        self,
        frame: Frame,
        elapsed: tuple[float, ...],
        friction: float,
        random: np.random.Generator,
    ) -> Trajectory:
        """MD in place of a draw, recorded after the times `elapsed`, ps."""
        parts, before, begun = [], 0.0, frame.time
        velocities = maxwell_velocities(self.engine.system.masses, self.kelvin, random)
        frame = replace(frame, velocities=velocities)
        for time in elapsed:
            frame = self.run(frame, time - before, friction, random)
            before = time
            frame = replace(frame, time=begun + time)
            parts.append(
                Trajectory(
                    frame.positions[None],
                    np.array([frame.time]),
                    velocities=frame.velocities[None],
                    forces=None if frame.forces is None else frame.forces[None],
                    potential_energy=np.array([frame.potential_energy]),
                )
            )
        return join(parts)


class SamplerRefiner:
    """Makes a state of MD out of a lifted draw.

    Heavy atoms are held by springs while clashes and strained bonds relax on a copy
    of the system without constraints, in blocks until no force is above the bound.
    Then come Maxwell velocities and Langevin dynamics of the system itself, long
    enough for bonds and angles to be thermal again. What the draw decided about
    slow torsions stays as it is.

    Args:
        built: the system.
        spec: blocks, bound, springs, length of the dynamics.
        dynamics: of the system itself, after minimisation.
        platform: OpenMM platform name or ``"auto"``.
    """

    def __init__(
        self, built: BuiltSystem, spec: RefinementSpec, dynamics: LangevinWindows, platform: str
    ) -> None:
        self.spec, self.dynamics = spec, dynamics
        flexible = built.flexible()
        self._springs, held = _with_springs(flexible, spec.restraint)
        self._heavy = np.flatnonzero(built.system.atomic_numbers > 1)
        self.engine = OpenMMEngine(
            held, timestep=5e-4, kelvin=dynamics.kelvin, friction=1.0, seed=0, platform=platform
        )

    def refine(
        self, positions: Float[np.ndarray, "atoms 3"], random: np.random.Generator
    ) -> Refinement:
        """A frame of MD near lifted positions, nm.

        Raises:
            PotentialError: forces stay above the bound, or the dynamics fails.
        """
        engine, context = self.engine, self.engine._context
        for place, atom in enumerate(self._heavy.tolist()):
            self._springs.setParticleParameters(place, atom, positions[atom].tolist())
        self._springs.updateParametersInContext(context)
        engine.load(Frame(positions, np.zeros_like(positions)))
        force, blocks = np.inf, 0
        while blocks < self.spec.max_blocks:
            blocks += 1
            openmm.LocalEnergyMinimizer.minimize(context, 10.0, self.spec.block_iterations)
            now = engine.read()
            assert now.forces is not None
            force = float(np.linalg.norm(now.forces, axis=1).max())
            if force < self.spec.max_force:
                break
        else:
            raise PotentialError(
                f"refinement of {engine.system.name} ended with a force of {force:.3g} "
                f"kJ/mol/nm after {self.spec.max_blocks} blocks. Draw again."
            )
        masses = self.dynamics.engine.system.masses
        velocities = maxwell_velocities(masses, self.dynamics.kelvin, random)
        frame = Frame(now.positions, velocities)
        if len(self.dynamics.engine.system.constraints):
            projected = self.dynamics.engine.project(frame)
            if projected is None:
                raise PotentialError(
                    f"constraints of {engine.system.name} cannot be met after minimisation. "
                    "Draw again."
                )
            frame = projected
        frame = self.dynamics.run(frame, self.spec.dynamics, FRICTION, random)
        moved = float(np.sqrt(((frame.positions - positions)[self._heavy] ** 2).sum(-1).mean()))
        return Refinement(frame, blocks, moved, force)


def _with_springs(
    built: BuiltSystem, constant: float
) -> tuple[openmm.CustomExternalForce, BuiltSystem]:
    """The system with a spring on every heavy atom."""
    springs = openmm.CustomExternalForce("0.5*k*((x-x0)^2+(y-y0)^2+(z-z0)^2)")
    springs.addGlobalParameter("k", constant)
    for name in ("x0", "y0", "z0"):
        springs.addPerParticleParameter(name)
    for atom in np.flatnonzero(built.system.atomic_numbers > 1).tolist():
        springs.addParticle(atom, built.system.positions[atom].tolist())
    system = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(built.openmm_system))
    system.addForce(springs)
    return springs, replace(built, openmm_system=system)
