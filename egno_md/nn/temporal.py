"""Temporal convolutions in Fourier space (Xu et al. 2024, Eqs. 8-10).

The first I modes of a real FFT over the P time points are mixed by complex
matrices. P is small, so the transforms are real matrix products.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from egno_md.nn.native.calls import is_native
from egno_md.nn.native.spectral import spectral
from egno_md.nn.scene import Scene

TIME_EMBEDDING = 32
NEGATIVE_SLOPE = 0.01

LARGEST_MATRIX = 512
"""Points times channels up to which inference mixes by one real matrix."""


@lru_cache(maxsize=64)
def _transforms(points: int, modes: int, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Real matrices of rfft (``modes 2 points``) and irfft (``points modes 2``)."""
    # kept for later calls, so never inference tensors, which autograd refuses
    with torch.inference_mode(False):
        mode = torch.arange(modes, dtype=torch.float64)
        point = torch.arange(points, dtype=torch.float64)
        angle = 2 * math.pi * mode[:, None] * point[None] / points
        forward = torch.stack([angle.cos(), -angle.sin()], dim=1)
        weight = torch.full((modes,), 2.0 / points, dtype=torch.float64)
        weight[0] = 1.0 / points
        if points % 2 == 0 and modes == points // 2 + 1:
            weight[-1] = 1.0 / points
        inverse = torch.stack([angle.cos().T, -angle.sin().T], dim=2) * weight[None, :, None]
        return forward.to(device, dtype), inverse.to(device, dtype)


class SpectralMix(nn.Module):
    """y = irfft(W · rfft(x)[:I]) along the time points.

    Args:
        channels: mixed by W ∈ C^{channels × channels × modes}.
        modes: I.
        published: draw real and imaginary parts uniformly from [0, 1) times
            `scale` (all positive, as published); else normally about zero.
        scale: of the initial weights.
    """

    def __init__(self, channels: int, modes: int, *, published: bool, scale: float) -> None:
        super().__init__()
        shape = (modes, channels, channels, 2)
        weight = torch.rand(shape) if published else torch.randn(shape)
        self.weight = nn.Parameter(weight * scale)
        self._cached: tuple[object, Tensor] | None = None

    def train(self, mode: bool = True) -> SpectralMix:
        """Drop the cached matrix too: fused optimisers change weights without a new version."""
        self._cached = None
        return super().train(mode)

    def forward(self, values: Float[Tensor, "... points channels"]) -> Tensor:
        """Mix over the last two axes."""
        points, channels = values.shape[-2:]
        modes = min(self.weight.shape[0], points // 2 + 1)
        if modes == 0:
            return torch.zeros_like(values)
        if is_native(values):
            series = values.reshape(-1, points, channels)
            return self._native(series, modes, points_first=False).view(values.shape)
        if not torch.is_grad_enabled() and points * channels <= LARGEST_MATRIX:
            mixed = values.reshape(-1, points * channels) @ self._matrix(points)
            return mixed.view(values.shape)
        return self._transform(values.reshape(-1, points, channels), modes).view(values.shape)

    def over_points(self, values: Float[Tensor, "points ... channels"]) -> Tensor:
        """Mix over the first and the last axis; as `forward`, for many more series than points.

        Time points come first in memory, so that both transforms are one matrix product
        over all series. The mean has no imaginary part, which saves its products.
        """
        points, channels = len(values), values.shape[-1]
        modes = min(self.weight.shape[0], points // 2 + 1)
        if modes == 0:
            return torch.zeros_like(values)
        if is_native(values):
            series = values.reshape(points, -1, channels)
            return self._native(series, modes, points_first=True).view(values.shape)
        forward, inverse = _transforms(points, modes, str(values.device), values.dtype)
        rows = [0, *range(2, 2 * modes)]
        ahead, back = forward.flatten(0, 1)[rows], inverse.flatten(1, 2)[:, rows]
        spectrum = (ahead @ values.reshape(points, -1)).view(len(rows), -1, channels)
        real, imaginary = self.weight[:modes].unbind(-1)
        mixed = [(spectrum[0] @ real[0])[None]]
        for mode in range(1, modes):
            weights = torch.cat([real[mode], imaginary[mode]], dim=1)
            products = spectrum[2 * mode - 1 : 2 * mode + 1] @ weights
            from_real, from_imaginary = products.unbind(0)
            mixed += [
                (from_real[:, :channels] - from_imaginary[:, channels:])[None],
                (from_real[:, channels:] + from_imaginary[:, :channels])[None],
            ]
        return (back @ torch.cat(mixed).view(len(rows), -1)).view(values.shape)

    def _native(self, series: Tensor, modes: int, *, points_first: bool) -> Tensor:
        """In one pass over the series."""
        points = series.shape[0 if points_first else 1]
        matrices = _transforms(points, modes, str(series.device), series.dtype)
        return spectral(series, self.weight[:modes], matrices, points_first=points_first)

    def _transform(self, values: Tensor, modes: int) -> Tensor:
        """Through the spectrum: ``(series, points, channels)`` to the same."""
        count, points, channels = values.shape
        forward, inverse = _transforms(points, modes, str(values.device), values.dtype)
        spectrum = torch.matmul(forward.reshape(2 * modes, points), values)
        # modes first, [real | imaginary] side by side, so that one real matrix
        # [[Wr, Wi], [-Wi, Wr]] is the complex product
        spectrum = spectrum.view(count, modes, 2 * channels).transpose(0, 1)
        real, imaginary = self.weight[:modes].unbind(-1)
        block = torch.cat([torch.cat([real, imaginary], 2), torch.cat([-imaginary, real], 2)], 1)
        mixed = torch.bmm(spectrum, block).transpose(0, 1).reshape(count, 2 * modes, channels)
        return torch.matmul(inverse.reshape(points, 2 * modes), mixed)

    def _matrix(self, points: int) -> Tensor:
        """The whole mix as one real matrix ``(points channels, points channels)``.

        A truncated Fourier series times W is a circular convolution in time. It
        is computed when the weights have changed since the last call.
        """
        weight = self.weight
        key = (points, weight._version, weight.data_ptr(), weight.dtype, weight.device)
        if self._cached is None or self._cached[0] != key:
            size = points * weight.shape[1]
            with torch.inference_mode(False), torch.enable_grad():
                eye = torch.eye(size, dtype=weight.dtype, device=weight.device)
                modes = min(weight.shape[0], points // 2 + 1)
                columns = self._transform(eye.view(size, points, -1), modes).detach()
            self._cached = (key, columns.reshape(size, size))
        return self._cached[1]


def time_embedding(
    index: Float[Tensor, " points"], dimension: int = TIME_EMBEDDING
) -> Float[Tensor, "points dimension"]:
    """Sinusoids of the time *position* (Vaswani et al. 2017, as in EGNO).

    Index j stands for the time point t_{j+1}; positions between indices give
    other resolutions zero-shot.
    """
    angle = index[:, None] * _rates(dimension // 2, str(index.device), index.dtype)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


@lru_cache(maxsize=16)
def _rates(count: int, device: str, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        steps = torch.arange(count, dtype=dtype, device=device)
        return torch.exp(steps * (-math.log(1e4) / (count - 1)))


def mix_scalars(mix: nn.Module, h: Tensor) -> Tensor:
    """EGNO's temporal convolution of scalars, residual (Xu et al. 2024, Eq. 9)."""
    assert isinstance(mix, SpectralMix)
    mixed = mix.over_points(h.transpose(0, 1))
    return h + nn.functional.leaky_relu(mixed, NEGATIVE_SLOPE).transpose(0, 1)


def mix_vectors(mix: nn.Module, vectors: list[Tensor]) -> list[Tensor]:
    """EGNO's temporal convolution of vectors ``(nodes, points, 3)``, residual and linear (Eq. 10)."""
    assert isinstance(mix, SpectralMix)
    stacked = torch.stack([v.transpose(0, 1) for v in vectors], dim=-1)
    stacked = stacked + mix.over_points(stacked)
    return [v.transpose(0, 1) for v in stacked.unbind(-1)]


def with_time(scene: Scene) -> Tensor:
    """Node features with the embedding of each time point, ``(nodes, points, ...)``."""
    points, nodes = len(scene.index), len(scene.features)
    embedding = time_embedding(scene.index)
    parts = [
        scene.features.expand(points, -1, -1),
        embedding[:, None].expand(-1, nodes, -1),
    ]
    return torch.cat(parts, dim=-1).transpose(0, 1)
