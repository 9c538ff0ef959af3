"""Cards of format 1, in which every operator was of one system, and their conversion to the current format."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from egno_md.core.selection import AtomChoice
from egno_md.nn.card import UNITS, AtomicNumber, DynamicsCard, OneSystem, Scales, Validity
from egno_md.nn.sampler_card import STATEMENT, SamplerCard
from egno_md.spec.network import Network
from egno_md.spec.sampler import Sampler


class _Card1(BaseModel):
    """Fields of both kinds of format 1; `digest` and `masses` are of dynamics alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["egno-md operator 1"] = "egno-md operator 1"
    units: dict[str, str] = UNITS
    time_points: tuple[float, ...]
    system: str
    atomic_numbers: Annotated[tuple[AtomicNumber, ...], Field(min_length=1)]
    bonds: tuple[tuple[int, int], ...]
    kelvin: float | None = None
    potential: str = ""
    training: dict[str, Any] = {}

    def _shared(self, one: OneSystem, *, periodic: bool) -> dict[str, Any]:
        """The fields of `Card`, whose one-hot order was ascending."""
        validity = Validity.of_one(
            one, periodic=periodic, kelvin=self.kelvin, potential=self.potential
        )
        return {
            "units": self.units,
            "time_points": self.time_points,
            "vocabulary": validity.elements,
            "validity": validity,
            "training": self.training,
        }


class DynamicsCard1(_Card1):
    """The card of an operator of dynamics in format 1."""

    mode: Literal["dynamics"] = "dynamics"
    network: Network
    atoms: AtomChoice = "all"
    digest: str
    masses: tuple[float, ...]
    periodic: bool = False
    scales: Scales

    def upgraded(self) -> DynamicsCard:
        """The operator's card in the current format."""
        one = OneSystem(
            name=self.system,
            atomic_numbers=self.atomic_numbers,
            bonds=self.bonds,
            masses=self.masses,
            digest=self.digest,
        )
        shared = self._shared(one, periodic=self.periodic)
        return DynamicsCard(network=self.network, atoms=self.atoms, scales=self.scales, **shared)


class SamplerCard1(_Card1):
    """The card of a sampler in format 1."""

    mode: Literal["sampler"]
    statement: str = STATEMENT
    network: Sampler
    displacements: tuple[Annotated[float, Field(gt=0)], ...]

    def upgraded(self) -> SamplerCard:
        """The sampler's card in the current format."""
        one = OneSystem(name=self.system, atomic_numbers=self.atomic_numbers, bonds=self.bonds)
        return SamplerCard(
            statement=self.statement,
            network=self.network,
            displacements=self.displacements,
            **self._shared(one, periodic=False),
        )
