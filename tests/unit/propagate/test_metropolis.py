"""Proposals out of draws, and the test that weighs them."""

from __future__ import annotations

import numpy as np
import pytest

from egno_md.propagate.metropolis import Kernels, Weighing

CENTRES = np.array([[0.5, -2.0], [3.0, 1.0], [np.nan, 0.0]])


@pytest.mark.parametrize("kernels", [Kernels(8.0, 0.1), Kernels(2.0, 0.0), Kernels(5.0, 1.0)])
def test_a_proposals_density_is_normalised_and_bounded(kernels: Kernels) -> None:
    centres = CENTRES if kernels.uniform < 1 else np.zeros((0, 2))
    grid = (np.arange(60) + 0.5) / 60 * 2 * np.pi - np.pi
    logs = np.array([[kernels.log_density(np.array([a, b]), centres) for a in grid] for b in grid])
    assert np.exp(logs).sum() * (2 * np.pi / 60) ** 2 == pytest.approx(1.0, abs=1e-6)
    assert logs.max() <= kernels.log_bound(2)


def test_drawn_torsions_follow_the_density() -> None:
    kernels, random = Kernels(4.0, 0.2), np.random.default_rng(0)
    count, bins = 20_000, 12
    drawn = np.array([kernels.draw(CENTRES, random) for _ in range(count)])
    place = np.floor((drawn + np.pi) / (2 * np.pi) * bins).astype(int) % bins
    seen = np.bincount(place[:, 0] * bins + place[:, 1], minlength=bins**2)
    fine = (np.arange(48) + 0.5) / 48 * 2 * np.pi - np.pi
    density = np.array(
        [[np.exp(kernels.log_density(np.array([a, b]), CENTRES)) for b in fine] for a in fine]
    )
    expected = density.reshape(bins, 4, bins, 4).sum((1, 3)).ravel() * (2 * np.pi / 48) ** 2 * count
    chi = ((seen - expected) ** 2 / expected).sum()
    assert chi < bins**2 + 5 * np.sqrt(2 * bins**2), "five standard deviations of chi square"


def test_very_narrow_kernels_do_not_overflow() -> None:
    kernels = Kernels(1e5, 0.1)
    at, off = (kernels.log_density(np.array([x]), np.zeros((1, 1))) for x in (0.0, 3.0))
    assert at == pytest.approx(np.log(0.9 * np.sqrt(1e5 / (2 * np.pi))), abs=1e-2)
    assert off == pytest.approx(np.log(0.1 / (2 * np.pi)))


@pytest.mark.parametrize(
    ("cost", "forward", "backward", "threshold", "accepts"),
    [
        (0.0, 0.0, 0.0, -1e-9, True),
        (2.0, 0.0, 0.0, -1.9, False),
        (2.0, 0.0, 0.0, -2.1, True),
        (2.0, -1.0, 1.5, -1e-9, True),
        (-1.0, 3.0, 1.0, -0.9, False),
        (np.nan, 0.0, 0.0, -50.0, False),
        (np.inf, 0.0, 0.0, -50.0, False),
    ],
)
def test_a_move_is_weighed_by_energies_and_both_ways(
    cost: float, forward: float, backward: float, threshold: float, accepts: bool
) -> None:
    assert Weighing(cost, forward, threshold).accepts(backward) is accepts
