"""Structures turned onto others."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def superpose(
    moving: Float[Tensor, "*frames atoms 3"], onto: Float[Tensor, "*frames atoms 3"]
) -> Float[Tensor, "*frames atoms 3"]:
    """Turn and shift structures onto others with the least squared distance.

    Kabsch 1976, by singular values; mirror images are never used.

    Args:
        moving: nm.
        onto: nm; leading axes are broadcast.
    """
    centre = onto.mean(-2, keepdim=True)
    x, y = moving - moving.mean(-2, keepdim=True), onto - centre
    u, _, v = torch.linalg.svd((x.transpose(-1, -2) @ y).double())
    sign = torch.linalg.det(u @ v).sign()
    u = torch.cat([u[..., :-1], u[..., -1:] * sign[..., None, None]], dim=-1)
    return x @ (u @ v).to(x.dtype) + centre
