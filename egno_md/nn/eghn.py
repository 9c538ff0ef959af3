"""EGHN (Han et al. 2022, arXiv 2202.10643) and EGHNO (Xu et al. 2024): clusters that move nodes."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from egno_md.nn.egnn import EgnnLayer
from egno_md.nn.graph import Graph
from egno_md.nn.pooling import Pooling, Unpooling
from egno_md.nn.scene import Paths, Scene
from egno_md.nn.temporal import TIME_EMBEDDING, SpectralMix, mix_scalars, mix_vectors, with_time
from egno_md.spec.network import Hierarchical

BOND_FEATURES = 2
"""Length and squared length in the start frame, as published."""

LEAST_SIZE = 1e-5
"""Nodes that a cluster is taken to have at least, as published."""


class HierarchicalNetwork(nn.Module):
    """EGHN: nodes move, are pooled into K clusters that move, and are moved by them.

    `eghn` decodes ΔT alone and has the published parameter count. `eghno` decodes
    every time point: EGNO's temporal convolutions stand before every EGNN layer of
    both levels, and each time point is pooled and unpooled by itself. The paper names
    jump connections between matching levels without their form; here the scalars that
    enter a level are added to those that leave it. Published code lets a cluster send
    messages to itself, and so does this.

    Args:
        spec: sizes.
        node_features: scalars per node, ‖v‖ included.
        edge_features: scalars per edge, the start frame's d² included.
    """

    def __init__(self, spec: Hierarchical, node_features: int, edge_features: int) -> None:
        super().__init__()
        self.spec = spec
        self.is_timed = spec.kind == "eghno"
        width = node_features + (TIME_EMBEDDING if self.is_timed else 0)
        self.embed = nn.Linear(width, spec.hidden)
        self.low = Level(spec, edge_features)
        self.pooling = Pooling(spec.hidden, BOND_FEATURES, spec.layers, spec.clusters)
        self.high = Level(spec, 1)
        self.unpooling = Unpooling(spec.hidden)

    def forward(self, scene: Scene) -> Paths:
        """Decode ΔT, or every time point of a scene."""
        bonds = _bonds(scene)
        x, v, h, mean = self._start_paths(scene)
        low_x, v, h = self.low(x, v, h, mean, scene.graph)
        low = low_x - x
        s = self.pooling(torch.stack([x - mean, low, v], dim=-1), h, bonds)
        atoms = scene.graph.atoms
        assert atoms is not None
        clusters = _Clusters(s, atoms)
        big_x, big_v, big_h = clusters.means(x), clusters.means(v), clusters.means(h)
        graph = clusters.graph(clusters.cluster_edges(scene.graph))
        centre = mean.unflatten(0, (-1, atoms))[:, :1].expand(-1, s.shape[-1], -1, -1).flatten(0, 1)
        new_x, _, new_h = self.high(big_x, big_v, big_h, centre, graph)
        vectors = [
            clusters.spread(new_x - big_x),
            x - clusters.spread(big_x),
            v - clusters.spread(big_v),
            low,
        ]
        scalars = torch.cat([h, clusters.spread(new_h)], dim=-1)
        positions = clusters.spread(new_x) + self.unpooling(torch.stack(vectors, dim=-1), scalars)
        penalty = self.spec.connectivity * disconnection(clusters.cluster_edges(bonds))
        return Paths(positions, v, penalty)

    def clusters(self, scene: Scene) -> Float[Tensor, "nodes points clusters"]:
        """How much of each node belongs to each cluster, at every time point."""
        x, v, h, mean = self._start_paths(scene)
        low_x, v, h = self.low(x, v, h, mean, scene.graph)
        return self.pooling(torch.stack([x - mean, low_x - x, v], dim=-1), h, _bonds(scene))

    def _start_paths(self, scene: Scene) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Positions, velocities and scalars at every point, and the input's mean position."""
        points = len(scene.index) if self.is_timed else 1
        x = scene.positions[:, None].expand(-1, points, -1)
        v = scene.velocities[:, None].expand(-1, points, -1)
        mean = scene.graph.centre(scene.positions)[:, None].expand(-1, points, -1)
        h = self.embed(with_time(scene) if self.is_timed else scene.features[:, None])
        return x, v, h, mean


class Level(nn.Module):
    """EGNN layers on one level; with temporal convolutions and a jump connection for EGHNO."""

    def __init__(self, spec: Hierarchical, edge_features: int) -> None:
        super().__init__()
        hidden, depth = spec.hidden, range(spec.layers)
        convolutions = depth if spec.kind == "eghno" else ()
        self.embed = nn.Linear(hidden, hidden)
        self.layers = nn.ModuleList(EgnnLayer(hidden, edge_features) for _ in depth)
        self.scalar_mix = nn.ModuleList(
            SpectralMix(hidden, spec.modes, published=True, scale=1 / hidden**2)
            for _ in convolutions
        )
        self.vector_mix = nn.ModuleList(
            SpectralMix(2, spec.modes, published=True, scale=0.1) for _ in convolutions
        )

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, mean: Tensor, graph: Graph
    ) -> tuple[Tensor, Tensor, Tensor]:
        """New positions, velocities and scalars, ``(nodes, points, ...)``."""
        inputs, h = h, self.embed(h)
        for index, layer in enumerate(self.layers):
            if self.scalar_mix:
                h = mix_scalars(self.scalar_mix[index], h)
                offset, v = mix_vectors(self.vector_mix[index], [x - mean, v])
                x = offset + mean
            x, h, _ = layer(x, v, h, graph)
        return x, v, h + inputs if self.scalar_mix else h


class _Clusters:
    """Sums over the nodes of each graph, by how much they belong to each cluster.

    Args:
        s: ``(nodes, points, clusters)``.
        atoms: nodes of a graph.
    """

    def __init__(self, s: Tensor, atoms: int) -> None:
        self.s = s.unflatten(0, (-1, atoms))
        self.size = self.s.sum(1).clamp(min=LEAST_SIZE).transpose(1, 2).flatten(0, 1)[..., None]

    def means(self, values: Tensor) -> Tensor:
        """``(nodes, points, ...)`` to ``(clusters, points, ...)``: s-weighted means."""
        by_graph = values.unflatten(0, (self.s.shape[0], -1))
        return torch.einsum("bnpk,bnpf->bkpf", self.s, by_graph).flatten(0, 1) / self.size

    def spread(self, values: Tensor) -> Tensor:
        """``(clusters, points, ...)`` to ``(nodes, points, ...)``."""
        by_graph = values.unflatten(0, (self.s.shape[0], -1))
        return torch.einsum("bnpk,bkpf->bnpf", self.s, by_graph).flatten(0, 1)

    def cluster_edges(self, graph: Graph) -> Float[Tensor, "graphs points clusters clusters"]:
        """sᵀ A s: how many edges lead from one cluster to another."""
        neighbours = graph.sum(graph.gather_senders(self.s.flatten(0, 1))).view(self.s.shape)
        return torch.einsum("bnpi,bnpj->bpij", self.s, neighbours)

    def graph(self, cluster_edges: Tensor) -> Graph:
        """The complete graph of the clusters, with `cluster_edges` as its features."""
        graphs, points, count, _ = cluster_edges.shape
        every = torch.arange(graphs * count, device=cluster_edges.device)
        return Graph(
            receivers=every.repeat_interleave(count),
            senders=every.view(graphs, 1, count).expand(-1, count, -1).flatten(),
            features=cluster_edges.permute(0, 2, 3, 1).reshape(-1, points, 1),
            nodes=graphs * count,
            atoms=count,
            degree=count,
        )


def disconnection(
    cluster_edges: Float[Tensor, "graphs points clusters clusters"],
) -> Float[Tensor, ""]:
    """‖rownorm(sᵀ A s) - I‖_F, mean over graphs and time points.

    It is zero where no edge leads from one cluster to another and every cluster has
    edges of its own.
    """
    rows = nn.functional.normalize(cluster_edges, dim=-1)
    eye = torch.eye(cluster_edges.shape[-1], dtype=cluster_edges.dtype, device=cluster_edges.device)
    return torch.linalg.vector_norm(rows - eye, dim=(-2, -1)).mean()


def _bonds(scene: Scene) -> Graph:
    """The bonds, or all edges where nothing is bonded, with their lengths as features."""
    bonds = scene.graph if scene.bonds is None else scene.bonds
    r = bonds.separations(scene.positions)
    squared = r.square().sum(-1, keepdim=True)
    length = torch.linalg.vector_norm(r, dim=-1, keepdim=True)
    return replace(bonds, features=torch.cat([length, squared], dim=-1))
