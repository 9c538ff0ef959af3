"""Forward, backward and an optimiser step on torch's `meta` device, in place of an accelerator.

Meta tensors have shapes and no numbers. `Together` refuses every operation in which they meet
tensors of another device, so that what would be left on the CPU beside a GPU fails here too.
Only what needs numbers cannot run: searches for neighbours (`edges: radius`, periodic boxes, a
sampler's cutoff), whose pairs are found on the CPU by design. Networks have fixed graphs here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from egno_md.core.system import System
from egno_md.data.sampler_windows import SamplerBatch
from egno_md.md.build import load_system
from egno_md.nn.decode import Start, decode_together
from egno_md.nn.operator import BoundOperator, WindowOperator
from egno_md.spec.network import Egno, Hierarchical, Linear, Network, PublishedEgno, Stack
from egno_md.train.sampler import flow_loss
from tests.conftest import make_general_operator, make_operator, make_sampler

META = torch.device("meta")
BATCH = 2

SMALL = {"layers": 2, "hidden": 16}
E3NN = ("tfn", "se3-transformer", "segnn")
SPATIAL = ("egnn", "rf", "mpnn", "clofnet", "schnet", "painn", *E3NN)

NETWORKS: dict[str, Network] = {
    "egno": Egno(kind="egno", **SMALL),
    "egno-force-free": Egno(kind="egno", force_channel=False, **SMALL),
    "egno-identities": Egno(kind="egno", identities=True, **SMALL),
    "egno-two-hop": Egno(kind="egno", edges="two-hop", **SMALL),
    "egno-direct-squared": Egno(kind="egno", output="direct", distances="squared", **SMALL),
    "egno-coupled-soft": Egno(kind="egno", couplings=True, projections="soft", **SMALL),
    "linear": Linear(kind="linear"),
    "eghn": Hierarchical(kind="eghn", clusters=3, **SMALL),
    "eghno": Hierarchical(kind="eghno", clusters=3, **SMALL),
    "published-scalars": PublishedEgno(kind="egno-published", temporal="scalars", **SMALL),
    **{f"published-{k}": PublishedEgno(kind="egno-published", spatial=k, **SMALL) for k in SPATIAL},
    **{f"stack-{k}": Stack(kind=k, **SMALL) for k in SPATIAL},
    **{
        f"egnn-{readout}": Stack(kind="egnn", readout=readout, layers=4, hidden=16)
        for readout in ("sequential", "rolled", "blocks")
    },
}


class Together(TorchDispatchMode):
    """Refuses operations on tensors of two devices, but for copies from one to the other."""

    COPIES = ("aten::_to_copy", "aten::copy_")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor) and t.dim()]
        devices = {t.device.type for t in given}
        assert len(devices) < 2 or func._schema.name in self.COPIES, f"{func} on {devices}"
        return func(*args, **(kwargs or {}))


@pytest.fixture(params=NETWORKS)
def operator(request: pytest.FixtureRequest, ethanol: System) -> WindowOperator:
    if any(name in request.param for name in E3NN):
        pytest.importorskip("e3nn")
    return make_operator(ethanol, NETWORKS[request.param])


def a_start(bound: BoundOperator) -> Start:
    return Start(*(torch.randn(BATCH, len(bound.atoms), 3, device=META) for _ in range(3)))


def learn(weights: nn.Module, loss: Callable[[], Tensor]) -> None:
    """Two steps as `train` takes them; what the first one keeps must serve the second."""
    optimiser = torch.optim.AdamW(weights.parameters())  # fused kernels need numbers
    for _ in range(2):
        optimiser.zero_grad()
        with Together():
            loss().backward()
        assert {p.grad.device for p in weights.parameters() if p.grad is not None} == {META}
        torch.nn.utils.clip_grad_norm_(weights.parameters(), 1.0)
        optimiser.step()
    kept = [t for state in optimiser.state.values() for t in state.values() if t.dim()]
    assert {t.device for t in kept} == {META}


def test_an_operator_learns_where_its_weights_are(
    operator: WindowOperator, ethanol: System
) -> None:
    bound = operator.bind(ethanol)
    operator.train().to(META)

    def loss() -> Tensor:
        window = bound(a_start(bound))
        moved = window.positions.square().mean() + window.velocities.square().mean()
        return moved if window.penalty is None else moved + window.penalty

    learn(operator, loss)


def test_an_operator_predicts_where_its_weights_are(
    operator: WindowOperator, ethanol: System
) -> None:
    bound = operator.bind(ethanol)
    operator.to(META)
    with torch.inference_mode(), Together():
        assert bound(a_start(bound)).positions.device == META


def test_different_systems_are_predicted_where_the_weights_are() -> None:
    operator = make_general_operator()
    bounds = [operator.bind(load_system(name).system) for name in ("ethanol", "aspirin")]
    operator.train().to(META)
    times = operator.card.time_points

    def loss() -> Tensor:
        starts = [(b, a_start(b)) for b in bounds]
        seen = [(s, b.surroundings(s, times, None, follows=None)) for b, s in starts]
        windows = decode_together(operator.network, operator.card.network, operator.scales, seen)
        return torch.stack([w.positions.square().mean() for w in windows]).sum()

    learn(operator, loss)


def test_a_sampler_learns_and_draws_where_its_weights_are(ala2: System) -> None:
    sampler = make_sampler(ala2).train().to(META)
    bound, points = sampler.bind(ala2), len(sampler.card.time_points)
    start = torch.randn(BATCH, len(bound.atoms), 3, device=META)
    future = torch.randn(BATCH, points, len(bound.atoms), 3, device=META)
    learn(sampler, lambda: flow_loss(sampler, SamplerBatch(start, future), torch.Generator()))
    with Together():
        assert bound.draw(start, future, 2, "heun").device == META
