"""The E(n)-equivariant layer of Satorras et al. 2021 (arXiv 2102.09844)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from egno_md.nn.graph import Graph
from egno_md.nn.messages import Weights, pass_messages
from egno_md.nn.native.perceptron import perceptron

CLAMP = 100.0
"""Largest coordinate step of a layer, as published."""

LARGEST_KEPT = 150_000_000
"""Edges times points times channels up to which training keeps what lies on the edges.

Beyond it a layer is computed again in the backward pass: a third more time for memory that no
longer grows with the number of layers. At the limit a layer keeps about 3.5 GB.
"""


def mlp(inputs: int, hidden: int, outputs: int, *last: nn.Module) -> nn.Sequential:
    """Two linear maps with SiLU between them, and a `last` activation if any."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs), *last)


class EgnnLayer(nn.Module):
    """E(n)-equivariant layer with velocities (Satorras et al. 2021, Eqs. 3-7)."""

    def __init__(self, hidden: int, edge_features: int) -> None:
        super().__init__()
        first = nn.Linear(2 * hidden + 1 + edge_features, hidden)
        self.message = nn.Sequential(first, nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.velocity = mlp(hidden, hidden, 1)
        self.position = mlp(hidden, hidden, 1)
        self.node = mlp(2 * hidden, hidden, hidden)
        self.reads_out = False

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, graph: Graph, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """One layer on ``(nodes, points, ...)``; see `SpatialLayer`.

        Edge features may differ between time points: ``(edges, points, features)``.
        """
        if _in_blocks(h, graph):
            return *self._in_blocks(x, v, h, graph), state
        size = graph.senders.numel() * h.shape[1] * h.shape[2]
        if torch.is_grad_enabled() and size > LARGEST_KEPT:
            pull, total = checkpoint(self._messages, x, h, graph, use_reentrant=False)
        else:
            pull, total = self._messages(x, h, graph)
        x = x + self.velocity(h) * v + pull.clamp(-CLAMP, CLAMP)
        return x, self.node(torch.cat([h, total], dim=-1)), state

    def _in_blocks(self, x: Tensor, v: Tensor, h: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """The same in blocks of edges; time points come first in memory."""
        x, v, h = (t.transpose(0, 1).contiguous() for t in (x, v, h))
        features = graph.features
        message, position = self.message, self.position
        layers = (message[0], message[2], position[0], position[2])
        maps = [layer for layer in layers if isinstance(layer, nn.Linear)]
        pull, total = pass_messages(
            x,
            h,
            features[None] if features.dim() == 2 else features.transpose(0, 1),
            Weights(*(p for layer in maps for p in (layer.weight, layer.bias))),
            graph,
            keeps=len(h) * graph.senders.numel() * h.shape[2] <= LARGEST_KEPT,
        )
        pull = pull / graph.counts.to(pull)[:, None]
        x = x + perceptron(self.velocity, h) * v + pull.clamp(-CLAMP, CLAMP)
        if not self.reads_out:
            h = perceptron(self.node, h, total)
        return x.transpose(0, 1), h.transpose(0, 1)

    def _messages(self, x: Tensor, h: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Mean pull and summed message at each node.

        The first linear map of the message is split into receiver, sender and
        edge parts, so that nodes are multiplied before they are gathered.
        """
        features = graph.features
        hidden, first = h.shape[-1], self.message[0]
        assert isinstance(first, nn.Linear)
        by_receiver, by_sender, by_edge = first.weight.split(
            [hidden, hidden, 1 + features.shape[-1]], dim=1
        )
        r = graph.separations(x)
        if features.dim() == 2:  # the same at every time point
            features = features[:, None].expand(-1, h.shape[1], -1)
        inputs = torch.cat([r.square().sum(-1, keepdim=True), features], dim=-1)
        message = nn.functional.linear(inputs, by_edge, first.bias)
        message = graph.add_receivers(message, h @ by_receiver.T)
        message += graph.gather_senders(h @ by_sender.T)
        message = self.message[3](self.message[2](self.message[1](message)))
        return graph.mean(r * self.position(message)), graph.sum(message)


def _in_blocks(h: Tensor, graph: Graph) -> bool:
    """Whether blocks pay: on a CPU, uncompiled, where edges are plain and there are any."""
    plain = graph.offsets is None and graph.envelope is None and graph.senders.numel() > 0
    eager = not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")
    return plain and h.device.type == "cpu" and eager
