"""From a lifted draw to a state of MD: guarded minimisation, velocities, short Langevin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import openmm
from jaxtyping import Float

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Refinement
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.core.thermal import maxwell_velocities
from egno_md.md.build import BuiltSystem
from egno_md.md.engine import OpenMMEngine
from egno_md.md.refine.minimise import minimise
from egno_md.md.refine.restraints import add_position_restraints, set_reference
from egno_md.spec.propagate import Refinement as RefinementSpec

FRICTION = 10.0
"""1/ps, of the short dynamics after minimisation."""

CONSTRAINT_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class LangevinDynamics:
    """Stretches of LangevinMiddle dynamics, each from a seed of its own.

    OpenMM's random streams depend on the past, and on Reference on every other
    context of the process. Here the context is made anew before every stretch, so
    that a stretch depends on its start and its seed alone and a rollout resumes
    exactly. OBABO would do without, but its bonds are too wide at 4 fs: velocity
    Verlet samples a C=O stretch with 1.7 times its variance, LangevinMiddle rightly.

    Attributes:
        engine: with the thermostat `langevin-middle`.
        kelvin: temperature.
    """

    engine: OpenMMEngine
    kelvin: float

    def run(
        self, frame: Frame, duration: float, friction: float, random: np.random.Generator
    ) -> Frame:
        """Move a frame; the velocities it ends with are drawn, on the step.

        Args:
            frame: where to start; its velocities are of LangevinMiddle, or drawn.
            duration: ps, at least one timestep.
            friction: 1/ps.
            random: draws the seed and the velocities.

        Raises:
            PotentialError: the dynamics failed.
        """
        frame = self.stretch(frame, duration, friction, random)
        return replace(frame, velocities=self.velocities(random))

    def stretch(
        self, frame: Frame, duration: float, friction: float, random: np.random.Generator
    ) -> Frame:
        """As `run`, but with LangevinMiddle's own velocities, half a step behind positions.

        One stretch after another is one run of LangevinMiddle. Velocities drawn anew in
        between would lack that half step, and heat stiff bonds at every seam.

        Args:
            frame: where to start.
            duration: ps, at least one timestep.
            friction: 1/ps.
            random: draws the seed.

        Raises:
            PotentialError: the dynamics failed.
        """
        engine = self.engine
        engine.reseed(int(random.integers(1, 2**31 - 1)), friction)
        engine.load(replace(frame, time=0.0))
        engine.skip(max(round(duration / engine.timestep), 1))
        frame = replace(engine.read(), time=frame.time)
        if not frame.is_finite:
            raise PotentialError(
                f"{engine.system.name}: positions became NaN after a draw. Use a shorter timestep "
                f"than {engine.timestep * 1e3:g} fs."
            )
        return frame

    def velocities(self, random: np.random.Generator) -> Float[np.ndarray, "atoms 3"]:
        """Maxwell velocities on the constraints at the engine's positions, nm/ps."""
        engine, context = self.engine, self.engine.context
        velocities = maxwell_velocities(engine.system.masses, self.kelvin, random)
        if not len(engine.system.constraints):
            return velocities
        context.setVelocities(velocities)
        context.applyVelocityConstraints(CONSTRAINT_TOLERANCE)
        return context.getState(velocities=True).getVelocities(asNumpy=True)._value

    def window(
        self,
        frame: Frame,
        elapsed: Sequence[float],
        friction: float,
        random: np.random.Generator,
    ) -> Trajectory:
        """MD in place of a draw, recorded after the times `elapsed`, ps.

        The velocities that it ends with are drawn, on the step. In between they are
        LangevinMiddle's own: drawn anew at every time point they would heat stiff bonds.
        """
        frames, before, start = [], 0.0, frame.time
        self.engine.load(frame)
        frame = replace(frame, velocities=self.velocities(random))
        for time in elapsed:
            frame = self.stretch(frame, time - before, friction, random)
            before = time
            frame = replace(frame, time=start + time)
            frames.append(frame)
        frames[-1] = replace(frame, velocities=self.velocities(random))
        return Trajectory.of(frames)


class SamplerRefiner:
    """Turns a lifted draw into a state of MD.

    Heavy atoms are held by springs while clashes and strained bonds relax on a copy
    of the system without constraints, in blocks until no force is above the bound.
    Then come Maxwell velocities and Langevin dynamics of the system itself, long
    enough for bonds and angles to be thermal again. Slow torsions stay
    as drawn.

    Args:
        built: the system.
        spec: blocks, bound, springs, length of the dynamics.
        dynamics: of the system itself, after minimisation.
        platform: OpenMM platform name or ``"auto"``.
    """

    def __init__(
        self, built: BuiltSystem, spec: RefinementSpec, dynamics: LangevinDynamics, platform: str
    ) -> None:
        self.spec, self.dynamics = spec, dynamics
        flexible = built.flexible()
        self._heavy = np.flatnonzero(built.system.atomic_numbers > 1)
        system = openmm.XmlSerializer.clone(flexible.openmm_system)
        self._springs = add_position_restraints(
            system, self._heavy, spec.restraint, is_periodic=False
        )
        self.engine = OpenMMEngine(
            replace(flexible, openmm_system=system),
            timestep=5e-4,
            kelvin=dynamics.kelvin,
            friction=1.0,
            seed=0,
            platform=platform,
        )

    @property
    def system(self) -> System:
        """The system of the frames."""
        return self.dynamics.engine.system

    def refine(self, end: Frame, start: Frame, random: np.random.Generator) -> Refinement:
        """A frame of MD near a lifted draw.

        Args:
            end: of the draw; its velocities do not matter.
            start: of its window; the judge compares the stereochemistry with it.
            random: of velocities and noise.

        Raises:
            PotentialError: forces stay above the bound, or the dynamics fails.
        """
        del start
        positions = end.positions
        engine, context = self.engine, self.engine.context
        set_reference(self._springs, context, positions[self._heavy])
        engine.load(Frame(positions, np.zeros_like(positions)))
        force, blocks = np.inf, 0
        while blocks < self.spec.max_blocks:
            blocks += 1
            minimise(context, self.spec.block_iterations, engine.system.name)
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
        frame = Frame(now.positions, np.zeros_like(now.positions))
        if len(self.dynamics.engine.system.constraints):
            projected = self.dynamics.engine.project(frame)
            if projected is None:
                raise PotentialError(
                    f"constraints of {engine.system.name} cannot be met after minimisation. "
                    "Draw again."
                )
            frame = projected
        self.dynamics.engine.load(frame)
        frame = replace(frame, velocities=self.dynamics.velocities(random))
        frame = self.dynamics.run(frame, self.spec.dynamics, FRICTION, random)
        moves = np.linalg.norm(frame.positions - positions, axis=1)
        displacement = float(np.sqrt(np.mean(moves[self._heavy] ** 2)))
        return Refinement(frame, blocks, displacement, force, moves)
