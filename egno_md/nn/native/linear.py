"""One linear map of rows, and the temporal convolution of scalars, through the library."""

from __future__ import annotations

from ctypes import Structure, c_int64, c_void_p
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from egno_md.nn.native.calls import (
    LANES,
    address,
    is_native,
    run_gradient,
    run_native,
    shares,
)


class _Call(Structure):
    _fields_: ClassVar = [
        *((n, c_int64) for n in ("inputs", "outs")),
        *((n, c_void_p) for n in ("x", "w", "b", "out")),
    ]


class _Gradients(Structure):
    _fields_: ClassVar = [(n, c_void_p) for n in ("out", "x", "w", "b")]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """X Wᵀ + b of ``(..., inputs)``; torch's where the library has nothing for these sizes."""
    if len(weight) % LANES or not is_native(x):
        return nn.functional.linear(x, weight, bias)
    out: Any = _Linear.apply(x.reshape(-1, x.shape[-1]), weight, bias)
    return out.view(*x.shape[:-1], len(weight))


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        out = x.new_empty(len(x), len(weight))
        call = _call(x, weight, bias)
        call.out = address(out)
        run_native("linear_forward", call, shares(len(x)))
        ctx.save_for_backward(x, weight, bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, for_out: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, bias = ctx.saved_tensors
        for_out = for_out.contiguous()
        call = _call(x, weight, bias)
        for_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None

        def zeros() -> list[Tensor]:
            return [torch.zeros_like(weight), weight.new_zeros(len(weight))]

        def gradients(arrays: list[Tensor]) -> _Gradients:
            return _Gradients(address(for_out), address(for_x), *map(address, arrays))

        for_w, for_b = run_gradient("linear_backward", call, shares(len(x)), zeros, gradients)
        return for_x, for_w, None if bias is None else for_b


def _call(x: Tensor, weight: Tensor, bias: Tensor | None) -> _Call:
    return _Call(x.shape[1], len(weight), address(x), address(weight), address(bias))
