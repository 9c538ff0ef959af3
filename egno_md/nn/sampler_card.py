"""A sampler's card: everything about it except its weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from egno_md.nn.card import Card, OneSystem
from egno_md.spec.sampler import Sampler

STATEMENT = (
    "A sampler draws windows from a learned distribution. Its time is not kinetics, and what it "
    "visits is the model's distribution, not the force field's, unless it is corrected."
)
"""Shown with every result of a sampler."""

CORRECTED = (
    "Corrected: metropolis. The sampler only proposes; every move is weighed exactly, so that the "
    "distribution is the force field's, to the error of the MD integrator and of a finite run. "
    "Its time is not kinetics."
)
"""Shown with every result of a corrected sampler."""


class SamplerCard(Card):
    """The card of a sampler, which always asks for one system.

    Attributes:
        mode: `sampler` draws from an ensemble; its time is not kinetics.
        statement: the same in words.
        network: architecture, noise and which atoms it sees.
        displacements: nm, root mean square move of a coordinate since the start frame
            at each time point.
    """

    mode: Literal["sampler"] = "sampler"
    statement: str = STATEMENT
    network: Sampler
    displacements: tuple[Annotated[float, Field(gt=0)], ...]

    @model_validator(mode="after")
    def _is_consistent(self) -> SamplerCard:
        if self.one is None:
            raise ValueError("a sampler knows one system, and validity.system names none")
        if len(self.displacements) != len(self.time_points):
            raise ValueError(
                f"{len(self.displacements)} displacements for {len(self.time_points)} time_points"
            )
        return self

    @property
    def atoms(self) -> Literal["heavy", "all"]:
        """Which atoms of the system it sees."""
        return self.network.atoms

    @property
    def molecule(self) -> OneSystem:
        """The one system, as the sampler sees it."""
        assert self.one is not None
        return self.one
