"""Repairing a frame: guarded minimisation, Maxwell velocities, short dynamics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import openmm

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Refinement
from egno_md.core.state import Frame
from egno_md.core.thermal import maxwell_velocities, ornstein_uhlenbeck
from egno_md.md.build import BuiltSystem
from egno_md.md.engine import NVE, OpenMMEngine
from egno_md.md.given import GivenSystem
from egno_md.spec.propagate import Refinement as RefinementSpec

SAFE_TIMESTEP = 5e-4
"""ps: the flexible system has unconstrained hydrogens."""

BLOCK = 2e-3
"""ps between thermostat kicks of the short dynamics."""

FRICTION = 10.0
"""1/ps, of the short dynamics."""


class OpenMMRefiner:
    """Refines frames on a flexible copy of a system.

    A fixed number of minimiser iterations can leave forces that explode; blocks
    are repeated until the largest force is below a bound, and only then is
    dynamics run.

    Args:
        built: the system.
        spec: blocks, bound, length of the dynamics.
        kelvin: temperature afterwards.
        platform: OpenMM platform name or ``"auto"``.
        seed: of the thermostat.
    """

    def __init__(
        self,
        built: BuiltSystem | GivenSystem,
        spec: RefinementSpec,
        kelvin: float,
        platform: str,
        seed: int,
    ) -> None:
        self.spec = spec
        self.engine = OpenMMEngine(
            built.flexible(),
            timestep=SAFE_TIMESTEP,
            kelvin=kelvin,
            friction=FRICTION,
            seed=seed,
            platform=platform,
        )

    def refine(self, frame: Frame, kelvin: float, seed: int) -> Refinement:
        """Minimise in blocks, draw velocities, run short dynamics.

        Raises:
            PotentialError: the forces stay above the bound.
        """
        context = self.engine._context
        self.engine.forget()
        at_rest = replace(frame, velocities=np.zeros_like(frame.velocities))
        self.engine.load(at_rest)
        blocks, force = 0, np.inf
        while blocks < self.spec.max_blocks:
            openmm.LocalEnergyMinimizer.minimize(context, 10.0, self.spec.block_iterations)
            self.engine.forgive()
            blocks += 1
            now = self.engine.read()
            assert now.forces is not None
            force = float(np.linalg.norm(now.forces, axis=1).max())
            if force < self.spec.max_force:
                break
        else:
            raise PotentialError(
                f"refinement of {self.engine.system.name} ended with a force of {force:.3g} "
                f"kJ/mol/nm after {blocks} blocks. Use policy fallback."
            )
        after = self._thermalise(self.engine.read(), kelvin, np.random.default_rng(seed))
        moved = float(np.sqrt(np.mean((after.positions - frame.positions) ** 2) * 3))
        return Refinement(replace(after, time=frame.time), blocks, moved, force)

    def _thermalise(self, frame: Frame, kelvin: float, random: np.random.Generator) -> Frame:
        """Maxwell velocities, then Langevin dynamics whose noise is ours, not the platform's."""
        masses = self.engine.system.masses
        frame = replace(frame, velocities=maxwell_velocities(masses, kelvin, random))
        for _ in range(max(round(self.spec.dynamics / BLOCK), 1)):
            velocities = ornstein_uhlenbeck(
                frame.velocities, masses, kelvin, FRICTION, BLOCK, random
            )
            self.engine.load(replace(frame, velocities=velocities))
            self.engine.skip(round(BLOCK / SAFE_TIMESTEP), ensemble=NVE)
            frame = self.engine.read()
        return frame
