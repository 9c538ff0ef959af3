"""Parts shared by layers: edge geometry, weights that depend on it, moves of nodes.

Networks here see lengths of any size: a charge may be flung far away. Edges are
therefore described by s = d/(1 + d) in [0, 1) and by the direction r/(1 + d), which
is a unit vector far away and smooth where two nodes coincide. A weight that is
learned from s makes up for the difference to r/d.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from egno_md.nn.egnn import mlp
from egno_md.nn.graph import Graph
from egno_md.nn.layers.foreign import GaussianSmearing

RADIAL = 16
"""Gaussians over s in [0, 1]."""

TINY = 1e-12
"""Added to squared lengths, so that a length of 0 has the gradient 0."""

FIRST_STEP = 0.1
"""First moves of a fresh layer, per vector of length 1: larger ones drive nodes apart."""

Symmetry = Literal["E(3)", "SE(3)", "T(3)"]
"""The group a layer's positions are equivariant under: with reflections, rotations, or neither.

All three contain translations.
"""


def length(vectors: Float[Tensor, "... 3"], dim: int = -1) -> Tensor:
    """Lengths, with the gradient 0 at 0; the axis is kept."""
    return (vectors.square().sum(dim, keepdim=True) + TINY).sqrt()


def soft_unit(vectors: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3"]:
    """r/(1 + ‖r‖)."""
    return vectors / (1 + length(vectors))


@dataclass(frozen=True, eq=False)
class Edges:
    """Geometry of edges.

    Attributes:
        r: receiver minus sender.
        distance: its length.
        direction: r/(1 + d).
    """

    r: Float[Tensor, "edges points 3"]
    distance: Float[Tensor, "edges points 1"]
    direction: Float[Tensor, "edges points 3"]


def edge_geometry(x: Float[Tensor, "nodes points 3"], graph: Graph) -> Edges:
    """The edges of a graph at every time point."""
    r = graph.gather_receivers(x) - graph.gather_senders(x)
    distance = length(r)
    return Edges(r, distance, r / (1 + distance))


class EdgeBasis(nn.Module):
    """Gaussians of s = d/(1 + d), over all distances (RBF of Schütt et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.gaussians = GaussianSmearing(0.0, 1.0, RADIAL)

    def forward(self, distance: Float[Tensor, "edges points 1"]) -> Tensor:
        """``(edges, points, RADIAL)``."""
        return self.gaussians(distance / (1 + distance)).view(*distance.shape[:-1], RADIAL)


class EdgeWeights(nn.Module):
    """Numbers per edge out of its distance and its fixed features: a learned radial function.

    Features enter as f/(1 + |f|): among them is the start's d², and weights that grew with it
    would multiply features layer after layer.

    Args:
        edge_features: fixed scalars per edge.
        hidden: width.
        outputs: numbers per edge.
        activation: between the two linear maps.
    """

    def __init__(
        self, edge_features: int, hidden: int, outputs: int, activation: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.basis = EdgeBasis()
        self.by_distance = nn.Linear(RADIAL, hidden)
        self.by_edge = nn.Linear(edge_features, hidden, bias=False)
        self.activation = activation or nn.SiLU()
        self.out = nn.Linear(hidden, outputs)

    def forward(self, distance: Float[Tensor, "edges points 1"], graph: Graph) -> Tensor:
        """``(edges, points, outputs)``."""
        fixed = self.by_edge(graph.features / (1 + graph.features.abs()))
        hidden = self.by_distance(self.basis(distance)) + fixed[:, None]
        return self.out(self.activation(hidden))


class Mover(nn.Module):
    """x + φ(h) v + Σ_c w_c V_c: how layers with vector features move nodes.

    Args:
        hidden: scalars per node.
        vectors: vector channels per node.
    """

    def __init__(self, hidden: int, vectors: int) -> None:
        super().__init__()
        self.velocity = mlp(hidden, hidden, 1)
        self.step = nn.Linear(vectors, 1, bias=False)
        nn.init.normal_(self.step.weight, std=FIRST_STEP / vectors**0.5)

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, vectors: Float[Tensor, "nodes points 3 vectors"]
    ) -> Tensor:
        """New positions."""
        return x + self.velocity(h) * v + self.step(vectors).squeeze(-1)


def join(*parts: Tensor) -> Tensor:
    """Along the channels."""
    return torch.cat(parts, dim=-1)
