"""Messages of an EGNN layer through the library; see `egno_md.nn.messages` for what they are."""

from __future__ import annotations

from ctypes import Structure, c_int64, c_void_p
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from egno_md.nn.graph import Graph
from egno_md.nn.native.calls import (
    Layout,
    MapGradients,
    Maps,
    address,
    padded,
    ranges,
    run_gradient,
    run_native,
)
from egno_md.nn.native.linear import linear


class _Call(Structure):
    _fields_: ClassVar = [
        ("weights", Maps),
        ("where", Layout),
        ("features", c_int64),
        *((n, c_void_p) for n in ("x", "receive", "send", "edges", "pull", "total")),
    ]


class _Gradients(Structure):
    _fields_: ClassVar = [
        ("weights", MapGradients),
        *((n, c_void_p) for n in ("pull", "total", "x", "receive", "send", "edges")),
    ]


def native_messages(
    x: Tensor, h: Tensor, features: Tensor, weights: Any, graph: Graph
) -> tuple[Tensor, Tensor]:
    """As `egno_md.nn.messages.pass_messages`; nothing is kept for the backward pass."""
    hidden = h.shape[-1]
    receiver, sender, edge = weights.first.split(
        [hidden, hidden, weights.first.shape[1] - 2 * hidden], dim=1
    )
    rows = h.flatten(0, 1)
    receive, send = linear(rows, receiver, weights.first_bias), linear(rows, sender)
    rest = weights[2:]
    return _Messages.apply(x, receive, send, features, graph, edge, *rest)  # type: ignore[no-any-return]


class _Messages(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, receive: Tensor, send: Tensor, features: Tensor,
                graph: Graph, *weights: Tensor) -> tuple[Tensor, Tensor]:  # fmt: skip
        x, features = x.contiguous(), features.contiguous()
        weights = tuple(w.contiguous() for w in weights)
        pull, total = torch.zeros_like(x), receive.new_zeros(*x.shape[:2], receive.shape[1])
        call = _call(x, receive, send, features, graph, weights)
        call.pull, call.total = address(pull), address(total)
        run_native("egnn_forward", call, ranges(graph, len(x)))
        ctx.graph = graph
        ctx.save_for_backward(x, receive, send, features, *weights)
        return pull, total

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, for_pull: Tensor, for_total: Tensor
    ) -> tuple[Tensor | None, ...]:
        x, receive, send, features, *weights = ctx.saved_tensors
        graph, parts = ctx.graph, ranges(ctx.graph, len(x))
        call = _call(x, receive, send, features, graph, tuple(weights))
        for_pull, for_total = for_pull.contiguous(), for_total.contiguous()
        for_receive = torch.zeros_like(receive)
        for_features = torch.zeros_like(features) if ctx.needs_input_grad[3] else None

        def zeros() -> list[Tensor]:
            return [torch.zeros_like(x), torch.zeros_like(send), *gradient_arrays(weights)]

        def gradients(arrays: list[Tensor]) -> _Gradients:
            for_x, for_send, *maps = arrays
            return _Gradients(pull=address(for_pull), total=address(for_total), x=address(for_x),
                           receive=address(for_receive), send=address(for_send),
                           edges=address(for_features), weights=gradients_of(maps))  # fmt: skip

        for_x, for_send, *maps = run_gradient("egnn_backward", call, parts, zeros, gradients)
        return for_x, for_receive, for_send, for_features, None, *weight_gradients(maps, weights)


def _call(x: Tensor, receive: Tensor, send: Tensor, features: Tensor, graph: Graph,
          weights: tuple[Tensor, ...]) -> _Call:  # fmt: skip
    points, nodes, _ = x.shape
    edges = len(graph.senders)
    where = Layout(
        points=points, node_step=1, point_step=nodes, edge_step=1,
        edge_point_step=edges if len(features) > 1 else 0,
        receivers=address(graph.receivers), senders=address(graph.senders),
    )  # fmt: skip
    return _Call(
        weights=maps_of(weights, is_deep=True), where=where, features=features.shape[-1],
        x=address(x), receive=address(receive), send=address(send), edges=address(features),
    )  # fmt: skip


def maps_of(weights: tuple[Tensor, ...], *, is_deep: bool) -> Maps:
    """The networks of a message: first map; second, third if deep and last, each with its bias."""
    first, last = weights[0], weights[-2]
    inner = weights[1:-2] if is_deep else (*weights[1:-2], None, None)
    pointers = map(address, (first, *inner, *weights[-2:]))
    return Maps(len(first), first.shape[1], len(last), is_deep, *pointers)


def gradient_arrays(weights: Any) -> list[Tensor]:
    """Zeros for the gradients of such weights: the first transposed, the last bias padded."""
    first, *inner, bias = weights
    wide = bias.new_zeros(padded(len(bias)))
    return [first.new_zeros(first.shape[1], len(first)), *map(torch.zeros_like, inner), wide]


def gradients_of(arrays: list[Tensor]) -> MapGradients:
    """Such arrays as the library takes them."""
    first, second, bias, *third, last, last_bias = map(address, arrays)
    return MapGradients(first, second, bias, *(third or (None, None)), last, last_bias)


def weight_gradients(maps: list[Tensor], weights: Any) -> list[Tensor]:
    """Gradients of the weights, in the shapes of the weights."""
    return [maps[0].t(), *maps[1:-1], maps[-1][: len(weights[-1])]]
