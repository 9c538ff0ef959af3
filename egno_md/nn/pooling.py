"""From nodes to clusters and back: the two ends of EGHN's hierarchy (Han et al. 2022).

Both are equivariant matrix networks: vectors are multiplied by matrices that an MLP
makes of their scalar products and of scalars, so that they turn with their input.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from egno_md.nn.egnn import mlp
from egno_md.nn.graph import Graph

POOLED_VECTORS = 3
"""x - x̄, the low level's displacement, v."""

UNPOOLED_VECTORS = 4
"""sΔX, x - sX, v - sV, the low level's displacement."""

WIDER = 8
"""Width of the layer before the clusters, over H."""


class PoolingLayer(nn.Module):
    """Message passing of vectors and scalars along the bonds."""

    def __init__(self, hidden: int, edge_features: int) -> None:
        super().__init__()
        products = POOLED_VECTORS**2
        self.message = mlp(products + 2 * hidden + edge_features, hidden, hidden, nn.SiLU())
        self.matrix = mlp(hidden, hidden, products)
        self.node = mlp(2 * hidden, hidden, hidden)

    def forward(self, vectors: Tensor, h: Tensor, bonds: Graph) -> tuple[Tensor, Tensor]:
        """New vectors ``(nodes, points, 3, vectors)`` and scalars, both residual."""
        mine, theirs = bonds.gather_receivers(vectors), bonds.gather_senders(vectors)
        edge = bonds.features[:, None].expand(-1, h.shape[1], -1)
        inputs = [gram(theirs, mine), bonds.gather_receivers(h), bonds.gather_senders(h), edge]
        message = self.message(torch.cat(inputs, dim=-1))
        matrix = self.matrix(message).unflatten(-1, (POOLED_VECTORS, POOLED_VECTORS))
        vectors = vectors + bonds.mean(theirs @ matrix)
        return vectors, h + self.node(torch.cat([h, bonds.sum(message)], dim=-1))


class Pooling(nn.Module):
    """How much of each node belongs to each cluster.

    Args:
        hidden: H, channels per node.
        edge_features: scalars per bond.
        layers: of message passing along the bonds.
        clusters: K.
    """

    def __init__(self, hidden: int, edge_features: int, layers: int, clusters: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PoolingLayer(hidden, edge_features) for _ in range(layers))
        self.assign = nn.Sequential(
            nn.Linear(hidden, WIDER * hidden), nn.Tanh(), nn.Linear(WIDER * hidden, clusters)
        )

    def forward(
        self,
        vectors: Float[Tensor, "nodes points 3 vectors"],
        h: Float[Tensor, "nodes points hidden"],
        bonds: Graph,
    ) -> Float[Tensor, "nodes points clusters"]:
        """s, whose rows add up to 1."""
        for layer in self.layers:
            vectors, h = layer(vectors, h, bonds)
        return self.assign(h).softmax(-1)


class Unpooling(nn.Module):
    """A two-layer equivariant matrix network: one vector per node out of several.

    Each layer adds the vector that it makes to those that the next one sees.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        counts = range(UNPOOLED_VECTORS, UNPOOLED_VECTORS + 2)
        scalars = (2 * hidden, hidden)
        self.mix = nn.ModuleList(
            mlp(count**2 + width, hidden, hidden, nn.SiLU())
            for count, width in zip(counts, scalars, strict=True)
        )
        self.vector = nn.ModuleList(mlp(hidden, hidden, count) for count in counts)
        self.scalar = nn.ModuleList(mlp(hidden, hidden, hidden) for _ in counts)

    def forward(
        self,
        vectors: Float[Tensor, "nodes points 3 vectors"],
        scalars: Float[Tensor, "nodes points scalars"],
    ) -> Float[Tensor, "nodes points 3"]:
        """The last layer's vector; its scalars are counted in the paper and lead nowhere."""
        for mix, to_vector, to_scalar in zip(self.mix, self.vector, self.scalar, strict=True):
            hidden = mix(torch.cat([gram(vectors, vectors), scalars], dim=-1))
            vector = vectors @ to_vector(hidden)[..., None]
            vectors, scalars = torch.cat([vectors, vector], dim=-1), to_scalar(hidden)
        return vectors[..., -1]


def gram(
    left: Float[Tensor, "... 3 vectors"], right: Float[Tensor, "... 3 vectors"]
) -> Float[Tensor, "... products"]:
    """Every scalar product of two sets of vectors, as one vector of length 1."""
    return nn.functional.normalize((left.transpose(-1, -2) @ right).flatten(-2), dim=-1)
