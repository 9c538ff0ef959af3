"""Differences of time averages, and how sure they are.

Frames of a trajectory are correlated, so that they are resampled in blocks a
few correlation times long (Künsch 1989, Ann. Stat. 17, 1217; Carlstein 1986,
Ann. Stat. 14, 1171), where the correlation time is the integrated one with
Sokal's automatic window (Madras and Sokal 1988, J. Stat. Phys. 50, 109).

A series is a list with one array per chain. Chains are taken to be independent
of each other, which holds only as far as their starts are decorrelated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from scipy.fft import next_fast_len

from egno_md.analysis.observable import (
    DIFFERENT,
    INDISTINGUISHABLE,
    NOT_ENOUGH_DATA,
    Verdict,
)

Array = np.ndarray
Chains = Sequence[Array]
Statistic = Literal["mean", "width", "root mean"]

RESAMPLES = 500
CONFIDENCE = 0.95
SOKAL_WINDOW = 5.0
BLOCK_INEFFICIENCIES = 3.0
"""Shortest block in statistical inefficiencies: the blocks' variance is then about
a sixth too small, which Student's quantile at the number of blocks makes up for."""
MOST_BLOCKS = 32
"""Longer series are cut into longer, not more, blocks: slow modes that carry little
of an observable's variance, but all of its error, then show between the blocks."""
BIAS_ROUNDS = 5
ENOUGH_SAMPLES = 10.0
"""Independent samples on each side below which no verdict is given."""
RESOLUTION = 1e-6
"""Relative difference below which stored single-precision values are equal."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """A statistic of one side.

    Attributes:
        value: the statistic.
        resampled: ``(resamples,)`` the statistic of each bootstrap sample.
        blocks: how many were resampled.
        samples: effective number of independent frames.
    """

    value: float
    resampled: Array
    blocks: int
    samples: float

    @property
    def error(self) -> float:
        """Bootstrap standard error."""
        return float(np.std(self.resampled))


@dataclass(frozen=True)
class Difference:
    """Rollout minus reference, with everything a verdict needs."""

    reference: float
    rollout: float
    interval: tuple[float, float] | None
    noise_floor: float
    verdict: Verdict

    @property
    def value(self) -> float:
        """Rollout minus reference."""
        return self.rollout - self.reference


def autocorrelation(chains: Chains) -> Array:
    """Normalised autocorrelation function pooled over chains.

    Deviations are taken from the pooled mean, so that chains caught in
    different basins count as correlated all along.

    Args:
        chains: each ``(frames,)``.

    Returns:
        ``(longest chain,)``, one at lag zero; all zero after it where nothing moves.
    """
    mean = np.concatenate(chains).mean()
    longest = max(len(c) for c in chains)
    summed, counts = np.zeros(longest), np.zeros(longest)
    for chain in chains:
        n = len(chain)
        padded = np.fft.rfft(chain - mean, next_fast_len(2 * n))
        summed[:n] += np.fft.irfft(np.abs(padded) ** 2, next_fast_len(2 * n))[:n]
        counts[:n] += np.arange(n, 0, -1)
    covariance = summed / counts
    if covariance[0] <= (RESOLUTION * max(abs(mean), RESOLUTION)) ** 2:
        return np.eye(1, longest)[0]
    return covariance / covariance[0]


def inefficiency(chains: Chains) -> float:
    """Statistical inefficiency g = 1 + 2 Σ ρ(t): frames per independent frame.

    The sum ends at the first lag beyond 5 τ, τ = g/2 (Sokal's window), or with
    the chain; a value near the chain's length means that it is not resolved.

    Taking deviations from the sample's own mean lowers every correlation by
    about g/N; it is put back before summing, in a few rounds, without which
    short series would look better sampled than they are.
    """
    rho = autocorrelation(chains)
    frames = sum(len(c) for c in chains)
    g = _windowed_sum(rho)
    for _ in range(BIAS_ROUNDS):
        if g == 1.0:
            break
        lost = g / frames
        g = _windowed_sum((rho + lost) / (1.0 + lost))
    return g


def _windowed_sum(rho: Array) -> float:
    cumulated = 2.0 * np.cumsum(rho) - 1.0
    beyond = np.arange(len(rho)) >= SOKAL_WINDOW * np.maximum(cumulated, 1.0) / 2
    last = int(np.argmax(beyond)) if beyond.any() else len(rho) - 1
    return float(max(cumulated[last], 1.0))


def effective_samples(chains: Chains, g: float) -> float:
    """Independent frames; a chain shorter than g counts as one frame."""
    return sum(len(c) / min(g, len(c)) for c in chains)


def cut(chains: Chains, g: float) -> list[Array]:
    """Contiguous blocks of at least 3 g frames, about 32 at most; a short chain is one."""
    frames = sum(len(c) for c in chains)
    length = max(int(np.ceil(max(BLOCK_INEFFICIENCIES * g, frames / MOST_BLOCKS))), 1)
    blocks: list[Array] = []
    for chain in chains:
        blocks += np.array_split(chain, max(len(chain) // length, 1))
    return blocks


def draw_weights(
    draws: int, blocks: int, generator: np.random.Generator, resamples: int = RESAMPLES
) -> Array:
    """``(resamples, blocks)``: how often each block comes up in `draws` with replacement."""
    return generator.multinomial(draws, np.full(blocks, 1 / blocks), size=resamples)


def estimate(chains: Chains, statistic: Statistic, generator: np.random.Generator) -> Estimate:
    """A statistic of a series and its block-bootstrap distribution.

    Args:
        chains: each ``(frames,)``.
        statistic: mean, standard deviation ("width"), or root of the mean.
        generator: draws the blocks.
    """
    chains = [np.asarray(c, dtype=np.float64) for c in chains]
    shift = 0.0 if statistic == "root mean" else float(np.concatenate(chains).mean())
    centred = [c - shift for c in chains]
    # A width decorrelates like the squared deviation, twice as fast as the series.
    g = inefficiency([c**2 for c in centred] if statistic == "width" else centred)
    blocks = cut(centred, g)
    sums = np.array([(len(b), b.sum(), (b**2).sum()) for b in blocks])
    drawn = draw_weights(len(blocks), len(blocks), generator) @ sums
    value = _from_sums(sums.sum(0), statistic, shift)
    resampled = _from_sums(drawn, statistic, shift)
    return Estimate(float(value), resampled, len(blocks), effective_samples(chains, g))


def _from_sums(sums: Array, statistic: Statistic, shift: float) -> Array:
    mean = sums[..., 1] / sums[..., 0]
    if statistic == "mean":
        return mean + shift
    if statistic == "root mean":
        return np.sqrt(np.maximum(mean, 0.0))
    return np.sqrt(np.maximum(sums[..., 2] / sums[..., 0] - mean**2, 0.0))


def halves(chains: Chains) -> tuple[list[Array], list[Array]]:
    """The first and the second half of a series, split between chains where possible."""
    if len(chains) > 1:
        ends = np.cumsum([len(c) for c in chains])
        at = int(np.argmin(np.abs(ends[:-1] - ends[-1] / 2))) + 1
        return list(chains[:at]), list(chains[at:])
    middle = len(chains[0]) // 2
    return [chains[0][:middle]], [chains[0][middle:]]


def difference(
    reference: Chains,
    rollout: Chains,
    statistic: Statistic,
    generator: np.random.Generator,
    members: int = 1,
) -> Difference:
    """Compare one statistic of two series.

    Args:
        reference: chains, each ``(frames,)``.
        rollout: likewise; its frames may lie another time apart.
        statistic: see `estimate`.
        generator: draws the blocks.
        members: how many such comparisons are made at once; the verdict, not
            the interval, is corrected for them (Bonferroni).
    """
    a = estimate(reference, statistic, generator)
    b = estimate(rollout, statistic, generator)
    first, second = (_value(half, statistic) for half in halves(reference))
    return judge(a, b, second - first, members)


def _value(chains: Chains, statistic: Statistic) -> float:
    values = np.concatenate(chains).astype(np.float64)
    if statistic == "width":
        return float(values.std())
    return float(values.mean() if statistic == "mean" else np.sqrt(values.mean()))


def judge(a: Estimate, b: Estimate, noise_floor: float, members: int = 1) -> Difference:
    """Say whether two estimates differ.

    The interval is Δ ± t·√(s_a² + s_b²), with bootstrap standard errors s and
    Student's quantile at Welch's degrees of freedom, counted in blocks (Welch
    1947, Biometrika 34, 28). "Different" means that the interval (widened for
    `members`) leaves out zero *and* the difference exceeds the noise floor:
    slow modes that the autocorrelation misses show up in the latter.
    "Not enough data" means fewer than ten independent frames on either side.
    """
    delta = b.value - a.value
    resolved = min(a.blocks, b.blocks) >= 2
    interval = None
    verdict: Verdict = NOT_ENOUGH_DATA
    if resolved:
        error = float(np.hypot(a.error, b.error))
        freedom = _welch(a, b)
        reach = float(error * stats.t.ppf((1 + CONFIDENCE) / 2, freedom))
        interval = (delta - reach, delta + reach)
        if min(a.samples, b.samples) >= ENOUGH_SAMPLES:
            wide = error * stats.t.ppf(1 - (1 - CONFIDENCE) / (2 * members), freedom)
            equal = RESOLUTION * max(abs(a.value), abs(b.value))
            is_different = abs(delta) > max(wide, abs(noise_floor), equal)
            verdict = DIFFERENT if is_different else INDISTINGUISHABLE
    return Difference(a.value, b.value, interval, noise_floor, verdict)


def _welch(a: Estimate, b: Estimate) -> float:
    total = a.error**2 + b.error**2
    if total == 0:
        return float(a.blocks + b.blocks - 2)
    return total**2 / (a.error**4 / (a.blocks - 1) + b.error**4 / (b.blocks - 1))
