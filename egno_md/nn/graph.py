"""Directed graphs with edges sorted by receiver, and sums over them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Graph:
    """Edges of one graph, or of a batch of equal-sized graphs laid end to end.

    Attributes:
        receivers: node each edge points to, ascending.
        senders: node each edge comes from.
        features: fixed scalars per edge.
        nodes: over all graphs.
        atoms: per graph.
        degree: edges per receiver where all have equally many, else None.
    """

    receivers: Int[Tensor, " edges"]
    senders: Int[Tensor, " edges"]
    features: Float[Tensor, "edges features"]
    nodes: int
    atoms: int
    degree: int | None

    def gather_receivers(self, values: Tensor) -> Tensor:
        """``(nodes, ...)`` to ``(edges, ...)`` by receiver."""
        if self.degree is not None:
            repeated = values.unsqueeze(1).expand(-1, self.degree, *values.shape[1:])
            return repeated.reshape(-1, *values.shape[1:])
        return values.index_select(0, self.receivers)

    def add_receivers_(self, values: Tensor, nodes: Tensor) -> Tensor:
        """Add ``(nodes, ...)`` of each edge's receiver to ``(edges, ...)``, in place."""
        if self.degree is not None:
            self._by_receiver(values, self.degree).add_(nodes.unsqueeze(1))
            return values
        return values.add_(nodes.index_select(0, self.receivers))

    def multiply_receivers(self, values: Tensor, nodes: Tensor) -> Tensor:
        """``(edges, ...)`` times ``(nodes, ...)`` of each edge's receiver."""
        if self.degree is not None:
            product = self._by_receiver(values, self.degree) * nodes.unsqueeze(1)
            return product.flatten(0, 1)
        return values * nodes.index_select(0, self.receivers)

    def _by_receiver(self, values: Tensor, degree: int) -> Tensor:
        return values.view(self.nodes, degree, *values.shape[1:])

    def gather_senders(self, values: Tensor) -> Tensor:
        """``(nodes, ...)`` to ``(edges, ...)`` by sender."""
        return values.index_select(0, self.senders)

    def sum(self, values: Tensor) -> Tensor:
        """Sum ``(edges, ...)`` over each receiver's edges to ``(nodes, ...)``."""
        if self.degree is not None:
            return self._by_receiver(values, self.degree).sum(1)
        result = values.new_zeros(self.nodes, *values.shape[1:])
        return result.index_add(0, self.receivers, values)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over each receiver's edges; zero where there are none."""
        if self.degree is not None:
            return self.sum(values) / max(self.degree, 1)
        counts = torch.bincount(self.receivers, minlength=self.nodes).clamp(min=1)
        return self.sum(values) / counts.view(-1, *[1] * (values.dim() - 1))

    def centre(self, values: Tensor) -> Tensor:
        """Each graph's mean of ``(nodes, 3)``, repeated for its nodes."""
        mean = values.view(-1, self.atoms, values.shape[-1]).mean(1, keepdim=True)
        return mean.expand(-1, self.atoms, -1).reshape(values.shape)

    def repeat(self, batch: int) -> Graph:
        """`batch` copies laid end to end."""
        shift = torch.arange(batch, device=self.senders.device).view(-1, 1) * self.nodes
        return replace(
            self,
            receivers=(self.receivers + shift).reshape(-1),
            senders=(self.senders + shift).reshape(-1),
            features=self.features.repeat(batch, 1),
            nodes=self.nodes * batch,
        )


def make_graph(
    pairs: Int[np.ndarray, "edges 2"], features: Float[np.ndarray, "edges features"], nodes: int
) -> Graph:
    """A graph from directed ``(receiver, sender)`` pairs in any order."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, features = pairs[order], features[order]
    degrees = np.bincount(pairs[:, 0], minlength=nodes)
    regular = len(degrees) > 0 and bool((degrees == degrees[0]).all())
    return Graph(
        receivers=torch.from_numpy(np.ascontiguousarray(pairs[:, 0])),
        senders=torch.from_numpy(np.ascontiguousarray(pairs[:, 1])),
        features=torch.from_numpy(np.ascontiguousarray(features)).float(),
        nodes=nodes,
        atoms=nodes,
        degree=int(degrees[0]) if regular else None,
    )


def complete_pairs(atoms: int) -> Int[np.ndarray, "edges 2"]:
    """Every ordered pair of different atoms."""
    receivers, senders = np.nonzero(~np.eye(atoms, dtype=bool))
    return np.stack([receivers, senders], axis=1)


def hop_distances(bonds: Int[np.ndarray, "bonds 2"], atoms: int, limit: int) -> np.ndarray:
    """Bonds on the shortest path between atoms, ``(atoms, atoms)``, 0 beyond `limit`."""
    adjacency = np.zeros((atoms, atoms), dtype=bool)
    adjacency[bonds[:, 0], bonds[:, 1]] = adjacency[bonds[:, 1], bonds[:, 0]] = True
    hops = np.zeros((atoms, atoms), dtype=np.int64)
    reached = np.eye(atoms, dtype=bool)
    front = reached
    for hop in range(1, limit + 1):
        front = (front.astype(np.int64) @ adjacency.astype(np.int64) > 0) & ~reached
        hops[front] = hop
        reached |= front
    return hops
