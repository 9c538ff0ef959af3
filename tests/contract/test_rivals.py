"""The rivals of EGNO: their equations, what they decode, and what they are trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from egno_md.core.errors import SpecError
from egno_md.core.window import Window
from egno_md.data.windows import WindowBatch
from egno_md.geometry.bonded import complete_pairs
from egno_md.nn import egnn
from egno_md.nn.card import Scales
from egno_md.nn.clusters import cluster_assignment
from egno_md.nn.decode import Prediction, Start
from egno_md.nn.eghn import HierarchicalNetwork, disconnection
from egno_md.nn.graph import make_graph
from egno_md.nn.scene import Scene
from egno_md.nn.stack import StackNetwork
from egno_md.paper.operator import TaskOperator
from egno_md.paper.task import Task
from egno_md.spec.network import Hierarchical, Linear, Network, Stack
from egno_md.train.linear import fit_linear
from egno_md.train.losses import SquaredErrors, window_loss

ATOMS, BATCH, POINTS = 5, 3, 4
EGHN_COUNT = 1_904_849
"""Of the AdK configuration: H = 128, two features per node and per edge (Han et al. 2022)."""

CHAIN = np.stack([np.arange(ATOMS - 1), np.arange(1, ATOMS)], axis=1)
TASK = Task(
    name="chain",
    atoms=ATOMS,
    time_points=Window.uniform(2.0, POINTS).time_points,
    node_features=1,
    pairs=complete_pairs(ATOMS),
    charge_products=True,
    distances=True,
    bonds=CHAIN,
)
SCALES = Scales(
    length=0.5, velocity=2.0, acceleration=1.0, position_residual=0.5, velocity_residual=1.0
)


def task_operator(network: Network, task: Task = TASK) -> TaskOperator:
    torch.manual_seed(0)
    return TaskOperator(network, task, SCALES).double()


def windows(seed: int = 1, batch: int = BATCH) -> WindowBatch:
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    return WindowBatch(
        positions=draw(batch, ATOMS, 3),
        velocities=draw(batch, ATOMS, 3),
        forces=None,
        future_positions=draw(batch, POINTS, ATOMS, 3),
        future_velocities=draw(batch, POINTS, ATOMS, 3),
        features=draw(batch, ATOMS, 2),
    )


def start_of(batch: WindowBatch) -> Start:
    return Start(batch.positions, batch.velocities, features=batch.features)


def scene(points: int = 1, edge_features: int = 2) -> Scene:
    torch.manual_seed(1)
    pairs = complete_pairs(ATOMS)[:-3]  # degrees differ
    features = torch.randn(len(pairs), edge_features, dtype=torch.float64)
    bonds = make_graph(np.concatenate([CHAIN, CHAIN[:, ::-1]]), np.ones((8, 1)), ATOMS)
    x, v = torch.randn(2, ATOMS, 3, dtype=torch.float64)
    return Scene(
        positions=x,
        velocities=v,
        features=torch.randn(ATOMS, 2, dtype=torch.float64),
        graph=replace(make_graph(pairs, features.numpy(), ATOMS), features=features),
        index=torch.arange(points, dtype=torch.float64),
        fraction=torch.arange(1, points + 1, dtype=torch.float64) / points,
        bonds=replace(bonds, features=bonds.features.double()),
    )


def egnn_by_the_book(layer, x, v, h, pairs, features):
    """Satorras et al. 2021, Eqs. 3-7 with velocities, one edge after another."""
    new_x, new_h = [], []
    for i in range(len(x)):
        pull, count, total = torch.zeros(3, dtype=x.dtype), 0, 0
        for (a, b), e in zip(pairs, features, strict=True):
            if a != i:
                continue
            r = x[i] - x[b]
            m = layer.message(torch.cat([h[i], h[b], r.square().sum()[None], e]))
            pull, count, total = pull + r * layer.position(m), count + 1, total + m
        new_x.append(x[i] + layer.velocity(h[i]) * v[i] + pull / count)
        new_h.append(layer.node(torch.cat([h[i], total])))
    return torch.stack(new_x), torch.stack(new_h)


def edges_of(graph):
    return torch.stack([graph.receivers, graph.senders], dim=1).tolist()


@pytest.mark.parametrize("readout", ["last", "sequential"])
def test_egnn_equals_the_published_equations_edge_by_edge(readout: str) -> None:
    seen = scene()
    spec = Stack(kind="egnn", layers=4, hidden=8, readout=readout)
    network = StackNetwork(spec, 2, 2, points=3).double()
    x, h = seen.positions, network.embed(seen.features)
    layers = []
    for layer in network.layers:
        x, h = egnn_by_the_book(
            layer, x, seen.velocities, h, edges_of(seen.graph), seen.graph.features
        )
        layers.append(x)
    expected = {"last": layers[-1:], "sequential": [layers[1], layers[2], layers[3]]}[readout]
    paths = network(seen)
    assert torch.allclose(paths.positions, torch.stack(expected, dim=1), rtol=1e-9)
    assert torch.equal(paths.velocities[:, -1], seen.velocities)


def test_eghn_has_the_published_parameter_count() -> None:
    network = HierarchicalNetwork(Hierarchical(kind="eghn", hidden=128), 2, 2)
    assert sum(p.numel() for p in network.parameters()) == EGHN_COUNT


def test_eghn_equals_the_published_equations_node_by_node() -> None:
    seen = scene()
    spec = Hierarchical(kind="eghn", layers=2, hidden=6, clusters=3, connectivity=2.0)
    network = HierarchicalNetwork(spec, 2, 2).double()
    expected, penalty, s = _eghn_by_the_book(network, seen)
    paths = network(seen)
    assert torch.allclose(paths.positions[:, 0], expected, rtol=1e-8)
    assert torch.allclose(paths.penalty, 2.0 * penalty, rtol=1e-8)
    assert torch.allclose(network.clusters(seen)[:, 0], s, rtol=1e-8)


def _eghn_by_the_book(network: HierarchicalNetwork, seen: Scene):
    """One node, one bond, one cluster after another."""
    x, v, mean = seen.positions, seen.velocities, seen.positions.mean(0)
    bonds, pairs = edges_of(seen.bonds), edges_of(seen.graph)
    h, moved = network.low.embed(network.embed(seen.features)), x
    for layer in network.low.layers:
        moved, h = egnn_by_the_book(layer, moved, v, h, pairs, seen.graph.features)
    z, g = torch.stack([x - mean, moved - x, v], dim=-1), h
    for layer in network.pooling.layers:
        z, g = _pooling_by_the_book(layer, z, g, bonds, x)
    s = torch.softmax(network.pooling.assign(g), dim=1)
    big = [sum(s[i, k] * a[i] for i in range(ATOMS)) for a in (x, v, h) for k in range(3)]
    big_x, big_v, big_h = (
        torch.stack([b / s[:, k].sum() for k, b in enumerate(big[n : n + 3])]) for n in (0, 3, 6)
    )

    def joined(edges, i, j):
        return sum(s[a, i] * s[b, j] for a, b in edges)

    every = [(i, j) for i in range(3) for j in range(3)]
    weights = torch.stack([joined(pairs, i, j)[None] for i, j in every])
    new_x, new_h = big_x, network.high.embed(big_h)
    for layer in network.high.layers:
        new_x, new_h = egnn_by_the_book(layer, new_x, big_v, new_h, every, weights)
    out = []
    for i in range(ATOMS):

        def spread(values, i=i):
            return sum(s[i, k] * values[k] for k in range(3))

        vectors = [spread(new_x - big_x), x[i] - spread(big_x), v[i] - spread(big_v)]
        vectors, scalars = [*vectors, moved[i] - x[i]], torch.cat([h[i], spread(new_h)])
        unpooling = network.unpooling
        for mix, to_vector, to_scalar in zip(
            unpooling.mix, unpooling.vector, unpooling.scalar, strict=True
        ):
            products = torch.stack([a @ b for a in vectors for b in vectors])
            mixed = mix(torch.cat([products / products.norm(), scalars]))
            shares = to_vector(mixed)
            vectors.append(sum(c * a for c, a in zip(shares, vectors, strict=True)))
            scalars = to_scalar(mixed)
        out.append(spread(new_x) + vectors[-1])
    rows = torch.stack([joined(bonds, i, j) for i, j in every]).view(3, 3)
    penalty = (rows / rows.norm(dim=1, keepdim=True) - torch.eye(3, dtype=x.dtype)).norm()
    return torch.stack(out), penalty, s


def _pooling_by_the_book(layer, z, h, bonds, x):
    new_z, new_h = [], []
    for i in range(ATOMS):
        pull, count, total = torch.zeros(3, 3, dtype=x.dtype), 0, 0
        for a, b in bonds:
            if a != i:
                continue
            r = x[i] - x[b]
            products = (z[b].T @ z[i]).flatten()
            edge = torch.stack([r.norm(), r.square().sum()])
            m = layer.message(torch.cat([products / products.norm(), h[i], h[b], edge]))
            pull, count = pull + z[b] @ layer.matrix(m).view(3, 3), count + 1
            total = total + m
        new_z.append(z[i] + pull / count)
        new_h.append(h[i] + layer.node(torch.cat([h[i], total])))
    return torch.stack(new_z), torch.stack(new_h)


def test_the_penalty_is_zero_for_separated_clusters_and_only_for_them() -> None:
    apart = torch.diag_embed(torch.tensor([[[4.0, 2.0, 6.0]]]))
    assert disconnection(apart) == 0
    touching = apart.clone()
    touching[0, 0, 0, 1] = touching[0, 0, 1, 0] = 1.0
    empty = torch.diag_embed(torch.tensor([[[4.0, 2.0, 0.0]]]))
    assert disconnection(touching) > 0.1
    assert disconnection(empty) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["eghn", "eghno"])
def test_hard_clusters_that_no_bond_crosses_cost_nothing(kind: str) -> None:
    """Two dimers that know each other by their features: s is as good as one-hot."""
    pairs = np.array([[0, 1], [2, 3]])
    dimers = Task(
        name="dimers", atoms=4, time_points=(1.0, 2.0), node_features=1,
        pairs=complete_pairs(4), bonds=pairs,
    )  # fmt: skip
    operator = task_operator(
        Hierarchical(kind=kind, layers=1, hidden=8, clusters=2, connectivity=3.0), dimers
    )
    pooling = operator.network.pooling
    x = torch.randn(1, 4, 3, dtype=torch.float64)
    features = torch.tensor([[[1.0], [1.0], [-1.0], [-1.0]]], dtype=torch.float64)
    start = Start(x, torch.zeros_like(x), features=features)
    assert operator(start).penalty > 0.1
    h: list[torch.Tensor] = []
    handle = pooling.assign.register_forward_pre_hook(lambda _, given: h.append(given[0]))
    operator(start)
    handle.remove()
    # a direction of h that tells the dimers apart, at every time point
    inside = h[0].flatten(0, 1)
    target = features[0].expand(-1, h[0].shape[1]).reshape(-1, 1)
    known = torch.cat([inside, torch.ones_like(target)], dim=1)
    direction = torch.linalg.lstsq(known, target, driver="gelsd").solution
    assert torch.allclose(known @ direction, target, atol=1e-6)
    hard = torch.nn.Linear(8, 2).double()
    hard.weight.data = 100 * torch.stack([direction[:-1, 0], -direction[:-1, 0]])
    hard.bias.data = 100 * torch.stack([direction[-1, 0], -direction[-1, 0]])
    pooling.assign = torch.nn.Sequential(hard)
    assert operator(start).penalty < 1e-9
    largest = cluster_assignment(operator, start)[0, -1].argmax(1)
    assert largest.tolist() == [0, 0, 1, 1]


def test_the_penalty_is_part_of_the_loss() -> None:
    batch = windows()
    operator = task_operator(Hierarchical(kind="eghno", layers=1, hidden=8, clusters=2))
    prediction = operator(start_of(batch))
    plain = window_loss(replace(prediction, penalty=None), batch, SCALES, 0.0)
    whole = window_loss(prediction, batch, SCALES, 0.0)
    assert (whole - plain).item() == pytest.approx(prediction.penalty.item())
    assert prediction.penalty.item() > 0


def test_clusters_can_be_asked_of_hierarchical_networks_only() -> None:
    with pytest.raises(SpecError, match="it has none"):
        cluster_assignment(task_operator(Linear(kind="linear")), start_of(windows()))


def test_the_linear_fit_cannot_be_bettered() -> None:
    batch = windows(batch=8)
    operator = task_operator(Linear(kind="linear"))
    halves = [
        WindowBatch(**{k: None if a is None else a[part] for k, a in vars(batch).items()})
        for part in (slice(0, 3), slice(3, None))
    ]
    fit_linear(operator.network, SCALES, halves)
    best = operator.network.coefficients
    loss = window_loss(operator(start_of(batch)), batch, SCALES, 0.0)
    loss.backward()
    assert best.grad is not None
    assert best.grad.abs().max() < 1e-6, "float32 sums of float64 products"
    for shift in (-0.01, 0.01):
        with torch.no_grad():
            best += shift
        worse = window_loss(operator(start_of(batch)), batch, SCALES, 0.0)
        assert worse > loss
        with torch.no_grad():
            best -= shift


def test_straight_motion_is_fitted_exactly() -> None:
    batch = windows()
    tau = torch.tensor(TASK.time_points, dtype=torch.float64).view(1, -1, 1, 1)
    straight = batch.positions[:, None] + 0.7 * tau * batch.velocities[:, None]
    batch = replace(batch, future_positions=straight)
    operator = task_operator(Linear(kind="linear"))
    fit_linear(operator.network, SCALES, [batch])
    assert torch.allclose(operator(start_of(batch)).positions, straight)


def test_rolled_steps_follow_each_other_by_their_mean_velocities() -> None:
    spec = Stack(kind="egnn", layers=2, hidden=8, readout="rolled")
    operator = task_operator(spec).eval()
    step = task_operator(
        spec.model_copy(update={"readout": "last"}), replace(TASK, time_points=(0.5,))
    )
    step.load_state_dict(operator.state_dict())
    start = start_of(windows())
    whole = operator(start)
    for point in range(POINTS):
        end = step(start).positions[:, 0]
        velocities = (end - start.positions) / 0.5
        assert torch.allclose(whole.positions[:, point], end)
        assert torch.allclose(whole.velocities[:, point], velocities)
        start = replace(start, positions=end, velocities=velocities)


def test_rolled_steps_are_trained_on_the_first_one_alone() -> None:
    batch = windows()
    operator = task_operator(Stack(kind="egnn", layers=2, hidden=8, readout="rolled")).train()
    prediction = operator(start_of(batch))
    assert prediction.positions.shape[1] == 1
    first = operator.eval()(start_of(batch)).positions[:, 0]
    assert torch.equal(prediction.positions[:, 0], first)
    loss = window_loss(prediction, batch, SCALES, 0.0)
    expected = ((first - batch.future_positions[:, 0]) / 0.5).square().mean()
    assert loss.item() == pytest.approx(expected.item())


def test_blocks_start_where_the_one_before_ended() -> None:
    spec = Stack(kind="egnn", layers=2, hidden=8, readout="blocks")
    odd = replace(TASK, time_points=(0.5, 1.0, 1.5))
    operator = task_operator(spec, odd).train()
    start = start_of(windows())
    whole = operator(start)
    assert whole.positions.shape[1] == 3
    block = task_operator(spec, replace(TASK, time_points=(0.5, 1.0)))
    block.load_state_dict(operator.state_dict())
    first = block(start)
    assert torch.allclose(whole.positions[:, :2], first.positions)
    velocities = (first.positions[:, 1] - first.positions[:, 0]) / 0.5
    again = block(replace(start, positions=first.positions[:, 1], velocities=velocities))
    assert torch.allclose(whole.positions[:, 2], again.positions[:, 0])
    whole.positions[:, 2].sum().backward()
    assert all(p.grad is not None for p in operator.network.layers[0].parameters())


@pytest.mark.parametrize("kind", ["egnn", "eghn"])
def test_a_network_of_the_end_alone_is_compared_with_the_end(kind: str) -> None:
    small = {"layers": 1, "hidden": 8}
    spec = Stack(kind="egnn", **small)
    if kind == "eghn":
        spec = Hierarchical(kind="eghn", clusters=2, connectivity=0.0, **small)
    batch = windows()
    prediction = task_operator(spec)(start_of(batch))
    assert prediction.positions.shape[1] == 1
    expected = (prediction.positions[:, 0] - batch.future_positions[:, -1]).square().mean()
    loss = window_loss(prediction, batch, SCALES, 0.0)
    assert loss.item() == pytest.approx(expected.item() / 0.5**2)
    measured = Prediction(
        prediction.positions.detach(), prediction.velocities, None, slice(-1, None)
    )
    assert prediction.points == measured.points
    errors = SquaredErrors.of(measured, batch)
    assert errors.f_mse == pytest.approx(100 * expected.item())
    assert errors.a_mse == errors.f_mse


def test_whole_windows_are_compared_point_by_point() -> None:
    batch = windows()
    whole = Prediction(batch.future_positions, batch.future_velocities)
    assert SquaredErrors.of(whole, batch).a_mse == 0


@pytest.mark.parametrize("readout", ["rolled", "blocks"])
def test_steps_need_evenly_spaced_time_points(readout: str) -> None:
    uneven = replace(TASK, time_points=(0.5, 1.0, 2.0))
    with pytest.raises(SpecError, match="time points are uneven"):
        task_operator(Stack(kind="egnn", readout=readout), uneven)


def test_a_sequential_readout_needs_a_layer_a_point() -> None:
    with pytest.raises(SpecError, match="network.layers: 4"):
        task_operator(Stack(kind="egnn", layers=3, readout="sequential"))


@pytest.mark.slow  # torch loads its compiler with the first checkpoint
def test_layers_computed_again_on_the_way_back_give_the_same_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = windows()
    operator = task_operator(Hierarchical(kind="eghno", layers=2, hidden=8, clusters=2))

    def gradients() -> list[torch.Tensor]:
        operator.zero_grad()
        window_loss(operator(start_of(batch)), batch, SCALES, 0.0).backward()
        return [p.grad.clone() for p in operator.parameters() if p.grad is not None]

    kept = gradients()
    monkeypatch.setattr(egnn, "LARGEST_KEPT", 0)
    again = gradients()
    assert len(kept) == len(again)
    for a, b in zip(kept, again, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-14)
