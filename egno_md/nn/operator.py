"""The window operator: a start frame in, P future frames out, in physical units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from egno_md.core.errors import BundleMismatch, WindowMismatch
from egno_md.core.state import Frame
from egno_md.nn.card import OperatorCard
from egno_md.nn.edges import EdgeFinder
from egno_md.nn.egno import EgnoNetwork, EgnoShape
from egno_md.nn.graph import Graph
from egno_md.nn.published import PublishedEgnoNetwork
from egno_md.spec.train import Egno

ATOMS_AT_ONCE = 20_000
"""Atoms decoded in one network call by `predict`, so that memory stays bounded."""


@dataclass(frozen=True, eq=False)
class Start:
    """A batch of start frames.

    Attributes:
        positions: nm.
        velocities: nm/ps.
        forces: kJ/mol/nm; needed by operators with the force channel.
        box: box vectors as rows, nm; needed by operators of periodic systems.
    """

    positions: Float[Tensor, "batch atoms 3"]
    velocities: Float[Tensor, "batch atoms 3"]
    forces: Float[Tensor, "batch atoms 3"] | None = None
    box: Float[Tensor, "batch 3 3"] | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """A batch of decoded windows.

    Attributes:
        positions: nm.
        velocities: nm/ps; unsupervised for the published network.
    """

    positions: Float[Tensor, "batch points atoms 3"]
    velocities: Float[Tensor, "batch points atoms 3"]


class WindowOperator(nn.Module):
    """One system's window operator.

    Equivariant under rotations, reflections and translations; equivariant under
    relabelling of atoms together with the card's atoms and bonds. In a periodic
    box it does not matter at which images the molecules stand, and predicted
    positions go on from where they stood. Momentum is not conserved by
    construction: the rollout restores it.

    Args:
        card: architecture, system and scales.
    """

    def __init__(self, card: OperatorCard) -> None:
        super().__init__()
        self.card = card
        self.node_features: Tensor
        self.masses: Tensor
        features = _node_features(card)
        self._edges = EdgeFinder(card)
        self.register_buffer("node_features", torch.from_numpy(features).float(), persistent=False)
        masses = torch.tensor(card.masses, dtype=torch.float32)
        self.register_buffer("masses", masses, persistent=False)
        network = card.network
        if isinstance(network, Egno):
            self.network: nn.Module = EgnoNetwork(
                EgnoShape(
                    layers=network.layers,
                    hidden=network.hidden,
                    vectors=network.vectors,
                    modes=network.modes,
                    node_features=features.shape[1],
                    edge_features=self._edges.width,
                    force_channel=network.force_channel,
                    stable=network.initialisation == "stable",
                    normalised=network.distances == "normalised",
                )
            )
        else:
            self.network = PublishedEgnoNetwork(
                network.layers,
                network.hidden,
                network.modes,
                features.shape[1] + 1,
                self._edges.width + 1,
            )

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
            WindowMismatch: a time point outside the window.
        """
        return self._decode(start, time_points, follows=None)

    def _decode(
        self, start: Start, time_points: Tensor | None, *, follows: int | None
    ) -> Prediction:
        self._check(start)
        points = None if time_points is None else tuple(time_points.tolist())
        like = start.positions
        index, tau = _times(self.card.time_points, points, like.device, like.dtype)
        if isinstance(self.card.network, Egno):
            return self._ours(start, index, tau, follows)
        return self._published(start, index)

    def _ours(self, start: Start, index: Tensor, tau: Tensor, follows: int | None) -> Prediction:
        scales, network = self.card.scales, self.card.network
        length = self.card.window.length
        batch = len(start.positions)
        where = _centred(start.positions, start.box)
        known = [start.velocities / scales.velocity]
        if self.card.uses_forces:
            assert start.forces is not None
            known.append(start.forces / (self.masses[:, None] * scales.acceleration))
        path, position, velocity = self.network(
            _flat(where) / scales.length,
            _flat(start.velocities) * (length / scales.length),
            _flat(torch.stack(known, dim=-1)),
            self._nodes(batch),
            self._graph(start, where, follows),
            index,
            tau / length,
        )
        shape = (batch, -1, len(index), 3)
        fraction = (tau / length).view(1, -1, 1, 1)
        correction = (
            path.view(shape) * scales.length + position.view(shape) * scales.position_residual
        ).transpose(1, 2)
        kick = velocity.view(shape).transpose(1, 2) * scales.velocity_residual
        x = start.positions[:, None]
        v = start.velocities[:, None]
        if isinstance(network, Egno) and network.output == "direct":
            return Prediction(x + correction, kick)
        return Prediction(
            x + v * tau.view(1, -1, 1, 1) + correction * fraction**2, v + kick * fraction
        )

    def _published(self, start: Start, index: Tensor) -> Prediction:
        scales = self.card.scales
        batch = len(start.positions)
        positions = _flat(_centred(start.positions)) / scales.length
        velocities = _flat(start.velocities) / scales.velocity
        graph = self._graph(start, start.positions, follows=None)
        r = graph.gather_receivers(positions) - graph.gather_senders(positions)
        squared = r.square().sum(-1, keepdim=True)
        graph = replace(graph, features=torch.cat([graph.features, squared], dim=-1))
        speed = velocities.norm(dim=-1, keepdim=True)
        features = torch.cat([speed, self._nodes(batch)], dim=-1)
        x, v = self.network(positions, velocities, features, graph, index)
        shape = (batch, -1, len(index), 3)
        moved = (x - positions[:, None]).view(shape).transpose(1, 2) * scales.length
        return Prediction(
            start.positions[:, None] + moved, v.view(shape).transpose(1, 2) * scales.velocity
        )

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
        return self._decode(start, None, follows=first)


def _centred(positions: Tensor, box: Tensor | None = None) -> Tensor:
    """Positions about their mean: float32 keeps its digits far from the origin.

    In a box each atom goes to its image in the cell about the origin, which
    does not depend on where its molecule has gone to.
    """
    if box is None:
        return positions - positions.mean(1, keepdim=True)
    exact, vectors = positions.double(), box.double()
    return (exact - (exact @ torch.linalg.inv(vectors)).round() @ vectors).to(positions.dtype)


def _flat(values: Tensor) -> Tensor:
    return values.reshape(-1, *values.shape[2:])


@lru_cache(maxsize=64)
def _times(
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
    if isinstance(card.network, Egno):
        return (numbers[:, None] == np.unique(numbers)).astype(np.float64)
    return (numbers / numbers.max())[:, None]
