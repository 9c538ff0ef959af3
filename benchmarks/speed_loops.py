"""Part `loops` of `speed.py`: our own networks through the compiled loops beside torch alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.speed_networks import paired
from egno_md import api as em
from egno_md.core.state import Frame
from egno_md.geometry.bonded import complete_pairs
from egno_md.nn.block import EgnoShape
from egno_md.nn.egno import EgnoNetwork
from egno_md.nn.graph import make_graph
from egno_md.nn.native.build import SWITCH
from egno_md.nn.operator import WindowOperator

BATCH = 50


def loops(repeats: int) -> dict[str, Any]:
    """EGNO-MD of the n-body table, and windows of the shipped ethanol operators."""
    rows: dict[str, Any] = {}
    for what, call in {**nbody(), **windows()}.items():
        slow, fast = paired(with_loops(call, "0"), with_loops(call, "1"), repeats)
        rows[what] = {
            "torch / ms": round(1e3 * float(np.median(slow)), 2),
            "compiled / ms": round(1e3 * float(np.median(fast)), 2),
            "ratio": round(float(np.median(slow / fast)), 2),
        }
        print(what, rows[what], flush=True)
    return rows


def with_loops(call: Callable[[], Any], switch: str) -> Callable[[], None]:
    """The call with the compiled loops on or off."""

    def run() -> None:
        os.environ[SWITCH] = switch
        call()

    return run


def nbody() -> dict[str, Callable[[], Any]]:
    """A training step and an inference of a batch of 50."""
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    graph = make_graph(complete_pairs(5), random.normal(size=(20, 2)), 5).repeat(BATCH)
    network = EgnoNetwork(
        EgnoShape(
            layers=4, hidden=64, vectors=6, modes=2, node_features=1, edge_features=2,
            force_channel=False, stable=True, normalised=True, couplings=True,
        )
    )  # fmt: skip
    x, v = torch.from_numpy(random.normal(size=(2, graph.nodes, 3))).float()
    h, index = torch.ones(graph.nodes, 1), torch.arange(5.0)

    def forward() -> tuple[torch.Tensor, ...]:
        return network(x, v, v[..., None], h, graph, index, (index + 1) / 5)

    def train() -> None:
        network.zero_grad(set_to_none=True)
        loss = torch.stack([out.square().mean() for out in forward()]).sum()
        loss.backward()

    return {"n-body, training step": train, "n-body, inference": torch.inference_mode()(forward)}


def windows() -> dict[str, Callable[[], Any]]:
    """Windows of ethanol at once."""
    system = em.load_system("ethanol").system
    operator = WindowOperator.load(em.find_operator("ethanol", "egno-8fs-500k")).bind(system)
    x = system.positions
    random = np.random.default_rng(0)
    found: dict[str, Callable[[], Any]] = {}
    for count in (1, 16, 64):
        frames = [
            Frame(x, random.normal(size=x.shape), forces=500 * random.normal(size=x.shape))
            for _ in range(count)
        ]
        found[f"ethanol, windows at once: {count}"] = lambda f=frames: operator.predict(f)
    return found
