from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from egno_md.compare import statistics
from egno_md.compare.blocks import BlockSums, from_series
from egno_md.compare.findings import series_halves, with_square
from egno_md.compare.statistics import MEAN, ROOT_MEAN, WIDTH, series_estimate, student_reach
from egno_md.compare.verdicts import Extent, critical_p_value, difference, needed

PHI = 0.9
INEFFICIENCY = (1 + PHI) / (1 - PHI)
TRIALS = 200
COVERAGE = (0.90, 0.99)
"""What 95% intervals may do."""


def ar1(generator, frames: int, mean: float = 0.0, phi: float = PHI) -> np.ndarray:
    noise = generator.normal(size=frames + 200) * np.sqrt(1 - phi**2)
    return mean + lfilter([1.0], [1.0, -phi], noise)[200:]


def estimated(chains, statistic=MEAN, generator=None):
    features = with_square if statistic is WIDTH else lambda x: x[:, None, None]
    generator = generator or np.random.default_rng(0)
    return series_estimate([features(c) for c in chains], statistic, generator)


def extents(*frames: int):
    return tuple(Extent(float(n), n) for n in frames)


def test_inefficiency_of_ar1_is_the_analytic_one():
    chains = [ar1(np.random.default_rng(s), 20_000) for s in range(4)]
    assert statistics.inefficiency(chains) == pytest.approx(INEFFICIENCY, rel=0.1)


def test_inefficiency_of_many_members_is_that_of_each():
    generator = np.random.default_rng(1)
    columns = np.stack([ar1(generator, 3000, phi=p) for p in (0.0, 0.5, 0.9)], axis=1)
    together = statistics.inefficiency([columns])
    alone = [float(statistics.inefficiency([c])) for c in columns.T]
    np.testing.assert_allclose(together, alone)


def test_white_noise_and_constants_are_uncorrelated():
    assert statistics.inefficiency([np.random.default_rng(0).normal(size=5000)]) < 1.2
    assert statistics.inefficiency([np.full(100, 0.15)]) == 1.0


def test_chains_in_different_basins_count_as_correlated():
    generator = np.random.default_rng(0)
    chains = [m + 0.1 * generator.normal(size=400) for m in (0.0, 1.0)]
    assert statistics.inefficiency(chains) > 100


@pytest.mark.parametrize(("statistic", "truth"), [(MEAN, 0.0), (WIDTH, 1.0)], ids=["mean", "width"])
def test_intervals_of_an_ar1_series_cover_its_known_value(statistic, truth):
    frames = 1500
    generator = np.random.default_rng(frames)
    hits = 0
    for _ in range(TRIALS):
        found = estimated([ar1(generator, frames)], statistic, generator)
        hits += abs(found.value[0] - truth) <= student_reach(found.error, found.blocks - 1)[0]
    assert COVERAGE[0] <= hits / TRIALS <= COVERAGE[1]


@pytest.mark.slow
@pytest.mark.parametrize(("statistic", "truth"), [(MEAN, 0.0), (WIDTH, 1.0)], ids=["mean", "width"])
@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("samples", [50, 200, 1000])
def test_intervals_cover_at_every_length_and_correlation_time(statistic, truth, phi, samples):
    generator = np.random.default_rng(int(1000 * phi) + samples)
    frames = int(samples * (1 + phi) / (1 - phi))
    hits = 0
    for _ in range(500):
        found = estimated([ar1(generator, frames, phi=phi)], statistic, generator)
        hits += abs(found.value[0] - truth) <= student_reach(found.error, found.blocks - 1)[0]
    assert COVERAGE[0] <= hits / 500 <= COVERAGE[1]


def test_the_difference_of_two_samples_covers_zero():
    generator = np.random.default_rng(7)
    hits = 0
    for _ in range(TRIALS):
        a, b = (estimated([ar1(generator, n)], MEAN, generator) for n in (1500, 900))
        found = difference(a, b, extents(1500, 900))
        hits += abs(found.delta[0]) <= found.reach[0]
    assert COVERAGE[0] <= hits / TRIALS <= COVERAGE[1]


def test_a_shifted_mean_is_told():
    generator = np.random.default_rng(2)
    a, b = (estimated([ar1(generator, 5000, mean=m)]) for m in (0.0, 1.0))
    found = difference(a, b, extents(5000, 5000))
    assert found.p_value[0] < 1e-3
    assert found.delta[0] == pytest.approx(1.0, abs=0.4)


def test_three_correlation_times_are_not_enough_data_and_it_says_how_many_would_do():
    frames = int(3 * INEFFICIENCY / 2)
    short = 0
    for seed in range(30):
        generator = np.random.default_rng(seed)
        a, b = estimated([ar1(generator, 5_000)]), estimated([ar1(generator, frames)])
        found = difference(a, b, extents(5_000, frames))
        short += not found.is_enough[0]
        _, rollout = needed(found, np.zeros(1))
        assert rollout >= 0.5 * statistics.ENOUGH_SAMPLES * INEFFICIENCY
    assert short == 30


def test_the_reference_tells_how_slow_a_short_rollout_is():
    """A rollout that hardly moves looks uncorrelated by itself."""
    generator = np.random.default_rng(3)
    a = estimated([ar1(generator, 50_000, phi=0.999)])
    still = ar1(generator, 400, phi=0.999)[:40] + generator.normal(size=40)
    b = estimated([still])
    assert b.samples[0] > statistics.ENOUGH_SAMPLES
    assert not difference(a, b, extents(50_000, 40)).is_enough[0]


def test_what_is_needed_shrinks_the_interval_to_the_threshold():
    generator = np.random.default_rng(4)
    a, b = (estimated([ar1(generator, 4000)]) for _ in range(2))
    found = difference(a, b, extents(4000, 4000))
    threshold = found.reach / 3
    assert needed(found, threshold) == pytest.approx((36_000, 36_000))
    assert needed(found, 2 * found.reach) is None


def test_equal_constants_are_equal_and_unequal_ones_are_not():
    fixed, other = estimated([np.full(200, 0.1)]), estimated([np.full(200, 0.2)])
    assert difference(fixed, fixed, extents(200, 200)).p_value[0] == 1.0
    assert difference(fixed, other, extents(200, 200)).p_value[0] == 0.0


def test_values_are_numpys():
    values = np.random.default_rng(5).normal(5.0, 2.0, size=400)
    expected = {MEAN: values.mean(), ROOT_MEAN: np.sqrt(values.mean())}
    for statistic, value in expected.items():
        assert estimated([values], statistic).value[0] == pytest.approx(value)
    independent = estimated([values], WIDTH)
    n = independent.samples[0]
    assert independent.value[0] == pytest.approx(values.std() * np.sqrt(n / (n - 1)))


def test_one_seed_gives_one_interval():
    values = [ar1(np.random.default_rng(6), 1000)]
    runs = [estimated(values, generator=np.random.default_rng(0)).error for _ in range(2)]
    assert runs[0] == runs[1]


def test_halves_split_between_chains():
    first, second = series_halves([np.zeros(10), np.zeros(10), np.zeros(20)])
    assert ([len(c) for c in first], [len(c) for c in second]) == ([10, 10], [20])


def test_benjamini_and_hochberg_reject_what_their_paper_does():
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
         0.5719, 0.6528, 0.7590, 1.0]  # fmt: skip
    assert critical_p_value(np.array(p)) == 0.0095  # four rejected, Benjamini and Hochberg 1995
    assert critical_p_value(np.array([0.5, 0.9])) == -1.0


@pytest.mark.parametrize("lengths", [(7,), (1000, 3), (300, 300, 5000)])
def test_sums_over_stretches_keep_the_mean_whatever_the_parts(lengths):
    generator = np.random.default_rng(8)
    chains = [generator.normal(size=(n, 4, 2)) for n in lengths]
    sums = BlockSums()
    for chain in chains:
        sums.begin()
        for part in np.array_split(chain, 7):
            sums.add(part)
    blocks = sums.finish()
    assert len(blocks) <= 256
    assert blocks.counts.sum() == sum(lengths)
    assert blocks.sizes.size == len(lengths)
    np.testing.assert_allclose(blocks.mean, np.concatenate(chains).mean(axis=0))
    np.testing.assert_allclose(from_series(chains).mean, blocks.mean)
    whole = blocks.split(blocks.counts)
    assert [w.sum() for w in whole] == list(lengths)


def test_memory_of_sums_does_not_grow_with_frames():
    sums = BlockSums()
    sums.begin()
    for _ in range(40):
        sums.add(np.ones((500, 3, 2)))
    assert sum(len(c) for c, _ in sums.chains) <= 256
    assert sums.finish().counts.sum() == 20_000
