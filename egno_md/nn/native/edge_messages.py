"""Messages of our EGNO through the compiled library; see `egno_md.nn.block.EgnoBlock`."""

from __future__ import annotations

from ctypes import Structure, c_int64, c_void_p
from dataclasses import dataclass
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
    is_native,
    ranges,
    run_gradient,
    run_native,
)
from egno_md.nn.native.messages import (
    gradient_arrays,
    gradients_of,
    maps_of,
    weight_gradients,
)

SIZES = ("vectors", "features", "extras", "fixed", "is_normalised", "is_coupled", "is_soft")


class _Call(Structure):
    _fields_: ClassVar = [
        ("weights", Maps),
        ("where", Layout),
        *((name, c_int64) for name in SIZES),
        *((n, c_void_p) for n in ("path", "z", "receive", "send")),
        *((n, c_void_p) for n in ("edge_features", "extra", "edge_fixed", "offsets", "scales")),
        *((n, c_void_p) for n in ("changes", "messages")),
    ]


class _Gradients(Structure):
    _fields_: ClassVar = [
        ("weights", MapGradients),
        *((n, c_void_p) for n in ("changes", "messages")),
        *((n, c_void_p) for n in ("path", "z", "receive", "send", "extra", "edge_fixed")),
    ]


@dataclass(frozen=True, eq=False)
class EdgeOptions:
    """Options of the compiled edge features.

    Attributes:
        graph: edges.
        is_normalised: whether distances enter as bounded functions, else squared.
        is_coupled: whether products of those with the edge's features are added.
        is_soft: whether projections go through asinh.
    """

    graph: Graph
    is_normalised: bool
    is_coupled: bool
    is_soft: bool


def has_native_messages(receive: Tensor, graph: Graph) -> bool:
    """Whether `edge_messages` works for these channels and this graph."""
    fixed = (graph.features, graph.envelope, graph.offsets)
    if any(t is not None and t.requires_grad for t in fixed):
        return False
    return is_native(receive) and graph.senders.numel() > 0


def edge_messages(
    options: EdgeOptions,
    path: Tensor,
    z: Tensor,
    receive: Tensor,
    send: Tensor,
    fixed: Tensor,
    extra: Tensor | None,
    weights: tuple[Tensor, ...],
) -> tuple[Tensor, Tensor]:
    """Mean change of vectors ``(nodes, 3, points, vectors)`` and mean message at every node.

    Args:
        options: the graph, and which edge features there are.
        path: ``(nodes, 3, points)``.
        z: vectors ``(nodes, 3, points, vectors)``.
        receive: first layer's part of receivers, biases included, ``(nodes, points, hidden)``.
        send: that of senders.
        fixed: edge features that are the same at every point, ``(edges, ...)``.
        extra: further edge features at each point, ``(edges, points, ...)``.
        weights: of the edge features; second map, bias; those from a message to pull and carry.
    """
    return _EdgeMessages.apply(options, path, z, receive, send, fixed, extra, *weights)  # type: ignore[no-any-return]


class _EdgeMessages(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, options: EdgeOptions, *inputs: Tensor | None) -> tuple[Tensor, Tensor]:
        tensors = tuple(None if t is None else t.contiguous() for t in inputs)
        call = _call(options, tensors)
        z, receive = tensors[1], tensors[2]
        assert z is not None
        assert receive is not None
        changes, messages = torch.zeros_like(z), torch.zeros_like(receive)
        call.changes, call.messages = address(changes), address(messages)
        run_native("egno_forward", call, ranges(options.graph, receive.shape[1]))
        ctx.options = options
        ctx.save_for_backward(*tensors)
        return changes, messages

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, for_changes: Tensor, for_messages: Tensor
    ) -> tuple[Tensor | None, ...]:
        tensors, options = ctx.saved_tensors, ctx.options
        path, z, receive, send, fixed, extra, *weights = tensors
        call, parts = _call(options, tensors), ranges(options.graph, receive.shape[1])
        for_changes, for_messages = for_changes.contiguous(), for_messages.contiguous()
        for_receive = torch.zeros_like(receive)
        for_fixed = torch.zeros_like(fixed) if ctx.needs_input_grad[5] else None
        for_extra = torch.empty_like(extra) if ctx.needs_input_grad[6] else None

        def zeros() -> list[Tensor]:
            return [*map(torch.zeros_like, (path, z, send)), *gradient_arrays(weights)]

        def gradients(arrays: list[Tensor]) -> _Gradients:
            for_path, for_z, for_send, *maps = arrays
            return _Gradients(
                weights=gradients_of(maps), changes=address(for_changes),
                messages=address(for_messages), path=address(for_path), z=address(for_z),
                receive=address(for_receive), send=address(for_send), extra=address(for_extra),
                edge_fixed=address(for_fixed),
            )  # fmt: skip

        for_path, for_z, for_send, *maps = run_gradient(
            "egno_backward", call, parts, zeros, gradients
        )
        ends = (for_path, for_z, for_receive, for_send, for_fixed, for_extra)
        return None, *ends, *weight_gradients(maps, weights)


def _call(options: EdgeOptions, tensors: tuple[Tensor | None, ...]) -> _Call:
    path, z, receive, send, fixed, extra, *weights = tensors
    assert z is not None
    assert fixed is not None
    graph, points = options.graph, z.shape[2]
    first, *rest, last, bias = (w for w in weights if w is not None)
    where = Layout(
        points=points, node_step=points, point_step=1, edge_step=1, edge_point_step=0,
        receivers=address(graph.receivers), senders=address(graph.senders),
    )  # fmt: skip
    return _Call(
        weights=maps_of((first, *rest, last, bias), is_deep=False), where=where,
        vectors=z.shape[3], features=graph.features.shape[1],
        extras=0 if extra is None else extra.shape[2], fixed=fixed.shape[1],
        is_normalised=options.is_normalised, is_coupled=options.is_coupled, is_soft=options.is_soft,
        path=address(path), z=address(z), receive=address(receive), send=address(send),
        edge_features=address(graph.features), extra=address(extra), edge_fixed=address(fixed),
        offsets=address(graph.offsets), scales=address(_scales(graph)),
    )  # fmt: skip


def _scales(graph: Graph) -> Tensor:
    """Weight of every edge in a mean, float32."""
    key = ("scales",)
    if key not in graph.plans:
        with torch.inference_mode(False):
            if graph.envelope is not None:
                scales = graph.envelope / graph.neighbours
            else:
                scales = 1.0 / graph.counts.float().index_select(0, graph.receivers)
            graph.plans[key] = scales.detach().float().contiguous()
    return graph.plans[key]
