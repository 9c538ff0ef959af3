"""Time averages and their errors.

Frames of a trajectory are correlated, so that they are resampled in blocks a
few correlation times long: the circular block bootstrap (Politis and Romano
1992, in Exploring the Limits of Bootstrap, 263), with blocks of at least six
integrated correlation times (Madras and Sokal 1988, J. Stat. Phys. 50, 109).

A series is a list with one array per chain. Chains are taken to be independent
of each other, which holds only as far as their starts are decorrelated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.fft import next_fast_len

from egno_md.compare.blocks import Blocks, from_series

Array = np.ndarray
Chains = Sequence[Array]

RESAMPLES = 400
CONFIDENCE = 0.95
SOKAL_WINDOW = 5.0
BLOCK_INEFFICIENCIES = 3.0
"""Shortest block in statistical inefficiencies (of twice the correlation time)."""
MOST_BLOCKS = 40
"""Longer series are cut into longer, not more, blocks: slow motions that carry little
of an observable's variance, but all of its error, then show between the blocks."""
BIAS_ROUNDS = 5
NUMBERS_AT_ONCE = 500_000
"""Values of series correlated together; their transforms take several times the memory."""
ENOUGH_SAMPLES = 15.0
"""Independent samples on each side below which no verdict is given."""
RESOLUTION = 1e-6
"""Relative difference below which stored single-precision values are equal."""


@dataclass(frozen=True)
class Statistic:
    """A function of time averages.

    Attributes:
        value: takes averages ``(..., features)`` to ``(...)``.
        influence: takes the averages over all frames and those over stretches
            ``(stretches, ..., features)`` to series ``(stretches, ..., series)`` whose
            slowest decorrelates as the value's error does.
        is_width: whether the value falls short by √(1 - 1/n) with n independent
            samples, as a standard deviation about a sample's own mean does.
    """

    value: Callable[[Array], Array]
    influence: Callable[[Array, Array], Array]
    is_width: bool = False


def _variance(mean: Array) -> Array:
    return np.maximum(mean[..., -1] - (mean[..., :-1] ** 2).sum(axis=-1), 0.0)


def _deviation(mean: Array, each: Array) -> Array:
    squared = each[..., -1] - 2 * (each[..., :-1] * mean[..., :-1]).sum(axis=-1)
    return np.concatenate([squared[..., None], each[..., :-1]], axis=-1)


MEAN = Statistic(lambda m: m[..., 0], lambda _, each: each)
"""Of one feature, x."""
ROOT_MEAN = Statistic(lambda m: np.sqrt(np.maximum(m[..., 0], 0)), lambda _, each: each)
"""√⟨x⟩ of one feature."""
WIDTH = Statistic(lambda m: np.sqrt(_variance(m)), _deviation, is_width=True)
"""√(⟨|x|²⟩ - |⟨x⟩|²) of the features x (one or more) and |x|²."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """A statistic of one side, for one or more members.

    Attributes:
        value: ``(members,)``.
        error: ``(members,)`` bootstrap standard error; NaN where there is one block.
        blocks: ``(members,)`` independent blocks that it rests on.
        samples: ``(members,)`` effective number of independent frames.
    """

    value: Array
    error: Array
    blocks: Array
    samples: Array


def autocorrelation(chains: Chains) -> Array:
    """Normalised autocorrelation function pooled over chains.

    Deviations are taken from the pooled mean, so that chains caught in
    different basins count as correlated all along.

    Args:
        chains: each ``(frames,)`` or ``(frames, members)``.

    Returns:
        ``(longest chain, ...)``, one at lag zero; of constant series zero at other lags.
    """
    frames = sum(len(c) for c in chains)
    mean = sum(c.sum(axis=0, dtype=np.float64) for c in chains) / frames
    longest = max(len(c) for c in chains)
    shape = (longest, *chains[0].shape[1:])
    summed, counts = np.zeros(shape), np.zeros(longest)
    for chain in chains:
        n = len(chain)
        padded = np.fft.rfft(chain - mean, next_fast_len(2 * n), axis=0)
        summed[:n] += np.fft.irfft(np.abs(padded) ** 2, next_fast_len(2 * n), axis=0)[:n]
        counts[:n] += np.arange(n, 0, -1)
    covariance = summed / counts.reshape(-1, *[1] * (len(shape) - 1))
    still = covariance[0] <= (RESOLUTION * np.maximum(np.abs(mean), RESOLUTION)) ** 2
    rho = covariance / np.where(still, 1.0, covariance[0])
    rho[:, still] = 0.0
    rho[0] = 1.0
    return rho


def inefficiency(chains: Chains) -> Array:
    """Statistical inefficiency g = 1 + 2 Σ ρ(t): frames per independent frame.

    The sum ends at the first lag beyond 5 τ, τ = g/2 (Sokal's window), or with
    the chain; a value near the chain's length means that it is not resolved.

    Taking deviations from the sample's own mean lowers every correlation by
    about g/N; it is put back before summing, in a few rounds, without which
    short series would look better sampled than they are.

    Args:
        chains: each ``(frames,)`` or ``(frames, members)``.

    Returns:
        A scalar or ``(members,)``, at least one.
    """
    shape, longest = chains[0].shape[1:], max(len(c) for c in chains)
    at_once = max(NUMBERS_AT_ONCE // longest, 1)
    if np.prod(shape, dtype=int) <= at_once:
        return _inefficiency(chains)
    flat = [c.reshape(len(c), -1) for c in chains]
    parts = range(0, flat[0].shape[1], at_once)
    values = [_inefficiency([c[:, i : i + at_once] for c in flat]) for i in parts]
    return np.concatenate(values).reshape(shape)


def _inefficiency(chains: Chains) -> Array:
    rho = autocorrelation(chains)
    frames = sum(len(c) for c in chains)
    g = _windowed_sum(rho)
    for _ in range(BIAS_ROUNDS):
        lost = np.where(g == 1.0, 0.0, g / frames)
        g = np.where(g == 1.0, 1.0, _windowed_sum((rho + lost) / (1.0 + lost)))
    return g


def _windowed_sum(rho: Array) -> Array:
    cumulated = 2.0 * np.cumsum(rho, axis=0) - 1.0
    lags = np.arange(len(rho)).reshape(-1, *[1] * (rho.ndim - 1))
    beyond = lags >= SOKAL_WINDOW * np.maximum(cumulated, 1.0) / 2
    last = np.where(beyond.any(axis=0), beyond.argmax(axis=0), len(rho) - 1)
    sums = np.take_along_axis(cumulated, last[None], axis=0)[0]
    return np.maximum(sums, 1.0)


def effective_samples(chains: Chains, g: Array | float | None = None) -> Array:
    """Independent frames; a chain shorter than the inefficiency g counts as one frame."""
    g = inefficiency(chains) if g is None else g
    return sum((len(c) / np.minimum(g, len(c)) for c in chains), np.zeros(np.shape(g)))


def phases(angles: Chains) -> list[Array]:
    """Cosines and sines of chains of angles, ``(..., 2)``, in double precision."""
    return [np.stack([np.cos(a), np.sin(a)], axis=-1, dtype=np.float64) for a in angles]


def estimate(
    blocks: Blocks,
    statistic: Statistic,
    generator: np.random.Generator,
    samples: Array | None = None,
) -> Estimate:
    """A statistic of averages and its block-bootstrap error.

    Standard errors are corrected for the number of blocks n, by √(n/(n-1)), and
    for the correlation between neighbouring blocks, by
    1/√(1 - g/2ℓ) with blocks of ℓ frames (both exact to leading order in 1/n
    and g/ℓ for a mean).

    Args:
        blocks: sums ``(stretches, members, features)``.
        statistic: of their averages.
        generator: draws the blocks.
        samples: ``(members,)`` effective numbers of frames where they are known
            from the series itself; else at most one per stretch.

    Returns:
        The estimate; a width's value is corrected for its bias, as the division by
        N - 1 does for independent frames.
    """
    influence = blocks.split(statistic.influence(blocks.mean, blocks.each))
    g = inefficiency(influence).max(axis=-1)
    if samples is None:
        samples = effective_samples(influence, g)
    lengths = block_lengths(g, len(blocks))
    value = statistic.value(blocks.mean)
    error, count = np.full(value.shape, np.nan), np.ones(value.shape)
    for length in np.unique(lengths):
        chosen = np.flatnonzero(lengths == length)
        part = Blocks(blocks.counts, blocks.sums[:, chosen], blocks.chain)
        drawn = resampled(part, int(length), generator)
        n = block_count(blocks, int(length))
        count[chosen] = n
        if n > 1:
            spread = statistic.value(drawn).std(axis=0)
            error[chosen] = spread * _correction(n, g[chosen] / length, blocks, int(length))
    if statistic.is_width:
        n = np.maximum(samples, 2.0)
        value, error = value * np.sqrt(n / (n - 1)), error * np.sqrt(n / (n - 1))
    return Estimate(value, error, count, samples)


def block_lengths(g: Array, stretches: int) -> Array:
    """Stretches in a block: 3 g or a fortieth of all, rounded up to a power of √2."""
    least = np.maximum(
        BLOCK_INEFFICIENCIES * np.where(g > 1.0, g, 1.0 / 3), stretches / MOST_BLOCKS
    )
    rounded = np.ceil(2.0 ** (np.ceil(2 * np.log2(np.maximum(least, 1.0))) / 2))
    return np.minimum(rounded, stretches).astype(int)


def block_count(blocks: Blocks, length: int) -> float:
    """How many blocks of this length the side holds; a shorter chain is one."""
    return float(np.sum(blocks.sizes / np.minimum(length, blocks.sizes)))


def _correction(n: float, g_per_length: Array, blocks: Blocks, length: int) -> Array:
    cut = np.where(length < blocks.sizes.max(), g_per_length / 2, 0.0)
    return np.sqrt(n / (n - 1) / (1.0 - np.minimum(cut, 0.5)))


def resampled(
    blocks: Blocks, length: int, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Array:
    """Averages ``(resamples, ..., features)`` of circular block bootstrap samples."""
    draws = max(round(block_count(blocks, length)), 1)
    starts = len(blocks)
    drawn = generator.integers(starts, size=(resamples, draws))
    drawn += starts * np.arange(resamples)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=resamples * starts).reshape(resamples, starts)
    flat = blocks.sums.reshape(starts, -1)
    counted = np.column_stack([blocks.counts, flat])
    windows = np.concatenate([_circular(part, length) for part in blocks.split(counted)])
    totals = weights.astype(np.float64) @ windows
    averages = totals[:, 1:] / totals[:, :1]
    return averages.reshape(resamples, *blocks.sums.shape[1:])


def _circular(values: Array, length: int) -> Array:
    """Circular sums over `length` rows from each row on."""
    length = min(length, len(values))
    if length == len(values):
        return np.broadcast_to(values.sum(axis=0), values.shape)
    passed = np.cumsum(np.concatenate([values, values[: length - 1]]), axis=0)
    passed = np.concatenate([np.zeros((1, values.shape[1])), passed])
    return passed[length:] - passed[:-length]


def estimate_together(
    blocks: Blocks,
    value: Callable[[Array], Array],
    slow: Sequence[Array],
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
    samples: float | None = None,
) -> Estimate:
    """Several numbers of the same averages, such as eigenvalues, with bootstrap errors.

    Args:
        blocks: sums ``(stretches, features)``.
        value: takes averages ``(..., features)`` to ``(..., numbers)``.
        slow: chains of ``(stretches, series)`` whose slowest sets the length of blocks.
        generator: draws the blocks.
        resamples: how many bootstrap samples.
        samples: effective number of frames where it is known from elsewhere.
    """
    g = float(inefficiency(slow).max())
    length = int(block_lengths(np.array([g]), len(blocks))[0])
    n = block_count(blocks, length)
    values = value(blocks.mean)
    error = np.full(values.shape, np.nan)
    if n > 1:
        drawn = value(resampled(blocks, length, generator, resamples))
        correction = _correction(n, np.array([g / length]), blocks, length)
        error = drawn.std(axis=0) * correction
    own = float(effective_samples(slow, g)) if samples is None else samples
    return Estimate(values, error, np.full(values.shape, n), np.full(values.shape, own))


def joined(estimates: Sequence[Estimate]) -> Estimate:
    """Members of several estimates as those of one."""
    columns = ("value", "error", "blocks", "samples")
    return Estimate(*(np.concatenate([getattr(e, c) for e in estimates]) for c in columns))


def student_reach(error: Array, freedom: Array) -> Array:
    """Half the width of the 95% interval."""
    return error * stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(freedom, 1.0))


def series_estimate(
    chains: Chains, statistic: Statistic, generator: np.random.Generator
) -> Estimate:
    """`estimate` of features stored frame by frame, ``(frames, members, features)``."""
    blocks = from_series(chains)
    influence = [statistic.influence(blocks.mean, c) for c in chains]
    samples = effective_samples(influence, inefficiency(influence).max(axis=-1))
    return estimate(blocks, statistic, generator, samples)
