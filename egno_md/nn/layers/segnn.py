"""SEGNN: steerable E(3)-equivariant messages (Brandstetter et al. 2022, arXiv 2110.02905)."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from egno_md.nn.graph import Graph
from egno_md.nn.layers.e3 import Carrier, Features, o3, plain_torch
from egno_md.nn.layers.parts import RADIAL, EdgeBasis, Symmetry, edge_geometry, join, soft_unit

DEGREE = 1
"""Highest l of features and harmonics, as published for n-body."""


class SegnnLayer(nn.Module):
    """Messages and updates by steerable two-layer perceptrons: non-linear convolutions.

    m_ij = MLP(f_i, f_j, d_ij, e_ij | a_ij) and f_i ← f_i + MLP(f_i, mean_j m_ij | a_i),
    where a linear map steered by a takes tensor products with it: a_ij = Y(r_ij)
    and a_i = (mean_j a_ij + Y(v_i))/2. Means instead of sums, and Gaussians of the
    distance instead of ‖r‖², keep a deep stack from growing at the start.
    """

    symmetry: ClassVar[Symmetry] = "E(3)"

    def __init__(self, hidden: int, edge_features: int) -> None:
        super().__init__()
        features = Features(hidden, DEGREE)
        self.features = features
        scalars = RADIAL + edge_features
        with plain_torch():
            pair: Any = o3.Irreps([(2 * hidden + scalars, (0, 1)), (2 * features.vectors, (1, -1))])
            both: Any = o3.Irreps([(2 * hidden, (0, 1)), (2 * features.vectors, (1, -1))])
            self.harmonics = features.harmonics()
            self.gate: Any = features.gate()
            gated = self.gate.irreps_in
            self.first_message = _Steered(pair, features.sphere, gated)
            self.second_message = _Steered(features.all, features.sphere, gated)
            self.first_update = _Steered(both, features.sphere, gated)
            self.second_update = _Steered(features.all, features.sphere, features.all)
        self.basis = EdgeBasis()
        self.carrier = Carrier(features)

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, graph: Graph, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer on ``(nodes, points, ...)``; the state is ``(nodes, points, ...)``."""
        state = self.carrier.state(v, state)
        edges = edge_geometry(x, graph)
        fixed = graph.features[:, None].expand(-1, x.shape[1], -1)
        on_edge = self.harmonics(edges.direction)
        on_node = (graph.mean(on_edge) + self.harmonics(soft_unit(v))) / 2
        message = join(
            graph.gather_receivers(h),
            graph.gather_senders(h),
            self.basis(edges.distance),
            fixed,
            graph.gather_receivers(state),
            graph.gather_senders(state),
        )
        message = self.gate(self.first_message(message, on_edge))
        message = self.gate(self.second_message(message, on_edge))
        of_message, of_state = self.features.split(graph.mean(message))
        update = self.gate(self.first_update(join(h, of_message, state, of_state), on_node))
        update = self.second_update(update, on_node)
        return self.carrier(x, v, join(h, state) + update)


class _Steered(nn.Module):
    """A linear map steered by attributes."""

    def __init__(self, irreps: Any, attributes: Any, out: Any) -> None:
        super().__init__()
        self.product: Any = o3.FullyConnectedTensorProduct(irreps, attributes, out)
        nn.init.uniform_(self.product.weight, -1, 1)  # e3nn divides by the root of the inputs

    def forward(self, features: Tensor, attributes: Tensor) -> Tensor:
        return self.product(features, attributes)
