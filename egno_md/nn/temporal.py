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

TIME_EMBEDDING = 32


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

    def forward(self, values: Float[Tensor, "nodes points *more channels"]) -> Tensor:
        """Mix ``(nodes, points, ..., channels)`` over points and channels."""
        points = values.shape[1]
        modes = min(self.weight.shape[0], points // 2 + 1)
        if modes == 0:
            return torch.zeros_like(values)
        forward, inverse = _transforms(points, modes, str(values.device), values.dtype)
        flat = values.reshape(values.shape[0], points, -1)
        spectrum = torch.matmul(forward.reshape(2 * modes, points), flat)
        channels = values.shape[-1]
        # modes first, [real | imaginary] side by side, so that one real matrix
        # [[Wr, Wi], [-Wi, Wr]] is the complex product
        spectrum = spectrum.view(values.shape[0], modes, 2, -1, channels).permute(1, 0, 3, 2, 4)
        spectrum = spectrum.reshape(modes, -1, 2 * channels)
        real, imaginary = self.weight[:modes].unbind(-1)
        block = torch.cat([torch.cat([real, imaginary], 2), torch.cat([-imaginary, real], 2)], 1)
        mixed = torch.bmm(spectrum, block).view(modes, values.shape[0], -1, 2, channels)
        mixed = mixed.permute(1, 0, 3, 2, 4).reshape(values.shape[0], 2 * modes, -1)
        return torch.matmul(inverse.reshape(points, 2 * modes), mixed).view(values.shape)


def time_embedding(
    index: Float[Tensor, " points"], dimension: int = TIME_EMBEDDING
) -> Float[Tensor, "points dimension"]:
    """Sinusoids of the time *position* (Vaswani et al. 2017, as in EGNO).

    Index j stands for the time point t_{j+1}; positions between indices give
    other resolutions zero-shot.
    """
    half = dimension // 2
    rate = torch.exp(
        torch.arange(half, dtype=index.dtype, device=index.device) * (-math.log(1e4) / (half - 1))
    )
    angle = index[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1)
