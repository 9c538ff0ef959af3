"""ClofNet: complete local frames on edges (Du et al. 2022, arXiv 2110.14811)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from egno_md.nn.egnn import mlp
from egno_md.nn.graph import Graph
from egno_md.nn.layers.parts import Symmetry, edge_geometry, join, soft_unit

FIRST_GAIN = 1e-3


class ClofLayer(nn.Module):
    """Vectors are read in, and moves written in, a frame of three axes per edge.

    With positions about the graph's centre, an edge's frame is a ∝ x_i - x_j,
    b ∝ x_i × x_j and c = a × b, each shorter than 1 and smooth at 0.
    Positions and velocities of both ends are scalarised in it for the message,
    and the message gives one weight per axis. The frame is complete, so any
    field can be written in it; b is an axial vector, so mirrored input does
    **not** give mirrored output: SE(3)-equivariant, not E(3). Nodes of one graph
    see each other through the centre even without edges.
    """

    symmetry: ClassVar[Symmetry] = "SE(3)"

    def __init__(self, hidden: int, edge_features: int) -> None:
        super().__init__()
        self.by_receiver = nn.Linear(hidden, hidden)
        self.by_sender = nn.Linear(hidden, hidden, bias=False)
        self.by_edge = nn.Linear(edge_features, hidden, bias=False)
        self.by_geometry = nn.Linear(1 + 4 * 3, hidden, bias=False)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        last = nn.Linear(hidden, 3, bias=False)
        nn.init.xavier_uniform_(last.weight, gain=FIRST_GAIN)
        self.axes = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), last)
        self.velocity = mlp(hidden, hidden, 1)
        self.node = mlp(2 * hidden, hidden, hidden)

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, graph: Graph, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """One layer on ``(nodes, points, ...)``; see `SpatialLayer`."""
        edges = edge_geometry(x, graph)
        centred = x - graph.centre(x.flatten(1)).view(x.shape)
        pair = [graph.gather_receivers(centred), graph.gather_senders(centred)]
        b = soft_unit(torch.linalg.cross(*pair))
        frame = torch.stack([edges.direction, b, torch.linalg.cross(edges.direction, b)], dim=-1)
        pair += [graph.gather_receivers(v), graph.gather_senders(v)]
        projections = (torch.stack(pair, dim=-2) @ frame).flatten(-2)
        message = (
            graph.gather_receivers(self.by_receiver(h))
            + graph.gather_senders(self.by_sender(h))
            + self.by_edge(graph.features)[:, None]
            + self.by_geometry(join(edges.distance.square(), projections))
        )
        message = self.message(message)
        step = (frame @ self.axes(message)[..., None]).squeeze(-1)
        x = x + self.velocity(h) * v + graph.mean(step)
        return x, h + self.node(join(h, graph.sum(message))), state
