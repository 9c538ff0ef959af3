from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from egno_md.analysis import statistics
from egno_md.analysis.observable import DIFFERENT, INDISTINGUISHABLE, NOT_ENOUGH_DATA

PHI = 0.9
INEFFICIENCY = (1 + PHI) / (1 - PHI)
LOWEST_COVERAGE = 0.89
"""Nominal 0.95 less three standard errors of 150 trials (0.018 each)."""


def ar1(generator, frames: int, mean: float = 0.0) -> np.ndarray:
    noise = generator.normal(size=frames + 100)
    return mean + lfilter([1.0], [1.0, -PHI], noise)[100:]


def test_inefficiency_of_ar1_is_the_analytic_one():
    chains = [ar1(np.random.default_rng(s), 20_000) for s in range(4)]
    assert statistics.inefficiency(chains) == pytest.approx(INEFFICIENCY, rel=0.1)


def test_white_noise_is_uncorrelated():
    assert statistics.inefficiency([np.random.default_rng(0).normal(size=5000)]) < 1.2


def test_a_constant_series_is_uncorrelated():
    assert statistics.inefficiency([np.full(100, 0.15)]) == 1.0


def test_chains_in_different_basins_count_as_correlated():
    generator = np.random.default_rng(0)
    chains = [m + 0.1 * generator.normal(size=400) for m in (0.0, 1.0)]
    assert statistics.inefficiency(chains) > 100


@pytest.mark.parametrize("statistic", ["mean", "width"])
def test_the_interval_covers_zero_nineteen_times_in_twenty(statistic):
    generator = np.random.default_rng(1)
    trials, hits = 150, 0
    for _ in range(trials):
        found = statistics.difference(
            [ar1(generator, 2000)], [ar1(generator, 2000)], statistic, generator
        )
        hits += found.interval[0] <= 0 <= found.interval[1]
    assert hits / trials >= LOWEST_COVERAGE


def test_a_shifted_mean_is_different():
    generator = np.random.default_rng(2)
    reference, rollout = [ar1(generator, 5000)], [ar1(generator, 5000, mean=3.0)]
    found = statistics.difference(reference, rollout, "mean", generator)
    assert found.verdict == DIFFERENT
    assert found.value == pytest.approx(3.0, abs=1.0)
    assert found.interval[0] > 0


def test_few_independent_frames_give_no_verdict():
    generator = np.random.default_rng(3)
    found = statistics.difference([ar1(generator, 5000)], [ar1(generator, 25)], "mean", generator)
    assert found.verdict == NOT_ENOUGH_DATA


def test_equal_constants_are_indistinguishable_and_unequal_ones_are_not():
    generator = np.random.default_rng(4)
    fixed = [np.full(200, 0.1)]
    same = statistics.difference(fixed, fixed, "mean", generator)
    other = statistics.difference(fixed, [np.full(200, 0.2)], "mean", generator)
    assert (same.verdict, other.verdict) == (INDISTINGUISHABLE, DIFFERENT)


def test_values_are_numpys():
    values = np.random.default_rng(5).normal(5.0, 2.0, size=400)
    expected = {"mean": values.mean(), "width": values.std(), "root mean": np.sqrt(values.mean())}
    for statistic, value in expected.items():
        found = statistics.estimate([values], statistic, np.random.default_rng(0))
        assert found.value == pytest.approx(value)


def test_one_seed_gives_one_interval():
    values = [ar1(np.random.default_rng(6), 1000)]
    runs = [
        statistics.difference(values, values, "mean", np.random.default_rng(0)) for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_halves_split_between_chains():
    first, second = statistics.halves([np.zeros(10), np.zeros(10), np.zeros(20)])
    assert [len(c) for c in first] == [10, 10]
    assert [len(c) for c in second] == [20]
