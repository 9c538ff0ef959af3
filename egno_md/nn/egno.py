"""Our EGNO: the published idea made robust and sharp enough to integrate with.

A window is P points of scalars and equivariant vectors per atom. Each block
mixes both along time in Fourier space (Xu et al. 2024), then passes messages
along the *current* path of the atoms, which starts out ballistic and is
corrected by every block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from egno_md.nn.graph import Graph
from egno_md.nn.native.hearing import Hearing, can_hear, hear
from egno_md.nn.native.linear import linear
from egno_md.nn.native.perceptron import perceptron
from egno_md.nn.temporal import TIME_EMBEDDING, SpectralMix, time_embedding


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


class EgnoNetwork(nn.Module):
    """Scalars and vectors over a window, moved along a path that each block corrects.

    Lengths are in the operator's unit (of order one bond); vectors arrive
    divided by their root mean square over the training data.
    """

    def __init__(self, shape: EgnoShape) -> None:
        super().__init__()
        self.shape = shape
        hidden = shape.hidden
        known = 2 if shape.force_channel else 1
        invariants = 3 if shape.force_channel else 1
        self.embed = nn.Linear(shape.node_features + invariants + TIME_EMBEDDING, hidden)
        self.start = nn.Linear(hidden, known * shape.vectors)
        self.blocks = nn.ModuleList(EgnoBlock(shape) for _ in range(shape.layers))
        self.final = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 2 * shape.vectors),
        )
        if shape.stable:
            init_small(self.final[-1], 1e-2)

    def forward(
        self,
        positions: Float[Tensor, "nodes 3"],
        displacements: Float[Tensor, "nodes 3"],
        vectors: Float[Tensor, "nodes 3 known"],
        features: Float[Tensor, "nodes features"],
        graph: Graph,
        index: Float[Tensor, " points"],
        fraction: Float[Tensor, " points"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Corrections to positions and velocities, ``(nodes, points, 3)`` each.

        Args:
            positions: of the start frame.
            displacements: vΔT, where the start velocities lead over the window.
            vectors: normalised velocities, and accelerations with the force channel.
            features: scalars per node.
            graph: edges with their fixed features.
            index: time positions for the embedding.
            fraction: of the window at each time point, in (0, 1].

        Returns:
            The correction of the ballistic path in lengths, a further normalised
            position correction, and a normalised velocity correction.
        """
        nodes, points = len(positions), len(index)
        s = self._scalars(vectors, features, index)
        mixing = self.start(s).view(nodes, 1, points, vectors.shape[-1], -1)
        z = (vectors[:, :, None, :, None] * mixing).sum(3)
        ballistic = torch.addcmul(positions[..., None], displacements[..., None], fraction)
        path, squared = ballistic, fraction.square()
        fixed = torch.cat(
            [graph.features, _start_geometry(positions, vectors[..., 0], graph)], dim=-1
        )
        for block in self.blocks:
            s, z, path = block(s, z, path, fixed, graph, squared)
        gates = self.final(s).view(nodes, 1, points, 2, -1)
        moves = (z[..., None, :] * gates).sum(-1).transpose(1, 2)
        return (path - ballistic).transpose(1, 2), moves[..., 0], moves[..., 1]

    def _scalars(self, vectors: Tensor, features: Tensor, index: Tensor) -> Tensor:
        lengths = (vectors.square().sum(1) + 1e-6).sqrt()
        invariants = [lengths]
        if vectors.shape[-1] == 2:
            dot = (vectors[..., 0] * vectors[..., 1]).sum(1, keepdim=True)
            invariants.append(dot / (lengths.prod(1, keepdim=True) + 0.1))
        fixed = torch.cat([features, *invariants], dim=-1)
        by_node, by_time = self.embed.weight.split([fixed.shape[1], TIME_EMBEDDING], dim=1)
        at_times = torch.addmm(self.embed.bias, time_embedding(index), by_time.T)
        return (fixed @ by_node.T)[:, None] + at_times


def _start_geometry(positions: Tensor, velocities: Tensor, graph: Graph) -> Tensor:
    """Invariants of the start frame per edge: distance and approach speed."""
    r = graph.separations(positions)
    distance = (r.square().sum(-1, keepdim=True) + 1e-8).sqrt()
    relative = graph.gather_receivers(velocities) - graph.gather_senders(velocities)
    approach = (relative * r).sum(-1, keepdim=True) / distance
    return torch.cat([bounded(distance), approach], dim=-1)


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


def _joined(parts: list[Tensor]) -> Tensor:
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
        coupled = sizes * shape.edge_features if shape.couplings else 0
        geometry = sizes + 2 * vectors + coupled + extra
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
            fixed: what an edge knows at every point, ``(edges, ...)``.
            graph: edges.
            squared: fraction of the window, squared, per point.
            extra: what an edge knows besides at each point, ``(edges, points, ...)``.
        """
        parts = [(slice(None), slice(None), graph)]
        size = s[0].numel()
        if can_hear(s, graph):
            own, turned, normed, *ends = self._mix(s, z)
            heard = self._hear_at_once(ends, turned, path, fixed, graph, extra)
            return self._move(own, turned, path, normed, heard, squared)
        if not torch.is_grad_enabled() and graph.senders.numel() * size > LARGEST_AT_ONCE:
            parts = list(graph.parts(PART // size))
        mixed = [self._mix(s[nodes], z[nodes]) for nodes, _, _ in parts]
        z, sent = (_joined([m[i] for m in mixed]) for i in (1, 4))
        moved = []
        for (own, _, normed, received, _), (nodes, edges, part) in zip(mixed, parts, strict=True):
            known = None if extra is None else extra[edges]
            heard = self._hear((received, sent), z, path, fixed[edges], part, nodes, known)
            moved.append(self._move(own, z[nodes], path[nodes], normed, heard, squared))
        s, z, path = (_joined(list(found)) for found in zip(*moved, strict=True))
        return s, z, path

    def _mix(self, s: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        """Scalars and vectors mixed along time, scalars normed, for receivers, for senders."""
        s = s + silu(self.scalar_mix(self.norm(s)), inplace=True)
        z = z + self.vector_mix(z)
        normed = self.message_norm(s)
        ends = (linear(normed, layer.weight) for layer in (self.by_receiver, self.by_sender))
        return s, z, normed, *ends

    def _move(
        self,
        s: Tensor,
        z: Tensor,
        path: Tensor,
        normed: Tensor,
        found: tuple[Tensor, Tensor],
        squared: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scalars, vectors and path of nodes after what they heard."""
        moved, heard = found
        hidden = s.shape[-1]
        z = z + moved
        mixed = self.channel(z)
        # bounded, or scalars and vectors would feed each other without limit
        size = (z.square().sum(1) + 1e-6).sqrt()
        product = (z * mixed).sum(1)
        products = torch.cat([product / (1 + product.abs()), torch.log1p(size)], dim=-1)
        update = perceptron(self.node, normed, torch.cat([heard, products], dim=-1))
        s = s + update[..., :hidden]
        z = torch.addcmul(z, mixed, update[:, None, :, hidden:])
        return s, z, torch.addcmul(path, self.path(z)[..., 0], squared)

    def _hear(
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
        sent = graph.gather_senders(z)
        seen = (sent * unit[..., None]).sum(1)
        own = graph.multiply_receivers(unit[..., None], z[nodes]).sum(1)
        projections = [seen, own - seen]
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
        return graph.mean(torch.addcmul(sent * carry, unit[..., None], pull)), graph.mean(message)

    def _hear_at_once(
        self,
        ends: list[Tensor],
        z: Tensor,
        path: Tensor,
        fixed: Tensor,
        graph: Graph,
        extra: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """The same of all nodes in one pass over the edges."""
        second = self.message[1]
        assert isinstance(second, nn.Linear)
        weights = (
            torch.cat([self.by_geometry.weight, self.by_edge.weight], dim=1),
            second.weight, second.bias, self.weights.weight, self.weights.bias,
        )  # fmt: skip
        how = Hearing(graph, self.normalised, self.couplings, self.soft)
        received = ends[0] + self.by_edge.bias
        return hear(how, path, z, received, ends[1], fixed, extra, weights)

    def _separation(self, path: Tensor, graph: Graph, nodes: slice) -> tuple[Tensor, Tensor]:
        """Directions ``(edges, 3, points)`` along the path and functions of the distance."""
        r = graph.separations(path, nodes)
        squared = r.square().sum(1)
        if not self.normalised:
            return r, squared[..., None]
        distance = (squared + 1e-8).sqrt()
        return r / distance[:, None], bounded(distance[..., None])
