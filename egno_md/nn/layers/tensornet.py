"""TensorNet (Simeon & De Fabritiis 2023, arXiv 2306.06482) as an embedding of nodes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from egno_md.core.quiet import hush_warp, no_jit_warnings
from egno_md.nn.graph import Graph
from egno_md.nn.layers.parts import RADIAL, length
from egno_md.nn.scene import Scene

hush_warp()
with no_jit_warnings():
    from torchmdnet.models.tensornet import TensorNet

LAYERS = 1
"""Interactions after the embedding: nodes see two edges far."""


class TensorNetEmbedding(nn.Module):
    """Invariant scalars per node out of TorchMD-Net's TensorNet on the start frame.

    Its edges are the scene's, and its distances are s = d/(1 + d) with the
    cutoff at 1, so that all distances count and far ones fade. Nodes are described by
    their features instead of an atomic number. Invariant under rotations,
    reflections and translations.

    Args:
        node_features: scalars per node of a scene.
        hidden: scalars per node.
    """

    def __init__(self, node_features: int, hidden: int) -> None:
        super().__init__()
        net: Any = TensorNet(
            hidden_channels=hidden,
            num_layers=LAYERS,
            num_rbf=RADIAL,
            cutoff_upper=1.0,
            max_z=1,
            static_shapes=False,
        )
        net.distance = _GivenEdges()
        net.tensor_embedding.emb = nn.Linear(node_features, hidden)
        self.net = net

    def forward(self, scene: Scene) -> Tensor:
        """``(nodes, hidden)``."""
        x = scene.positions
        molecule = torch.zeros(len(x), dtype=torch.long, device=x.device)
        charge = x.new_zeros(1)
        # TensorNet passes the box on to its neighbour search
        return self.net(scene.features, x, molecule, box=scene.graph, q=charge)[0]


class _GivenEdges(nn.Module):
    """Replaces TensorNet's neighbour search: a graph's edges, and each node with itself."""

    def forward(self, positions: Tensor, _: Tensor, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        r = graph.gather_receivers(positions) - graph.gather_senders(positions)
        distance = length(r)
        itself = torch.arange(graph.nodes, device=r.device)
        edges = torch.stack(
            [torch.cat([graph.receivers, itself]), torch.cat([graph.senders, itself])]
        )
        pad = (0, 0, 0, graph.nodes)
        return (
            edges,
            nn.functional.pad(distance / (1 + distance), pad).squeeze(-1),
            nn.functional.pad(r / (1 + distance), pad),
        )
