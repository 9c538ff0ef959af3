"""One suite that every spatial layer passes, as a bare stack and inside EGNO."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from egno_md.core.errors import ContractError, SpecError
from egno_md.core.system import System
from egno_md.geometry.bonded import complete_pairs
from egno_md.nn.bundle import save_bundle
from egno_md.nn.card import Scales
from egno_md.nn.contract import ALWAYS, CLAIMED, check_layer, layer_residuals
from egno_md.nn.decode import Start
from egno_md.nn.egnn import EgnnLayer
from egno_md.nn.graph import Graph, make_graph
from egno_md.nn.operator import WindowOperator
from egno_md.nn.published import PublishedEgnoNetwork
from egno_md.nn.spatial import layer_factory
from egno_md.nn.symmetry import random_rotation
from egno_md.paper.operator import TaskOperator
from egno_md.paper.task import Task
from egno_md.spec.network import Egno, PublishedEgno, Spatial, Stack
from tests.conftest import make_operator

KINDS = get_args(Spatial)
STEERABLE = ("painn", "tfn", "se3-transformer", "segnn")
"""Kinds that carry more than positions and scalars from layer to layer."""

ROUNDING = 1e-11
"""Of a whole EGNO in double precision, relative to the largest predicted move."""

BROKEN = 1e-4
"""What a symmetry that is not there leaves, at least."""

LAYER_PARAMETERS = (15_000, 60_000)
"""Of one layer with 64 channels; EGNN has 33,474. A radial field is a few hundred by nature."""

ATOMS, POINTS = 5, 4
SCALES = Scales(
    length=1.0, velocity=1.0, acceleration=1.0, position_residual=1.0, velocity_residual=1.0
)
TASK = Task(
    name="charges",
    atoms=ATOMS,
    time_points=tuple(0.25 * (p + 1) for p in range(POINTS)),
    node_features=0,
    pairs=complete_pairs(ATOMS),
    charge_products=True,
)


def network(kind: Spatial, **changes: object) -> PublishedEgno:
    known = {"kind": "egno-published", "layers": 2, "hidden": 8, "spatial": kind}
    return PublishedEgno.model_validate(known | changes)


def task_operator(spec: PublishedEgno) -> TaskOperator:
    torch.manual_seed(0)
    return TaskOperator(spec, TASK, SCALES).double()


@pytest.fixture(params=KINDS, scope="module")
def kind(request: pytest.FixtureRequest) -> Spatial:
    return request.param


@pytest.fixture(scope="module")
def operator(kind: Spatial) -> TaskOperator:
    return task_operator(network(kind))


@pytest.fixture
def start() -> Start:
    random = torch.Generator().manual_seed(1)
    x, v = torch.randn(2, 3, ATOMS, 3, generator=random, dtype=torch.float64)
    charges = torch.randint(0, 2, (3, ATOMS, 1), generator=random) * 2.0 - 1
    return Start(x, v, features=charges.double())


def turned(start: Start, matrix: Tensor, shift: Tensor) -> Start:
    return replace(
        start, positions=start.positions @ matrix.T + shift, velocities=start.velocities @ matrix.T
    )


def off(operator: TaskOperator, start: Start, matrix: Tensor, shift: Tensor) -> float:
    """How far a moved start is from a moved prediction, over the largest predicted move."""
    plain = operator(start).positions
    moved = operator(turned(start, matrix, shift)).positions
    largest = (plain - start.positions[:, None]).abs().max()
    return float(((moved - (plain @ matrix.T + shift)).abs().max() / largest).detach())


def test_a_bare_stack_keeps_what_its_class_claims_and_no_more(kind: Spatial) -> None:
    layer = layer_factory(kind)
    residuals = check_layer(layer, hidden=8)
    unclaimed = residuals.keys() - set(CLAIMED[getattr(layer, "symmetry", "E(3)")]) - set(ALWAYS)
    assert all(residuals[name] > BROKEN for name in unclaimed)
    expected = {"mpnn": {"rotation", "reflection"}, "clofnet": {"reflection"}}
    assert unclaimed == expected.get(kind, set())


def test_inside_egno_moved_input_gives_moved_output(
    kind: Spatial, operator: TaskOperator, start: Start
) -> None:
    turn = random_rotation(np.random.default_rng(2))
    zero, eye = torch.zeros(3).double(), torch.eye(3).double()
    claimed = CLAIMED[getattr(layer_factory(kind), "symmetry", "E(3)")]
    assert off(operator, start, eye, torch.tensor([3.0, -2.0, 7.0]).double()) < ROUNDING
    assert (off(operator, start, turn, zero) < ROUNDING) == ("rotation" in claimed)
    assert (off(operator, start, -turn, zero) < ROUNDING) == ("reflection" in claimed)


def test_as_a_rival_moved_input_gives_moved_output(kind: Spatial, start: Start) -> None:
    torch.manual_seed(0)
    end = replace(TASK, time_points=(1.0,))
    rival = TaskOperator(Stack(kind=kind, layers=2, hidden=8), end, SCALES).double()
    claimed = CLAIMED[getattr(layer_factory(kind), "symmetry", "E(3)")]
    turn = random_rotation(np.random.default_rng(2))
    shift = torch.tensor([3.0, -2.0, 7.0]).double()
    assert off(rival, start, torch.eye(3).double(), shift) < ROUNDING
    assert (off(rival, start, turn, shift) < ROUNDING) == ("rotation" in claimed)
    assert (off(rival, start, -turn, shift) < ROUNDING) == ("reflection" in claimed)


def test_inside_egno_renumbered_nodes_give_renumbered_output(
    operator: TaskOperator, start: Start
) -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    assert start.features is not None
    moved = operator(
        replace(
            start,
            positions=start.positions[:, order],
            velocities=start.velocities[:, order],
            features=start.features[:, order],
        )
    )
    plain = operator(start).positions[:, :, order]
    assert (moved.positions - plain).abs().max() < ROUNDING * plain.abs().max()


def test_inside_egno_graphs_of_a_batch_do_not_see_each_other(
    operator: TaskOperator, start: Start
) -> None:
    assert start.features is not None
    alone = operator(Start(start.positions[:1], start.velocities[:1], features=start.features[:1]))
    far = start.positions.clone()
    far[1:] += 1e3
    together = operator(replace(start, positions=far))
    difference = (together.positions[:1] - alone.positions).abs().max()
    assert difference < ROUNDING * alone.positions.abs().max()


def test_inside_egno_every_time_point_has_its_own_prediction(
    operator: TaskOperator, start: Start
) -> None:
    with torch.no_grad():
        for parameter in operator.parameters():  # the strength of a radial field starts at 0
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    positions = operator(start).positions
    assert (positions[:, 0] - positions[:, -1]).abs().max() > BROKEN
    finer = operator(start, torch.linspace(0.1, 1.0, 7).double()).positions
    assert finer.shape[1] == 7
    assert torch.isfinite(finer).all()


def test_inside_egno_gradients_are_finite_at_coincident_nodes_and_at_rest(
    operator: TaskOperator, start: Start
) -> None:
    x, v = start.positions.clone(), start.velocities.clone()
    x[0, 1], v[0] = x[0, 0], 0.0
    prediction = operator(replace(start, positions=x.requires_grad_(True), velocities=v))
    wanted = [x, *operator.parameters()]
    gradients = torch.autograd.grad(prediction.positions.square().sum(), wanted, allow_unused=True)
    assert gradients[0].abs().max() > 0
    assert all(torch.isfinite(g).all() for g in gradients if g is not None)


def test_a_graph_without_edges_is_no_error(kind: Spatial) -> None:
    layer = layer_factory(kind)(8, 2).double()
    lonely = make_graph(np.empty((0, 2), dtype=np.int64), np.empty((0, 2)), 3)
    x, v = torch.randn(2, 3, 2, 3).double()
    moved, h, _ = layer(x, v, torch.randn(3, 2, 8).double(), lonely.to(x), None)
    assert torch.isfinite(moved).all()
    assert torch.isfinite(h).all()


def test_layers_are_of_one_size(kind: Spatial) -> None:
    count = sum(p.numel() for p in layer_factory(kind)(64, 2).parameters())
    low, high = LAYER_PARAMETERS if kind != "rf" else (500, 1000)
    assert low <= count <= high


@pytest.mark.parametrize("kind", STEERABLE)
def test_what_a_layer_carries_reaches_the_next_one(kind: Spatial) -> None:
    torch.manual_seed(0)
    first, second = layer_factory(kind)(8, 2), layer_factory(kind)(8, 2)
    pairs = complete_pairs(4)
    graph = make_graph(pairs, np.random.default_rng(0).standard_normal((len(pairs), 2)), 4)
    x, v = torch.randn(2, 4, 2, 3)
    x, h, state = first(x, v, torch.randn(4, 2, 8), graph, None)
    assert state is not None
    with_state, without = second(x, v, h, graph, state)[0], second(x, v, h, graph, None)[0]
    assert (with_state - without).abs().max() > BROKEN


@pytest.mark.parametrize("kind", ["painn", "segnn"])
def test_saved_and_pickled_is_the_same_to_the_bit(
    kind: Spatial, ethanol: System, tmp_path: Path
) -> None:
    operator = make_operator(ethanol, network(kind, layers=1))
    save_bundle(tmp_path, operator)
    random = torch.Generator().manual_seed(1)
    shape = (2, ethanol.n_atoms, 3)
    start = Start(0.1 * torch.randn(shape, generator=random), torch.randn(shape, generator=random))
    plain = operator(start).positions
    for other in (WindowOperator.load(tmp_path), pickle.loads(pickle.dumps(operator))):
        assert torch.equal(other(start).positions, plain)


def test_a_coupling_is_the_tensor_product_of_e3nn() -> None:
    from egno_md.nn.layers.e3 import Coupling, Features, _paths, o3, plain_torch

    channels, degree = 3, 2
    with plain_torch():
        features = Features(8, degree)
        coupling = Coupling(features, channels)
        paths = [(i, k, n, "uvu", False) for n, (i, k, _) in enumerate(_paths(degree))]
        product = o3.TensorProduct(coupling.sent, features.sphere, coupling.irreps, paths)
    sent, y = torch.randn(4, 2, coupling.sent.dim), torch.randn(2, 2, features.sphere.dim)
    graph = make_graph(np.array([[0, 3], [2, 1]]), np.zeros((2, 0)), 4)
    ours = coupling.flatten(coupling(sent, y, graph))
    assert torch.allclose(ours, product(sent[graph.senders], y), atol=1e-6)


def test_attention_weighs_neighbours_and_adds_up_to_one() -> None:
    """Equal neighbours count as one: the value of a softmax, and not of a sum."""
    torch.manual_seed(0)
    layer = layer_factory("se3-transformer")(8, 1)
    x = torch.tensor([[0.0, 0, 0], [1, 2, 3], [1, 2, 3]])[:, None]
    v, h = torch.zeros_like(x), torch.randn(2, 1, 8)[[0, 1, 1]]
    one, two = (
        make_graph(np.array(p), np.ones((len(p), 1)), 3) for p in ([[0, 1]], [[0, 1], [0, 2]])
    )
    moved_by_one, moved_by_two = layer(x, v, h, one, None)[0], layer(x, v, h, two, None)[0]
    assert (moved_by_one[0] - x[0]).abs().max() > BROKEN
    assert torch.allclose(moved_by_one[0], moved_by_two[0], atol=1e-6)


def test_missing_e3nn_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer_factory("tfn")
    for module in ("tfn", "e3"):
        monkeypatch.delitem(sys.modules, f"egno_md.nn.layers.{module}")
    monkeypatch.setitem(sys.modules, "e3nn", None)
    with pytest.raises(SpecError, match=r"pip install 'egno-md\[e3nn\]'") as caught:
        PublishedEgnoNetwork(network("tfn"), 1, 1)
    assert "\n" not in str(caught.value)


def test_e3nn_is_left_as_it_was_found() -> None:
    import e3nn

    before = e3nn.get_optimization_defaults()
    layer_factory("tfn")(8, 1)
    assert e3nn.get_optimization_defaults() == before


@pytest.fixture(scope="module")
def embedded() -> TaskOperator:
    return task_operator(network("egnn", embedding="tensornet"))


def test_tensornet_embedding_keeps_the_symmetry_of_the_network(
    embedded: TaskOperator, start: Start
) -> None:
    turn = random_rotation(np.random.default_rng(2))
    shift = torch.tensor([3.0, -2.0, 7.0]).double()
    assert off(embedded, start, turn, shift) < ROUNDING
    assert off(embedded, start, -turn, shift) < ROUNDING


def test_tensornet_embedding_sees_one_graph(embedded: TaskOperator, start: Start) -> None:
    together = embedded(start).positions
    assert start.features is not None
    alone = embedded(
        Start(start.positions[1:2], start.velocities[1:2], features=start.features[1:2])
    ).positions
    assert (together[1:2] - alone).abs().max() < ROUNDING * alone.abs().max()


def test_tensornet_embedding_reads_the_geometry_into_the_nodes(
    embedded: TaskOperator, start: Start
) -> None:
    embed = embedded.network.tensor_embed
    seen: list[Tensor] = []
    hook = embed.register_forward_hook(lambda _, __, out: seen.append(out))
    embedded(start)
    embedded(replace(start, positions=2 * start.positions))
    hook.remove()
    assert seen[0].shape == (3 * ATOMS, 8)
    assert (seen[0] - seen[1]).abs().max() > BROKEN


def test_tensornet_embedding_has_finite_gradients_at_coincident_nodes(
    embedded: TaskOperator, start: Start
) -> None:
    x = start.positions.clone()
    x[0, 1] = x[0, 0]
    x.requires_grad_(True)
    embedded(replace(start, positions=x)).positions.square().sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in embedded.parameters())


class Own(EgnnLayer):
    """A user's layer: EGNN, with one fault."""

    fault = ""

    def forward(
        self, x: Tensor, v: Tensor, h: Tensor, graph: Graph, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        moved, s, state = super().forward(x, v, h, graph, state)
        match self.fault:
            case "rotation":
                moved = moved + x.new_tensor([1.0, 0.0, 0.0]) * s[..., :1]
            case "reflection":
                moved = moved + torch.linalg.cross(x - moved, v)
            case "translation":
                moved = moved + 0.1 * x
            case "permutation":
                moved = moved + v * torch.arange(len(x)).to(x)[:, None, None]
            case "other graphs":
                moved = moved + v.mean(0)
            case "other time points":
                moved = moved + v.mean(1, keepdim=True)
            case "gradients":
                r = graph.gather_receivers(x) - graph.gather_senders(x)
                moved = moved + graph.sum(r / (1 + r.square().sum(-1, keepdim=True).sqrt()))
        return moved, s, state


@pytest.mark.parametrize("fault", [*CLAIMED["E(3)"], *ALWAYS])
def test_a_layer_with_a_fault_is_told_which(fault: str) -> None:
    faulty = type("Faulty", (Own,), {"fault": fault})
    with pytest.raises(ContractError, match=fault) as caught:
        check_layer(faulty)
    assert str(caught.value).startswith("ContractError: Faulty claims E(3)")
    others = {*CLAIMED["E(3)"], *ALWAYS} - {fault}
    residuals = layer_residuals(faulty)
    if fault not in ("rotation", "other graphs"):  # those break more than one claim
        assert max(residuals[name] for name in others) < 1e-10


def test_a_layer_may_claim_less() -> None:
    faulty = type("Faulty", (Own,), {"fault": "reflection", "symmetry": "SE(3)"})
    assert check_layer(faulty)["reflection"] > BROKEN
    with pytest.raises(ContractError, match="reflection"):
        check_layer(faulty, symmetry="E(3)")
    with pytest.raises(ContractError, match=r"Use one of E\(3\)"):
        check_layer(type("Faulty", (Own,), {"symmetry": "O(3)"}))


def test_a_layer_that_moves_nothing_or_gives_another_shape_is_an_error() -> None:
    class Still(Own):
        def forward(self, x, v, h, graph, state=None):
            return x, h, state

    class Flat(Own):
        def forward(self, x, v, h, graph, state=None):
            return x[..., :2], h, state

    with pytest.raises(ContractError, match="moves no node"):
        check_layer(Still)
    with pytest.raises(ContractError, match=r"gives positions \(6, 3, 2\)"):
        check_layer(Flat)


def test_a_layer_of_ones_own_goes_into_egno_and_stacks(start: Start) -> None:
    end = replace(TASK, time_points=(1.0,))
    stack = TaskOperator(Stack(kind="painn", hidden=8), end, SCALES, layer=Own)
    assert all(isinstance(layer, Own) for layer in stack.network.layers)
    operator = TaskOperator(network("egnn"), TASK, SCALES, layer=Own).double()
    assert all(isinstance(layer, Own) for layer in operator.network.layers)
    assert torch.isfinite(operator(start).positions).all()
    ours = Egno(kind="egno", force_channel=False)
    with pytest.raises(SpecError, match="takes no layer of your own"):
        TaskOperator(ours, TASK, SCALES, layer=Own)
