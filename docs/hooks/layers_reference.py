"""The built-in spatial layers: facts read out of their classes, and their measured accuracy."""

from __future__ import annotations

import importlib
import json
from typing import get_args

import results_tables
import torch
from torch.utils.flop_counter import FlopCounterMode

from egno_md.geometry.bonded import complete_pairs
from egno_md.nn.graph import make_graph
from egno_md.nn.spatial import layer_factory
from egno_md.spec.network import Spatial

ACCURACY = results_tables.RESULTS / "nbody_spatial.json"
HIDDEN, NODES, POINTS, EDGE_FEATURES = 64, 5, 5, 2


def page() -> str:
    """One row a layer: source, symmetry, size and arithmetic."""
    rows = [_row(kind) for kind in get_args(Spatial)]
    return "\n".join(results_tables.table(rows))


def accuracy() -> str:
    """The n-body table with every layer inside EGNO, where it has been run."""
    if not ACCURACY.is_file():
        return "No accuracy of the layers has been recorded in `benchmarks/results/` yet."
    content = json.loads(ACCURACY.read_text(encoding="utf-8"))
    source = f"From `benchmarks/results/{ACCURACY.name}`."
    return "\n".join([source, *results_tables.benchmark(content)])


def _row(kind: Spatial) -> dict[str, str]:
    factory = layer_factory(kind)
    module = importlib.import_module(getattr(factory, "__module__", ""))
    torch.manual_seed(0)
    layer = factory(HIDDEN, EDGE_FEATURES)
    return {
        "kind": f"`{kind}`",
        "source": (module.__doc__ or "").splitlines()[0].rstrip("."),
        "symmetry": getattr(factory, "symmetry", "E(3)"),
        "parameters": f"{sum(p.numel() for p in layer.parameters()):,}",
        "multiplications per edge": f"{_multiplications(layer):,}",
    }


def _multiplications(layer: torch.nn.Module) -> int:
    """Of the matrix products of one forward pass, on a complete graph of the n-body size."""
    pairs = complete_pairs(NODES)
    graph = make_graph(pairs, torch.zeros(len(pairs), EDGE_FEATURES).numpy(), NODES)
    x, v = torch.randn(2, NODES, POINTS, 3)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(x, v, torch.randn(NODES, POINTS, HIDDEN), graph, None)
    return round(counter.get_total_flops() / 2 / len(pairs) / POINTS)
