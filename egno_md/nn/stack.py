"""EGNN and its like, without temporal convolutions: what EGNO is compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from egno_md.nn.scene import Paths, Scene
from egno_md.nn.spatial import LayerFactory, layer_factory
from egno_md.nn.temporal import TIME_EMBEDDING, with_time
from egno_md.spec.network import Stack


class StackNetwork(nn.Module):
    """Spatial layers one after another on a start frame, and a readout.

    Velocities go in and come out as they are. What one call decodes depends on the
    readout; `egno_md.nn.unroll` makes a window of it:

    - `last`: the last layer's positions are ΔT (EGNN, Satorras et al. 2021).
    - `sequential`, EGNN-S of Xu et al. 2024: time point p of P is read after layer
      ⌈pL/P⌉ of L, each from the layers above those of the point before.
    - `rolled`, EGNN-R of Xu et al. 2024: as `last`, for one step ΔT/P.
    - `blocks`, EGNN-TB: two time points a call (time bundling, Brandstetter et al.
      2022).

    The paper describes -R and -S in a sentence each, and its code has neither: the
    layer that a point is read from, and the mean velocities that steps after the
    first start from, are assumptions. So is all of -TB but K = 2: here the node
    features of each of the two points carry its time embedding, and training goes
    through all blocks of the window.

    Args:
        spec: sizes and readout.
        node_features: scalars per node, ‖v‖ included.
        edge_features: scalars per edge, the start frame's d² included.
        points: P.
        layer: a `SpatialLayer` class of your own instead of `spec.kind`.

    Raises:
        SpecError: the layer needs e3nn, which is not installed.
    """

    def __init__(
        self,
        spec: Stack,
        node_features: int,
        edge_features: int,
        points: int,
        layer: LayerFactory | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.is_timed = spec.readout == "blocks"
        width = node_features + (TIME_EMBEDDING if self.is_timed else 0)
        self.embed = nn.Linear(width, spec.hidden)
        layer = layer or layer_factory(spec.kind)
        self.layers = nn.ModuleList(layer(spec.hidden, edge_features) for _ in range(spec.layers))
        reads = points if spec.readout == "sequential" else 1
        self.read_after = [-(-point * spec.layers // reads) for point in range(1, reads + 1)]

    def forward(self, scene: Scene) -> Paths:
        """Decode the time points of one call."""
        copies = len(scene.index) if self.is_timed else 1
        x = scene.positions[:, None].expand(-1, copies, -1)
        v = scene.velocities[:, None].expand(-1, copies, -1)
        h = self.embed(with_time(scene) if self.is_timed else scene.features[:, None])
        state: Tensor | None = None
        outputs: list[Tensor] = []
        for number, layer in enumerate(self.layers, start=1):
            x, h, state = layer(x, v, h, scene.graph, state)
            if number in self.read_after:
                outputs.append(x)
        positions = torch.cat(outputs, dim=1)
        return Paths(positions, scene.velocities[:, None].expand_as(positions))
