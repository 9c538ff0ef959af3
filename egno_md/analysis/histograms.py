"""Differences of distributions, held against what sampling alone would give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from egno_md.analysis.observable import (
    DIFFERENT,
    INDISTINGUISHABLE,
    NOT_ENOUGH_DATA,
    Distribution,
    Verdict,
)
from egno_md.analysis.statistics import (
    CONFIDENCE,
    ENOUGH_SAMPLES,
    Array,
    Chains,
    cut,
    draw_weights,
    effective_samples,
    halves,
)

RESAMPLES = 400


@dataclass(frozen=True)
class Measure:
    """A distance of two histograms.

    Attributes:
        name: as printed.
        between: takes two (batches of) probabilities ``(..., bins)``.
        definition: how it is computed.
    """

    name: str
    between: Callable[[Array, Array], Array]
    definition: str


def compare_histograms(
    name: str,
    unit: str,
    edges: Array,
    counts: tuple[Chains, Chains],
    inefficiencies: tuple[float, float],
    measure: Measure,
    generator: np.random.Generator,
    members: int = 1,
) -> Distribution:
    """Compare the histograms of a reference and a rollout.

    Under the hypothesis that both sides sample one distribution their blocks
    are exchangeable: two samples as large as the two sides are drawn from all
    blocks together, and their distance is what chance makes of it. Quantiles
    are the mean plus a normal multiple of the standard deviation of 400 such
    distances.

    Args:
        name: of the coordinate.
        unit: of the edges.
        edges: ``(bins + 1,)``.
        counts: of reference and rollout, chains of ``(frames, bins)``.
        inefficiencies: frames per independent frame on the two sides.
        measure: the distance.
        generator: draws the blocks.
        members: how many such comparisons are made at once (Bonferroni).
    """
    sides = [_probabilities(c) for c in counts]
    found = float(measure.between(sides[0], sides[1]))
    floor = float(measure.between(*(_probabilities(h) for h in halves(counts[0]))))
    blocks = [cut(c, g) for c, g in zip(counts, inefficiencies, strict=True)]
    samples = [effective_samples(c, g) for c, g in zip(counts, inefficiencies, strict=True)]
    expected, verdict = None, NOT_ENOUGH_DATA
    if min(len(b) for b in blocks) >= 2:
        pool = np.array([_probabilities([b]) for side in blocks for b in side])
        drawn = (
            draw_weights(len(b), len(pool), generator, RESAMPLES) @ pool / len(b) for b in blocks
        )
        chance = measure.between(*drawn)
        expected = _quantile(chance, CONFIDENCE)
        if min(samples) >= ENOUGH_SAMPLES:
            limit = max(_quantile(chance, 1 - (1 - CONFIDENCE) / members), floor)
            verdict = _verdict(found > limit)
    widths = np.diff(edges)
    return Distribution(
        name=name,
        unit=unit,
        edges=tuple(edges.tolist()),
        reference=tuple((sides[0] / widths).tolist()),
        rollout=tuple((sides[1] / widths).tolist()),
        measure=measure.name,
        distance=found,
        expected=expected,
        noise_floor=floor,
        verdict=verdict,
        definition=measure.definition,
    )


def _verdict(is_different: bool) -> Verdict:
    return DIFFERENT if is_different else INDISTINGUISHABLE


def _quantile(values: Array, probability: float) -> float:
    return float(values.mean() + stats.norm.ppf(probability) * values.std())


def _probabilities(chains: Chains) -> Array:
    counts = np.sum([c.sum(axis=0, dtype=np.float64) for c in chains], axis=0)
    return counts / max(counts.sum(), 1.0)
