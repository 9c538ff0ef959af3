"""A sampler's card: everything about it except its weights."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from egno_md.core.window import Window
from egno_md.nn.card import FORMAT, UNITS, check_atoms, check_points
from egno_md.spec.sampler import Sampler

STATEMENT = (
    "A sampler draws windows from a learned distribution. Its time is not kinetics, and what it "
    "visits is the model's distribution, not the force field's, unless it is corrected."
)
"""What everything that shows a sampler's results says."""

CORRECTED = (
    "Corrected: metropolis. The sampler only proposes; every move is weighed exactly, so that the "
    "distribution is the force field's, to the error of the MD integrator and of a finite run. "
    "Its time is not kinetics."
)
"""What everything that shows a corrected sampler's results says."""


class SamplerCard(BaseModel):
    """What a sampler's bundle says of itself.

    Attributes:
        mode: `sampler` draws from an ensemble; its time is not kinetics.
        statement: the same in words.
        network: architecture, noise and which atoms it sees.
        time_points: ps after the start frame.
        system: name of the system it was trained on.
        atomic_numbers: of the atoms it sees.
        bonds: between them.
        displacements: nm, root mean square move of a coordinate since the start frame
            at each time point.
        kelvin: temperature of the training data, where known.
        potential: that moved the training data; empty where unknown.
        training: data, seeds, budget, errors, versions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["egno-md operator 1"] = FORMAT
    units: dict[str, str] = UNITS
    mode: Literal["sampler"] = "sampler"
    statement: str = STATEMENT
    network: Sampler
    time_points: tuple[float, ...]
    system: str
    atomic_numbers: tuple[int, ...]
    bonds: tuple[tuple[int, int], ...]
    displacements: tuple[Annotated[float, Field(gt=0)], ...]
    kelvin: float | None = None
    potential: str = ""
    training: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_consistent(self) -> SamplerCard:
        check_atoms(self.bonds, len(self.atomic_numbers))
        check_points(self.time_points)
        if len(self.displacements) != len(self.time_points):
            raise ValueError(
                f"{len(self.displacements)} displacements for {len(self.time_points)} time_points"
            )
        return self

    @property
    def window(self) -> Window:
        """The time points as a window."""
        return Window(self.time_points)
