"""The messages of an EGNN layer on a CPU: forward and backward in blocks that stay in cache.

What PyTorch computes operation by operation, each over all edges, is computed here block
of edges by block of edges, so that the numbers between two operations are still in cache
when the next one reads them, and only the inputs of SiLU are kept for the backward pass.
The first layer is a sum of four rows per edge (receiver, sender, fixed features, ‖r‖²),
gathered in one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from egno_md.nn.graph import Graph
from egno_md.nn.native.calls import is_native
from egno_md.nn.native.messages import native_messages

BLOCK = 160_000
"""Numbers of a block, rows times channels: a few blocks fit into a core's second cache."""

LARGEST_HELD = 500_000
"""Edges times points whose cut into blocks is kept, 40 bytes each; that of more is made anew."""

_silu, _silu_backward = torch.ops.aten.silu.out, torch.ops.aten.silu_backward.grad_input


class Weights(NamedTuple):
    """Weights of the message network and of the pull of a message; biases beside their maps."""

    first: Float[Tensor, "hidden inputs"]
    first_bias: Float[Tensor, " hidden"]
    second: Float[Tensor, "hidden hidden"]
    second_bias: Float[Tensor, " hidden"]
    third: Float[Tensor, "hidden hidden"]
    third_bias: Float[Tensor, " hidden"]
    last: Float[Tensor, "1 hidden"]
    last_bias: Float[Tensor, " 1"]


def pass_messages(
    x: Float[Tensor, "points nodes 3"],
    h: Float[Tensor, "points nodes hidden"],
    features: Float[Tensor, "... edges features"],
    weights: Weights,
    graph: Graph,
    *,
    keeps: bool,
) -> tuple[Float[Tensor, "points nodes 3"], Float[Tensor, "points nodes hidden"]]:
    """Sums over each node's edges of r φ_x(m) and of m.

    Here r = x_i - x_j, m = SiLU(W₂ SiLU(W₁ [h_i, h_j, ‖r‖², e_ij] + b₁) + b₂), φ_x(m) = w SiLU(W₃ m + b₃) + b.

    Args:
        x: positions.
        h: scalars.
        features: e, with 1 for the points where it is the same at all of them.
        weights: of the maps.
        graph: edges, without offsets or envelope.
        keeps: whether the inputs of SiLU are kept for the backward pass, or computed again.
    """
    if is_native(h):
        return native_messages(x, h, features, weights, graph)
    # inside an autograd function every parameter seems to require a gradient
    return _Messages.apply(x, h, features, graph, keeps and torch.is_grad_enabled(), *weights)


class _Messages(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        h: Tensor,
        features: Tensor,
        graph: Graph,
        keeps: bool,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        weights = Weights(*parameters)
        plan = _plan_of(graph, len(h), h.shape[-1], len(features))
        r = x.index_select(1, graph.receivers) - x.index_select(1, graph.senders)
        squared = r.square().sum(-1, keepdim=True)
        table = _table(h, features, weights)
        total, gates = torch.empty_like(h), torch.empty_like(squared)
        needs_gradients = any(ctx.needs_input_grad)
        keeps = keeps and needs_gradients
        work = h.new_empty(2 if keeps else 4, plan.rows, h.shape[-1])
        activations: list[Tensor] = []
        for block in plan.blocks():
            first = block.gather(table, squared[block.edge_slices])
            hidden = _silu(first, out=work[0, : len(first)])
            into = (None, None) if keeps else (work[2, : len(first)], work[3, : len(first)])
            second = torch.addmm(weights.second_bias, hidden, weights.second.t(), out=into[0])
            message = _silu(second, out=work[1, : len(first)])
            total[block.node_slices] = block.sum(message)
            third = torch.addmm(weights.third_bias, message, weights.third.t(), out=into[1])
            hidden = _silu(third, out=work[0, : len(first)])
            # products with a single column are slow as products of matrices
            gate = torch.mv(hidden, weights.last[0]).add_(weights.last_bias)
            gates[block.edge_slices] = gate.view(block.shape)
            if keeps:
                activations += [first, second, third]
        if needs_gradients:
            ctx.plan, ctx.count = plan, len(activations)
            ctx.save_for_backward(h, features, r, squared, gates, table, *weights, *activations)
        return plan.sum_edges(r * gates), total

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, for_pull: Tensor, for_total: Tensor
    ) -> tuple[Tensor | None, ...]:
        h, features, r, squared, gates, table, *rest = ctx.saved_tensors
        weights, activations, plan = Weights(*rest[:8]), rest[8:], ctx.plan
        edge_pull = for_pull.index_select(1, plan.receivers)
        for_gate, for_r = (edge_pull * r).sum(-1, keepdim=True), edge_pull * gates
        gradients = _Gradients(plan, weights, h, features)
        for_squared = torch.empty_like(squared)
        for number, block in enumerate(plan.blocks()):
            if activations:
                inputs = activations[3 * number : 3 * number + 3]
                message = _silu(inputs[1], out=gradients.work[0, : block.rows])
            else:
                inputs, message = gradients.recompute(
                    block.gather(table, squared[block.edge_slices])
                )
            gate = for_gate[block.edge_slices].reshape(-1)
            into_total = for_total[block.node_slices].reshape(-1, h.shape[-1])
            back = gradients.backward(block, inputs, message, gate, into_total)
            gradients.distance.addmv_(back.t(), squared[block.edge_slices].reshape(-1))
            distance = weights.first[:, 2 * h.shape[-1]]
            for_squared[block.edge_slices] = torch.mv(back, distance).view(block.shape)
        for_r.addcmul_(r, for_squared, value=2.0)
        for_x = plan.sum_edges(for_r).index_add_(1, plan.senders, for_r, alpha=-1.0)
        for_h, for_weights = gradients.first_layer()
        for_features = None
        if ctx.needs_input_grad[2]:
            for_features = gradients.edge @ weights.first[:, 2 * h.shape[-1] + 1 :]
        return for_x, for_h, for_features, None, None, *for_weights


def _table(h: Tensor, features: Tensor, weights: Weights) -> Tensor:
    """Rows of the first layer: ‖r‖²'s, each edge's, and of each node as receiver and sender."""
    hidden = h.shape[-1]
    receiver, sender, distance, edge = _split(weights.first, hidden)
    edges, nodes = features.flatten(0, 1), h.flatten(0, 1)
    table = h.new_empty(1 + len(edges) + 2 * len(nodes), hidden)
    table[0] = distance[:, 0]
    torch.addmm(weights.first_bias, edges, edge.t(), out=table[1 : 1 + len(edges)])
    ends = torch.cat([receiver.t(), sender.t()], dim=1)
    torch.mm(nodes, ends, out=table[1 + len(edges) :].view(len(nodes), 2 * hidden))
    return table


def _split(first: Tensor, hidden: int) -> tuple[Tensor, ...]:
    return first.split([hidden, hidden, 1, first.shape[1] - 2 * hidden - 1], dim=1)


def _plan_of(graph: Graph, *sizes: int) -> _Plan:
    """The plan of a graph, which its layers share."""
    if sizes not in graph.plans:
        with torch.inference_mode(False):  # kept for later calls, which may need gradients
            graph.plans[sizes] = _Plan(graph, *sizes)
    return graph.plans[sizes]


class _Plan:
    """How edges are cut into blocks; blocks end where a receiver's edges end.

    Args:
        graph: edges sorted by receiver.
        points: P.
        hidden: channels.
        kinds: of edge features: 1, or P where they differ between time points.
    """

    def __init__(self, graph: Graph, points: int, hidden: int, kinds: int) -> None:
        edges, nodes = len(graph.senders), graph.nodes
        self.receivers, self.senders, self.degree = graph.receivers, graph.senders, graph.degree
        self.nodes, self.points, self.edges = nodes, points, edges
        every = torch.arange(edges)
        zero = torch.zeros_like(every)
        begin = 1 + kinds * edges
        ends = [begin + 2 * graph.receivers, begin + 1 + 2 * graph.senders]
        self.index = torch.stack([zero, every + 1, *ends], dim=1)
        step = torch.tensor([0, 0 if kinds == 1 else edges, 2 * nodes, 2 * nodes])
        self.step = torch.arange(points)[:, None, None] * step
        starts = torch.zeros(nodes + 1, dtype=torch.int64)
        torch.cumsum(torch.bincount(graph.receivers, minlength=nodes), 0, out=starts[1:])
        self.starts = starts
        edges_at_once = max(BLOCK // hidden, 1)
        self.group = min(max(edges_at_once // edges, 1), points)
        cuts = torch.searchsorted(starts, torch.arange(0, edges, edges_at_once)[1:], right=True) - 1
        self.cuts = torch.unique(torch.cat([torch.tensor([0, nodes]), cuts])).tolist()
        largest = max(b - a for a, b in self._edge_ranges())
        self.rows = largest * self.group
        self._blocks: list[_Block] | None = None

    def _edge_ranges(self) -> list[tuple[int, int]]:
        ends = self.starts[self.cuts].tolist()
        return list(pairwise(ends))

    def blocks(self) -> Iterable[_Block]:
        """Every edge at every point once."""
        if self.edges * self.points > LARGEST_HELD:
            return self._cut()
        if self._blocks is None:
            with torch.inference_mode(False):
                self._blocks = list(self._cut())
        return self._blocks

    def _cut(self) -> Iterator[_Block]:
        nodes = pairwise(self.cuts)
        for (first, last), (begin, end) in zip(nodes, self._edge_ranges(), strict=True):
            starts = self.starts[first:last] - begin
            for point in range(0, self.points, self.group):
                group = slice(point, min(point + self.group, self.points))
                count, rows = group.stop - group.start, end - begin
                shift = torch.arange(count)[:, None] * rows
                index = (self.index[begin:end] + self.step[group]).view(-1, 4)
                edge_slices, node_slices = (group, slice(begin, end)), (group, slice(first, last))
                bags = (starts + shift).view(-1)
                yield _Block(
                    edge_slices,
                    node_slices,
                    (count, rows, 1),
                    (count, last - first, -1),
                    index,
                    bags,
                )

    def sum_edges(self, values: Tensor) -> Tensor:
        """``(points, edges, 3)`` to ``(points, nodes, 3)``."""
        if self.degree is not None:
            return values.unflatten(1, (self.nodes, self.degree)).sum(2)
        result = values.new_zeros(len(values), self.nodes, values.shape[2])
        return result.index_add_(1, self.receivers, values)


@dataclass(frozen=True, eq=False)
class _Block:
    """Some edges at some time points, as rows.

    Attributes:
        edge_slices: points and edges.
        node_slices: points and nodes that receive them.
        shape: points, edges and 1.
        sums: points, nodes and -1.
        index: rows of the table that make up the first layer.
        bags: row where each node's edges begin.
    """

    edge_slices: tuple[slice, slice]
    node_slices: tuple[slice, slice]
    shape: tuple[int, int, int]
    sums: tuple[int, int, int]
    index: Int[Tensor, "rows 4"]
    bags: Int[Tensor, " nodes"]

    @property
    def rows(self) -> int:
        return len(self.index)

    def gather(self, table: Tensor, squared: Tensor) -> Tensor:
        """Inputs of the first SiLU."""
        weights = table.new_ones(self.rows, 4)
        weights[:, 0] = squared.reshape(-1)
        return embedding_bag(self.index, table, mode="sum", per_sample_weights=weights)

    def sum(self, values: Tensor) -> Tensor:
        """Rows to sums at the nodes that receive them."""
        sums = embedding_bag(torch.arange(self.rows), values, self.bags, mode="sum")
        return sums.view(self.sums)


class _Gradients:
    """Gradients of one layer, block by block."""

    def __init__(self, plan: _Plan, weights: Weights, h: Tensor, features: Tensor) -> None:
        self.plan, self.weights, self.h, self.features = plan, weights, h, features
        hidden = h.shape[-1]
        self.work = h.new_empty(3, plan.rows, hidden)
        self.gradients = Weights(*(torch.zeros_like(w) for w in weights))
        self.receiver, self.sender = torch.empty_like(h), torch.zeros_like(h)
        self.edge = h.new_zeros(len(features), plan.edges, hidden)
        self.distance = h.new_zeros(hidden)

    def recompute(self, first: Tensor) -> tuple[list[Tensor], Tensor]:
        """The inputs of every SiLU and the message, from the first of them."""
        w = self.weights
        hidden = _silu(first, out=self.work[1, : len(first)])
        second = torch.addmm(w.second_bias, hidden, w.second.t())
        message = _silu(second, out=self.work[0, : len(first)])
        return [first, second, torch.addmm(w.third_bias, message, w.third.t())], message

    def backward(
        self, block: _Block, inputs: list[Tensor], message: Tensor, gate: Tensor, total: Tensor
    ) -> Tensor:
        """Gradient at the input of the first SiLU."""
        (first, second, third), w, gradients = inputs, self.weights, self.gradients
        a, b = self.work[1, : block.rows], self.work[2, : block.rows]
        _silu(third, out=a)
        gradients.last[0].addmv_(a.t(), gate)
        gradients.last_bias.add_(gate.sum())
        torch.mul(gate[:, None], w.last, out=a)
        _silu_backward(a, third, grad_input=a)
        gradients.third.addmm_(a.t(), message)
        gradients.third_bias.add_(a.sum(0))
        torch.mm(a, w.third, out=b)
        (points, edges, _), nodes = block.shape, block.node_slices[1]
        at = self.plan.receivers[block.edge_slices[1]] - nodes.start
        if points > 1:
            at = (at + torch.arange(points)[:, None] * (nodes.stop - nodes.start)).view(-1)
        b.add_(total.index_select(0, at))
        _silu_backward(b, second, grad_input=b)
        _silu(first, out=a)
        gradients.second.addmm_(b.t(), a)
        gradients.second_bias.add_(b.sum(0))
        torch.mm(b, w.second, out=a)
        _silu_backward(a, first, grad_input=a)
        self._scatter(block, a, edges)
        return a

    def _scatter(self, block: _Block, back: Tensor, edges: int) -> None:
        self.receiver[block.node_slices] = block.sum(back)
        by_point = back.view(-1, edges, back.shape[1])
        senders = self.plan.senders[block.edge_slices[1]]
        for point, values in zip(
            range(*block.edge_slices[0].indices(len(self.h))), by_point, strict=True
        ):
            self.sender[point].index_add_(0, senders, values)
            self.edge[min(point, len(self.edge) - 1), block.edge_slices[1]] += values

    def first_layer(self) -> tuple[Tensor, Weights]:
        """Gradients of the scalars and of all weights."""
        hidden = self.h.shape[-1]
        receiver, sender, _, _ = _split(self.weights.first, hidden)
        at_receiver, at_sender = self.receiver.flatten(0, 1), self.sender.flatten(0, 1)
        nodes, edge = self.h.flatten(0, 1), self.edge.flatten(0, 1)
        for_h = torch.addmm(at_receiver @ receiver, at_sender, sender).view(self.h.shape)
        parts = [
            at_receiver.t() @ nodes,
            at_sender.t() @ nodes,
            self.distance[:, None],
            edge.t() @ self.features.flatten(0, 1),
        ]
        first = torch.cat(parts, dim=1)
        return for_h, self.gradients._replace(first=first, first_bias=edge.sum(0))
