"""One suite that every operator passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from egno_md.core.errors import BundleMismatch, WindowMismatch
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.nn.bundle import save_bundle
from egno_md.nn.operator import Start, WindowOperator
from egno_md.nn.symmetry import equivariance_residuals
from egno_md.spec.network import (
    Egno,
    Hierarchical,
    Linear,
    PublishedEgno,
    Stack,
    block_points,
    decodes_any_time,
)
from tests.conftest import changed, make_card, make_operator

FLOAT32_RESIDUAL = 1e-5
"""Relative to the largest predicted move: some tens of float32 roundings."""

BATCH = 3

UNTRAINED_STEPS = 0.5

NETWORKS = {
    "egno": Egno(kind="egno"),
    "egno-force-free": Egno(kind="egno", force_channel=False),
    "egno-identities": Egno(kind="egno", force_channel=False, identities=True),
    "egno-soft": Egno(kind="egno", projections="soft"),
    "egno-two-hop": Egno(kind="egno", edges="two-hop"),
    "egno-radius": Egno(kind="egno", edges="radius", cutoff="0.25 nm"),
    "egno-direct": Egno(kind="egno", output="direct"),
    "egno-squared": Egno(kind="egno", distances="squared"),
    "egno-published-initialisation": Egno(kind="egno", initialisation="published"),
    "egno-no-modes": Egno(kind="egno", modes=0),
    "egno-published": PublishedEgno(kind="egno-published"),
    "egno-published-complete": PublishedEgno(kind="egno-published", edges="complete"),
    **{
        f"egno-published-{temporal}": PublishedEgno(kind="egno-published", temporal=temporal)
        for temporal in ("no-velocity", "scalars", "none")
    },
    **{
        f"egnn-{readout}": Stack(kind="egnn", readout=readout)
        for readout in ("last", "sequential", "rolled", "blocks")
    },
    "linear": Linear(kind="linear"),
    "eghn": Hierarchical(kind="eghn", hidden=32, clusters=3),
    "eghno": Hierarchical(kind="eghno", hidden=32, clusters=3),
}


@pytest.fixture(params=NETWORKS, scope="module")
def operator(request: pytest.FixtureRequest, ethanol: System) -> WindowOperator:
    operator = make_operator(ethanol, NETWORKS[request.param])
    if block_points(operator.card.network) is not None:
        # steps as long as an untrained network takes them grow without bound
        for parameter in operator.parameters():
            parameter.data.mul_(UNTRAINED_STEPS)
    return operator


@pytest.fixture
def start(ethanol: System) -> Start:
    random = torch.Generator().manual_seed(1)
    shape = (BATCH, ethanol.n_atoms, 3)
    positions = torch.tensor(ethanol.positions, dtype=torch.float32)
    return Start(
        positions + 0.005 * torch.randn(shape, generator=random),
        1.7 * torch.randn(shape, generator=random),
        3e3 * torch.randn(shape, generator=random),
    )


def test_moved_input_gives_moved_output(operator: WindowOperator, start: Start) -> None:
    residuals = equivariance_residuals(operator, start, np.random.default_rng(2))
    assert residuals.keys() == {"rotation", "reflection", "translation"}
    assert max(residuals.values()) <= FLOAT32_RESIDUAL


def test_the_prediction_is_not_trivial(operator: WindowOperator, start: Start) -> None:
    prediction = operator(start)
    assert (prediction.positions - start.positions[:, None]).abs().max() > 1e-4
    points = len(operator.card.time_points)
    assert prediction.positions.shape == (BATCH, points, *start.positions.shape[1:])
    if points > 1:
        assert (prediction.positions[:, 0] - prediction.positions[:, -1]).abs().max() > 1e-5


def test_permuted_atoms_give_permuted_output(
    operator: WindowOperator, start: Start, ethanol: System
) -> None:
    order = np.random.default_rng(3).permutation(ethanol.n_atoms)
    inverse = np.argsort(order)
    one = operator.card.one
    assert one is not None
    card = changed(
        operator.card,
        one_atomic_numbers=tuple(np.array(one.atomic_numbers)[order].tolist()),
        one_masses=tuple(np.array(one.masses)[order].tolist()),
        one_bonds=tuple((int(inverse[a]), int(inverse[b])) for a, b in one.bonds),
    )
    permuted = WindowOperator(card).eval()
    permuted.load_state_dict(_relabelled(operator, order))
    moved = permuted(
        Start(start.positions[:, order], start.velocities[:, order], start.forces[:, order])
    )
    plain = operator(start)
    scale = (plain.positions - start.positions[:, None]).abs().max()
    residual = (moved.positions - plain.positions[:, :, order]).abs().max() / scale
    assert residual <= FLOAT32_RESIDUAL
    speed = plain.velocities.abs().max()
    assert (
        moved.velocities - plain.velocities[:, :, order]
    ).abs().max() / speed <= FLOAT32_RESIDUAL


def _relabelled(operator: WindowOperator, order: np.ndarray) -> dict[str, torch.Tensor]:
    """Weights for atoms in another order: what is known of each atom by name goes with it."""
    weights = dict(operator.state_dict())
    network = operator.card.network
    if isinstance(network, Egno) and network.identities:
        elements = len(operator.card.vocabulary)
        atoms = np.arange(elements, elements + len(order))
        columns = np.arange(weights["network.embed.weight"].shape[1])
        columns[atoms] = atoms[order]
        weights["network.embed.weight"] = weights["network.embed.weight"][:, columns]
    return weights


def test_identities_tell_equal_atoms_apart(ethanol: System, start: Start) -> None:
    hydrogens = np.flatnonzero(ethanol.atomic_numbers == 1)[:2]
    order = np.arange(ethanol.n_atoms)
    order[hydrogens] = hydrogens[::-1]
    swapped = Start(start.positions[:, order], start.velocities[:, order])
    network = Egno(kind="egno", force_channel=False, edges="complete")
    for identities in (False, True):
        card = make_card(ethanol, network.model_copy(update={"identities": identities}))
        operator = WindowOperator(changed(card, one_bonds=())).eval()
        moved, plain = operator(swapped).positions, operator(start).positions[:, :, order]
        same = (moved - plain).abs().max() <= FLOAT32_RESIDUAL * (plain - moved.mean()).abs().max()
        assert bool(same) != identities


def test_batched_frames_do_not_see_each_other(operator: WindowOperator, start: Start) -> None:
    together = operator(start)
    for index in range(BATCH):
        part = slice(index, index + 1)
        alone = operator(Start(start.positions[part], start.velocities[part], start.forces[part]))
        scale = (alone.positions - start.positions[part][:, None]).abs().max()
        assert (together.positions[part] - alone.positions).abs().max() / scale <= FLOAT32_RESIDUAL


def test_saved_and_loaded_is_the_same_to_the_bit(
    operator: WindowOperator, start: Start, tmp_path: Path
) -> None:
    save_bundle(tmp_path, operator)
    loaded = WindowOperator.load(tmp_path)
    assert loaded.card == operator.card
    assert torch.equal(loaded(start).positions, operator(start).positions)
    assert torch.equal(loaded(start).velocities, operator(start).velocities)


def test_predicted_frames_are_those_of_a_call(operator: WindowOperator, start: Start) -> None:
    assert start.forces is not None
    frames = [
        Frame(x.numpy(), v.numpy(), forces=f.numpy())
        for x, v, f in zip(start.positions, start.velocities, start.forces, strict=True)
    ]
    predicted, called = operator.predict(frames), operator(start)
    moved = (called.positions - start.positions[:, None]).abs().max()
    residual = (predicted.positions - called.positions).abs().max() / moved
    assert residual <= FLOAT32_RESIDUAL


def test_trained_time_points_are_the_default(operator: WindowOperator, start: Start) -> None:
    points = torch.tensor(operator.card.time_points, dtype=torch.float64)
    assert torch.equal(operator(start).positions, operator(start, points).positions)


def test_any_other_time_points_can_be_asked_for(operator: WindowOperator, start: Start) -> None:
    points = torch.linspace(0.001, 0.008, 8, dtype=torch.float64)
    if not decodes_any_time(operator.card.network):
        with pytest.raises(WindowMismatch, match="decodes the time points it was trained at"):
            operator(start, points)
        return
    prediction = operator(start, points)
    assert prediction.positions.shape[1] == 8
    assert torch.isfinite(prediction.positions).all()


def test_double_precision_is_equivariant_to_rounding(
    operator: WindowOperator, start: Start
) -> None:
    double = WindowOperator(operator.card).eval()
    double.load_state_dict(operator.state_dict())
    residuals = equivariance_residuals(double.double(), start, np.random.default_rng(4))
    assert max(residuals.values()) < 1e-11


def test_short_times_are_right_by_construction(ethanol: System, start: Start) -> None:
    operator = make_operator(ethanol, Egno(kind="egno"))
    early = torch.tensor([1e-7], dtype=torch.float64)
    prediction = operator(start, early)
    expected = start.positions + 1e-7 * start.velocities
    assert torch.allclose(prediction.positions[:, 0], expected, atol=1e-7)
    assert torch.allclose(prediction.velocities[:, 0], start.velocities, atol=1e-3)


def test_molecules_far_apart_do_not_interact_on_a_bonded_graph(ethanol: System) -> None:
    network = Egno(kind="egno", edges="two-hop")
    card = make_card(ethanol, network)
    count = ethanol.n_atoms
    single = card.one
    assert single is not None
    pair = changed(
        card,
        one_atomic_numbers=single.atomic_numbers * 2,
        one_masses=single.masses * 2,
        one_bonds=single.bonds + tuple((a + count, b + count) for a, b in single.bonds),
    )
    one, two = WindowOperator(card), WindowOperator(pair)
    two.load_state_dict(one.state_dict())
    random = torch.Generator().manual_seed(5)
    x = torch.tensor(ethanol.positions, dtype=torch.float32)[None]
    v, f = torch.randn(2, 1, count, 3, generator=random)
    both = two(
        Start(torch.cat([x, x + 10.0], 1), torch.cat([v, v.flip(1)], 1), torch.cat([f, f], 1))
    )
    alone = one(Start(x, v, f))
    assert torch.allclose(both.positions[:, :, :count], alone.positions, atol=1e-5)


def test_missing_forces_are_an_error_that_says_what_to_do(ethanol: System, start: Start) -> None:
    operator = make_operator(ethanol)
    with pytest.raises(BundleMismatch, match="force channel"):
        operator(replace(start, forces=None))
    with pytest.raises(BundleMismatch, match="moves 9 atoms"):
        operator(Start(start.positions[:, :5], start.velocities[:, :5], start.forces[:, :5]))


def test_soft_projections_tame_inputs_far_beyond_the_training_data(
    ethanol: System, start: Start
) -> None:
    fast = replace(start, velocities=100 * start.velocities)

    def moved(projections: str) -> torch.Tensor:
        spec = Egno(kind="egno", force_channel=False, projections=projections)
        return make_operator(ethanol, spec)(fast).positions

    assert not moved("plain").isfinite().all()
    assert moved("soft").isfinite().all()
