"""The compiled loops against torch, and what happens where they cannot be built."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from egno_md.geometry.bonded import complete_pairs
from egno_md.nn.block import EgnoBlock, EgnoShape
from egno_md.nn.graph import Graph, make_graph
from egno_md.nn.native import build, calls, library, reason
from egno_md.nn.native.linear import linear
from egno_md.nn.native.perceptron import perceptron
from egno_md.nn.temporal import SpectralMix

SAME = 2e-5
"""Relative to the largest number of a result: rounding of sums of some hundred products."""

OPTIONS = list(product([True, False], [True, False], [True, False], [1, 4]))


@pytest.fixture(autouse=True)
def _needs_a_compiler() -> None:
    if library() is None:
        pytest.skip(str(reason()))


@pytest.fixture
def _fresh() -> Iterator[None]:
    build._load.cache_clear()
    yield
    build._load.cache_clear()


def both(monkeypatch: pytest.MonkeyPatch, call: object, inputs: list[Tensor]) -> None:
    """Outputs and gradients through the library and through torch are the same."""
    found = []
    for switch in ("1", "0"):
        monkeypatch.setenv(build.SWITCH, switch)
        leaves = [t.detach().clone().requires_grad_() for t in inputs]
        outputs = call(*leaves)  # type: ignore[operator]
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        torch.manual_seed(1)
        loss = sum((o * torch.randn_like(o)).sum() for o in outputs)
        more = list(call.parameters()) if isinstance(call, nn.Module) else []
        gradients = torch.autograd.grad(loss, [*leaves, *more], allow_unused=True)
        found.append([*outputs, *gradients])
    for ours, theirs in zip(*found, strict=True):
        if theirs is None:
            assert ours is None or not ours.any()
            continue
        assert ours.shape == theirs.shape
        scale = float(theirs.detach().abs().max().clamp(min=0.01))  # sums of ones cancel
        assert float((ours - theirs).detach().abs().max()) < SAME * scale


class _Block(nn.Module):
    """A block of our EGNO on a graph."""

    def __init__(
        self, graph: Graph, points: int, *, normalised: bool, soft: bool, extra: int
    ) -> None:
        super().__init__()
        shape = EgnoShape(
            layers=1, hidden=32, vectors=3, modes=2, node_features=1, edge_features=2,
            force_channel=False, stable=True, normalised=normalised, couplings=normalised, soft=soft,
        )  # fmt: skip
        self.block, self.graph = EgnoBlock(shape, extra=extra), graph
        self.squared = torch.rand(points)

    def forward(self, s: Tensor, z: Tensor, path: Tensor, fixed: Tensor, *extra: Tensor) -> object:
        known = extra[0] if extra else None
        return self.block(s, z, path, fixed, self.graph, self.squared, known)


@pytest.mark.parametrize(("normalised", "soft", "regular", "points"), OPTIONS)
def test_a_block_hears_the_same(
    normalised: bool, soft: bool, regular: bool, points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    graph = make_batch(regular)
    edges, nodes, extra = len(graph.senders), graph.nodes, 0 if regular else 4
    if not normalised:
        envelope, offsets = torch.rand(edges), torch.randn(edges, 3)
        graph = replace(graph, envelope=envelope, neighbours=3.0, offsets=offsets)
    shapes = [(nodes, points, 32), (nodes, 3, points, 3), (nodes, 3, points), (edges, 6)]
    shapes += [(edges, points, extra)] if extra else []
    call = _Block(graph, points, normalised=normalised, soft=soft, extra=extra)
    both(monkeypatch, call, [torch.randn(s) for s in shapes])


def make_batch(regular: bool) -> Graph:
    pairs = complete_pairs(6)
    if not regular:  # node 2 hears nothing
        pairs = pairs[(pairs[:, 0] != 2) & (pairs.sum(1) != 5)]
    features = np.random.default_rng(0).normal(size=(len(pairs), 2))
    return make_graph(pairs, features, 6).repeat(3)


@pytest.mark.parametrize(("second", "outs", "rows"), [(0, 1, 3), (12, 70, 95), (64, 16, 200)])
def test_a_perceptron_is_the_same(
    second: int, outs: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(7 + second, 48), nn.SiLU(), nn.Linear(48, outs))

    class Call(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, *pieces: Tensor) -> Tensor:
            return perceptron(self.layers, *pieces)

    pieces = [torch.randn(rows, 7), *([torch.randn(rows, second)] if second else [])]
    both(monkeypatch, Call(), pieces)


@pytest.mark.parametrize("rows", [1, 101])
def test_a_linear_map_is_the_same(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(rows, 2, 32), torch.randn(48, 32), torch.randn(48)]
    both(monkeypatch, lambda x, w, b: linear(x, w, b), inputs)
    both(monkeypatch, lambda x, w: linear(x, w), inputs[:2])


@pytest.mark.parametrize(("points", "modes"), [(1, 2), (2, 2), (5, 2), (8, 5)])
def test_a_temporal_mix_is_the_same(
    points: int, modes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    mix = SpectralMix(32, modes, published=False, scale=0.5)
    both(monkeypatch, mix, [torch.randn(130, points, 32)])
    monkeypatch.setattr(mix, "forward", mix.over_points)
    both(monkeypatch, mix, [torch.randn(points, 130, 32)])


def test_threads_change_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    call = _Block(make_batch(False), 4, normalised=True, soft=False, extra=0)
    nodes, edges = call.graph.nodes, len(call.graph.senders)
    inputs = [torch.randn(nodes, 4, 32), torch.randn(nodes, 3, 4, 3), torch.randn(nodes, 3, 4)]
    inputs.append(torch.randn(edges, 6))
    with torch.no_grad():
        alone = call(*inputs)
    monkeypatch.setattr(calls, "PART", 20)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with torch.no_grad():
            shared = call(*inputs)
        both(monkeypatch, call, inputs)
    finally:
        torch.set_num_threads(before)
    assert len(calls.ranges(call.graph, 4)) in (1, 3)
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))


def test_silu_holds_at_its_ends() -> None:
    x = torch.tensor([0.0, -1e-30, 1e-30, 20.0, -20.0, 100.0, -100.0, 1e30, float("nan")])
    layers = nn.Sequential(nn.Linear(1, 16, bias=True), nn.SiLU(), nn.Linear(16, 16, bias=False))
    layers[2] = nn.Linear(16, 16)
    with torch.no_grad():
        layers[0].weight.fill_(1.0)
        layers[0].bias.zero_()
        layers[2].weight.copy_(torch.eye(16))
        layers[2].bias.zero_()
        found = perceptron(layers, x[:, None])[:, 0]
    expected = nn.functional.silu(x.double()).float()
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-30, equal_nan=True)


@pytest.mark.usefixtures("_fresh")
def test_without_a_compiler_torch_does_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert library() is None
    assert "Install gcc or clang" in str(reason())
    assert linear(torch.ones(1, 16), torch.ones(16, 16)).sum() == 256


@pytest.mark.usefixtures("_fresh")
def test_a_compiler_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho 'a line'; echo 'fatal error: no headers' >&2; exit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    assert library() is None
    assert str(reason()).endswith("could not build it: fatal error: no headers")


@pytest.mark.usefixtures("_fresh")
def test_it_is_built_once_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = library()
    assert first is not None
    assert first.path.is_relative_to(tmp_path)
    assert [p.name for p in first.path.parent.iterdir()] == [first.path.name]
    written = first.path.stat().st_mtime_ns
    build._load.cache_clear()
    again = library()
    assert again is not None
    assert again.path.stat().st_mtime_ns == written


@pytest.mark.usefixtures("_fresh")
def test_a_folder_that_others_can_write_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "egno-md" / "native"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = library()
    assert found is not None
    assert not found.path.is_relative_to(tmp_path)
    assert not found.path.parent.exists()  # nothing is left behind
    assert not os.listdir(folder)
