"""One block of our EGNO: temporal convolutions, messages along the path, update of nodes and path."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from egno_md.nn.graph import Graph
from egno_md.nn.native.edge_messages import EdgeOptions, edge_messages, has_native_messages
from egno_md.nn.native.linear import linear
from egno_md.nn.native.perceptron import perceptron
from egno_md.nn.temporal import SpectralMix


@dataclass(frozen=True)
class EgnoShape:
    """Sizes and options of an `EgnoNetwork`; see `egno_md.spec.train.Egno`."""

    layers: int
    hidden: int
    vectors: int
    modes: int
    node_features: int
    edge_features: int
    force_channel: bool
    stable: bool
    normalised: bool
    couplings: bool = False
    soft: bool = False


def init_small(layer: nn.Module, deviation: float) -> None:
    """Draw a linear layer's weights about zero, without bias."""
    assert isinstance(layer, nn.Linear)
    nn.init.normal_(layer.weight, std=deviation)
    nn.init.zeros_(layer.bias)


START_GEOMETRY = 4

LARGEST_AT_ONCE = 4_000_000
"""Edges times points times channels beyond which inference goes in parts."""

PART = 1_000_000
"""The same for one part, whose nodes and edges then stay in a cache."""


def bounded(distance: Tensor) -> Tensor:
    """Three functions of a distance that stay within [0, 10]."""
    return torch.cat(
        [
            distance / (1 + distance),
            1 / (1 + distance),
            1 / (0.1 + distance.square()),
        ],
        dim=-1,
    )


def _concatenate(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class EgnoBlock(nn.Module):
    """Temporal convolutions, messages along the path, update of nodes and path.

    Args:
        shape: sizes and options.
        extra: further scalars per edge and time point that `forward` is given.
    """

    def __init__(self, shape: EgnoShape, extra: int = 0) -> None:
        super().__init__()
        hidden, vectors = shape.hidden, shape.vectors
        published = not shape.stable
        scalar_scale = 1 / hidden**2 if published else 0.5 / hidden**0.5
        vector_scale = 0.1 if published else 0.3 / vectors**0.5
        self.normalised = shape.normalised
        self.norm = nn.LayerNorm(hidden)
        self.scalar_mix = SpectralMix(hidden, shape.modes, published=published, scale=scalar_scale)
        self.vector_mix = SpectralMix(vectors, shape.modes, published=published, scale=vector_scale)
        sizes = 3 if shape.normalised else 1
        self.couplings, self.soft = shape.couplings, shape.soft
        couplings = sizes * shape.edge_features if shape.couplings else 0
        geometry = sizes + 2 * vectors + couplings + extra
        self.message_norm = nn.LayerNorm(hidden)
        self.by_receiver = nn.Linear(hidden, hidden, bias=False)
        self.by_sender = nn.Linear(hidden, hidden, bias=False)
        self.by_edge = nn.Linear(shape.edge_features + START_GEOMETRY, hidden)
        self.by_geometry = nn.Linear(geometry, hidden, bias=False)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.weights = nn.Linear(hidden, 2 * vectors)
        self.node = nn.Sequential(
            nn.Linear(2 * hidden + 2 * vectors, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden + vectors),
        )
        self.channel = nn.Linear(vectors, vectors, bias=False)
        self.path = nn.Linear(vectors, 1, bias=False)
        if shape.stable:
            nn.init.normal_(self.path.weight, std=1e-2)
            for last in (self.weights, self.node[-1]):
                init_small(last, 0.3 / hidden**0.5)

    def forward(
        self,
        s: Tensor,
        z: Tensor,
        path: Tensor,
        fixed: Tensor,
        graph: Graph,
        squared: Tensor,
        extra: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One block.

        In-place operations touch only what this function made and what no
        gradient needs.

        Args:
            s: scalars ``(nodes, points, hidden)``.
            z: vectors ``(nodes, 3, points, vectors)``.
            path: ``(nodes, 3, points)``.
            fixed: edge features that are the same at every point, ``(edges, ...)``.
            graph: edges.
            squared: fraction of the window, squared, per point.
            extra: further edge features at each point, ``(edges, points, ...)``.
        """
        size = s[0].numel()
        is_large = not torch.is_grad_enabled() and graph.senders.numel() * size > LARGEST_AT_ONCE
        if has_native_messages(s, graph):
            step = max(PART // size, 1) if is_large else len(s)
            node_parts = [slice(i, i + step) for i in range(0, len(s), step)]
            return self._forward_at_once(s, z, path, fixed, graph, squared, extra, node_parts)
        parts = [(slice(None), slice(None), graph)]
        if is_large:
            parts = list(graph.parts(PART // size))
        mixed = [self._mix(s[nodes], z[nodes]) for nodes, _, _ in parts]
        z, senders = (_concatenate([m[i] for m in mixed]) for i in (1, 4))
        updates = []
        for (scalars, _, normed, receivers, _), (nodes, edges, part) in zip(
            mixed, parts, strict=True
        ):
            features = None if extra is None else extra[edges]
            messages = self._mean_messages(
                (receivers, senders), z, path, fixed[edges], part, nodes, features
            )
            updates.append(
                self._update_nodes(scalars, z[nodes], path[nodes], normed, messages, squared)
            )
        s, z, path = (_concatenate(list(tensors)) for tensors in zip(*updates, strict=True))
        return s, z, path

    def _forward_at_once(
        self,
        s: Tensor,
        z: Tensor,
        path: Tensor,
        fixed: Tensor,
        graph: Graph,
        squared: Tensor,
        extra: Tensor | None,
        parts: list[slice],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The compiled version of `forward`: all edges in one pass, nodes in parts."""
        mixed = [self._mix(s[nodes], z[nodes]) for nodes in parts]
        z, receivers, senders = (_concatenate([m[i] for m in mixed]) for i in (1, 3, 4))
        second = self.message[1]
        assert isinstance(second, nn.Linear)
        weights = (
            torch.cat([self.by_geometry.weight, self.by_edge.weight], dim=1),
            second.weight, second.bias, self.weights.weight, self.weights.bias,
        )  # fmt: skip
        options = EdgeOptions(graph, self.normalised, self.couplings, self.soft)
        receivers = receivers + self.by_edge.bias
        changes, messages = edge_messages(
            options, path, z, receivers, senders, fixed, extra, weights
        )
        updates = [
            self._update_nodes(
                scalars, z[nodes], path[nodes], normed, (changes[nodes], messages[nodes]), squared
            )
            for (scalars, _, normed, _, _), nodes in zip(mixed, parts, strict=True)
        ]
        s, z, path = (_concatenate(list(tensors)) for tensors in zip(*updates, strict=True))
        return s, z, path

    def _mix(self, s: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        """Scalars and vectors mixed along time, scalars normed, for receivers, for senders."""
        s = s + silu(self.scalar_mix(self.norm(s)), inplace=True)
        z = z + self.vector_mix(z)
        normed = self.message_norm(s)
        ends = (linear(normed, layer.weight) for layer in (self.by_receiver, self.by_sender))
        return s, z, normed, *ends

    def _update_nodes(
        self,
        s: Tensor,
        z: Tensor,
        path: Tensor,
        normed: Tensor,
        messages: tuple[Tensor, Tensor],
        squared: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scalars, vectors and path of nodes, updated by their mean messages."""
        change, message = messages
        hidden = s.shape[-1]
        z = z + change
        channels = self.channel(z)
        # bounded, or scalars and vectors would feed each other without limit
        size = (z.square().sum(1) + 1e-6).sqrt()
        product = (z * channels).sum(1)
        products = torch.cat([product / (1 + product.abs()), torch.log1p(size)], dim=-1)
        update = perceptron(self.node, normed, torch.cat([message, products], dim=-1))
        s = s + update[..., :hidden]
        z = torch.addcmul(z, channels, update[:, None, :, hidden:])
        return s, z, torch.addcmul(path, self.path(z)[..., 0], squared)

    def _mean_messages(
        self,
        ends: tuple[Tensor, Tensor],
        z: Tensor,
        path: Tensor,
        fixed: Tensor,
        graph: Graph,
        nodes: slice,
        extra: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Mean change of the vectors and mean message of `nodes`, which `graph` points to.

        Of `ends`, the first is of those nodes alone.
        """
        vectors = z.shape[-1]
        unit, sizes = self._separation(path, graph, nodes)
        sender_vectors = graph.gather_senders(z)
        of_sender = (sender_vectors * unit[..., None]).sum(1)
        of_receiver = graph.multiply_receivers(unit[..., None], z[nodes]).sum(1)
        projections = [of_sender, of_receiver - of_sender]
        geometry = [sizes, *(torch.asinh(p) if self.soft else p for p in projections)]
        if self.couplings:
            geometry.append((sizes[..., None] * graph.features[:, None, None]).flatten(2))
        if extra is not None:
            geometry.append(extra)
        message = graph.gather_senders(ends[1])
        message += self.by_geometry(torch.cat(geometry, dim=-1))
        message += self.by_edge(fixed)[:, None]
        message = graph.add_receivers(message, ends[0])
        message = self.message(message)
        pull, carry = self.weights(message)[:, None].split(vectors, dim=-1)
        return graph.mean(torch.addcmul(sender_vectors * carry, unit[..., None], pull)), graph.mean(
            message
        )

    def _separation(self, path: Tensor, graph: Graph, nodes: slice) -> tuple[Tensor, Tensor]:
        """Directions ``(edges, 3, points)`` along the path and functions of the distance."""
        r = graph.separations(path, nodes)
        squared = r.square().sum(1)
        if not self.normalised:
            return r, squared[..., None]
        distance = (squared + 1e-8).sqrt()
        return r / distance[:, None], bounded(distance[..., None])
