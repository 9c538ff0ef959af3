"""Distances of histograms, and the distances expected from sampling alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import rel_entr

from egno_md.compare.blocks import Blocks
from egno_md.compare.catalogue import entry
from egno_md.compare.findings import Bench
from egno_md.compare.observable import INDISTINGUISHABLE, NOT_ENOUGH_DATA, Distribution
from egno_md.compare.statistics import (
    BLOCK_INEFFICIENCIES,
    CONFIDENCE,
    ENOUGH_SAMPLES,
    block_count,
    block_lengths,
    effective_samples,
    inefficiency,
    resampled,
)
from egno_md.compare.verdicts import Difference, Extent, needed, shared_samples

Array = np.ndarray


@dataclass(frozen=True)
class Measure:
    """A distance of two histograms.

    Attributes:
        name: as printed.
        between: takes two (batches of) probabilities ``(..., bins)``.
        is_normalised: whether histograms are divided by their sums first.
    """

    name: str
    between: Callable[[Array, Array], Array]
    is_normalised: bool = True

    def of(self, average: Array) -> Array:
        """A histogram, normalised where the distance needs it."""
        if not self.is_normalised:
            return average
        return average / np.maximum(average.sum(axis=-1, keepdims=True), 1e-300)


def jensen_shannon(p: Array, q: Array) -> Array:
    """Jensen-Shannon distance, base 2, of probabilities ``(..., bins)``.

    As scipy.spatial.distance.jensenshannon, which gives NaN where rounding
    makes the divergence of two equal histograms negative.
    """
    middle = (p + q) / 2
    nats = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=-1) / 2
    return np.sqrt(np.maximum(nats / np.log(2.0), 0.0))


POPULATED = 0.01


def free_energy_difference(p: Array, q: Array) -> Array:
    """Mean |ΔF| in k_B T over bins that hold 1% of both, about its mean."""
    both = (p >= POPULATED) & (q >= POPULATED)
    weight = np.where(both, (p + q) / 2, 0.0)
    weight = weight / np.maximum(weight.sum(axis=-1, keepdims=True), 1e-300)
    ratio = np.log(np.where(both, p, 1.0) / np.where(both, q, 1.0))
    centred = ratio - (weight * ratio).sum(axis=-1, keepdims=True)
    return (weight * np.abs(centred)).sum(axis=-1)


JENSEN_SHANNON = Measure("Jensen–Shannon distance", jensen_shannon)
FREE_ENERGY = Measure("mean |ΔF| / k_B T", free_energy_difference)


def compare_histograms(
    name: str,
    edges: Array,
    blocks: tuple[Blocks, Blocks],
    slow: Array,
    measure: Measure,
    bench: Bench,
    samples: tuple[float, float] | None = None,
) -> Distribution:
    """Compare the histograms of a reference and a rollout.

    Under the hypothesis that both sides sample one distribution, the two
    deviate from it as each side's bootstrap samples deviate from that side.
    The distances of 400 such pairs are those expected by chance; their gamma
    distribution (by mean and variance) gives the p value.

    Args:
        name: in the catalogue.
        edges: ``(bins + 1,)``.
        blocks: of reference and rollout, sums ``(stretches, bins)``.
        slow: ``(bins, functions)`` functions of the coordinate whose averages
            decorrelate as the histogram does.
        measure: the distance.
        bench: draws the blocks.
        samples: effective frames of both sides, known from series; by the stretches if None.
    """
    listing = entry(name)
    shapes = [measure.of(b.mean) for b in blocks]
    distance = float(measure.between(shapes[0], shapes[1]))
    halves = blocks[0].halves()
    noise_floor = 0.0 if halves is None else float(
        measure.between(*(measure.of(h.mean) for h in halves))
    )  # fmt: skip
    deviations, samples_by_side, has_few_blocks = [], [], False
    for b, shape in zip(blocks, shapes, strict=True):
        series = b.split(b.each @ slow)
        g = float(inefficiency(series).max())
        samples_by_side.append(float(effective_samples(series, g)))
        length = int(block_lengths(np.array([g]), len(b))[0])
        n = block_count(b, length)
        has_few_blocks |= n < 2
        deviation = measure.of(resampled(b, length, bench.generator)) - shape
        deviations.append(
            deviation * _inflation(n, min(g / (2 * length), 0.5 / BLOCK_INEFFICIENCIES))
        )
    extents = bench.extents([len(b) for b in blocks])
    expected = p_value = interval = None
    if not has_few_blocks:
        chance = _gamma(_chance(shapes, deviations, measure))
        expected = float(chance.ppf(CONFIDENCE))
        p_value = float(chance.sf(distance))
        spread = measure.between(*(np.maximum(s + d, 0.0) for s, d in zip(shapes, deviations, strict=True)))  # fmt: skip
        reach = float(stats.norm.ppf((1 + CONFIDENCE) / 2) * np.std(spread))
        interval = (max(distance - reach, 0.0), distance + reach)
    change = _difference(
        distance, expected, p_value, samples or (samples_by_side[0], samples_by_side[1]), extents
    )
    threshold = listing.threshold(distance)
    enough = bool(change.is_enough[0])
    widths = np.diff(edges) if measure.is_normalised else 1.0
    return Distribution(
        name=name,
        unit=listing.unit,
        edges=tuple(edges.tolist()),
        reference=tuple((shapes[0] / widths).tolist()),
        rollout=tuple((shapes[1] / widths).tolist()),
        measure=measure.name,
        distance=distance,
        expected=expected,
        noise_floor=noise_floor,
        verdict=INDISTINGUISHABLE if enough else NOT_ENOUGH_DATA,
        definition=listing.definition,
        group=listing.group,
        source=listing.source,
        interval=interval,
        p_value=p_value if enough else None,
        samples=(float(change.samples[0, 0]), float(change.samples[1, 0])),
        threshold=threshold,
        needed_ps=needed(change, np.array([threshold])),
    )


def _difference(
    distance: float,
    expected: float | None,
    p_value: float | None,
    samples: tuple[float, float],
    extents: tuple[Extent, Extent],
) -> Difference:
    shared = shared_samples(np.array([samples[0]]), np.array([samples[1]]), extents)
    enough = shared.min() >= ENOUGH_SAMPLES and expected is not None
    return Difference(
        np.array([distance]),
        np.array([np.nan if expected is None else expected]),
        np.array([np.nan if p_value is None else p_value]),
        np.array([enough]),
        shared,
        extents,
    )


def _inflation(blocks: float, lost: float) -> float:
    """Factor that corrects a deviation for few blocks and their correlation."""
    if blocks <= 1:
        return 1.0
    quantile = stats.t.ppf(0.975, blocks - 1) / stats.norm.ppf(0.975)
    return float(quantile * np.sqrt(blocks / (blocks - 1) / (1 - lost)))


def _chance(shapes: list[Array], deviations: list[Array], measure: Measure) -> Array:
    """Distances of pairs that differ by chance alone."""
    pool = (shapes[0] + shapes[1]) / 2
    apart = (deviations[0] - deviations[1]) / 2
    left, right = (np.maximum(pool + sign * apart, 0.0) for sign in (1, -1))
    return measure.between(measure.of(left), measure.of(right))


def _gamma(values: Array) -> Any:
    """The gamma distribution with the mean and variance of values."""
    mean, variance = float(values.mean()), float(values.var())
    if mean <= 0 or variance <= 0:
        return stats.gamma(1.0, scale=max(mean, 1e-300))
    return stats.gamma(mean**2 / variance, scale=variance / mean)
