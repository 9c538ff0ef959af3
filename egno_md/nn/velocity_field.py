"""The network of a sampler: the velocity that carries a noisy window to a true one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from egno_md.nn.block import START_GEOMETRY, EgnoBlock, EgnoShape, bounded, init_small
from egno_md.nn.geometry import sine_cosine
from egno_md.nn.graph import Graph
from egno_md.nn.temporal import TIME_EMBEDDING, time_embedding
from egno_md.spec.sampler import Sampler

NEIGHBOUR_VECTORS = 4
"""Vectors from the neighbours of an atom in the start frame."""

FLOW_EMBEDDING = 32
DISTANCE_FEATURES = 2
"""Functions of a distance's departure from its mean: one resolves small departures, one large ones."""

TORSION_FEATURES = 2
"""Sine and cosine of the torsion between atoms three bonds apart."""

BROAD = 8.0
"""Standard deviations to which the second function of a stretch reaches."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """The start frame of a window, and the geometry of the molecule.

    Attributes:
        start: positions of the start frame about their mean.
        nodes: what each node is.
        graph: edges with their fixed features.
        distances: mean of each edge's distance in the training data.
        widths: its standard deviation.
        torsions: four nodes of each torsion.
        torsion_edges: the edge it belongs to.
    """

    start: Float[Tensor, "nodes 3"]
    nodes: Float[Tensor, "nodes features"]
    graph: Graph
    distances: Float[Tensor, " edges"]
    widths: Float[Tensor, " edges"]
    torsions: Int[Tensor, "torsions 4"]
    torsion_edges: Int[Tensor, " torsions"]


@dataclass(frozen=True, eq=False)
class StartFeatures:
    """Features of start frames, the same at every flow time.

    Attributes:
        edges: features of each edge.
        around: vectors to each node's neighbours.
    """

    edges: Float[Tensor, "edges features"]
    around: Float[Tensor, "nodes 3 vectors"]


class VelocityField(nn.Module):
    """Blocks of our EGNO on the noisy window, conditioned on the geometry of the start frame.

    The window and the start frame turn together; a mirror image of both is another
    molecule, which the signs of torsions distinguish. Lengths are in the operator's unit.

    Args:
        spec: sizes.
        node_features: scalars per node.
        edge_features: fixed scalars per edge.
    """

    def __init__(self, spec: Sampler, node_features: int, edge_features: int) -> None:
        super().__init__()
        hidden, vectors = spec.hidden, spec.vectors
        edge_inputs = edge_features + 3 + DISTANCE_FEATURES + TORSION_FEATURES
        shape = EgnoShape(
            layers=spec.layers,
            hidden=hidden,
            vectors=vectors,
            modes=spec.modes,
            node_features=node_features,
            edge_features=edge_inputs - START_GEOMETRY,
            force_channel=False,
            stable=True,
            normalised=True,
        )
        width = node_features + TIME_EMBEDDING + FLOW_EMBEDDING + 1
        self.embed = nn.Linear(width, hidden)
        self.around = nn.Linear(edge_inputs, NEIGHBOUR_VECTORS)
        self.start = nn.Linear(hidden, (2 + NEIGHBOUR_VECTORS) * vectors)
        self.blocks = nn.ModuleList(
            EgnoBlock(shape, extra=DISTANCE_FEATURES + TORSION_FEATURES) for _ in range(spec.layers)
        )
        self.final = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, vectors),
        )
        init_small(self.final[-1], 1e-2)

    def forward(
        self,
        moves: Float[Tensor, "nodes 3 points"],
        scaled: Float[Tensor, "nodes 3 points"],
        flow: Float[Tensor, " nodes"],
        conditions: Conditions,
        features: StartFeatures,
        index: Float[Tensor, " points"],
    ) -> Float[Tensor, "nodes 3 points"]:
        """The velocity without its linear part, normalised.

        Args:
            moves: of the noisy window since the start frame.
            scaled: the same over their root mean square at this flow time.
            flow: flow time, 0 for noise and 1 for data.
            conditions: start frame and molecule.
            features: features of the start frames, from `features`.
            index: time positions for the embedding.
        """
        start, graph = conditions.start, conditions.graph
        path = start[..., None] + moves
        s = self._scalars(scaled, flow, conditions.nodes, index)
        nodes, points = s.shape[:2]
        vectors = torch.cat([start[:, :, None], features.around], dim=-1)
        vectors = torch.cat(
            [scaled[..., None], vectors[:, :, None].expand(-1, -1, points, -1)], dim=-1
        )
        mixing = self.start(s).view(nodes, 1, points, vectors.shape[-1], -1)
        z = (vectors[..., None] * mixing).sum(3)
        extra = _bonded_geometry(path, conditions)
        everywhere = torch.ones_like(index)
        for block in self.blocks:
            s, z, path = block(s, z, path, features.edges, graph, everywhere, extra)
        return (z * self.final(s)[:, None]).sum(-1)

    def start_features(self, conditions: Conditions) -> StartFeatures:
        """Features of start frames, the same at every flow time."""
        graph = conditions.graph
        r = graph.separations(conditions.start)
        distance = (r.square().sum(-1, keepdim=True) + 1e-8).sqrt()
        shapes = _bonded_geometry(conditions.start[..., None], conditions)[:, 0]
        fixed = torch.cat([graph.features, bounded(distance), shapes], dim=-1)
        around = graph.mean((r / distance)[..., None] * self.around(fixed)[:, None])
        return StartFeatures(fixed, around)

    def _scalars(self, scaled: Tensor, flow: Tensor, nodes: Tensor, index: Tensor) -> Tensor:
        parts = [nodes.shape[1] + FLOW_EMBEDDING, TIME_EMBEDDING, 1]
        by_node, by_time, by_move = self.embed.weight.split(parts, dim=1)
        static = torch.cat([nodes, flow_embedding(flow)], dim=-1) @ by_node.T
        at_times = torch.addmm(self.embed.bias, time_embedding(index), by_time.T)
        size = torch.log1p(scaled.square().sum(1))[..., None]
        return static[:, None] + at_times + size * by_move[:, 0]


def _bonded_geometry(
    path: Float[Tensor, "nodes 3 points"], conditions: Conditions
) -> Float[Tensor, "edges points 4"]:
    """Departures of distances from their means, and torsions, of every edge."""
    r = conditions.graph.separations(path)
    distance = (r.square().sum(1) + 1e-8).sqrt()
    departure = (distance - conditions.distances[:, None]) / conditions.widths[:, None]
    by_edge = path.new_zeros(*distance.shape, TORSION_FEATURES)
    sines_cosines = sine_cosine(path, conditions.torsions)
    by_edge = by_edge.index_add(0, conditions.torsion_edges, sines_cosines)
    distances = torch.stack(
        [departure / (1 + departure.abs()), departure / (BROAD + departure.abs())], dim=-1
    )
    return torch.cat([distances, by_edge], dim=-1)


def flow_embedding(flow: Float[Tensor, " nodes"]) -> Float[Tensor, "nodes 32"]:
    """Cosines of the flow time, and of the logarithm of what is left of it."""
    orders = torch.arange(FLOW_EMBEDDING // 2, device=flow.device, dtype=flow.dtype)
    remainder = ((1 - flow).clamp(min=1e-4)).log() / math.log(1e-4)
    return torch.cat([(math.pi * orders * u[:, None]).cos() for u in (flow, remainder)], dim=-1)
