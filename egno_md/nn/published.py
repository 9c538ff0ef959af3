"""EGNO exactly as published (Xu et al., ICML 2024, arXiv 2401.11037)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from egno_md.nn.graph import Graph
from egno_md.nn.temporal import TIME_EMBEDDING, SpectralMix, time_embedding

CLAMP = 100.0
"""Largest coordinate step of a layer, as published."""


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


class EgnnLayer(nn.Module):
    """E(n)-equivariant layer with velocities (Satorras et al. 2021, Eqs. 3-7)."""

    def __init__(self, hidden: int, edge_features: int) -> None:
        super().__init__()
        first = nn.Linear(2 * hidden + 1 + edge_features, hidden)
        self.message = nn.Sequential(first, nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.velocity = _mlp(hidden, hidden, 1)
        self.position = _mlp(hidden, hidden, 1)
        self.node = _mlp(2 * hidden, hidden, hidden)

    def forward(self, x: Tensor, v: Tensor, h: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """One layer on ``(nodes, points, ...)``; the new x and h.

        The first linear map of the message is split into receiver, sender and
        edge parts, so that nodes are multiplied before they are gathered.
        """
        hidden = h.shape[-1]
        first = self.message[0]
        assert isinstance(first, nn.Linear)
        by_receiver, by_sender, by_square, by_edge = first.weight.split(
            [hidden, hidden, 1, graph.features.shape[1]], dim=1
        )
        r = graph.gather_receivers(x) - graph.gather_senders(x)
        squared = r.square().sum(-1, keepdim=True)
        edge = graph.features @ by_edge.T + first.bias
        message = (
            graph.gather_receivers(h @ by_receiver.T)
            + graph.gather_senders(h @ by_sender.T)
            + squared * by_square[:, 0]
            + edge[:, None]
        )
        message = self.message[3](self.message[2](self.message[1](message)))
        step = graph.mean(r * self.position(message)).clamp(-CLAMP, CLAMP)
        x = x + self.velocity(h) * v + step
        return x, self.node(torch.cat([h, graph.sum(message)], dim=-1))


class PublishedEgnoNetwork(nn.Module):
    """The published network: temporal convolutions before every EGNN layer.

    Args:
        layers: L.
        hidden: H.
        modes: I.
        node_features: scalars per node, ‖v‖ included.
        edge_features: scalars per edge, the input frame's d² included.
    """

    def __init__(
        self, layers: int, hidden: int, modes: int, node_features: int, edge_features: int
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(node_features + TIME_EMBEDDING, hidden)
        self.scalar_mix = nn.ModuleList(
            SpectralMix(hidden, modes, published=True, scale=1 / hidden**2) for _ in range(layers)
        )
        self.vector_mix = nn.ModuleList(
            SpectralMix(2, modes, published=True, scale=0.1) for _ in range(layers)
        )
        self.layers = nn.ModuleList(EgnnLayer(hidden, edge_features) for _ in range(layers))

    def forward(
        self,
        positions: Float[Tensor, "nodes 3"],
        velocities: Float[Tensor, "nodes 3"],
        features: Float[Tensor, "nodes features"],
        graph: Graph,
        index: Float[Tensor, " points"],
    ) -> tuple[Tensor, Tensor]:
        """Positions and velocities ``(nodes, points, 3)`` at the time positions.

        The velocities are the network's own and are not supervised as published.
        """
        points = len(index)
        embedding = time_embedding(index)
        h = torch.cat(
            [
                features[:, None].expand(-1, points, -1),
                embedding[None].expand(len(features), -1, -1),
            ],
            dim=-1,
        )
        h = self.embed(h)
        mean = graph.centre(positions)[:, None]
        x = positions[:, None].expand(-1, points, -1)
        v = velocities[:, None].expand(-1, points, -1)
        activation = nn.functional.leaky_relu
        for scalar_mix, vector_mix, layer in zip(
            self.scalar_mix, self.vector_mix, self.layers, strict=True
        ):
            h = h + activation(scalar_mix(h), 0.01)
            vectors = torch.stack([x - mean, v], dim=-1)
            vectors = vectors + vector_mix(vectors.transpose(1, 2)).transpose(1, 2)
            x, v = vectors[..., 0] + mean, vectors[..., 1]
            x, h = layer(x, v, h, graph)
        return x, v
