"""What an operator on radius edges owes, with and without a periodic box."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from egno_md.core.errors import BundleMismatch
from egno_md.nn.bundle import save_bundle
from egno_md.nn.card import DynamicsCard, OneSystem, Scales, Validity
from egno_md.nn.operator import Start, WindowOperator
from egno_md.nn.symmetry import equivariance_residuals
from egno_md.spec.network import Egno

FLOAT32_RESIDUAL = 3e-5
"""Relative to the largest predicted move; positions of 1 nm against moves of 0.01 nm."""

SMOOTH = 1e-4
"""Relative change of a prediction as a pair crosses the cutoff by 2e-6 of it."""

WATERS = 24
BOX = torch.tensor([[1.1, 0.0, 0.0], [0.3, 1.0, 0.0], [-0.2, 0.25, 0.95]], dtype=torch.float64)
NETWORK = Egno(
    kind="egno", layers=2, hidden=16, vectors=4, modes=1, edges="radius", cutoff="0.35 nm"
)


def water_card(waters: int, *, periodic: bool, network: Egno = NETWORK) -> DynamicsCard:
    bonds = [(3 * i, 3 * i + k) for i in range(waters) for k in (1, 2)]
    one = OneSystem(
        name="waters",
        atomic_numbers=(8, 1, 1) * waters,
        bonds=tuple(bonds),
        masses=(15.999, 1.008, 1.008) * waters,
        digest="none",
    )
    return DynamicsCard(
        network=network,
        time_points=(0.002, 0.004),
        vocabulary=(1, 8),
        validity=Validity.of_one(one, periodic=periodic),
        scales=Scales(
            length=0.1,
            velocity=1.3,
            acceleration=560.0,
            position_residual=0.0037,
            velocity_residual=1.65,
            neighbours=5.0,
        ),
    )


def a_start(waters: int, batch: int = 2, seed: int = 0) -> Start:
    random = torch.Generator().manual_seed(seed)
    one = torch.tensor([[0.0, 0, 0], [0.0957, 0, 0], [-0.024, 0.0926, 0]], dtype=torch.float64)
    centres = torch.rand((batch, waters, 1, 3), generator=random, dtype=torch.float64) @ BOX
    x = (centres + one).reshape(batch, -1, 3)
    shape = x.shape
    return Start(
        x,
        1.3 * torch.randn(shape, generator=random, dtype=torch.float64),
        3e3 * torch.randn(shape, generator=random, dtype=torch.float64),
        BOX.expand(batch, 3, 3),
    )


def single(start: Start) -> Start:
    return Start(*(None if a is None else a.float() for a in vars(start).values()))


@pytest.fixture(scope="module")
def operator() -> WindowOperator:
    torch.manual_seed(0)
    return WindowOperator(water_card(WATERS, periodic=True)).eval()


@pytest.fixture(scope="module")
def exact(operator: WindowOperator) -> WindowOperator:
    double = WindowOperator(operator.card).eval()
    double.load_state_dict(operator.state_dict())
    return double.double()


def moves(operator: WindowOperator, start: Start) -> torch.Tensor:
    return operator(start).positions - start.positions[:, None]


def test_a_turned_box_gives_turned_output(operator: WindowOperator, exact: WindowOperator) -> None:
    start = a_start(WATERS)
    residuals = equivariance_residuals(exact, start, np.random.default_rng(1))
    assert max(residuals.values()) < 1e-10
    residuals = equivariance_residuals(operator, single(start), np.random.default_rng(1))
    assert max(residuals.values()) < FLOAT32_RESIDUAL


def test_wrapped_molecules_are_predicted_where_they_stand(
    operator: WindowOperator, exact: WindowOperator
) -> None:
    start = a_start(WATERS)
    steps = np.random.default_rng(2).integers(-3, 4, (2, WATERS, 1, 3)).repeat(3, axis=2)
    shift = torch.from_numpy(steps.reshape(2, -1, 3).astype(np.float64)) @ BOX
    wrapped = replace(start, positions=start.positions + shift)
    assert (moves(exact, wrapped) - moves(exact, start)).abs().max() < 1e-12
    plain, moved = moves(operator, single(start)), moves(operator, single(wrapped))
    # float32 positions of 5 nm carry 5e-7 nm
    assert (plain - moved).abs().max() < 2e-6


def test_a_box_vector_added_to_all_changes_nothing(exact: WindowOperator) -> None:
    start = a_start(WATERS)
    shifted = replace(start, positions=start.positions + BOX[1] - 2 * BOX[2])
    assert (moves(exact, shifted) - moves(exact, start)).abs().max() < 1e-12
    anywhere = replace(start, positions=start.positions + torch.tensor([0.31, -0.17, 0.44]))
    assert (moves(exact, anywhere) - moves(exact, start)).abs().max() < 1e-12


def test_a_pair_that_crosses_the_cutoff_causes_no_jump() -> None:
    """Two molecules on a line: the prediction is continuous through the cutoff."""
    torch.manual_seed(1)
    operator = WindowOperator(water_card(2, periodic=False)).eval().double()
    start = a_start(2, batch=1)
    one = start.positions[:, :3] - start.positions[:, :1]
    cutoff = NETWORK.cutoff

    def at(distance: float) -> torch.Tensor:
        # oxygens face each other along z, where no hydrogen is nearer
        away = torch.tensor([0.0, 0.0, distance], dtype=torch.float64)
        x = torch.cat([one, one + away], dim=1)
        return operator(Start(x, start.velocities, start.forces)).velocities

    inside, edge, outside = (at(cutoff * (1 + d)) for d in (-1e-6, 0.0, 1e-6))
    change = (at(0.7 * cutoff) - outside).abs().max()
    assert change > 1e-3, "the pair interacts at all"
    assert (inside - outside).abs().max() < SMOOTH * change
    assert (edge - outside).abs().max() < SMOOTH * change


@pytest.mark.parametrize("periodic", [True, False])
def test_molecules_far_apart_do_not_interact(periodic: bool) -> None:
    torch.manual_seed(2)
    one = WindowOperator(water_card(1, periodic=periodic)).eval()
    two = WindowOperator(water_card(2, periodic=periodic)).eval()
    two.load_state_dict(one.state_dict())
    start = single(a_start(1, batch=1, seed=3))
    box = 4.0 * torch.eye(3)[None] if periodic else None
    pair = Start(
        torch.cat([start.positions, start.positions + 1.9], 1),
        torch.cat([start.velocities, -2 * start.velocities], 1),
        torch.cat([start.forces, start.forces.flip(1)], 1),
        box,
    )
    alone = moves(one, replace(start, box=box))
    assert torch.allclose(moves(two, pair)[:, :, :3], alone, atol=1e-6)


def test_frames_of_a_batch_have_their_own_edges(exact: WindowOperator) -> None:
    start = a_start(WATERS, batch=3, seed=4)
    together = exact(start)
    counts = []
    for index in range(3):
        part = Start(*(a if a is None else a[index : index + 1] for a in vars(start).values()))
        counts.append(
            len(exact.own._edges.neighbour_graph(part.positions, part.box, follows=None).receivers)
        )
        alone = exact(part)
        assert torch.allclose(together.positions[index], alone.positions[0], atol=1e-12)
        assert torch.allclose(together.velocities[index], alone.velocities[0], atol=1e-12)
    assert len(set(counts)) > 1


def test_kept_neighbours_predict_the_same_to_the_bit(operator: WindowOperator) -> None:
    from egno_md.core.state import Frame

    start = a_start(WATERS, batch=2, seed=5)
    x, v, f = (a.numpy() for a in (start.positions, start.velocities, start.forces))
    random = np.random.default_rng(6)
    for _ in range(5):
        x = x + 0.004 * random.standard_normal(x.shape)
        frames = [Frame(a, b, forces=c, box=BOX.numpy()) for a, b, c in zip(x, v, f, strict=True)]
        following = operator.predict(frames)
        fresh = load_like(operator).predict(frames)
        assert torch.equal(following.positions, fresh.positions)


def load_like(operator: WindowOperator) -> WindowOperator:
    other = WindowOperator(operator.card).eval()
    other.load_state_dict(operator.state_dict())
    return other


def test_a_missing_box_is_an_error_that_says_what_to_do(
    operator: WindowOperator, tmp_path: Path
) -> None:
    start = single(a_start(WATERS))
    with pytest.raises(BundleMismatch, match="Start from frames with box vectors"):
        operator(replace(start, box=None))
    save_bundle(tmp_path, operator)
    assert torch.equal(WindowOperator.load(tmp_path)(start).positions, operator(start).positions)
