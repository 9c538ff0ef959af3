"""The fast network against the plain one: the same numbers, outputs and gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.plain_egno import PlainEgno
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.geometry.bonded import complete_pairs
from egno_md.nn import block, egno, geometry, messages
from egno_md.nn.egnn import EgnnLayer
from egno_md.nn.graph import Graph, make_graph
from egno_md.nn.native import library, reason
from egno_md.nn.published import PublishedEgnoNetwork
from egno_md.nn.scene import Scene
from egno_md.spec.network import Egno, PublishedEgno
from tests.conftest import make_operator

SAME = 1e-5
"""Relative to the largest number, in single precision."""


@pytest.fixture(autouse=True, params=["library", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test with the compiled loops and without them."""
    if request.param == "torch":
        monkeypatch.setenv("EGNO_MD_NATIVE", "0")
    elif library() is None:
        pytest.skip(str(reason()))
    return request.param


def make_scene(*, is_regular: bool, batch: int = 3, points: int = 5) -> Scene:
    random = np.random.default_rng(0)
    pairs = complete_pairs(5)
    if not is_regular:
        pairs = pairs[(pairs[:, 0] != 2) & (pairs.sum(1) != 4)]  # node 2 receives nothing
    graph = make_graph(pairs, random.normal(size=(len(pairs), 2)), 5).repeat(batch)
    x, v = torch.from_numpy(random.normal(size=(2, graph.nodes, 3))).float()
    h = torch.from_numpy(random.random((graph.nodes, 1))).float()
    index = torch.arange(points).float()
    return Scene(x, v, h, graph, index, (index + 1) / points)


def make_network() -> PublishedEgnoNetwork:
    torch.manual_seed(0)
    return PublishedEgnoNetwork(
        PublishedEgno(kind="egno-published", layers=3, hidden=16, modes=2), 1, 2
    )


def test_what_inference_worked_out_of_a_graph_serves_training() -> None:
    network, scene = make_network(), make_scene(is_regular=False)
    fresh = replace(scene, graph=replace(scene.graph))
    with torch.inference_mode():
        network(scene)
    assert scene.graph.plans
    assert not fresh.graph.plans
    found = []
    for each in (scene, fresh):
        loss = network(each).positions.square().mean()
        found.append(torch.autograd.grad(loss, network.parameters(), allow_unused=True))
    for ours, anew in zip(*found, strict=True):
        assert (ours is None) == (anew is None)
        assert ours is None or torch.equal(ours, anew)


def test_nothing_is_kept_where_no_gradient_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EGNO_MD_NATIVE", "0")  # the library keeps nothing anyway
    kept = []
    apply = messages._Messages.apply

    def look(*given: object) -> object:
        kept.append(given[4])
        return apply(*given)

    monkeypatch.setattr(messages._Messages, "apply", look)
    network, scene = make_network(), make_scene(is_regular=False)
    with torch.no_grad():
        network(scene)
    assert kept == [False] * 3
    network(scene)
    assert kept[3:] == [True] * 3


def test_a_cut_into_blocks_too_large_to_keep_gives_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, scene = make_network(), make_scene(is_regular=False)
    with torch.no_grad():
        kept = network(scene).positions
        monkeypatch.setattr(messages, "LARGEST_HELD", 0)
        again = network(scene).positions
    assert torch.equal(kept, again)


@pytest.mark.parametrize("is_regular", [True, False])
@pytest.mark.parametrize("block", [16 * 7, 160_000])
def test_outputs_and_gradients_are_those_of_the_plain_network(
    is_regular: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "BLOCK", block)
    network, scene = make_network(), make_scene(is_regular=is_regular)
    found, gradients = [], []
    for forward in (network, PlainEgno(network)):
        paths = forward(scene)
        found.append(torch.cat([paths.positions, paths.velocities], dim=1))
        loss = paths.positions.square().mean() + paths.velocities.square().mean()
        gradients.append(torch.autograd.grad(loss, network.parameters(), allow_unused=True))
    assert _differ(*found) < SAME
    for ours, plain in zip(*gradients, strict=True):
        assert (ours is None) == (plain is None)
        if ours is not None and plain is not None:
            assert _differ(ours, plain) < SAME


def test_the_network_without_gradients_gives_the_same_numbers() -> None:
    network, scene = make_network(), make_scene(is_regular=False)
    with torch.inference_mode():
        found = network(scene).positions
    assert _differ(found, PlainEgno(network)(scene).positions) < SAME


@pytest.mark.parametrize("keeps", [True, False])
def test_gradients_of_messages_are_those_of_finite_differences(
    keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "BLOCK", 4 * 5)
    torch.manual_seed(0)
    graph = make_scene(is_regular=False, batch=1).graph
    layer = EgnnLayer(4, 2).double()
    maps = (layer.message[0], layer.message[2], layer.position[0], layer.position[2])
    weights = [p for m in maps for p in (m.weight, m.bias)]
    x, h = torch.randn(2, 5, 3).double(), torch.randn(2, 5, 4).double()
    features = torch.randn(2, len(graph.senders), 2).double()

    def call(*inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, h, features, *rest = inputs
        return messages.pass_messages(x, h, features, messages.Weights(*rest), graph, keeps=keeps)

    inputs = [t.detach().requires_grad_() for t in (x, h, features, *weights)]
    assert torch.autograd.gradcheck(call, inputs)


def test_edges_with_an_envelope_are_weighted_as_ever() -> None:
    scene = make_scene(is_regular=False, batch=1)
    ones = torch.ones(len(scene.graph.senders))
    graph: Graph = replace(scene.graph, envelope=0.5 * ones, neighbours=2.0)
    layer = EgnnLayer(8, 2)
    h, x = torch.randn(5, 2, 8), torch.randn(5, 2, 3)
    weighted = layer(x, x, h, graph)[0] - x - layer.velocity(h) * x
    plain = layer(x, x, h, scene.graph)[0] - x - layer.velocity(h) * x
    counts = scene.graph.counts[:, None, None]
    assert torch.allclose(weighted, plain * counts / 4, atol=1e-6)


def _differ(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    scale = float(theirs.detach().abs().max())
    return float((ours - theirs).detach().abs().max()) / max(scale, 1e-12)


def test_a_network_too_large_to_hold_is_computed_in_parts(
    ethanol: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Egno(kind="egno", layers=2, hidden=8, vectors=3, edges="radius", cutoff="0.25 nm",
                force_channel=False)  # fmt: skip
    for network in (spec, Egno(kind="egno", layers=2, hidden=8, force_channel=False)):
        operator = make_operator(ethanol, network)
        random = np.random.default_rng(0)
        frames = [
            Frame(ethanol.positions, random.normal(size=ethanol.positions.shape)) for _ in range(2)
        ]
        whole = operator.predict(frames)
        with monkeypatch.context() as patch:
            patch.setattr(block, "LARGEST_AT_ONCE", 7 * 4 * 8)
            patch.setattr(block, "PART", 7 * 4 * 8)
            parts = operator.predict(frames)
        assert torch.allclose(whole.positions, parts.positions, atol=1e-7)
        assert torch.allclose(whole.velocities, parts.velocities, atol=1e-5)


def test_atoms_put_in_order_in_space_move_the_same(
    ethanol: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Egno(kind="egno", layers=2, hidden=16, edges="radius", cutoff="0.25 nm",
                force_channel=False)  # fmt: skip
    operator = make_operator(ethanol, spec)
    random = np.random.default_rng(0)
    frames = [
        Frame(ethanol.positions, random.normal(size=ethanol.positions.shape)) for _ in range(3)
    ]
    as_they_come = operator.predict(frames)
    monkeypatch.setattr(egno, "SCATTERED", 1)
    monkeypatch.setattr(geometry, "CELL", 0.5)
    in_order = operator.predict(frames)
    assert torch.allclose(as_they_come.positions, in_order.positions, atol=1e-7)
    assert torch.allclose(as_they_come.velocities, in_order.velocities, atol=1e-5)
    # and they were put in another order at all
    order = geometry.near_order(torch.from_numpy(10 * ethanol.positions).float(), 9)
    assert order is not None
    assert sorted(order.tolist()) == list(range(9))
