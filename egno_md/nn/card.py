"""An operator's card: everything about it except its weights."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from egno_md.core.selection import AtomChoice
from egno_md.core.window import Window
from egno_md.spec.network import Egno, Network

FORMAT = "egno-md operator 1"
UNITS = {"length": "nm", "time": "ps", "mass": "Da", "energy": "kJ/mol", "force": "kJ/mol/nm"}


def check_atoms(groups: Iterable[Iterable[int]], atoms: int) -> None:
    """Refuse atom numbers that are none.

    Raises:
        ValueError: naming how many there are.
    """
    if any(not 0 <= i < atoms for group in groups for i in group):
        raise ValueError(f"a bond names an atom beyond the {atoms} there are")


def check_points(time_points: tuple[float, ...]) -> None:
    """Refuse time points that make no window.

    Raises:
        ValueError: none, not positive, or not increasing.
    """
    points = (0.0, *time_points)
    if len(points) < 2 or any(b <= a for a, b in pairwise(points)):
        raise ValueError("time_points must be positive and increasing")


class Scales(BaseModel):
    """Root mean squares over the training data that normalise the network.

    Attributes:
        length: nm, the network's unit of length.
        velocity: nm/ps.
        acceleration: nm/ps².
        position_residual: nm, of the output against its baseline at ΔT.
        velocity_residual: nm/ps, likewise.
        neighbours: per atom within the radius, each counted with its weight.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    length: Annotated[float, Field(gt=0)]
    velocity: Annotated[float, Field(gt=0)]
    acceleration: Annotated[float, Field(gt=0)]
    position_residual: Annotated[float, Field(gt=0)]
    velocity_residual: Annotated[float, Field(gt=0)]
    neighbours: Annotated[float, Field(gt=0)] = 1.0


class OperatorCard(BaseModel):
    """What a bundle says of itself.

    Attributes:
        network: architecture and options.
        time_points: ps after the start frame.
        system: name of the system it was trained on.
        atoms: which of its atoms the operator knows; all that follows is of those.
        digest: of them (elements, order, bonds, masses).
        atomic_numbers: per atom.
        masses: Da.
        bonds: atom pairs.
        periodic: whether it was trained in a periodic box and needs one.
        scales: normalisation.
        mode: `dynamics` evolves a state in true time.
        kelvin: temperature of the training data, where known.
        potential: that moved the training data; empty where unknown.
        training: data, seeds, budget, errors, versions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["egno-md operator 1"] = FORMAT
    units: dict[str, str] = UNITS
    mode: Literal["dynamics"] = "dynamics"
    network: Network
    time_points: tuple[float, ...]
    system: str
    atoms: AtomChoice = "all"
    digest: str
    atomic_numbers: tuple[int, ...]
    masses: tuple[float, ...]
    bonds: tuple[tuple[int, int], ...]
    periodic: bool = False
    scales: Scales
    kelvin: float | None = None
    potential: str = ""
    training: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_consistent(self) -> OperatorCard:
        atoms = len(self.atomic_numbers)
        if len(self.masses) != atoms:
            raise ValueError(f"{len(self.masses)} masses for {atoms} atoms")
        check_atoms(self.bonds, atoms)
        check_points(self.time_points)
        return self

    @property
    def window(self) -> Window:
        """The time points as a window."""
        return Window(self.time_points)

    @property
    def uses_forces(self) -> bool:
        """Whether the operator wants the force at the window's start."""
        return isinstance(self.network, Egno) and self.network.force_channel
