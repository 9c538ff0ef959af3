"""Cards of operators: everything about an operator except its weights."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal

import mdtraj
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from egno_md.core.selection import AtomChoice
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.spec.network import Egno, Network

FORMAT = "egno-md operator 2"
UNITS = {"length": "nm", "time": "ps", "mass": "Da", "energy": "kJ/mol", "force": "kJ/mol/nm"}

AtomicNumber = Annotated[int, Field(ge=0, le=116)]
"""Atomic numbers that MDTraj has elements for; 0 is a virtual site."""


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


class OneSystem(BaseModel):
    """The one system that an operator was made for, as the operator sees it.

    Attributes:
        name: of the system it was trained on.
        atomic_numbers: per atom.
        bonds: atom pairs.
        masses: Da; None where they do not matter.
        digest: of elements, order, bonds and masses; None where masses do not matter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    atomic_numbers: Annotated[tuple[AtomicNumber, ...], Field(min_length=1)]
    bonds: tuple[tuple[int, int], ...]
    masses: tuple[float, ...] | None = None
    digest: str | None = None

    @classmethod
    def of(cls, system: System) -> OneSystem:
        """All of a system, masses included."""
        return cls(
            name=system.name,
            atomic_numbers=tuple(system.atomic_numbers.tolist()),
            bonds=tuple((int(a), int(b)) for a, b in system.bonds),
            masses=tuple(system.masses.tolist()),
            digest=system.digest,
        )

    @model_validator(mode="after")
    def _is_consistent(self) -> OneSystem:
        atoms = len(self.atomic_numbers)
        if self.masses is not None and len(self.masses) != atoms:
            raise ValueError(f"{len(self.masses)} masses for {atoms} atoms")
        check_atoms(self.bonds, atoms)
        return self


class Validity(BaseModel):
    """Bounds of the training data, beyond which an operator is not to be used.

    Attributes:
        elements: atomic numbers that occurred.
        sizes: least and largest number of atoms that it saw.
        charges: net charges that occurred, in e; None where unknown.
        periodic: whether it was trained in periodic boxes and needs one.
        kelvin: temperature of the training data; None where unknown.
        potential: that moved the training data; empty where unknown.
        system: the one system that it asks for; None where any within these bounds will do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    elements: tuple[AtomicNumber, ...]
    sizes: tuple[int, int]
    charges: tuple[int, ...] | None = None
    periodic: bool = False
    kelvin: float | None = None
    potential: str = ""
    system: OneSystem | None = None

    @classmethod
    def of_one(cls, system: OneSystem, **bounds: Any) -> Validity:
        """Validity for one system; `bounds` are charges, box, temperature and potential."""
        atoms = len(system.atomic_numbers)
        elements = tuple(sorted(set(system.atomic_numbers)))
        return cls(elements=elements, sizes=(atoms, atoms), system=system, **bounds)


class Card(BaseModel):
    """Fields of the cards of all operators.

    Attributes:
        time_points: ps after the start frame.
        vocabulary: atomic numbers that the network distinguishes, in one-hot order.
        validity: what it may be bound to.
        training: data, seeds, budget, errors, versions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["egno-md operator 2"] = FORMAT
    units: dict[str, str] = UNITS
    time_points: tuple[float, ...]
    vocabulary: Annotated[tuple[AtomicNumber, ...], Field(min_length=1)]
    validity: Validity
    training: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_a_window(self) -> Card:
        check_points(self.time_points)
        if len(set(self.vocabulary)) != len(self.vocabulary):
            raise ValueError("vocabulary names an element twice")
        elements = {*self.validity.elements, *(self.one.atomic_numbers if self.one else ())}
        missing = sorted(elements - set(self.vocabulary))
        if missing:
            raise ValueError(f"vocabulary lacks {symbols(missing)}, which validity names")
        return self

    @property
    def one(self) -> OneSystem | None:
        """The one system that the operator asks for."""
        return self.validity.system

    @property
    def subject(self) -> str:
        """The operator's system or elements, for messages."""
        if self.one is not None:
            return self.one.name
        return f"molecules of {symbols(self.validity.elements)}"

    @property
    def window(self) -> Window:
        """The time points as a window."""
        return Window(self.time_points)


class DynamicsCard(Card):
    """The card of an operator of dynamics.

    Attributes:
        mode: `dynamics` evolves a state in true time.
        network: architecture and options.
        atoms: which atoms of a system it sees; sizes and the one system are of those.
        scales: normalisation.
    """

    mode: Literal["dynamics"] = "dynamics"
    network: Network
    atoms: AtomChoice = "all"
    scales: Scales

    @model_validator(mode="after")
    def _identities_are_of_one_system(self) -> DynamicsCard:
        if isinstance(self.network, Egno) and self.network.identities and self.one is None:
            raise ValueError(
                "network.identities tells the atoms of one system apart, and validity.system "
                "names none"
            )
        return self

    @property
    def uses_forces(self) -> bool:
        """Whether the operator needs the force at the window's start."""
        return isinstance(self.network, Egno) and self.network.force_channel

    def node_features(self, numbers: np.ndarray) -> np.ndarray:
        """Fixed features of atoms, ``(atoms, features)``.

        Our EGNO gets the element one-hot over the vocabulary, and which atom of its one
        system each is with `identities`; published networks get the
        atomic number over the largest of the vocabulary.

        Args:
            numbers: atomic numbers, all in the vocabulary.
        """
        if not isinstance(self.network, Egno):
            return (numbers / max(self.vocabulary))[:, None]
        one_hot = (numbers[:, None] == np.array(self.vocabulary)).astype(np.float64)
        return np.hstack([one_hot, np.eye(len(numbers))]) if self.network.identities else one_hot

    @property
    def node_width(self) -> int:
        """Features per node."""
        if not isinstance(self.network, Egno):
            return 1
        identities = self.one.atomic_numbers if self.one and self.network.identities else ()
        return len(self.vocabulary) + len(identities)


def symbols(numbers: Iterable[int]) -> str:
    """Elements by symbol, as a list."""
    return ", ".join(mdtraj.element.Element.getByAtomicNumber(n).symbol for n in numbers)
