"""What a `parareal` protocol may say: how far, in which slabs, how exactly."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from egno_md.spec.base import Duration, Length, Spec, Temperature, Time, check_whole
from egno_md.spec.generate import PlatformName


class PararealProtocol(Spec):
    """Serial NVE dynamics (velocity Verlet), many slabs at once.

    Attributes:
        length: how far.
        slab: what one call of each propagator covers; whole windows of the operator.
        temperature: of the starting velocities, where no start is given.
        timestep: of the exact propagator.
        tolerance: largest deviation of an atom from the serial answer.
        frame_spacing: between stored frames.
        width: slabs in flight; as many as there are workers, but at least two,
            where it is left out.
        equilibration: of the start, where none is given.
        when_it_does_not_pay: `serial` runs the rest serially once the modelled
            speed-up on these workers is not above one; `continue` never gives up.
        platform: of OpenMM.
    """

    length: Time
    slab: Time
    temperature: Temperature
    timestep: Time
    tolerance: Length
    frame_spacing: Time
    width: Annotated[int, Field(ge=2)] | None = None
    equilibration: Duration = 1.0
    when_it_does_not_pay: Literal["serial", "continue"] = "serial"
    platform: PlatformName = "auto"

    @model_validator(mode="after")
    def _whole(self) -> PararealProtocol:
        for name, total, part, part_name in (
            ("length", self.length, self.slab, "slabs"),
            ("slab", self.slab, self.frame_spacing, "frame spacings"),
            ("frame_spacing", self.frame_spacing, self.timestep, "timesteps"),
        ):
            check_whole(total, part, name, part_name)
        return self
