"""EGNO exactly as published (Xu et al., ICML 2024, arXiv 2401.11037)."""

from __future__ import annotations

from torch import Tensor, nn

from egno_md.nn.scene import Paths, Scene
from egno_md.nn.spatial import LayerFactory, layer_factory
from egno_md.nn.temporal import (
    TIME_EMBEDDING,
    SpectralMix,
    mix_scalars,
    mix_vectors,
    with_time,
)
from egno_md.spec.network import PublishedEgno


class PublishedEgnoNetwork(nn.Module):
    """The published network: temporal convolutions before every spatial layer.

    Args:
        spec: sizes, and departures from the paper.
        node_features: scalars per node, ‖v‖ included.
        edge_features: scalars per edge, the start frame's d² included.
        layer: a `SpatialLayer` class of your own instead of `spec.spatial`.

    Raises:
        SpecError: the layer needs e3nn, which is not installed.
    """

    def __init__(
        self,
        spec: PublishedEgno,
        node_features: int,
        edge_features: int,
        layer: LayerFactory | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        hidden, modes = spec.hidden, spec.modes
        depth = range(spec.layers)
        self.embed = nn.Linear(node_features + TIME_EMBEDDING, hidden)
        scalars = depth if spec.temporal != "none" else ()
        vectors = depth if spec.temporal in ("full", "no-velocity") else ()
        self.scalar_mix = nn.ModuleList(
            SpectralMix(hidden, modes, published=True, scale=1 / hidden**2) for _ in scalars
        )
        width = 2 if spec.temporal == "full" else 1
        self.vector_mix = nn.ModuleList(
            SpectralMix(width, modes, published=True, scale=0.1) for _ in vectors
        )
        layer = layer or layer_factory(spec.spatial)
        self.layers = nn.ModuleList(layer(hidden, edge_features) for _ in depth)
        if spec.spatial == "egnn" and layer is layer_factory("egnn"):
            self.layers[-1].reads_out = True  # type: ignore[assignment]  # nothing reads its h
        self.tensor_embed = None
        if spec.embedding == "tensornet":
            from egno_md.nn.layers.tensornet import TensorNetEmbedding

            self.tensor_embed = TensorNetEmbedding(node_features, hidden)

    def forward(self, scene: Scene) -> Paths:
        """Decode every time point of a scene."""
        h = self.embed(with_time(scene))
        if self.tensor_embed is not None:
            h = h + self.tensor_embed(scene)[:, None]
        x, v, mean = self._start_paths(scene)
        state: Tensor | None = None
        for index, layer in enumerate(self.layers):
            if self.scalar_mix:
                h = mix_scalars(self.scalar_mix[index], h)
            if self.vector_mix:
                vectors = [x - mean, v] if self.spec.temporal == "full" else [x - mean]
                offset, *velocities = mix_vectors(self.vector_mix[index], vectors)
                x, v = offset + mean, velocities[0] if velocities else v
            x, h, state = layer(x, v, h, scene.graph, state)
        return Paths(x, v)

    def _start_paths(self, scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
        """Positions and velocities at every point, and the mean position of the input."""
        if self.spec.reads == "sequence":
            assert scene.past_positions is not None
            assert scene.past_velocities is not None
            x, v = scene.past_positions, scene.past_velocities
        else:
            points = len(scene.index)
            x = scene.positions[:, None].expand(-1, points, -1)
            v = scene.velocities[:, None].expand(-1, points, -1)
        return x, v, scene.graph.centre(x.flatten(1)).view(x.shape)
