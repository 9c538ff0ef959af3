"""Our EGNO: the published idea made robust and sharp enough to integrate with.

A window is P points of scalars and equivariant vectors per atom. Each block
mixes both along time in Fourier space (Xu et al. 2024), then passes messages
along the *current* path of the atoms, which starts out ballistic and is
corrected by every block.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from egno_md.nn.block import EgnoBlock, EgnoShape, bounded, init_small
from egno_md.nn.geometry import near_order
from egno_md.nn.graph import Graph
from egno_md.nn.temporal import TIME_EMBEDDING, time_embedding

SCATTERED = 20_000
"""Atoms from which inference puts those near in space side by side in memory."""


class EgnoNetwork(nn.Module):
    """Scalars and vectors over a window, moved along a path that each block corrects.

    Lengths are in the operator's unit (of order one bond); vectors arrive
    divided by their root mean square over the training data.
    """

    def __init__(self, shape: EgnoShape) -> None:
        super().__init__()
        self.shape = shape
        hidden = shape.hidden
        inputs = 2 if shape.force_channel else 1
        invariants = 3 if shape.force_channel else 1
        self.embed = nn.Linear(shape.node_features + invariants + TIME_EMBEDDING, hidden)
        self.start = nn.Linear(hidden, inputs * shape.vectors)
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
        vectors: Float[Tensor, "nodes 3 inputs"],
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
        atoms = graph.atoms or 0  # graphs of different sizes are small
        if atoms >= SCATTERED and not torch.is_grad_enabled():
            order = near_order(positions, atoms)
            if order is not None:
                inputs = (t[order] for t in (positions, displacements, vectors, features))
                outputs = self(*inputs, graph.renumbered(order), index, fraction)
                back = torch.argsort(order)
                return outputs[0][back], outputs[1][back], outputs[2][back]
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
