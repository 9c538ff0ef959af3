"""Tensor field network (Thomas et al. 2018, arXiv 1802.08219), on e3nn."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from egno_md.nn.graph import Graph
from egno_md.nn.layers.e3 import Carrier, Coupling, Features, o3, plain_torch
from egno_md.nn.layers.parts import EdgeWeights, Symmetry, edge_geometry, join

DEGREE = 2
"""Highest l of features and harmonics."""


class TfnLayer(nn.Module):
    """f_i ← gate( A f_i + B mean_j R(d_ij, e_ij) C f_j ⊗ Y(r_ij) ).

    A group convolution linear in the neighbours' features: scalars, vectors and
    tensors of degree 2. The norm nonlinearity of the paper is a gate (Weiler et
    al. 2018), and neighbours are averaged, as in Fuchs' implementation of it.
    """

    symmetry: ClassVar[Symmetry] = "E(3)"

    def __init__(self, hidden: int, edge_features: int) -> None:
        super().__init__()
        features = Features(hidden, DEGREE)
        with plain_torch():
            self.gate: Any = features.gate()
            self.harmonics = features.harmonics()
            self.coupling = coupling = Coupling(features, max(hidden // 4, 1))
            self.itself = o3.Linear(features.all, self.gate.irreps_in, biases=True)
            self.sent = o3.Linear(features.all, coupling.sent)
            self.mix = o3.Linear(coupling.irreps, self.gate.irreps_in)
        weights = coupling.channels * coupling.paths
        self.weights = EdgeWeights(edge_features, hidden // 2, weights)
        self.carrier = Carrier(features)

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, graph: Graph, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer on ``(nodes, points, ...)``; the state is ``(nodes, points, ...)``."""
        f = join(h, self.carrier.state(v, state))
        edges = edge_geometry(x, graph)
        product = self.coupling(self.sent(f), self.harmonics(edges.direction), graph)
        messages = self.coupling.weigh(product, self.weights(edges.distance, graph))
        mixed = self.mix(self.coupling.flatten(graph.mean(messages)))
        return self.carrier(x, v, self.gate(self.itself(f) + mixed))
