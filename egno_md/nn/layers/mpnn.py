"""Message passing on plain coordinates (Gilmer et al. 2017): the rival without symmetry."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from egno_md.nn.egnn import mlp
from egno_md.nn.graph import Graph
from egno_md.nn.layers.parts import Symmetry, join


class MessagePassingLayer(nn.Module):
    """Messages read the components of r_ij, nodes those of v_i, and a map of h moves them.

    **Not equivariant** under rotations and reflections; only under translations,
    since no absolute position is read. It is the "GNN" or "MPNN" of the n-body
    tables, which read absolute positions about the centre and gave positions;
    h is updated with a residual, as there.
    """

    symmetry: ClassVar[Symmetry] = "T(3)"

    def __init__(self, hidden: int, edge_features: int) -> None:
        super().__init__()
        self.by_receiver = nn.Linear(hidden, hidden)
        self.by_sender = nn.Linear(hidden, hidden, bias=False)
        self.by_edge = nn.Linear(edge_features, hidden, bias=False)
        self.by_separation = nn.Linear(3, hidden, bias=False)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.node = mlp(2 * hidden + 3, hidden, hidden)
        self.move = mlp(hidden, hidden, 3)

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, graph: Graph, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """One layer on ``(nodes, points, ...)``; see `SpatialLayer`."""
        r = graph.gather_receivers(x) - graph.gather_senders(x)
        message = (
            graph.gather_receivers(self.by_receiver(h))
            + graph.gather_senders(self.by_sender(h))
            + self.by_edge(graph.features)[:, None]
            + self.by_separation(r)
        )
        h = h + self.node(join(h, graph.sum(self.message(message)), v))
        return x + self.move(h), h, state
