"""The E(n)-equivariant layer of Satorras et al. 2021 (arXiv 2102.09844)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from egno_md.nn.graph import Graph

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

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, graph: Graph, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """One layer on ``(nodes, points, ...)``; see `SpatialLayer`.

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
        return x, self.node(torch.cat([h, graph.sum(message)], dim=-1)), state
