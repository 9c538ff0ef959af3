"""Linear, SiLU, Linear in one pass over rows."""

from __future__ import annotations

from ctypes import Structure, c_int64, c_void_p
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from egno_md.nn.native.calls import (
    address,
    is_native,
    padded,
    run_gradient,
    run_native,
    shares,
)


class _Call(Structure):
    _fields_: ClassVar = [
        *((name, c_int64) for name in ("hidden", "outs")),
        ("inputs", c_int64 * 2),
        ("x", c_void_p * 2),
        ("w1", c_void_p * 2),
        *((name, c_void_p) for name in ("b1", "w2", "b2", "out")),
    ]


class _Gradients(Structure):
    _fields_: ClassVar = [
        ("out", c_void_p),
        ("x", c_void_p * 2),
        ("w1", c_void_p * 2),
        *((name, c_void_p) for name in ("b1", "w2", "b2")),
    ]


def perceptron(layers: nn.Sequential, first: Tensor, second: Tensor | None = None) -> Tensor:
    """`layers` (Linear, SiLU, Linear) of the inputs side by side, ``(..., channels)``.

    Args:
        layers: whose maps are used.
        first: input.
        second: further channels of the same rows.
    """
    begin, end = layers[0], layers[2]
    assert isinstance(begin, nn.Linear)
    assert isinstance(end, nn.Linear)
    pieces = [first] if second is None else [first, second]
    if not is_native(first, begin.out_features):
        whole = first if second is None else torch.cat(pieces, dim=-1)
        return layers(whole)
    rows = [p.reshape(-1, p.shape[-1]) for p in pieces]
    w1 = begin.weight.split([p.shape[-1] for p in pieces], dim=1)
    parameters = (begin.bias, end.weight, end.bias)
    out: Any = _Perceptron.apply(len(rows), *rows, *w1, *parameters)
    return out.view(*first.shape[:-1], end.out_features)


class _Perceptron(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pieces: int, *tensors: Tensor) -> Tensor:
        x = [t.contiguous() for t in tensors[:pieces]]
        w1 = [t.contiguous() for t in tensors[pieces : 2 * pieces]]
        b1, w2, b2 = (t.contiguous() for t in tensors[2 * pieces :])
        out = x[0].new_empty(len(x[0]), len(w2))
        call = _call(x, w1, b1, w2, b2)
        call.out = address(out)
        run_native("perceptron_forward", call, shares(len(out)))
        ctx.pieces = pieces
        ctx.save_for_backward(*x, *w1, b1, w2, b2)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, for_out: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        tensors, pieces = ctx.saved_tensors, ctx.pieces
        x, w1 = tensors[:pieces], tensors[pieces : 2 * pieces]
        b1, w2, b2 = tensors[2 * pieces :]
        call = _call(x, w1, b1, w2, b2)
        for_out = for_out.contiguous()
        for_x = [torch.empty_like(t) if n else None
                 for t, n in zip(x, ctx.needs_input_grad[1:], strict=False)]  # fmt: skip
        hidden, outs = w2.shape[1], len(w2)

        def zeros() -> list[Tensor]:
            first = [t.new_zeros(t.shape[1], hidden) for t in w1]
            return [*first, torch.zeros_like(b1), torch.zeros_like(w2), b2.new_zeros(padded(outs))]

        def gradients(arrays: list[Tensor]) -> _Gradients:
            g = _Gradients(out=address(for_out))
            for k in range(pieces):
                g.x[k], g.w1[k] = address(for_x[k]), address(arrays[k])
            g.b1, g.w2, g.b2 = (address(t) for t in arrays[pieces:])
            return g

        sums = run_gradient("perceptron_backward", call, shares(len(for_out)), zeros, gradients)
        for_b1, for_w2, for_b2 = sums[pieces:]
        return (None, *for_x, *(t.t() for t in sums[:pieces]), for_b1, for_w2, for_b2[:outs])


def _call(x: Any, w1: Any, b1: Tensor, w2: Tensor, b2: Tensor) -> _Call:
    call = _Call(hidden=w2.shape[1], outs=len(w2))
    for k, (piece, weight) in enumerate(zip(x, w1, strict=True)):
        call.inputs[k], call.x[k], call.w1[k] = piece.shape[1], address(piece), address(weight)
    call.b1, call.w2, call.b2 = address(b1), address(w2), address(b2)
    return call
