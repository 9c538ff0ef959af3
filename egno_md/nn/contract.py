"""Conformance of spatial layers, built-in or your own: symmetries and locality as residuals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import torch
from torch import Tensor, nn

from egno_md.core.errors import ContractError
from egno_md.geometry.bonded import complete_pairs
from egno_md.nn.graph import Graph, make_graph
from egno_md.nn.layers.parts import Symmetry
from egno_md.nn.spatial import LayerFactory
from egno_md.nn.symmetry import random_motions

NODES, POINTS, EDGE_FEATURES, LAYERS = 6, 3, 2, 2
FAR = 1000.0
"""Between two graphs of a batch, in units of the distance between nodes."""

TOLERANCE = 1e-10
"""Largest residual in double precision; built-in layers have some 1e-15."""

CLAIMED = {
    "E(3)": ("translation", "rotation", "reflection"),
    "SE(3)": ("translation", "rotation"),
    "T(3)": ("translation",),
}
"""What each `symmetry` of a layer class promises."""

ALWAYS = ("permutation", "other graphs", "other time points", "gradients")


@dataclass(frozen=True, eq=False)
class _Case:
    """Inputs of a stack of layers."""

    x: Tensor
    v: Tensor
    h: Tensor
    graph: Graph

    def transform(self, matrix: Tensor, shift: Tensor) -> _Case:
        return replace(self, x=self.x @ matrix.T + shift, v=self.v @ matrix.T)


class _Stack(nn.Module):
    """Layers one after another, each passing its state to the next."""

    def __init__(self, layer: LayerFactory, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer(hidden, EDGE_FEATURES) for _ in range(LAYERS))

    def forward(self, case: _Case) -> tuple[Tensor, Tensor]:
        x, h, state = case.x, case.h, None
        for layer in self.layers:
            x, h, state = layer(x, case.v, h, case.graph, state)
        return x, h


def layer_residuals(layer: LayerFactory, *, hidden: int = 16, seed: int = 0) -> dict[str, float]:
    """Residuals of the properties of a `SpatialLayer`, of two layers one after the other.

    In double precision, on a graph whose nodes have different degrees, one of them 0.
    Every number is the largest error over the largest move of a node.

    Args:
        layer: makes a layer out of the channels per node and the scalars per edge.
        hidden: channels per node.
        seed: of weights and frames.

    Returns:
        By claim: `translation`, `rotation` and `reflection` (moved input gives moved
        positions), `permutation` (renumbered nodes), `other graphs` (of a batch, far
        away, are not seen), `other time points` (likewise), and `gradients`: 0 where
        they are finite at coincident nodes and at rest, else infinite.

    Raises:
        ContractError: the layer gives back another shape, or moves nothing.
    """
    random = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stack = _Stack(layer, hidden).double()
        shape = (NODES, POINTS, 3)
        x, v = torch.randn(2, *shape, dtype=torch.float64)
        h = torch.randn(NODES, POINTS, hidden, dtype=torch.float64)
    pairs = _some_pairs()
    features = random.standard_normal((len(pairs), EDGE_FEATURES))
    case = _Case(x, v, h, make_graph(pairs, features, NODES).to(x))
    with torch.no_grad():
        out = stack(case)
        scale = _scale(layer, case, out)

        def residual(actual: Tensor, expected: Tensor) -> float:
            return float((actual - expected).abs().max() / scale)

        residuals = {
            name: residual(stack(case.transform(matrix, by))[0], out[0] @ matrix.T + by)
            for name, (matrix, by) in random_motions(random, 1.0).items()
        }
        order = random.permutation(NODES)
        renumbered = _Case(x[order], v[order], h[order], _renumbered(pairs, features, order).to(x))
        residuals["permutation"] = residual(stack(renumbered)[0], out[0][order])
        other = _Case(
            torch.cat([x, x.flip(0) + FAR]),
            torch.cat([v, 2 * v]),
            torch.cat([h, -h]),
            case.graph.repeat(2),
        )
        residuals["other graphs"] = residual(stack(other)[0][:NODES], out[0])
        first = replace(case, x=x[:, :1], v=v[:, :1], h=h[:, :1])
        residuals["other time points"] = residual(stack(first)[0], out[0][:, :1])
    residuals["gradients"] = 0.0 if _gradients_are_finite(stack, case) else float("inf")
    return residuals


def check_layer(
    layer: LayerFactory,
    *,
    symmetry: Symmetry | None = None,
    hidden: int = 16,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> dict[str, float]:
    """Check a layer for the properties of a `SpatialLayer`, and for the symmetry that it claims.

    Args:
        layer: a class, or anything that makes a layer out of the channels per node
            and the scalars per edge.
        symmetry: claimed; by default the attribute `symmetry` of the layer, and E(3)
            without one.
        hidden: channels per node.
        seed: of weights and frames.
        tolerance: of every residual.

    Returns:
        See `layer_residuals`; what is not claimed is in it too.

    Raises:
        ContractError: the layer does not keep it.
    """
    claim = symmetry or getattr(layer, "symmetry", "E(3)")
    if claim not in CLAIMED:
        raise ContractError(
            f"{_name(layer)}: symmetry is {claim!r}. Use one of {', '.join(get_args(Symmetry))}."
        )
    residuals = layer_residuals(layer, hidden=hidden, seed=seed)
    claims = {name: residuals[name] for name in (*CLAIMED[claim], *ALWAYS)}
    # not `>`, which NaN passes
    broken = [f"{k} ({v:.1e})" for k, v in claims.items() if not v <= tolerance]
    if broken:
        raise ContractError(
            f"{_name(layer)} claims {claim} and does not keep {', '.join(broken)}; at most "
            f"{tolerance:.0e} is rounding. Mend it, or claim less by its attribute symmetry."
        )
    return residuals


def _some_pairs() -> np.ndarray:
    """Edges that leave nodes with different numbers of neighbours, one with none."""
    pairs = complete_pairs(NODES)
    return pairs[pairs[:, 1] > NODES - 1 - pairs[:, 0]]


def _renumbered(pairs: np.ndarray, features: np.ndarray, order: np.ndarray) -> Graph:
    return make_graph(np.argsort(order)[pairs], features, NODES)


def _scale(layer: LayerFactory, case: _Case, out: tuple[Tensor, Tensor]) -> Tensor:
    x, h = out
    if x.shape != case.x.shape or h.shape != case.h.shape:
        raise ContractError(
            f"{_name(layer)} gives positions {tuple(x.shape)} and scalars {tuple(h.shape)}, "
            f"expected {tuple(case.x.shape)} and {tuple(case.h.shape)}. Return (x, h, state)."
        )
    scale = (x - case.x).abs().max()
    if not scale > 0:
        raise ContractError(
            f"{_name(layer)} moves no node (largest move {float(scale):g}), expected some move. "
            "Return new positions first."
        )
    return scale


def _gradients_are_finite(stack: _Stack, case: _Case) -> bool:
    """Whether gradients are finite with all nodes at one place, and with all at rest."""
    for x, v in ((torch.zeros_like(case.x), case.v), (case.x, torch.zeros_like(case.v))):
        inputs = [t.clone().requires_grad_(True) for t in (x, v, case.h)]
        positions, h = stack(replace(case, x=inputs[0], v=inputs[1], h=inputs[2]))
        loss = positions.square().sum() + h.square().sum()
        variables = [*inputs, *stack.parameters()]
        gradients = torch.autograd.grad(loss, variables, allow_unused=True)
        if not all(bool(torch.isfinite(g).all()) for g in gradients if g is not None):  # pyright: ignore[reportUnnecessaryComparison]
            return False
    return True


def _name(layer: LayerFactory) -> str:
    return getattr(layer, "__name__", type(layer).__name__)
