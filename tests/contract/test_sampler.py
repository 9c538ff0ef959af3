"""What every sampler owes: the symmetries of molecules, and the same draw from the same noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from egno_md.core.errors import BundleMismatch
from egno_md.core.system import System
from egno_md.nn.bundle import read_card, save_bundle
from egno_md.nn.operator import Operator, WindowOperator
from egno_md.nn.sampler import EDGES_AT_ONCE, SamplerOperator
from egno_md.nn.symmetry import random_rotation
from tests.conftest import changed, make_sampler

RESIDUAL = 1e-9
"""Relative to the largest move, in double precision over three steps."""

FLOAT32_RESIDUAL = 1e-4
"""The same in single precision: matrix products add in another order in other batches."""

STEPS = 3
BATCH = 3


@pytest.fixture(params=["heavy", "all"], scope="module")
def sampler(request: pytest.FixtureRequest, ala2: System) -> SamplerOperator:
    return make_sampler(ala2, atoms=request.param)


@pytest.fixture
def given(sampler: SamplerOperator, ala2: System) -> tuple[torch.Tensor, torch.Tensor]:
    """Start frames and noise."""
    random = torch.Generator().manual_seed(1)
    atoms = sampler.bind(ala2).atoms
    start = torch.tensor(ala2.positions[atoms]).float()
    start = start + 0.01 * torch.randn(BATCH, len(atoms), 3, generator=random)
    return start, torch.randn(BATCH, 4, len(atoms), 3, generator=random)


def residual(found: torch.Tensor, expected: torch.Tensor, start: torch.Tensor) -> float:
    return float((found - expected).abs().max() / (expected - start[:, None]).abs().max())


def test_turned_start_and_noise_give_a_turned_window(sampler, given) -> None:
    exact = SamplerOperator(sampler.card).double()
    exact.load_state_dict(sampler.state_dict())
    start, noise = (t.double() for t in given)
    turn, shift = random_rotation(np.random.default_rng(2)), torch.tensor([3.0, -1.0, 2.0])
    plain = exact.draw(start, noise, STEPS)
    moved = exact.draw(start @ turn.T + shift, noise @ turn.T, STEPS)
    assert residual(moved, plain @ turn.T + shift, start @ turn.T + shift) <= RESIDUAL


def test_a_mirror_image_is_another_molecule(sampler, given) -> None:
    start, noise = given
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    plain = sampler.draw(start, noise, STEPS)
    moved = sampler.draw(start @ mirror, noise @ mirror, STEPS)
    assert residual(moved, plain @ mirror, start @ mirror) > 10 * FLOAT32_RESIDUAL


def test_permuted_atoms_give_a_permuted_window(sampler, given) -> None:
    start, noise = given
    order = np.random.default_rng(3).permutation(sampler.atoms)
    inverse = np.argsort(order)
    one = sampler.card.molecule
    card = changed(
        sampler.card,
        one_atomic_numbers=tuple(np.array(one.atomic_numbers)[order].tolist()),
        one_bonds=tuple((int(inverse[a]), int(inverse[b])) for a, b in one.bonds),
    )
    permuted = SamplerOperator(card).eval()
    state = dict(sampler.state_dict())
    for name in ("distances", "widths"):
        state[name] = state[name][order][:, order]
    permuted.load_state_dict(state)
    moved = permuted.draw(start[:, order], noise[:, :, order], STEPS)
    plain = sampler.draw(start, noise, STEPS)
    assert residual(moved, plain[:, :, order], start[:, order]) <= FLOAT32_RESIDUAL


def test_batched_replicas_do_not_see_each_other(sampler, given) -> None:
    start, noise = given
    together = sampler.draw(start, noise, STEPS)
    for i in range(BATCH):
        alone = sampler.draw(start[i : i + 1], noise[i : i + 1], STEPS)
        assert residual(together[i : i + 1], alone, start[i : i + 1]) <= FLOAT32_RESIDUAL


def test_many_replicas_are_drawn_in_parts(sampler, given) -> None:
    many = EDGES_AT_ONCE // len(sampler.molecule.graph.senders) // BATCH + 2
    start, noise = given[0].repeat(many, 1, 1), given[1].repeat(many, 1, 1, 1)
    window = sampler.draw(start, noise, 1)
    assert len(window) == len(start)
    assert residual(window[-BATCH:], window[:BATCH], start[:BATCH]) <= FLOAT32_RESIDUAL


def test_a_cutoff_joins_what_is_near_or_few_bonds_apart(sampler, given, tmp_path: Path) -> None:
    def with_cutoff(cutoff: float) -> SamplerOperator:
        network = sampler.card.network.model_copy(update={"cutoff": cutoff})
        operator = SamplerOperator(sampler.card.model_copy(update={"network": network})).eval()
        operator.load_state_dict(sampler.state_dict())
        return operator

    start, noise = given
    wide, narrow = with_cutoff(100.0), with_cutoff(0.3)
    assert torch.equal(wide.draw(start, noise, STEPS), sampler.draw(start, noise, STEPS))
    graph = narrow.molecule.graph
    apart = narrow.distances[graph.receivers, graph.senders] >= 3.0
    assert bool((graph.features[apart, 0] == 0).all())
    assert 0 < len(graph.senders) < len(sampler.molecule.graph.senders)
    assert len(narrow.molecule.torsions) == len(sampler.molecule.torsions)
    save_bundle(tmp_path, narrow)
    loaded = SamplerOperator.load(tmp_path)
    assert torch.equal(loaded.draw(start, noise, STEPS), narrow.draw(start, noise, STEPS))


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_the_same_noise_gives_the_same_bits_and_other_noise_another_window(
    sampler, given, solver
) -> None:
    start, noise = given
    first, again = (sampler.draw(start, noise, STEPS, solver) for _ in range(2))
    assert torch.equal(first, again)
    other = sampler.draw(start, noise.flip(0), STEPS, solver)
    assert (other - first).abs().max() > 0.01
    assert torch.isfinite(first).all()


def test_saved_and_loaded_draws_the_same_to_the_bit(sampler, given, tmp_path: Path) -> None:
    save_bundle(tmp_path, sampler)
    loaded = Operator.load(tmp_path)
    assert isinstance(loaded, SamplerOperator)
    assert loaded.card == sampler.card == read_card(tmp_path)
    assert torch.equal(loaded.draw(*given, STEPS), sampler.draw(*given, STEPS))


def test_where_dynamics_are_wanted_a_sampler_is_refused(sampler, tmp_path: Path) -> None:
    save_bundle(tmp_path, sampler)
    with pytest.raises(BundleMismatch, match="holds a sampler of ala2"):
        WindowOperator.load(tmp_path)


def test_other_atoms_are_refused(sampler, ala2: System, ethanol: System, given) -> None:
    with pytest.raises(BundleMismatch, match="Use a sampler trained on ethanol"):
        sampler.bind(ethanol)
    start, noise = given
    with pytest.raises(BundleMismatch, match="the frame has"):
        sampler.bind(ala2).draw(start[:, :-1], noise[:, :, :-1], 1)


def test_gradients_are_finite_where_atoms_coincide(sampler, given) -> None:
    start = torch.zeros_like(given[0])
    moves = given[1].clone().requires_grad_(True)
    flow = torch.full((BATCH,), 0.5)
    conditions = sampler.conditions(start)
    speed = sampler.velocity(moves, flow, conditions, sampler.field.start_features(conditions))
    (gradient,) = torch.autograd.grad(speed.square().sum(), moves)
    assert torch.isfinite(gradient).all()
