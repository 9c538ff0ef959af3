"""SE(3)-Transformer (Fuchs et al. 2020, arXiv 2006.10503), on e3nn."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from egno_md.nn.graph import Graph
from egno_md.nn.layers.e3 import Carrier, Coupling, Features, o3, plain_torch
from egno_md.nn.layers.foreign import softmax
from egno_md.nn.layers.parts import EdgeWeights, Symmetry, edge_geometry, join

DEGREE = 2
"""Highest l of features and harmonics."""

HEADS = 4


class Se3TransformerLayer(nn.Module):
    """f_i ← gate( A f_i + B Σ_j α_ij V(r_ij) f_j ), α = softmax_j q_i · K(r_ij) f_j.

    A tensor field network whose neighbours are weighed by invariant attention:
    keys and values are its messages, queries are linear in f_i, and every head
    has its share of the channels.
    """

    symmetry: ClassVar[Symmetry] = "E(3)"

    def __init__(self, hidden: int, edge_features: int) -> None:
        super().__init__()
        features = Features(hidden, DEGREE)
        channels = HEADS * max(hidden // (8 * HEADS), 1)
        with plain_torch():
            self.gate: Any = features.gate()
            self.harmonics = features.harmonics()
            self.coupling = coupling = Coupling(features, channels)
            self.itself = o3.Linear(features.all, self.gate.irreps_in, biases=True)
            self.sent = o3.Linear(features.all, coupling.sent)
            self.query = o3.Linear(features.all, coupling.irreps)
            self.mix = o3.Linear(coupling.irreps, self.gate.irreps_in)
        weights = coupling.channels * coupling.paths
        self.keys = EdgeWeights(edge_features, hidden, weights)
        self.values = EdgeWeights(edge_features, hidden, weights)
        self.carrier = Carrier(features)

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, graph: Graph, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer on ``(nodes, points, ...)``; the state is ``(nodes, points, ...)``."""
        f = join(h, self.carrier.state(v, state))
        edges, coupling = edge_geometry(x, graph), self.coupling
        product = coupling(self.sent(f), self.harmonics(edges.direction), graph)
        keys = coupling.weigh(product, self.keys(edges.distance, graph))
        query = coupling.by_channel(self.query(f), coupling.irreps)
        agreement = (graph.gather_receivers(query) * keys).unflatten(-2, (HEADS, -1)).flatten(-2)
        logits = agreement.sum(-1, keepdim=True) / agreement.shape[-1] ** 0.5
        attention = softmax(logits, graph.receivers, num_nodes=graph.nodes)
        values = coupling.weigh(product, self.values(edges.distance, graph))
        values = values.unflatten(-2, (HEADS, -1)) * attention[..., None]
        mixed = self.mix(coupling.flatten(graph.sum(values).flatten(-3, -2)))
        return self.carrier(x, v, self.gate(self.itself(f) + mixed))
