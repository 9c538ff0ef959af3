"""SchNet (Schütt et al. 2017, arXiv 1706.08566), made to move nodes."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from egno_md.nn.graph import Graph
from egno_md.nn.layers.foreign import ShiftedSoftplus
from egno_md.nn.layers.parts import EdgeWeights, Symmetry, edge_geometry


class SchNetLayer(nn.Module):
    """Continuous-filter convolution of invariants: m_ij = W(d_ij, e_ij) ∘ A h_j.

    SchNet predicts invariants, whose gradients are forces. Here nodes move along
    their edges by an invariant gate of the message, and along their velocity:
    x_i ← x_i + φ_v(h_i) v_i + mean_j r̂_ij φ_x(m_ij). The filter reads no node
    features, so nodes are weighed linearly. Gaussians cover all distances
    instead of those within a cutoff: the graph decides who interacts.
    """

    symmetry: ClassVar[Symmetry] = "E(3)"

    def __init__(self, hidden: int, edge_features: int) -> None:
        super().__init__()
        self.filter = EdgeWeights(edge_features, hidden, hidden, ShiftedSoftplus())
        self.sent = nn.Linear(hidden, hidden, bias=False)
        self.interaction = nn.Sequential(
            nn.Linear(hidden, hidden), ShiftedSoftplus(), nn.Linear(hidden, hidden)
        )
        self.position = _two_linear(hidden)
        self.velocity = _two_linear(hidden)

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, graph: Graph, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """One layer on ``(nodes, points, ...)``; see `SpatialLayer`."""
        edges = edge_geometry(x, graph)
        message = self.filter(edges.distance, graph) * graph.gather_senders(self.sent(h))
        x = x + self.velocity(h) * v + graph.mean(edges.direction * self.position(message))
        return x, h + self.interaction(graph.sum(message)), state


def _two_linear(hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden, hidden), ShiftedSoftplus(), nn.Linear(hidden, 1))
