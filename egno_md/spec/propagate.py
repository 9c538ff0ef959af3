"""What a `propagate` protocol may say: who proposes windows, who judges them, what is mended."""

from __future__ import annotations

from typing import Annotated, Any, Literal

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
from egno_md.spec.propagate_former import RENAMED, modern_form

Solver = Literal["euler", "heun"]
"""How a sampler's flow is followed: one network call a step, or two."""


class OperatorSource(Spec):
    """Windows of dynamics decoded by an operator, one network call each."""

    kind: Literal["operator"]


class SamplerSource(Spec):
    """Windows drawn by a sampler. Its time is not kinetics.

    Attributes:
        steps: of the flow from noise to a window; more of them keep bonds as wide as
            they should be.
        solver: `euler` calls the network once a step, `heun` twice.
    """

    kind: Literal["sampler"]
    steps: Annotated[int, Field(ge=1)] = 10
    solver: Solver = "euler"


class MetropolisSource(Spec):
    """A sampler's draws as proposals alone: what is visited is the force field's distribution.

    Every window is one Metropolis move of torsions, proposed and weighed by draws from both
    ends of it, and then MD. Its time is MD's alone, and not kinetics.

    Attributes:
        draws: windows that are drawn from either end of a move; all time points count.
        concentration: κ of the von Mises kernels about drawn torsions, about 1/σ² in radians.
        uniform: share of proposals that are uniform, 0 to 1; at 1 nothing is drawn.
        torsions: changed at a time, next to each other along the molecule; null for all.
        dynamics: MD after every move; the time that a window counts for.
        steps: of the flow from noise to a window.
        solver: `euler` calls the network once a step, `heun` twice.
    """

    kind: Literal["metropolis"]
    draws: Annotated[int, Field(ge=1)] = 4
    concentration: Annotated[float, Field(gt=0)] = 15.0
    uniform: Annotated[float, Field(ge=0, le=1)] = 0.3
    torsions: Annotated[int, Field(ge=1)] | None = None
    dynamics: Time = 1.0
    steps: Annotated[int, Field(ge=1)] = 10
    solver: Solver = "euler"


class ExactSource(Spec):
    """Windows of MD itself: velocity Verlet between the boundary's kicks. Needs no operator.

    Attributes:
        window: length of a window, a whole number of timesteps.
        points: time points in a window, evenly spaced.
    """

    kind: Literal["exact"]
    window: Time
    points: Annotated[int, Field(ge=1)] = 1


Source = Annotated[
    OperatorSource | SamplerSource | MetropolisSource | ExactSource, Field(discriminator="kind")
]


class ShapeTolerances(Spec):
    """When the shape of a molecule counts as broken.

    Attributes:
        force: largest force on any atom, where forces are known.
        bond: largest departure of a bond from its reference length.
        contact: smallest distance of atoms more than three bonds apart.
        atom: largest kinetic energy of one atom, in k_B T; thermal motion
            exceeds 30 once in 10¹² frames.
    """

    force: Force = 2.0e4
    bond: Length = 0.05
    contact: Length = 0.1
    atom: Annotated[float, Field(gt=0)] = 30.0


class Tolerances(ShapeTolerances):
    """When a window counts as bad. Generous for thermal motion, tight for damage.

    Attributes:
        energy: largest |ΔE| over a window, in k_B T per degree of freedom.
        temperature: largest |T/T₀ - 1| of the running mean, overall and per
            element; never below the mean's own statistical noise.
    """

    energy: Annotated[float, Field(gt=0)] = 0.2
    temperature: Annotated[float, Field(gt=0)] = 0.2


class NoJudge(Spec):
    """Every window is believed, whatever it looks like; only NaN ends the rollout."""

    kind: Literal["none"]


class EnergyJudge(Spec):
    """The window's end is evaluated by the reference: energy, forces, temperatures, shape.

    Attributes:
        every: windows between two judged ones.
        strict: half of every tolerance but that of contacts.
        tolerances: when a window counts as bad.
    """

    kind: Literal["energy"]
    every: Annotated[int, Field(ge=1)] = 1
    strict: bool = False
    tolerances: Tolerances = Tolerances()


class ShapeJudge(Spec):
    """Every time point of a window must have the shape of the molecule; no energies are asked for.

    Forces and kinetic energies count for refined ends alone. The judge of samplers.

    Attributes:
        strict: half of every tolerance but that of contacts.
        tolerances: when a window counts as bad.
    """

    kind: Literal["shape"]
    strict: bool = False
    tolerances: ShapeTolerances = ShapeTolerances()


Judge = Annotated[NoJudge | EnergyJudge | ShapeJudge, Field(discriminator="kind")]


class Monitor(Spec):
    """A bad window is kept, and a broken one ends the rollout."""

    kind: Literal["monitor"]


class Repair(Spec):
    """The end of a bad window is refined by OpenMM; see `refine`."""

    kind: Literal["refine"]


class Fallback(Spec):
    """The part of a bad window that holds is kept, and MD does the rest.

    Attributes:
        retry_prefix: let the operator try the rest from there before MD does it.
    """

    kind: Literal["fallback"]
    retry_prefix: bool = False


class Redraw(Spec):
    """A bad window is drawn again, and then MD takes its place. For samplers.

    Attributes:
        redraws: of a window, before MD takes its place.
    """

    kind: Literal["redraw"]
    redraws: Annotated[int, Field(ge=0)] = 4


Correct = Annotated[Monitor | Repair | Fallback | Redraw, Field(discriminator="kind")]


class Refinement(Spec):
    """Guarded minimisation blocks until forces are bounded, then short dynamics.

    Attributes:
        every: windows between two refined ends, whatever their checks say, as
            `--refine every=1`; null to refine bad windows alone. Operators that predict
            some atoms only need it.
        block_iterations: of the minimiser before forces are looked at again.
        max_blocks: after which the refinement has failed.
        max_force: below which dynamics may begin.
        dynamics: NVT after the minimisation, with Maxwell velocities.
        timestep: of that dynamics, which has no constraints; heavy hydrogens allow 2 fs.
        restraint: of the springs that hold what was predicted: its atoms, or of all atoms
            the backbone; 0 for none. Nothing is held where bad windows alone are refined.
    """

    every: Annotated[int, Field(ge=1)] | None = None
    block_iterations: Annotated[int, Field(ge=1)] = 10
    max_blocks: Annotated[int, Field(ge=1)] = 20
    max_force: Force = 2.0e4
    dynamics: Time = 0.05
    timestep: Time = 5e-4
    restraint: Stiffness = 1000.0


class Barostat(Spec):
    """Monte Carlo moves of the box volume.

    Attributes:
        pressure: of the box.
        every: windows between two trial moves.
    """

    pressure: Pressure
    every: Annotated[int, Field(ge=1)] = 10


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

    With a sampler, the friction of the MD that refines, moves and takes over.

    Attributes:
        friction: of the half-kicks.
        barostat: of the box; null for constant volume.
    """

    kind: Literal["langevin"]
    friction: Rate
    barostat: Barostat | None = None


class AdaptiveLangevin(Spec):
    """Langevin plus an excess friction per element that takes out the windows' heat.

    Jones & Leimkuhler 2011. A long `relaxation` disturbs the dynamics less.

    Attributes:
        friction: of the half-kicks.
        relaxation: how fast the excess friction answers.
        barostat: of the box; null for constant volume.
    """

    kind: Literal["adaptive-langevin"]
    friction: Rate
    relaxation: Time = 0.3
    barostat: Barostat | None = None


class VelocityRescaling(Spec):
    """Stochastic velocity rescaling (Bussi, Donadio & Parrinello 2007).

    Attributes:
        relaxation: time in which the kinetic energy is drawn anew.
        barostat: of the box; null for constant volume.
    """

    kind: Literal["velocity-rescaling"]
    relaxation: Time = 0.1
    barostat: Barostat | None = None


Boundary = Annotated[
    NoThermostat | Langevin | AdaptiveLangevin | VelocityRescaling, Field(discriminator="kind")
]


class Record(Spec):
    """What is written, and what it is timed against.

    Attributes:
        save: the end of every window, or all of its time points.
        reference_steps: MD steps that are timed to say how fast MD is here.
    """

    save: Literal["windows", "points"] = "windows"
    reference_steps: Annotated[int, Field(ge=10)] = 400


class PropagateProtocol(Spec):
    """How a rollout is run: windows are proposed, judged, corrected, and kept in an ensemble.

    Attributes:
        length: of every replica, a whole number of windows.
        temperature: of the thermostat, and the scale of the energy tolerance.
        timestep: of MD, where a window falls back to it.
        source: who proposes windows.
        judge: when a window counts as bad.
        correct: what a bad window gets; null for what suits the source: `fallback` for windows of
            an operator, `redraw` for a sampler's, `monitor` for MD's. Nothing is bad without a judge.
        refine: refinement of windows' ends; null for none, but where `correct` is `refine`.
        boundary: what acts between windows.
        record: what is written.
        replicas: copies that are propagated together, in one batch.
        batch: replicas in a batch, where there are more of them than fit: every batch is a
            run of its own with its own seed, on a worker of its own; null for one batch.
        equilibration: MD before the rollout, where no store to start from is given.
        platform: of OpenMM; `auto` takes what is fastest for the system's size here.
        workers: processes that energies and forces of replicas are spread over.
    """

    length: Time
    temperature: Temperature
    timestep: Time
    source: Source = OperatorSource(kind="operator")
    judge: Judge = EnergyJudge(kind="energy")
    correct: Correct | None = None
    refine: Refinement | None = None
    boundary: Boundary
    record: Record = Record()
    replicas: Annotated[int, Field(ge=1)] = 1
    batch: Annotated[int, Field(ge=1)] | None = None
    equilibration: Duration = 1.0
    platform: PlatformName = "auto"
    workers: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="before")
    @classmethod
    def _former_key(cls, content: object) -> object:
        """Say where a key of egno-md 0.1 has gone that stands beside today's."""
        if isinstance(content, dict) and (key := next((k for k in content if k in RENAMED), None)):
            raise ValueError(f"{key}: a key of an earlier egno-md. Today it is {RENAMED[key]}.")
        return content

    @classmethod
    def former(cls, content: dict[str, Any]) -> dict[str, Any] | None:
        """What a protocol of egno-md 0.1 says in today's form; None of today's own."""
        return modern_form(content)
