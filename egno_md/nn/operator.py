"""Operators: weights and a card, of no system until they are bound to one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from egno_md.core.errors import BundleMismatch
from egno_md.core.selection import choose_atoms
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.core.window import Window
from egno_md.nn.binding import bind_dynamics
from egno_md.nn.bound import ATOMS_AT_ONCE, BoundOperator, time_positions
from egno_md.nn.card import Card, DynamicsCard, Scales
from egno_md.nn.decode import Prediction, Start, decode_together, join_predictions
from egno_md.nn.edges import edge_width
from egno_md.nn.networks import build_network
from egno_md.nn.scene import Scene
from egno_md.nn.unroll import check_window
from egno_md.spec.network import Egno

__all__ = ["BoundOperator", "Operator", "Prediction", "Start", "WindowOperator", "time_positions"]


class Bound(Protocol):
    """An operator of any kind that is bound to a system."""

    @property
    def card(self) -> Card:
        """The operator's card; `mode` says whether windows are dynamics or draws."""
        ...

    @property
    def window(self) -> Window:
        """ΔT and its time points."""
        ...

    @property
    def needs_forces(self) -> bool:
        """Whether start frames must have forces."""
        ...

    @property
    def atoms(self) -> Int[np.ndarray, " seen"]:
        """Numbers of the system's atoms that the operator sees, ascending."""
        ...


class Operator(nn.Module, ABC):
    """Weights and a card. What it does to frames, it does bound to a system.

    Attributes:
        card: architecture, vocabulary, scales and validity.
    """

    card: Card

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read a bundle of any format that was ever shipped, ready for inference on CPU.

        Called on `Operator` it reads bundles of every kind, on a subclass those of its own.

        Raises:
            DataError: files missing, damaged, or weights that do not fit the card.
            BundleMismatch: the bundle holds another kind of operator.
        """
        from egno_md.nn.bundle import load_operator  # which imports every kind of operator

        return load_operator(Path(folder), cls)

    @abstractmethod
    def bind(self, system: System | None = None) -> Bound:
        """The operator on one system, with its own weights and not a copy of them.

        Args:
            system: to act on; by default the one that the card asks for.

        Raises:
            BundleMismatch: the system lies outside the card's validity.
        """


class WindowOperator(Operator):
    """An operator of dynamics: a start frame in, P future frames out.

    Called itself, it acts on the one system that its card asks for.

    Args:
        card: architecture, vocabulary, scales and validity.

    Raises:
        SpecError: the network cannot decode the card's time points.
    """

    def __init__(self, card: DynamicsCard) -> None:
        super().__init__()
        self.card: DynamicsCard = card  # pyright: ignore[reportIncompatibleVariableOverride]
        check_window(card.network, card.time_points)
        points, width = len(card.time_points), edge_width(card.network)
        self.network = build_network(card.network, card.node_width, width, points)
        self._own: BoundOperator | None = None

    @property
    def scales(self) -> Scales:
        """Scales that normalise the network."""
        return self.card.scales

    def bind(self, system: System | None = None, *, mass_tolerance: float = 0.0) -> BoundOperator:
        """The operator on one system; see `Operator.bind`.

        Args:
            system: to act on; by default the one that the card asks for.
            mass_tolerance: Da, by which masses may be off the card's, which are then taken.

        Raises:
            BundleMismatch: the system lies outside the card's validity, naming the first
                difference; or none is given and the card asks for none.
            SpecError: the system has no atoms such as the card names.
        """
        if system is None:
            return self._bind_card_system()
        subset = bind_dynamics(self.card, system, mass_tolerance)
        atoms = choose_atoms(system.topology, self.card.atoms, system.name)
        return BoundOperator(
            self, subset.name, subset.atomic_numbers, subset.bonds, subset.masses, atoms
        )

    def _bind_card_system(self) -> BoundOperator:
        one = self.card.one
        if one is None or one.masses is None:
            raise BundleMismatch(
                f"the operator of {self.card.subject} asks for no system of its own. Bind it to "
                "one: operator.bind(system)."
            )
        bonds = np.array(one.bonds, dtype=np.int64).reshape(-1, 2)
        numbers, masses = np.array(one.atomic_numbers), np.array(one.masses)
        return BoundOperator(self, one.name, numbers, bonds, masses, np.arange(len(numbers)))

    @torch.inference_mode()
    def predict_batch(
        self, batches: Sequence[tuple[BoundOperator, Sequence[Frame]]]
    ) -> list[Prediction]:
        """Decode windows of different systems together, in as few network calls as memory allows.

        Args:
            batches: this operator bound to a system, and start frames of that system.

        Returns:
            The windows of each, as `BoundOperator.predict` gives them, to rounding.

        Raises:
            BundleMismatch: bound is another operator, or the network decodes one system a call.
        """
        network = self.card.network
        if not isinstance(network, Egno):
            raise BundleMismatch(
                f"a network of kind: {network.kind} decodes one system a call. Predict them one "
                "by one, or train kind: egno."
            )
        if any(bound.operator is not self for bound, _ in batches):
            raise BundleMismatch(
                "one call has one operator, and systems are bound to several. Bind all of them "
                "with the operator that predicts."
            )
        parts: list[list[Prediction]] = [[] for _ in batches]
        for call in _calls(batches):
            times = self.card.time_points
            starts = [bound.start_of(frames) for _, bound, frames, _ in call]
            inputs = [
                (start, bound.surroundings(start, times, None, follows=first))
                for start, (_, bound, _, first) in zip(starts, call, strict=True)
            ]
            windows = decode_together(self.network, network, self.scales, inputs)
            for (number, *_), window in zip(call, windows, strict=True):
                parts[number].append(window)
        return [join_predictions(part) for part in parts]

    def forward(
        self, start: Start, time_points: Float[Tensor, " points"] | None = None
    ) -> Prediction:
        """Decode a window of the one system that the card asks for; see `BoundOperator`."""
        return self.own(start, time_points)

    def predict(self, frames: Sequence[Frame]) -> Prediction:
        """Decode windows of the one system that the card asks for; see `BoundOperator`."""
        return self.own.predict(frames)

    def scene(self, start: Start) -> Scene:
        """Inputs of a network of the published kind from the one system; see `BoundOperator`."""
        return self.own.scene(start)

    @property
    def own(self) -> BoundOperator:
        """The operator on the one system that its card asks for, kept for later calls."""
        if self._own is None:
            self._own = self._bind_card_system()
        return self._own


def _calls(
    batches: Sequence[tuple[BoundOperator, Sequence[Frame]]],
) -> list[list[tuple[int, BoundOperator, Sequence[Frame], int]]]:
    """Pieces that go into each call: number of the batch, its operator, frames, the first's number."""
    calls: list[list[tuple[int, BoundOperator, Sequence[Frame], int]]] = []
    room = 0
    for number, (bound, frames) in enumerate(batches):
        size, first = len(bound.atoms), 0
        while first < len(frames):
            if room < size:
                calls.append([])
                room = max(ATOMS_AT_ONCE, size)
            piece = frames[first : first + room // size]
            calls[-1].append((number, bound, piece, first))
            first, room = first + len(piece), room - len(piece) * size
    return calls
