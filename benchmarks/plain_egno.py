"""The published EGNO as its equations read: the yardstick of `benchmarks/speed.py`.

Every edge of every time point is a row; the message network reads its
concatenated inputs; sums scatter rows to nodes; the temporal convolutions go
through torch.fft and complex weights. Nothing is split, shared or rearranged.
Weights come from a `PublishedEgnoNetwork`, whose layers' `Sequential`s are used
as they are, so that outputs and gradients can be compared number by number.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from egno_md.nn.published import PublishedEgnoNetwork
from egno_md.nn.scene import Paths, Scene

TIME_CHANNELS = 32


class PlainEgno(nn.Module):
    """Xu et al. 2024, Eqs. 5-10, and the EGNN layer of Satorras et al. 2021.

    Args:
        network: whose weights are used, not copied.
    """

    def __init__(self, network: PublishedEgnoNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, scene: Scene) -> Paths:
        points, nodes = len(scene.index), len(scene.positions)
        graph, net = scene.graph, self.network
        # the start state repeated P times, nodes of a time point side by side
        time = _time_embedding(scene.index)
        h = torch.cat(
            [scene.features.repeat(points, 1), time.repeat_interleave(nodes, dim=0)], dim=1
        )
        h = net.embed(h)
        x, v = scene.positions.repeat(points, 1), scene.velocities.repeat(points, 1)
        mean = scene.positions.view(-1, graph.atoms, 3).mean(1)
        mean = mean.repeat_interleave(graph.atoms, dim=0).repeat(points, 1)
        shift = torch.arange(points, device=x.device)[:, None] * nodes
        row = (graph.receivers + shift).reshape(-1)
        column = (graph.senders + shift).reshape(-1)
        e = graph.features.repeat(points, 1)
        for index, layer in enumerate(net.layers):
            mixed = _spectral(h.view(points, nodes, -1, 1), net.scalar_mix[index].weight)
            h = h + nn.functional.leaky_relu(mixed.reshape(h.shape), 0.01)
            z = torch.stack([x - mean, v], dim=-1)
            turned = _spectral(
                z.view(points, nodes, 3, 2).transpose(2, 3), net.vector_mix[index].weight
            )
            z = z + turned.transpose(2, 3).reshape(z.shape)
            x, v = z[..., 0] + mean, z[..., 1]
            x, h = _egnn(layer, x, v, h, row, column, e)
        return Paths(
            x.view(points, nodes, 3).transpose(0, 1), v.view(points, nodes, 3).transpose(0, 1)
        )


def _egnn(
    layer: nn.Module, x: Tensor, v: Tensor, h: Tensor, row: Tensor, column: Tensor, e: Tensor
) -> tuple[Tensor, Tensor]:
    """m_ij = MLP(h_i, h_j, ‖r_ij‖², e_ij); x + φ_v(h) v + mean_j r_ij φ_x(m_ij); φ_h(h, Σ m_ij)."""
    r = x[row] - x[column]
    squared = (r**2).sum(1, keepdim=True)
    message = layer.message(torch.cat([h[row], h[column], squared, e], dim=1))
    pull = _scatter(r * layer.position(message), row, len(x))
    count = _scatter(torch.ones_like(squared), row, len(x))
    x = x + layer.velocity(h) * v + torch.clamp(pull / count.clamp(min=1), -100, 100)
    return x, layer.node(torch.cat([h, _scatter(message, row, len(h))], dim=1))


def _scatter(values: Tensor, index: Tensor, nodes: int) -> Tensor:
    return values.new_zeros(nodes, values.shape[1]).index_add(0, index, values)


def _spectral(values: Tensor, weight: Tensor) -> Tensor:
    """irfft(W · rfft(values)[:I]) of ``(points, nodes, channels, ...)``."""
    points = len(values)
    spectrum = torch.fft.rfft(values, dim=0)
    modes = min(len(weight), len(spectrum))
    complex_weight = torch.view_as_complex(weight[:modes].contiguous())
    mixed = torch.einsum("mncd,mce->mned", spectrum[:modes], complex_weight)
    kept = torch.zeros_like(spectrum)
    kept[:modes] = mixed
    return torch.fft.irfft(kept, n=points, dim=0)


def _time_embedding(index: Tensor) -> Tensor:
    half = TIME_CHANNELS // 2
    rates = torch.exp(-math.log(1e4) / (half - 1) * torch.arange(half).to(index))
    angle = index[:, None] * rates
    return torch.cat([angle.sin(), angle.cos()], dim=1)
