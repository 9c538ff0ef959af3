"""Directed graphs with edges sorted by receiver, and sums over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Graph:
    """Edges of one graph, or of a batch of graphs laid end to end.

    Attributes:
        receivers: node each edge points to, ascending.
        senders: node each edge comes from.
        features: fixed scalars per edge.
        nodes: over all graphs.
        atoms: per graph; None where graphs of a batch differ in size.
        degree: edges per receiver where all have equally many, else None.
        offsets: added to receiver minus sender: the periodic image of each edge,
            fixed over a window; None without periodic boundaries.
        envelope: weight of each edge in sums, fading to 0 at the cutoff; None
            where every edge counts fully.
        neighbours: what weighted sums are divided by in a mean.
    """

    receivers: Int[Tensor, " edges"]
    senders: Int[Tensor, " edges"]
    features: Float[Tensor, "edges features"]
    nodes: int
    atoms: int | None
    degree: int | None
    offsets: Float[Tensor, "edges 3"] | None = None
    envelope: Float[Tensor, " edges"] | None = None
    neighbours: float = 1.0

    def gather_receivers(self, values: Tensor) -> Tensor:
        """``(nodes, ...)`` to ``(edges, ...)`` by receiver."""
        if self.degree is not None:
            copies = values.unsqueeze(1).expand(-1, self.degree, *values.shape[1:])
            return copies.reshape(-1, *values.shape[1:])
        return values.index_select(0, self.receivers)

    def add_receivers(self, values: Tensor, nodes: Tensor) -> Tensor:
        """Add ``(nodes, ...)`` of each edge's receiver to ``(edges, ...)``, in place if it pays."""
        if self.degree is not None:
            parts, addends = self._by_receiver(values, self.degree), nodes.unsqueeze(1)
            if torch.is_grad_enabled():  # backward, a sum in place on a view is copied twice
                return (parts + addends).flatten(0, 1)
            parts.add_(addends)
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
        """Mean over each receiver's edges; zero where there are none.

        With an envelope it is the weighted sum over a fixed number, so that it
        adds up over pairs and changes smoothly as they come and go.
        """
        if self.envelope is not None:
            weights = (self.envelope / self.neighbours).view(-1, *[1] * (values.dim() - 1))
            return self.sum(values * weights)
        if self.degree is not None:
            return self.sum(values) / max(self.degree, 1)
        return self.sum(values) / self.counts.view(-1, *[1] * (values.dim() - 1))

    @cached_property
    def plans(self) -> dict[tuple[Any, ...], Any]:
        """Cache of what calculations over the edges need; `replace` gives a graph without it."""
        return {}

    @cached_property
    def counts(self) -> Int[Tensor, " nodes"]:
        """Edges of each receiver, but 1 where there are none."""
        with torch.inference_mode(False):  # kept for later calls, which may need gradients
            return self.degrees.clamp(min=1)

    @property
    def degrees(self) -> Int[Tensor, " nodes"]:
        """Edges of each receiver."""
        degrees = torch.zeros(self.nodes, dtype=torch.int64, device=self.receivers.device)
        return degrees.scatter_add_(0, self.receivers, torch.ones_like(self.receivers))

    def separations(self, positions: Tensor, nodes: slice = slice(None)) -> Tensor:
        """Receiver minus sender of ``(nodes, 3, ...)``, at each edge's image.

        Args:
            positions: of all nodes.
            nodes: those that receive, in a graph from `parts`.
        """
        r = self.add_receivers(-self.gather_senders(positions), positions[nodes])
        if self.offsets is not None:
            r += self.offsets.view(*self.offsets.shape, *[1] * (r.dim() - 2))
        return r

    def parts(self, edges_at_once: int) -> Iterator[tuple[slice, slice, Graph]]:
        """Cut into graphs that each hold all edges of some receivers, numbered from 0.

        Senders keep their numbers, so that values of all nodes are still gathered.

        Args:
            edges_at_once: edges of a part, unless one receiver has more.

        Yields:
            The receivers, their edges, and the graph of them.
        """
        ends = torch.searchsorted(self.receivers, torch.arange(self.nodes + 1).to(self.receivers))
        steps = torch.arange(0, len(self.senders), max(edges_at_once, 1))[1:].to(ends)
        cuts = (torch.searchsorted(ends, steps, right=True) - 1).tolist()
        cuts = sorted({0, self.nodes, *cuts})
        for first, last in pairwise(cuts):
            edges = slice(int(ends[first]), int(ends[last]))
            part = self._subset(edges)
            part = replace(part, receivers=part.receivers - first, nodes=last - first)
            yield slice(first, last), edges, part

    def _subset(self, edges: slice | Tensor) -> Graph:
        """The graph with some of its edges."""
        return replace(
            self,
            receivers=self.receivers[edges],
            senders=self.senders[edges],
            features=self.features[edges],
            offsets=None if self.offsets is None else self.offsets[edges],
            envelope=None if self.envelope is None else self.envelope[edges],
        )

    def renumbered(self, order: Int[Tensor, " nodes"]) -> Graph:
        """The same graph with node `order[i]` as node i; a receiver's edges keep their order."""
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device)
        degrees = self.degrees
        new_degrees = degrees[order]
        shift = (degrees.cumsum(0) - degrees)[order] - (new_degrees.cumsum(0) - new_degrees)
        edges = torch.arange(len(self.senders), device=order.device)
        graph = self._subset(edges + torch.repeat_interleave(shift, new_degrees))
        return replace(graph, receivers=place[graph.receivers], senders=place[graph.senders])

    def centre(self, values: Tensor) -> Tensor:
        """Each graph's mean of ``(nodes, 3)``, repeated for its nodes; of graphs of one size."""
        assert self.atoms is not None
        mean = values.view(-1, self.atoms, values.shape[-1]).mean(1, keepdim=True)
        return mean.expand(-1, self.atoms, -1).reshape(values.shape)

    def to(self, like: Tensor) -> Graph:
        """The graph on the device and in the precision of `like`."""
        return replace(
            self,
            receivers=self.receivers.to(like.device),
            senders=self.senders.to(like.device),
            features=self.features.to(like),
        )

    def batch(self, size: int, like: Tensor) -> Graph:
        """`size` copies laid end to end, on the device and in the precision of `like`; cached."""
        key = ("batch", size, like.device, like.dtype)
        if key not in self.plans:
            # cached for later calls, so never inference tensors, which autograd refuses
            with torch.inference_mode(False):
                self.plans[key] = self.repeat(size).to(like)
        return self.plans[key]

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


def join_graphs(graphs: list[Graph]) -> Graph:
    """Graphs of any sizes and edges, laid end to end."""
    first, ends = graphs[0], np.cumsum([g.nodes for g in graphs])
    shifts = [0, *ends[:-1].tolist()]
    same_size = all(g.atoms == first.atoms for g in graphs)
    return replace(
        first,
        receivers=torch.cat([g.receivers + s for g, s in zip(graphs, shifts, strict=True)]),
        senders=torch.cat([g.senders + s for g, s in zip(graphs, shifts, strict=True)]),
        features=torch.cat([g.features for g in graphs]),
        nodes=int(ends[-1]),
        atoms=first.atoms if same_size else None,
        degree=None,
        offsets=_concatenate([g.offsets for g in graphs]),
        envelope=_concatenate([g.envelope for g in graphs]),
    )


def _concatenate(parts: list[Tensor | None]) -> Tensor | None:
    present = [p for p in parts if p is not None]
    return torch.cat(present) if present else None
