"""PaiNN: polarisable atom interactions (Schütt et al. 2021, arXiv 2102.03150)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from egno_md.nn.egnn import mlp
from egno_md.nn.graph import Graph
from egno_md.nn.layers.parts import EdgeWeights, Mover, Symmetry, edge_geometry, join, length


class PainnLayer(nn.Module):
    """Scalars and as many vectors per node, kept from layer to layer as `state`.

    Message and update are PaiNN's. Vectors start from
    the velocity, which every layer adds again, since an EGNO mixes it along time
    between layers; a linear map of the vectors moves the nodes. The envelope of
    a cutoff is left out: the graph decides who interacts.
    """

    symmetry: ClassVar[Symmetry] = "E(3)"

    def __init__(self, hidden: int, edge_features: int) -> None:
        super().__init__()
        self.begin = nn.Linear(1, hidden, bias=False)
        self.sent = mlp(hidden, hidden, 3 * hidden)
        self.filter = EdgeWeights(edge_features, hidden // 2, 3 * hidden)
        self.both = nn.Linear(hidden, 2 * hidden, bias=False)
        self.update = mlp(2 * hidden, hidden, 3 * hidden)
        self.move = Mover(hidden, hidden)

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, graph: Graph, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer on ``(nodes, points, ...)``; the state is ``(nodes, points, 3, hidden)``."""
        vectors = self.begin(v[..., None])
        vectors = vectors if state is None else vectors + state
        h, vectors = self._message(x, h, vectors, graph)
        h, vectors = self._update(h, vectors)
        return self.move(x, v, h, vectors), h, vectors

    def _message(
        self, x: Tensor, h: Tensor, vectors: Tensor, graph: Graph
    ) -> tuple[Tensor, Tensor]:
        edges = edge_geometry(x, graph)
        weights = self.filter(edges.distance, graph) * graph.gather_senders(self.sent(h))
        scalars, for_vectors, for_direction = weights.chunk(3, dim=-1)
        vector_messages = torch.addcmul(
            graph.gather_senders(vectors) * for_vectors[..., None, :],
            edges.direction[..., None],
            for_direction[..., None, :],
        )
        return h + graph.sum(scalars), vectors + graph.sum(vector_messages)

    def _update(self, h: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.both(vectors).chunk(2, dim=-1)
        gates = self.update(join(h, length(second, dim=-2).squeeze(-2)))
        of_vectors, of_product, of_scalars = gates.chunk(3, dim=-1)
        product = (first * second).sum(-2)
        return h + of_scalars + of_product * product, vectors + first * of_vectors[..., None, :]
