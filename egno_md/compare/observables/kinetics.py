"""Decorrelation times of torsions."""

from __future__ import annotations

from functools import partial

import numpy as np

from egno_md.compare.blocks import Blocks, from_series
from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings, floor, not_available, profile
from egno_md.compare.statistics import (
    Estimate,
    effective_samples,
    estimate_together,
    inefficiency,
    joined,
    phases,
)
from egno_md.geometry import internal

Array = np.ndarray

LAGS = 32
REACH = 5.0
"""The sum goes to so many decorrelation times of the reference."""
SHORTEST_SHARE = 4
"""It never goes beyond a quarter of the longest chain of either side."""


def findings(context: Context, bench: Bench) -> Findings:
    """Decorrelation time of every followed torsion."""
    name = "Torsion decorrelation times"
    if not len(context.followed):
        return not_available("no rotatable bond between heavy atoms.", name)
    if reason := bench.pair.no_kinetics():
        return not_available(reason, name)
    spacings = [s.spacing or 1.0 for s in (bench.pair.reference, bench.pair.rollout)]
    chains = [r.series["followed"] for r in bench.records]
    room = min(max(map(len, c)) * d for c, d in zip(chains, spacings, strict=True)) / SHORTEST_SHARE
    if room < 2 * max(spacings):
        return not_available("a side has fewer than eight frames in every chain.", name)
    sides: list[list[Estimate]] = [[], []]
    noise_floors = []
    for k in range(len(context.followed)):
        longest = _longest([c[:, k] for c in chains[0]], spacings[0], room, max(spacings))
        for s in (0, 1):
            one = [np.asarray(c[:, k], np.float64) for c in chains[s]]
            features, lags = lagged(one, longest, spacings[s])
            blocks = from_series(features, 64)
            if s == 0:
                noise_floors.append(floor(blocks, partial(decorrelation_time, lags=lags))[0])
            sides[s].append(_estimate(blocks, lags, one, bench))
    extents = bench.extents([sum(map(len, c)) for c in chains])
    labels = internal.labels(context.system, context.torsions[context.followed])
    return Findings(
        profiles=(
            profile(name, labels, [joined(s) for s in sides], extents, np.array(noise_floors)),
        )
    )


def _longest(chains: list[Array], spacing: float, room: float, least: float) -> float:
    """Ps up to which the autocorrelation is summed."""
    g = float(np.max(inefficiency(phases(chains))))
    return float(np.clip(REACH * spacing * g / 2, min(4 * least, room), room))


def lagged(chains: list[Array], longest: float, spacing: float) -> tuple[list[Array], Array]:
    """Products at lags spread evenly in log time.

    Returns:
        Chains of ``(frames, lags + 2)``: cos(θ(t + lag) - θ(t)) for each lag, cos θ and
        sin θ; and the lags, ps.
    """
    most = max(round(longest / spacing), 1)
    steps = np.unique(np.round(np.geomspace(1, most + 1, LAGS)).astype(int)) - 1
    features = []
    for theta in chains:
        frames = len(theta) - steps[-1]
        if frames > 0:
            products = [np.cos(theta[s : s + frames] - theta[:frames]) for s in steps]
            start = theta[:frames]
            features.append(np.stack([*products, np.cos(start), np.sin(start)], axis=1))
    return features, spacing * steps


def decorrelation_time(mean: Array, lags: Array) -> Array:
    """Integral of the normalised autocorrelation of exp(iθ), ``(..., 1)``, ps."""
    fixed = (mean[..., -2:] ** 2).sum(axis=-1, keepdims=True)
    rho = (mean[..., :-2] - fixed) / np.maximum(1.0 - fixed, 1e-12)
    return np.trapezoid(rho, lags, axis=-1)[..., None]


def _estimate(blocks: Blocks, lags: Array, theta: list[Array], bench: Bench) -> Estimate:
    each = blocks.each
    slow = np.column_stack([np.trapezoid(each[:, :-2], lags, axis=1), each[:, -2:]])
    samples = float(effective_samples(phases(theta)).min())
    return estimate_together(
        blocks,
        partial(decorrelation_time, lags=lags),
        blocks.split(slow),
        bench.generator,
        samples=samples,
    )
