"""What a `generate` protocol may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from egno_md.core.errors import WindowMismatch
from egno_md.core.units import whole_multiple
from egno_md.spec.base import Duration, Rate, Spec, Temperature, Time

PlatformName = Literal["auto", "Reference", "CPU", "CUDA", "OpenCL", "HIP"]


class NveSegments(Spec):
    """NVE velocity-Verlet segments branched off an NVT parent.

    A deterministic operator learns a deterministic map, so it trains on these.
    """

    kind: Literal["nve-segments"]
    segments: Annotated[int, Field(ge=1)]
    segment_length: Time
    decorrelation: Time
    frame_spacing: Time


class Nvt(Spec):
    """One continuous Langevin trajectory.

    `langevin` is OBABO: its velocities are on the step. `langevin-middle` is
    OpenMM's own and faster on large systems, but its velocities are half a
    step behind the positions and are therefore not stored.
    """

    kind: Literal["nvt"]
    length: Time
    frame_spacing: Time
    integrator: Literal["langevin", "langevin-middle"] = "langevin"


class GenerateProtocol(Spec):
    """Reference molecular dynamics: how long, how hot, what is kept."""

    temperature: Temperature
    timestep: Time
    friction: Rate
    equilibration: Duration
    sampling: Annotated[NveSegments | Nvt, Field(discriminator="kind")]
    replicas: Annotated[int, Field(ge=1)] = 1
    platform: PlatformName = "auto"
    store_forces: bool = True

    @model_validator(mode="after")
    def _whole_steps(self) -> GenerateProtocol:
        sampling = self.sampling
        durations = {"sampling.frame_spacing": (sampling.frame_spacing, self.timestep)}
        if self.equilibration > 0:
            durations["equilibration"] = (self.equilibration, self.timestep)
        if isinstance(sampling, NveSegments):
            durations["sampling.segment_length"] = (sampling.segment_length, sampling.frame_spacing)
            durations["sampling.decorrelation"] = (sampling.decorrelation, self.timestep)
        else:
            durations["sampling.length"] = (sampling.length, sampling.frame_spacing)
        for name, (total, part) in durations.items():
            try:
                whole_multiple(
                    total,
                    part,
                    name,
                    "timesteps" if part == self.timestep else "frame spacings",
                )
            except WindowMismatch as error:
                raise ValueError(error.args[0]) from None
        return self
