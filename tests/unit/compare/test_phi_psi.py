"""Maps of φ and ψ, rare basins, slow processes."""

from __future__ import annotations

import numpy as np
import pytest

from egno_md.compare.observables.phi_psi import (
    RULE_OF_THREE,
    backbone_torsions,
    map_distance,
    positive_phi,
    slowest_process,
    torsion_map,
)
from egno_md.core.errors import DataError
from egno_md.core.system import System

FRAMES = 20_000


def two_states(leave: float, back: float, seed: int) -> np.ndarray:
    """φ and ψ that jump between two basins, with the shares back and leave to one another."""
    random = np.random.default_rng(seed)
    draws, state = random.random(FRAMES), np.zeros(FRAMES, dtype=int)
    for i in range(1, FRAMES):
        jump = draws[i] < (back if state[i - 1] else leave)
        state[i] = state[i - 1] ^ jump
    phi = np.where(state == 1, 1.0, -1.5)
    return np.stack([phi, 2.0 + 0 * phi], axis=1) + 0.05 * random.standard_normal((FRAMES, 2))


def test_the_torsions_of_the_one_residue_are_found(ala2: System, ethanol: System) -> None:
    x = ala2.positions + 0.02 * np.random.default_rng(0).standard_normal((2, 22, 3))
    found = backbone_torsions(ala2, x)
    assert found.shape == (2, 1, 2)
    mirrored = backbone_torsions(ala2, x * np.array([1.0, 1, -1]))
    assert np.allclose(mirrored, -found, atol=1e-4)
    with pytest.raises(DataError, match="no residue with both"):
        backbone_torsions(ethanol, ethanol.positions[None])


def test_distances_of_maps_go_from_nothing_to_one() -> None:
    left, right = np.full((50, 2), -1.0), np.full((50, 2), 1.0)
    assert map_distance([left], [left]) == 0.0
    assert map_distance([left], [right]) == pytest.approx(1.0)
    assert map_distance([left], [np.concatenate([left, right])]) < 1.0
    edge = np.array([[np.pi, -np.pi], [-np.pi, np.pi]])
    assert torsion_map([edge]).sum() == pytest.approx(1.0)


def test_the_interval_of_a_rare_basin_holds_its_share() -> None:
    share = positive_phi([two_states(0.01, 0.04, seed=s) for s in (1, 2)])
    assert share.low < 0.2 < share.high
    assert share.high - share.low < 0.1
    assert share.visits > 100


def test_what_is_never_seen_may_still_be_there() -> None:
    share = positive_phi([two_states(0.0, 1.0, seed=0)])
    assert (share.value, share.low, share.visits) == (0.0, 0.0, 0)
    assert RULE_OF_THREE / FRAMES <= share.high < 1.0


def test_a_basin_never_seen_is_bounded_by_the_slowest_of_the_torsions() -> None:
    """ψ that jumps eight times in 4,000 frames: some ten are independent, not thousands."""
    random = np.random.default_rng(3)
    jumps = np.isin(np.arange(4000), random.choice(4000, 8, replace=False))
    psi = np.where(np.cumsum(jumps) % 2, -0.5, 2.5)
    torsions = np.stack([np.full(4000, -1.5), psi], axis=1)
    share = positive_phi([torsions + 0.05 * random.standard_normal((4000, 2))])
    assert (share.value, share.low, share.visits) == (0.0, 0.0, 0)
    assert share.high == pytest.approx(RULE_OF_THREE / 10.5, rel=0.1)


def test_one_block_says_nothing_of_a_basin_that_was_seen() -> None:
    """A single long visit: its error cannot be told, and three in n is no bound of it."""
    phi = np.random.default_rng(0).uniform(0.1, 3.0, 32)  # whose cosine forgets at once
    phi[:24] *= -1
    share = positive_phi([np.stack([phi, np.full(32, 2.0)], axis=1)])
    assert (share.value, share.low, share.high, share.visits) == (0.25, 0.0, 1.0, 1)


def test_the_slowest_process_is_that_of_the_jumps() -> None:
    leave, back = 0.01, 0.03
    right = -2.0 / np.log(1 - leave - back)
    found = slowest_process([two_states(leave, back, seed=s) for s in (3, 4)], 5, 2.0)
    assert found == pytest.approx(right, rel=0.15)
