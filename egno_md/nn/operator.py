"""The window operator: a start frame in, P future frames out, in physical units."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from egno_md.core.errors import BundleMismatch, WindowMismatch
from egno_md.core.state import Frame
from egno_md.nn.card import OperatorCard, Scales
from egno_md.nn.decode import (
    Prediction,
    Start,
    Surroundings,
    decode_ours,
    decode_scene,
    make_scene,
)
from egno_md.nn.edges import EdgeFinder
from egno_md.nn.graph import Graph
from egno_md.nn.networks import build_network
from egno_md.nn.scene import Scene
from egno_md.nn.unroll import Times, check_window, decode_window
from egno_md.spec.network import Egno

ATOMS_AT_ONCE = 20_000
"""Atoms decoded in one network call by `predict`, so that memory stays bounded."""


class WindowOperator(nn.Module):
    """One system's window operator.

    Equivariant under rotations, reflections and translations; equivariant under
    relabelling of atoms together with the card's atoms and bonds. In a periodic
    box it does not matter at which images the molecules stand, and predicted
    positions go on from where they stood. Momentum is not conserved by
    construction: the rollout restores it.

    Args:
        card: architecture, system and scales.

    Raises:
        SpecError: the network cannot decode the card's time points.
    """

    def __init__(self, card: OperatorCard) -> None:
        super().__init__()
        check_window(card.network, card.time_points)
        self.card = card
        self.node_features: Tensor
        self.masses: Tensor
        features = _node_features(card)
        self._edges = EdgeFinder(card)
        self.register_buffer("node_features", torch.from_numpy(features).float(), persistent=False)
        masses = torch.tensor(card.masses, dtype=torch.float32)
        self.register_buffer("masses", masses, persistent=False)
        points = len(card.time_points)
        self.network = build_network(card.network, features.shape[1], self._edges.width, points)

    @property
    def scales(self) -> Scales:
        """What normalises the network."""
        return self.card.scales

    def forward(
        self, start: Start, time_points: Float[Tensor, " points"] | None = None
    ) -> Prediction:
        """Decode a window.

        Args:
            start: the start frames.
            time_points: ps in (0, ΔT]; those the operator was trained at by
                default, any others zero-shot.

        Raises:
            BundleMismatch: another number of atoms, or forces or the box are missing.
            WindowMismatch: a time point outside the window, or one that a network of
                fixed time points was not trained at.
        """
        return self._window(start, time_points, follows=None)

    def scene(self, start: Start) -> Scene:
        """What a network of the published kind sees of start frames, at its own time points."""
        self._check(start)
        around = self._around(start, self.card.time_points, None, follows=None)
        return make_scene(self.card.scales, start, around)

    def _window(
        self, start: Start, time_points: Tensor | None, *, follows: int | None
    ) -> Prediction:
        self._check(start)

        def decode(start: Start, trained: Times, asked: Times | None) -> Prediction:
            around = self._around(start, trained, asked, follows=follows)
            scales, network = self.card.scales, self.card.network
            if isinstance(network, Egno):
                return decode_ours(self.network, network, scales, start, around)
            return decode_scene(self.network, scales, start, around)

        network, times = self.card.network, self.card.time_points
        return decode_window(network, decode, start, times, time_points, is_training=self.training)

    def _around(
        self, start: Start, trained: Times, asked: Times | None, *, follows: int | None
    ) -> Surroundings:
        like = start.positions
        index, tau = time_positions(trained, asked, like.device, like.dtype)
        where = _centred(start.positions, start.box)
        return Surroundings(
            centred=where,
            accelerations=self._accelerations(start),
            nodes=self._nodes(len(where)),
            graph=self._graph(start, where, follows),
            bonds=self._edges.bonded(len(where), where),
            index=index,
            tau=tau,
            length=trained[-1],
        )

    def _accelerations(self, start: Start) -> Tensor | None:
        if not self.card.uses_forces:
            return None
        assert start.forces is not None
        return start.forces / self.masses[:, None]

    def _nodes(self, batch: int) -> Tensor:
        return self.node_features.repeat(batch, 1)

    def _graph(self, start: Start, where: Tensor, follows: int | None) -> Graph:
        if self._edges.is_fixed:
            return self._edges.fixed(len(where), where)
        return self._edges.found(where, start.box, follows=follows)

    def _check(self, start: Start) -> None:
        atoms = len(self.card.atomic_numbers)
        if start.positions.shape[1] != atoms:
            raise BundleMismatch(
                f"the operator moves {atoms} atoms of {self.card.system}, the frame has "
                f"{start.positions.shape[1]}. Use the operator of that system."
            )
        if self.card.uses_forces and start.forces is None:
            raise BundleMismatch(
                "the operator has a force channel and the frame has no forces. "
                "Evaluate the frame with its engine first."
            )
        if self.card.periodic and start.box is None:
            raise BundleMismatch(
                f"the operator of {self.card.system} was trained in a periodic box and the frame "
                "has none. Start from frames with box vectors."
            )

    @torch.inference_mode()
    def predict(self, frames: list[Frame]) -> Prediction:
        """Decode the windows after `frames`, in the network's precision.

        Made for frames that follow those of the last call: neighbours are then
        searched only now and then. Any other frames give the same results.
        """
        at_once = max(ATOMS_AT_ONCE // len(self.card.atomic_numbers), 1)
        if len(frames) <= at_once:
            return self._predict(frames, 0)
        parts = [self._predict(frames[i : i + at_once], i) for i in range(0, len(frames), at_once)]
        return Prediction(
            torch.cat([p.positions for p in parts]), torch.cat([p.velocities for p in parts])
        )

    def _predict(self, frames: list[Frame], first: int) -> Prediction:
        parameter = next(self.parameters())

        def stack(arrays: list[np.ndarray]) -> Tensor:
            values = torch.from_numpy(np.stack(arrays))
            return values.to(device=parameter.device, dtype=parameter.dtype)

        forces = [f.forces for f in frames if f.forces is not None]
        boxes = [f.box for f in frames if f.box is not None]
        start = Start(
            stack([f.positions for f in frames]),
            stack([f.velocities for f in frames]),
            stack(forces) if self.card.uses_forces and len(forces) == len(frames) else None,
            stack(boxes) if self.card.periodic and len(boxes) == len(frames) else None,
        )
        return self._window(start, None, follows=first)


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
    trained: tuple[float, ...],
    asked: tuple[float, ...] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Time positions (index j stands for the trained time point t_{j+1}) and times, ps."""
    points = np.array(trained if asked is None else asked)
    if points.min() <= 0 or points.max() > trained[-1] * (1 + 1e-9):
        raise WindowMismatch(
            f"time points must lie in (0, {trained[-1]:g}] ps, the operator's window."
        )
    index = np.interp(points, [0.0, *trained], np.arange(-1, len(trained)))
    # kept for later calls, so never inference tensors, which autograd refuses
    with torch.inference_mode(False):
        return (
            torch.from_numpy(index).to(device, dtype),
            torch.from_numpy(points).to(device, dtype),
        )


def _node_features(card: OperatorCard) -> Float[np.ndarray, "atoms features"]:
    """What an atom is, as numbers that never change."""
    numbers = np.array(card.atomic_numbers)
    if not isinstance(card.network, Egno):
        return (numbers / numbers.max())[:, None]
    elements = (numbers[:, None] == np.unique(numbers)).astype(np.float64)
    return np.hstack([elements, np.eye(len(numbers))]) if card.network.identities else elements
