"""An operator of dynamics bound to one system: start frames in, windows out, in physical units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from egno_md.core.errors import BundleMismatch, WindowMismatch
from egno_md.core.state import Frame
from egno_md.core.window import Window
from egno_md.nn.card import DynamicsCard, Scales
from egno_md.nn.decode import (
    Prediction,
    Start,
    Surroundings,
    decode_ours,
    decode_scene,
    join_predictions,
    make_scene,
)
from egno_md.nn.edges import EdgeFinder
from egno_md.nn.graph import Graph
from egno_md.nn.scene import Scene
from egno_md.nn.unroll import Times, decode_window
from egno_md.spec.network import Egno

if TYPE_CHECKING:
    from egno_md.nn.operator import WindowOperator

ATOMS_AT_ONCE = 20_000
"""Atoms decoded in one network call by `predict`, so that memory stays bounded."""


class BoundOperator:
    """An operator bound to a system: the operator's own weights, and the system's graph.

    Equivariant under rotations, reflections and translations; equivariant under
    relabelling of atoms together with the system's. In a periodic box it does not
    matter at which images the molecules stand, and predicted positions go on from
    where they stood. Momentum is not conserved by construction: the rollout restores it.

    Args:
        operator: whose weights predict; it may be moved to a device, or trained, later.
        name: of the system, for messages.
        numbers: atomic numbers of the atoms that the operator sees.
        bonds: between them.
        masses: theirs, Da.
        atoms: their numbers in the whole system, ascending.
    """

    def __init__(
        self,
        operator: WindowOperator,
        name: str,
        numbers: Int[np.ndarray, " seen"],
        bonds: Int[np.ndarray, "bonds 2"],
        masses: Float[np.ndarray, " seen"],
        atoms: Int[np.ndarray, " seen"],
    ) -> None:
        self.operator, self.name, self.atoms, self.masses = operator, name, atoms, masses
        self._edges = EdgeFinder(operator.card, numbers, bonds)
        self._constants = {
            "nodes": operator.card.node_features(numbers),
            "masses": masses,
        }
        self._tensors: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    @property
    def card(self) -> DynamicsCard:
        """The operator's card."""
        return self.operator.card

    @property
    def window(self) -> Window:
        """ΔT and its time points."""
        return self.card.window

    @property
    def needs_forces(self) -> bool:
        """Whether start frames must have forces."""
        return self.card.uses_forces

    @property
    def network(self) -> nn.Module:
        """The operator's network, not a copy."""
        return self.operator.network

    def parameters(self) -> Iterator[nn.Parameter]:
        """The operator's own weights."""
        return self.operator.parameters()

    @property
    def scales(self) -> Scales:
        """Scales that normalise the network."""
        return self.card.scales

    def __call__(
        self, start: Start, time_points: Float[Tensor, " points"] | None = None
    ) -> Prediction:
        """Decode a window.

        Args:
            start: the start frames, of the atoms that the operator sees.
            time_points: ps in (0, ΔT]; those the operator was trained at by
                default, any others zero-shot.

        Raises:
            BundleMismatch: another number of atoms, or forces or the box are missing.
            WindowMismatch: a time point outside the window, or one that a network of
                fixed time points was not trained at.
        """
        return self._decode(start, time_points, follows=None)

    @torch.inference_mode()
    def predict(self, frames: Sequence[Frame]) -> Prediction:
        """Decode the windows after `frames`, in the network's precision.

        Made for frames that follow those of the last call: neighbours are then
        searched only now and then. Any other frames give the same results.
        """
        at_once = max(ATOMS_AT_ONCE // len(self.atoms), 1)
        parts = [
            self._decode(self.start_of(frames[i : i + at_once]), None, follows=i)
            for i in range(0, max(len(frames), 1), at_once)
        ]
        if len(parts) == 1:
            return parts[0]
        return join_predictions(parts)

    def scene(self, start: Start) -> Scene:
        """Inputs of a network of the published kind from start frames, at its own time points."""
        surroundings = self.surroundings(start, self.card.time_points, None, follows=None)
        return make_scene(self.scales, start, surroundings)

    def start_of(self, frames: Sequence[Frame]) -> Start:
        """Frames as tensors, where the operator is and in its precision."""
        parameter = next(self.operator.parameters())

        def stack(arrays: list[np.ndarray]) -> Tensor:
            values = torch.from_numpy(np.stack(arrays))
            return values.to(device=parameter.device, dtype=parameter.dtype)

        forces = [f.forces for f in frames if f.forces is not None]
        boxes = [f.box for f in frames if f.box is not None]
        periodic = self.card.validity.periodic
        return Start(
            stack([f.positions for f in frames]),
            stack([f.velocities for f in frames]),
            stack(forces) if self.needs_forces and len(forces) == len(frames) else None,
            stack(boxes) if periodic and len(boxes) == len(frames) else None,
        )

    def surroundings(
        self, start: Start, training_times: Times, query_times: Times | None, *, follows: int | None
    ) -> Surroundings:
        """All inputs of the network besides positions and velocities.

        Args:
            start: the start frames.
            training_times: time points that the network was trained at, ps.
            query_times: others, or None.
            follows: see `EdgeFinder.neighbour_graph`.

        Raises:
            BundleMismatch: another number of atoms, or forces or the box are missing.
            WindowMismatch: a time point outside the window.
        """
        self._check(start)
        like = start.positions
        index, tau = time_positions(training_times, query_times, like.device, like.dtype)
        centred, batch = _centred(start.positions, start.box), len(start.positions)
        accelerations = None
        if self.needs_forces:
            assert start.forces is not None
            accelerations = start.forces / self._constant("masses", like)[:, None]
        return Surroundings(
            centred=centred,
            accelerations=accelerations,
            nodes=self._constant("nodes", like).repeat(batch, 1),
            graph=self._graph(start, centred, follows),
            bonds=self._edges.bond_graph(batch, like),
            index=index,
            tau=tau,
            length=training_times[-1],
        )

    def _decode(
        self, start: Start, time_points: Tensor | None, *, follows: int | None
    ) -> Prediction:
        network, times = self.card.network, self.card.time_points

        def decode(start: Start, training_times: Times, query_times: Times | None) -> Prediction:
            surroundings = self.surroundings(start, training_times, query_times, follows=follows)
            if isinstance(network, Egno):
                return decode_ours(self.network, network, self.scales, start, surroundings)
            return decode_scene(self.network, self.scales, start, surroundings)

        training = self.operator.training
        return decode_window(network, decode, start, times, time_points, is_training=training)

    def _graph(self, start: Start, centred: Tensor, follows: int | None) -> Graph:
        if self._edges.is_fixed:
            return self._edges.fixed_graph(len(centred), centred)
        return self._edges.neighbour_graph(centred, start.box, follows=follows)

    def _constant(self, name: str, like: Tensor) -> Tensor:
        """Numbers of every atom, on the device and in the precision of `like`."""
        key = (name, like.device, like.dtype)
        if key not in self._tensors:
            # kept for later calls, so never inference tensors, which autograd refuses
            with torch.inference_mode(False):
                self._tensors[key] = torch.from_numpy(self._constants[name]).to(like)
        return self._tensors[key]

    def _check(self, start: Start) -> None:
        atoms = len(self.atoms)
        if start.positions.shape[1] != atoms:
            raise BundleMismatch(
                f"the operator moves {atoms} atoms of {self.name}, the frame has "
                f"{start.positions.shape[1]}. Use the operator of that system."
            )
        if self.needs_forces and start.forces is None:
            raise BundleMismatch(
                "the operator has a force channel and the frame has no forces. "
                "Evaluate the frame with its engine first."
            )
        if self.card.validity.periodic and start.box is None:
            raise BundleMismatch(
                f"the operator of {self.name} was trained in a periodic box and the frame "
                "has none. Start from frames with box vectors."
            )


def _centred(positions: Tensor, box: Tensor | None = None) -> Tensor:
    """Positions about their mean: float32 keeps its digits far from the origin.

    In a box each atom goes to its image in the cell about the origin, which
    does not depend on where its molecule has gone to.
    """
    if box is None:
        return positions - positions.mean(1, keepdim=True)
    exact, vectors = positions.double(), box.double()
    return (exact - (exact @ torch.linalg.inv(vectors)).round() @ vectors).to(positions.dtype)


@lru_cache(maxsize=64)
def time_positions(
    training_times: tuple[float, ...],
    query_times: tuple[float, ...] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Time positions (index j stands for the trained time point t_{j+1}) and times, ps."""
    points = np.array(training_times if query_times is None else query_times)
    if points.min() <= 0 or points.max() > training_times[-1] * (1 + 1e-9):
        raise WindowMismatch(
            f"time points must lie in (0, {training_times[-1]:g}] ps, the operator's window."
        )
    index = np.interp(points, [0.0, *training_times], np.arange(-1, len(training_times)))
    # kept for later calls, so never inference tensors, which autograd refuses
    with torch.inference_mode(False):
        return (
            torch.from_numpy(index).to(device, dtype),
            torch.from_numpy(points).to(device, dtype),
        )
