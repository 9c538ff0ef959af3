"""The temporal convolution of scalars through the library; see `egno_md.nn.temporal`."""

from __future__ import annotations

from ctypes import Structure, c_int64, c_void_p
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from egno_md.nn.native.calls import (
    address,
    run_gradient,
    run_native,
    shares,
)


class _Call(Structure):
    _fields_: ClassVar = [
        *((n, c_int64) for n in ("points", "channels", "modes", "node_step", "point_step")),
        *((n, c_void_p) for n in ("to_modes", "to_points", "w", "x", "out")),
    ]


class _Gradients(Structure):
    _fields_: ClassVar = [(n, c_void_p) for n in ("out", "x", "w")]


def spectral(
    x: Tensor, weight: Tensor, transforms: tuple[Tensor, Tensor], *, points_first: bool
) -> Tensor:
    """irfft(W · rfft(x)) of ``(nodes, points, channels)``, or ``(points, nodes, channels)``.

    Args:
        x: contiguous or made so.
        weight: ``(modes, channels, channels, 2)``.
        transforms: matrices of rfft ``(modes, 2, points)`` and irfft ``(points, modes, 2)``.
        points_first: which of the two.
    """
    return _Spectral.apply(x, weight, transforms, points_first)  # type: ignore[no-any-return]


class _Spectral(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, transforms: tuple[Tensor, Tensor], first: bool
    ) -> Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        out = torch.empty_like(x)
        call, nodes = _call(x, weight, transforms, first)
        call.out = address(out)
        run_native("spectral_forward", call, shares(nodes))
        ctx.save_for_backward(x, weight)
        ctx.transforms, ctx.first = transforms, first
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, for_out: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        for_out = for_out.contiguous()
        call, nodes = _call(x, weight, ctx.transforms, ctx.first)
        for_x = torch.empty_like(x)
        modes, channels = weight.shape[:2]

        def zeros() -> list[Tensor]:
            return [weight.new_zeros(modes, 2, channels, channels)]

        def gradients(arrays: list[Tensor]) -> _Gradients:
            return _Gradients(address(for_out), address(for_x), address(arrays[0]))

        (for_w,) = run_gradient("spectral_backward", call, shares(nodes), zeros, gradients)
        return for_x, for_w.permute(0, 2, 3, 1), None, None


def _call(
    x: Tensor, weight: Tensor, transforms: tuple[Tensor, Tensor], first: bool
) -> tuple[_Call, int]:
    """The call, and how many nodes there are."""
    points, nodes = (len(x), x.shape[1]) if first else (x.shape[1], len(x))
    steps = (1, nodes) if first else (points, 1)
    pointers = map(address, (*transforms, weight, x))
    return _Call(points, x.shape[2], len(weight), *steps, *pointers), nodes
