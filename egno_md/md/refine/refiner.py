"""Repairing a frame: guarded minimisation, Maxwell velocities, short dynamics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import openmm
from jaxtyping import Float, Int

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Refinement
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.core.thermal import maxwell_velocities, ornstein_uhlenbeck
from egno_md.geometry.stereocentres import Stereochemistry
from egno_md.md.build import BuiltSystem
from egno_md.md.engine import OpenMMEngine
from egno_md.md.given import GivenSystem
from egno_md.md.integrators import kicked_verlet
from egno_md.md.refine.minimise import minimise
from egno_md.md.refine.restraints import Guards, add_position_restraints, set_reference
from egno_md.spec.propagate import Refinement as RefinementSpec

BLOCK = 2e-3
"""ps between thermostat kicks of the short dynamics."""

FRICTION = 100.0
"""1/ps, of the short dynamics: minimised bonds and angles are to be thermal within it.

At 10/ps 40 fs leave adenylate kinase 2,600 kJ/mol below its MD, at 100/ps 50.
"""


@dataclass(frozen=True, eq=False)
class Restraints:
    """What a refinement must preserve.

    Attributes:
        atoms: on springs to their positions.
        stereo: stereocentres and peptide bonds.
    """

    atoms: Int[np.ndarray, " atoms"]
    stereo: Stereochemistry


class OpenMMRefiner:
    """Refines frames on a flexible copy of a system.

    A fixed number of minimiser iterations can leave forces that explode; blocks
    are repeated until the largest force is below a bound, and only then is
    dynamics run. Velocities are drawn anew at the end, so that the temperature
    is right although minimisation has cooled the positions.

    Args:
        built: the system.
        spec: blocks, bound, length of the dynamics.
        kelvin: temperature afterwards.
        platform: OpenMM platform name or ``"auto"``.
        seed: of the thermostat.
        restraints: atoms on springs, stereocentres and peptide bonds behind walls.
    """

    def __init__(
        self,
        built: BuiltSystem | GivenSystem,
        spec: RefinementSpec,
        kelvin: float,
        platform: str,
        seed: int,
        restraints: Restraints | None = None,
    ) -> None:
        self.spec, self.restraints = spec, restraints
        flexible = built.flexible()
        self._restraint, self._guards = None, None
        if restraints is not None:
            system = openmm.XmlSerializer.clone(flexible.openmm_system)
            is_periodic = flexible.system.box is not None
            self._restraint = add_position_restraints(
                system, restraints.atoms, spec.restraint, is_periodic
            )
            self._guards = Guards.add(system, restraints.stereo)
            flexible = replace(flexible, openmm_system=system)
        steps = max(round(BLOCK / spec.timestep), 1)
        self._block = steps * spec.timestep
        self._kicked = kicked_verlet(spec.timestep, steps, FRICTION)
        self.engine = OpenMMEngine(
            flexible,
            timestep=spec.timestep,
            kelvin=kelvin,
            friction=FRICTION,
            seed=seed,
            platform=platform,
            nvt=self._kicked,
        )

    @property
    def system(self) -> System:
        """The system of the frames."""
        return self.engine.system

    def refine(self, end: Frame, start: Frame, random: np.random.Generator) -> Refinement:
        """Minimise in blocks, draw velocities, run short dynamics.

        Args:
            end: to refine.
            start: has the stereochemistry to keep.
            random: draws the seed of the velocities and of the dynamics' noise.

        Raises:
            PotentialError: the forces stay above the bound.
        """
        context, reference = self.engine.context, start.positions
        random = np.random.default_rng(int(random.integers(2**31 - 2)))
        self.engine.forget()
        if not np.isfinite(end.positions).all():
            raise PotentialError(
                f"refinement of {self.engine.system.name}: the predicted positions are not finite. "
                "Use policy fallback, or an operator that is trained further."
            )
        if self._restraint is not None and self._guards is not None and self.restraints is not None:
            set_reference(self._restraint, context, end.positions[self.restraints.atoms])
            self._guards.keep(context, reference)
        self.engine.load(replace(end, velocities=np.zeros_like(end.positions)))
        blocks, force = self._minimise(context, reference)
        after = self._thermalise(random)
        if changes := self._count_changes(reference, after.positions):
            self._refuse(changes, "the dynamics after minimisation")
        moves = np.linalg.norm(after.positions - end.positions, axis=1)
        velocities = maxwell_velocities(self.engine.system.masses, self.engine.kelvin, random)
        after = replace(after, time=end.time, velocities=velocities)
        return Refinement(after, blocks, float(np.sqrt(np.mean(moves**2))), force, moves)

    def _minimise(
        self, context: openmm.Context, reference: Float[np.ndarray, "atoms 3"]
    ) -> tuple[int, float]:
        """Blocks used, and the largest force left."""
        blocks = 0
        while True:
            blocks += 1
            minimise(context, self.spec.block_iterations, self.engine.system.name)
            self.engine.forgive()
            now = self.engine.read()
            assert now.forces is not None
            force = float(np.linalg.norm(now.forces, axis=1).max())
            changes = self._count_changes(reference, now.positions)
            if force < self.spec.max_force and not changes:
                return blocks, force
            if blocks >= self.spec.max_blocks:
                self._give_up(now.forces, changes)

    def _give_up(self, forces: Float[np.ndarray, "atoms 3"], changes: int) -> NoReturn:
        if changes:
            self._refuse(changes, f"{self.spec.max_blocks} blocks")
        force, worst = np.linalg.norm(forces, axis=1).max(), self._worst_residue(forces)
        raise PotentialError(
            f"refinement of {self.engine.system.name} ended with a force of {force:.3g} kJ/mol/nm "
            f"at {worst} after {self.spec.max_blocks} blocks. Use policy fallback."
        )

    def _count_changes(
        self, reference: Float[np.ndarray, "atoms 3"], positions: Float[np.ndarray, "atoms 3"]
    ) -> int:
        """How many of the guarded centres and peptide bonds differ from `reference`."""
        if self.restraints is None:
            return 0
        return int(self.restraints.stereo.changed(reference, positions).sum())

    def _refuse(self, changes: int, after: str) -> NoReturn:
        raise PotentialError(
            f"refinement of {self.engine.system.name} left {changes} stereocentres or peptide "
            f"bonds turned around after {after}: what was predicted is too far from any "
            "structure. Use policy fallback."
        )

    def _worst_residue(self, forces: Float[np.ndarray, "atoms 3"] | None) -> str:
        assert forces is not None
        index = int(np.nan_to_num(np.linalg.norm(forces, axis=1), nan=np.inf).argmax())
        return str(self.engine.system.topology.atom(index))

    def _thermalise(self, random: np.random.Generator) -> Frame:
        """Maxwell velocities, then Langevin dynamics with noise of `random`, not of the platform."""
        masses, kelvin = self.engine.system.masses, self.engine.kelvin
        velocities = maxwell_velocities(masses, kelvin, random)
        still = np.zeros_like(velocities)
        self.engine.context.setVelocities(velocities)
        for _ in range(max(round(self.spec.dynamics / self._block), 1)):
            kick = ornstein_uhlenbeck(still, masses, kelvin, FRICTION, self._block, random)
            self._kicked.setPerDofVariableByName("kick", kick)
            self.engine.skip(1)
        # with springs, energy and forces would not be the system's own
        return self.engine.read(is_evaluated=self.restraints is None)
