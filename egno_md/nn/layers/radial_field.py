"""Radial field (Köhler et al. 2019, arXiv 1910.00753), as Satorras et al. 2021 ran it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from egno_md.nn.graph import Graph
from egno_md.nn.layers.parts import Symmetry, edge_geometry, length

SLOPE = 0.2
FIRST_GAIN = 1e-3


class RadialFieldLayer(nn.Module):
    """x_i ← x_i + φ_v(‖v_i‖) v_i + mean_j r_ij tanh φ(d_ij, e_ij).

    A central field: the weight of a pair depends on its distance alone. Node
    features h go through unchanged. They differ between time points, so both terms
    are multiplied by 1 + w·h_i, with w = 0 at the start: the one departure.
    """

    symmetry: ClassVar[Symmetry] = "E(3)"

    def __init__(self, hidden: int, edge_features: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, 1, bias=False)
        nn.init.xavier_uniform_(last.weight, gain=FIRST_GAIN)
        self.field = nn.Sequential(
            nn.Linear(1 + edge_features, hidden), nn.LeakyReLU(SLOPE), last, nn.Tanh()
        )
        self.velocity = nn.Sequential(
            nn.Linear(1, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, 1)
        )
        self.strength = nn.Linear(hidden, 2, bias=False)
        nn.init.zeros_(self.strength.weight)

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, graph: Graph, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """One layer on ``(nodes, points, ...)``; see `SpatialLayer`."""
        edges = edge_geometry(x, graph)
        fixed = graph.features[:, None].expand(-1, x.shape[1], -1)
        pull = graph.mean(edges.r * self.field(torch.cat([edges.distance, fixed], dim=-1)))
        of_velocity, of_field = (1 + self.strength(h)).split(1, dim=-1)
        return x + of_velocity * self.velocity(length(v)) * v + of_field * pull, h, state
