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
from egno_md.nn.egno import EgnoNetwork, EgnoShape
from egno_md.nn.graph import Graph, complete_pairs, hop_distances, make_graph
from egno_md.nn.published import PublishedEgnoNetwork
from egno_md.spec.train import Egno

HOPS = 4
"""Bond separations told apart on edges; farther ones count as none."""


@dataclass(frozen=True, eq=False)
class Start:
    """A batch of start frames.

    Attributes:
        positions: nm.
        velocities: nm/ps.
        forces: kJ/mol/nm; needed by operators with the force channel.
    """

    positions: Float[Tensor, "batch atoms 3"]
    velocities: Float[Tensor, "batch atoms 3"]
    forces: Float[Tensor, "batch atoms 3"] | None = None


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
    relabelling of atoms together with the card's atoms and bonds. Momentum is
    not conserved by construction: the rollout restores it.

    Args:
        card: architecture, system and scales.
    """

    def __init__(self, card: OperatorCard) -> None:
        super().__init__()
        self.card = card
        self.node_features: Tensor
        self.masses: Tensor
        features, pairs, edge_features = _static_features(card)
        graph = make_graph(pairs, edge_features, len(card.atomic_numbers))
        self._graphs: dict[tuple[int, str, torch.dtype], Graph] = {}
        self._template = graph
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
                    edge_features=edge_features.shape[1],
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
                edge_features.shape[1] + 1,
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
            BundleMismatch: another number of atoms, or forces are missing.
            WindowMismatch: a time point outside the window.
        """
        self._check(start)
        points = None if time_points is None else tuple(time_points.tolist())
        like = start.positions
        index, tau = _times(self.card.time_points, points, like.device, like.dtype)
        if isinstance(self.card.network, Egno):
            return self._ours(start, index, tau)
        return self._published(start, index)

    def _ours(self, start: Start, index: Tensor, tau: Tensor) -> Prediction:
        scales, network = self.card.scales, self.card.network
        length = self.card.window.length
        batch = len(start.positions)
        graph = self._graph(batch, start.positions)
        known = [start.velocities / scales.velocity]
        if self.card.uses_forces:
            assert start.forces is not None
            known.append(start.forces / (self.masses[:, None] * scales.acceleration))
        path, position, velocity = self.network(
            _flat(_centred(start.positions)) / scales.length,
            _flat(start.velocities) * (length / scales.length),
            _flat(torch.stack(known, dim=-1)),
            self._nodes(batch),
            graph,
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
        graph = self._graph(batch, start.positions)
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

    def _graph(self, batch: int, like: Tensor) -> Graph:
        key = (batch, str(like.device), like.dtype)
        if key not in self._graphs:
            # kept for later calls, so never inference tensors, which autograd refuses
            with torch.inference_mode(False):
                graph = self._template.repeat(batch)
                self._graphs[key] = replace(
                    graph,
                    receivers=graph.receivers.to(like.device),
                    senders=graph.senders.to(like.device),
                    features=graph.features.to(like.device, like.dtype),
                )
        return self._graphs[key]

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

    @torch.inference_mode()
    def predict(self, frames: list[Frame]) -> Prediction:
        """Decode the windows after `frames`, in the network's precision."""
        parameter = next(self.parameters())

        def stack(arrays: list[np.ndarray]) -> Tensor:
            values = torch.from_numpy(np.stack(arrays))
            return values.to(device=parameter.device, dtype=parameter.dtype)

        forces = [f.forces for f in frames if f.forces is not None]
        return self(
            Start(
                stack([f.positions for f in frames]),
                stack([f.velocities for f in frames]),
                stack(forces) if self.card.uses_forces and len(forces) == len(frames) else None,
            )
        )


def _centred(positions: Tensor) -> Tensor:
    """Positions about their mean: float32 keeps its digits far from the origin."""
    return positions - positions.mean(1, keepdim=True)


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


def _static_features(card: OperatorCard) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Node features, directed pairs and edge features that never change."""
    numbers = np.array(card.atomic_numbers)
    bonds = np.array(card.bonds, dtype=np.int64).reshape(-1, 2)
    atoms = len(numbers)
    hops = hop_distances(bonds, atoms, HOPS)
    edges = card.network.edges
    pairs = complete_pairs(atoms) if edges == "complete" else np.argwhere((hops == 1) | (hops == 2))
    hop = hops[pairs[:, 0], pairs[:, 1]]
    if isinstance(card.network, Egno):
        elements = np.unique(numbers)
        nodes = (numbers[:, None] == elements).astype(np.float64)
        return nodes, pairs, (hop[:, None] == np.arange(HOPS + 1)).astype(np.float64)
    scaled = numbers / numbers.max()
    edge = np.stack([numbers[pairs[:, 0]], numbers[pairs[:, 1]], hop, hop == 1], axis=1)
    return scaled[:, None], pairs, edge.astype(np.float64)
