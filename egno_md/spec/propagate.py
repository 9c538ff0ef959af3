"""What a `propagate` protocol may say: how far, how judged, how repaired."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from egno_md.spec.base import (
    Duration,
    Force,
    Length,
    Pressure,
    Rate,
    Spec,
    Stiffness,
    Temperature,
    Time,
)
from egno_md.spec.generate import PlatformName

Policy = Literal["off", "monitor", "refine", "fallback", "strict"]
"""off: no checks; monitor: check and stop when broken; refine: repair the end
of a bad window; fallback: replace a bad window by OpenMM; strict: fallback at
half the tolerances, but for contacts."""


Solver = Literal["euler", "heun"]
"""How a sampler's flow is followed: one network call a step, or two."""


class NoThermostat(Spec):
    """NVE between windows.

    With `keep_energy`, checked windows get their energy back by a guarded
    scaling of the internal velocities, which leaves both momenta alone.

    Attributes:
        keep_energy: whether they do.
    """

    kind: Literal["none"]
    keep_energy: bool = True


class Langevin(Spec):
    """Exact Ornstein-Uhlenbeck half-kicks at both ends of every window (OBABO).

    Attributes:
        friction: of the half-kicks.
    """

    kind: Literal["langevin"]
    friction: Rate


class AdaptiveLangevin(Spec):
    """Langevin plus an excess friction per element that takes out the windows' heat.

    Jones & Leimkuhler 2011. A long `relaxation` disturbs the dynamics less.

    Attributes:
        friction: of the half-kicks.
        relaxation: how fast the excess friction answers.
    """

    kind: Literal["adaptive-langevin"]
    friction: Rate
    relaxation: Time = 0.3


class VelocityRescaling(Spec):
    """Stochastic velocity rescaling (Bussi, Donadio & Parrinello 2007).

    Attributes:
        relaxation: time in which the kinetic energy is drawn anew.
    """

    kind: Literal["velocity-rescaling"]
    relaxation: Time = 0.1


Thermostat = Annotated[
    NoThermostat | Langevin | AdaptiveLangevin | VelocityRescaling, Field(discriminator="kind")
]


class Tolerances(Spec):
    """When a window counts as bad. Generous for thermal motion, tight for damage.

    Attributes:
        energy: largest |ΔE| over a window, in k_B T per degree of freedom.
        temperature: largest |T/T₀ - 1| of the running mean, overall and per
            element; never below the mean's own statistical noise.
        force: largest force on any atom.
        bond: largest departure of a bond from its reference length.
        contact: smallest distance of atoms more than three bonds apart.
        atom: largest kinetic energy of one atom, in k_B T; thermal motion
            exceeds 30 once in 10¹² frames.
    """

    energy: Annotated[float, Field(gt=0)] = 0.2
    temperature: Annotated[float, Field(gt=0)] = 0.2
    force: Force = 2.0e4
    bond: Length = 0.05
    contact: Length = 0.1
    atom: Annotated[float, Field(gt=0)] = 30.0


class Refinement(Spec):
    """Guarded minimisation blocks until forces are bounded, then short dynamics.

    Attributes:
        block_iterations: of the minimiser before forces are looked at again.
        max_blocks: after which the refinement has failed.
        max_force: below which dynamics may begin.
        dynamics: NVT after the minimisation, with Maxwell velocities.
        timestep: of that dynamics, which has no constraints; heavy hydrogens allow 2 fs.
        restraint: of the springs that hold what the operator predicted: its atoms, or
            of all atoms the backbone; 0 for none. In `policy: refine` of small
            molecules nothing is held.
    """

    block_iterations: Annotated[int, Field(ge=1)] = 10
    max_blocks: Annotated[int, Field(ge=1)] = 20
    max_force: Force = 2.0e4
    dynamics: Time = 0.05
    timestep: Time = 5e-4
    restraint: Stiffness = 1000.0


class Draws(Spec):
    """How a sampler's windows are drawn; windows of dynamics do not ask.

    Attributes:
        steps: of the flow from noise to a window; more of them keep bonds as wide as
            they should be.
        solver: `euler` calls the network once a step, `heun` twice.
        redraws: of a window that does not hold, before MD takes its place.
    """

    steps: Annotated[int, Field(ge=1)] = 10
    solver: Solver = "euler"
    redraws: Annotated[int, Field(ge=0)] = 4


class Metropolis(Spec):
    """A sampler's draws as proposals alone: what is visited is the force field's distribution.

    Every window is one Metropolis move of torsions, proposed and weighed by draws from both
    ends of it, and then MD. Its time is MD's alone, and not kinetics.

    Attributes:
        draws: windows that are drawn from either end of a move; all time points count.
        concentration: κ of the von Mises kernels about drawn torsions, about 1/σ² in radians.
        uniform: share of proposals that are uniform, 0 to 1; at 1 nothing is drawn.
        torsions: changed at a time, next to each other along the molecule; null for all.
        dynamics: MD after every move.
    """

    kind: Literal["metropolis"]
    draws: Annotated[int, Field(ge=1)] = 4
    concentration: Annotated[float, Field(gt=0)] = 15.0
    uniform: Annotated[float, Field(ge=0, le=1)] = 0.3
    torsions: Annotated[int, Field(ge=1)] | None = None
    dynamics: Time = 1.0


class PropagateProtocol(Spec):
    """How a surrogate rollout is run and watched.

    With a `pressure`, a Monte Carlo move of the box volume is tried after every
    `barostat_every` windows.

    Attributes:
        length: of every replica, a whole number of windows.
        temperature: of the thermostat, and the scale of the energy tolerance.
        timestep: of MD, where a window falls back to it.
        thermostat: what acts between windows.
        pressure: of the box; null for constant volume.
        barostat_every: windows between two trial moves of the volume.
        policy: what happens to a bad window; off, monitor, refine, fallback or strict.
        check_every: windows between two checks.
        tolerances: when a window counts as bad.
        refinement: how a bad end is repaired.
        replicas: copies that are propagated together, in one batch.
        batch: replicas in a batch, where there are more of them than fit: every batch is a
            run of its own with its own seed, on a worker of its own; null for one batch.
        equilibration: MD before the rollout, where no store to start from is given.
        save: the end of every window, or all of its time points.
        reference_steps: MD steps that are timed to say how fast MD is here.
        platform: of OpenMM; `auto` takes what is fastest for the system's size here.
        workers: processes that energies and forces of replicas are spread over.
        refine_every: windows after which the end is refined whatever its checks say, as
            `--refine every=1`; null for bad windows alone, and of a sampler for none.
            Operators that predict some atoms only need it.
        retry_prefix: when only a prefix of a window holds, let the operator try
            the rest again from there before MD does it.
        draws: what a sampler's windows need besides.
        correction: of a sampler's distribution to the force field's; null for none, so that
            the distribution is the model's. With one, `length` is that of the MD between
            moves, and nothing is checked or refined.
    """

    length: Time
    temperature: Temperature
    timestep: Time
    thermostat: Thermostat
    pressure: Pressure | None = None
    barostat_every: Annotated[int, Field(ge=1)] = 10
    policy: Policy = "fallback"
    check_every: Annotated[int, Field(ge=1)] = 1
    tolerances: Tolerances = Tolerances()
    refinement: Refinement = Refinement()
    replicas: Annotated[int, Field(ge=1)] = 1
    batch: Annotated[int, Field(ge=1)] | None = None
    equilibration: Duration = 1.0
    save: Literal["windows", "points"] = "windows"
    reference_steps: Annotated[int, Field(ge=10)] = 400
    platform: PlatformName = "auto"
    workers: Annotated[int, Field(ge=1)] = 1
    refine_every: Annotated[int, Field(ge=1)] | None = None
    retry_prefix: bool = False
    draws: Draws = Draws()
    correction: Metropolis | None = None

    @model_validator(mode="after")
    def _pressure_has_a_thermostat(self) -> PropagateProtocol:
        if self.pressure is not None and isinstance(self.thermostat, NoThermostat):
            raise ValueError("pressure needs a thermostat. Set thermostat.kind: langevin.")
        return self
