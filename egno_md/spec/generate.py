"""What a `generate` protocol may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from egno_md.spec.base import (
    Duration,
    Positive,
    Pressure,
    Rate,
    Spec,
    Temperature,
    Time,
    check_whole,
)

PlatformName = Literal["auto", "Reference", "CPU", "CUDA", "OpenCL", "HIP"]


class NveSegments(Spec):
    """NVE velocity-Verlet segments branched off an NVT parent.

    A deterministic operator learns a deterministic map, so it trains on these.
    `timestep` is that of the segments; the parent's by default. The energy
    error of velocity Verlet grows as its square.

    Attributes:
        segments: how many branch off, per replica.
        segment_length: of each segment; windows never cross its end.
        decorrelation: of the parent between two branches; velocities forget in
            about 200 fs.
        frame_spacing: between stored frames, a whole number of timesteps.
        timestep: of the segments; the parent's by default.
        rotation: `keep` what the parent turns by, or `remove` it at the start of every segment,
            which then never turns as a whole. MD17's trajectories have no angular momentum,
            so that a molecule there is near where it was 1.5 ps before. Three of the 3N - 3
            degrees of freedom that temperatures count are then empty. Not in a periodic box.
    """

    kind: Literal["nve-segments"]
    segments: Positive
    segment_length: Time
    decorrelation: Time
    frame_spacing: Time
    timestep: Time | None = None
    rotation: Literal["keep", "remove"] = "keep"


class Nvt(Spec):
    """One continuous Langevin trajectory.

    `langevin` is OBABO: its velocities are on the step. `langevin-middle` is
    OpenMM's own and faster on large systems, but its velocities are half a
    step behind the positions and are therefore not stored.

    Attributes:
        length: of each replica.
        frame_spacing: between stored frames, a whole number of timesteps.
        integrator: `langevin` keeps velocities on the step, `langevin-middle` is faster.
    """

    kind: Literal["nvt"]
    length: Time
    frame_spacing: Time
    integrator: Literal["langevin", "langevin-middle"] = "langevin"


class GenerateProtocol(Spec):
    """Reference molecular dynamics: how long, how hot, what is kept.

    With a `pressure`, NVT parents and trajectories are NPT by OpenMM's Monte
    Carlo barostat, tried every `barostat_every` steps. OpenMM adapts the size of
    its trial moves and does not save it: an interrupted NPT run goes on in the
    same ensemble, but not to the same bits.

    Attributes:
        temperature: of the thermostat, and of the first velocities.
        timestep: of the integrator; 0.5 fs for flexible bonds to hydrogen.
        friction: of the Langevin thermostat.
        equilibration: NVT before anything is stored.
        sampling: what is stored.
        pressure: of the box; null for constant volume.
        barostat_every: steps between two trial moves of the volume.
        replicas: independent runs from the same structure, each with its own noise.
        platform: of OpenMM; `auto` takes what is fastest for the system's size here.
        store_forces: keep forces, which a force channel needs.
    """

    temperature: Temperature
    timestep: Time
    friction: Rate
    equilibration: Duration
    sampling: Annotated[NveSegments | Nvt, Field(discriminator="kind")]
    pressure: Pressure | None = None
    barostat_every: Positive = 25
    replicas: Positive = 1
    platform: PlatformName = "auto"
    store_forces: bool = True

    @property
    def sampling_timestep(self) -> float:
        """Timestep of what is stored, ps."""
        own = self.sampling.timestep if isinstance(self.sampling, NveSegments) else None
        return own or self.timestep

    @model_validator(mode="after")
    def _whole_steps(self) -> GenerateProtocol:
        sampling = self.sampling
        durations = {"sampling.frame_spacing": (sampling.frame_spacing, self.sampling_timestep)}
        if self.equilibration > 0:
            durations["equilibration"] = (self.equilibration, self.timestep)
        if isinstance(sampling, NveSegments):
            durations["sampling.segment_length"] = (sampling.segment_length, sampling.frame_spacing)
            durations["sampling.decorrelation"] = (sampling.decorrelation, self.timestep)
        else:
            durations["sampling.length"] = (sampling.length, sampling.frame_spacing)
        for name, (total, part) in durations.items():
            part_name = "frame spacings" if part == sampling.frame_spacing else "timesteps"
            check_whole(total, part, name, part_name)
        return self
