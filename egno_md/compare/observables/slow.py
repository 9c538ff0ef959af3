"""The slowest motions: time-lagged independent components of torsions (TICA)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from egno_md.compare.blocks import Blocks, from_pairs, from_series
from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings, floor, not_available, profile
from egno_md.compare.histograms import FREE_ENERGY, compare_histograms
from egno_md.compare.observable import Distribution
from egno_md.compare.statistics import (
    effective_samples,
    estimate_together,
    inefficiency,
)

Array = np.ndarray

COMPONENTS = 2
TIMESCALES = 3
BINS = 30
STRETCHES = 64
RESAMPLES = 200
LAG_SHARE = 1 / 8
"""The lag is a quarter of the slowest torsion's integrated correlation time, which is g/2."""
SMALLEST = 1e-6
"""Directions whose variance is below this share of the mean variance are damped."""
STILL = 1e-12
"""Variance of a cosine or sine that is rounding of single precision."""
FEWEST_FRAMES = 50
FRAMES_AT_ONCE = 2**16
"""Whose features are held in double precision at a time."""


@dataclass(frozen=True, eq=False)
class Components:
    """Independent components of the reference.

    Attributes:
        mean: ``(features,)``.
        vectors: ``(features, components)``; components have unit variance.
        lag: ps.
        chosen: places in the followed torsions that make the features.
    """

    mean: Array
    vectors: Array
    lag: float
    chosen: Array

    def project(self, chains: Sequence[Array]) -> list[Float[Array, "frames components"]]:
        """Chains of followed torsions, radians, on the components."""
        return [np.concatenate([self._projected(p) for p in _parts(c)]) for c in chains]

    def _projected(self, radians: Array) -> Float[Array, "frames components"]:
        return (features(radians[:, self.chosen]) - self.mean) @ self.vectors


def features(radians: Array) -> Array:
    """Cosines and sines, ``(frames, 2 torsions)``."""
    return np.concatenate([np.cos(radians), np.sin(radians)], axis=1).astype(np.float64)


def one_per_bond(context: Context) -> Array:
    """Places in the followed torsions of the first torsion about each bond."""
    first: dict[tuple[int, int], int] = {}
    for place, t in enumerate(context.followed):
        j, k = sorted(context.torsions[t, 1:3].tolist())
        first.setdefault((j, k), place)
    return np.array(sorted(first.values()), dtype=np.int64)


def _parts(chain: Array) -> list[Array]:
    """Consecutive frames, so many that their features take little memory."""
    return np.array_split(chain, max(len(chain) // FRAMES_AT_ONCE, 1))


def covariances(
    chains: Sequence[Array], lag: int, of: Callable[[Array], Array] = lambda x: x
) -> Blocks:
    """Sums over stretches of x, x x' and their lagged partners, symmetrised in time.

    Args:
        chains: each ``(frames, ...)``.
        lag: frames.
        of: takes frames to x, ``(frames, features)``.
    """

    def sums(frames: Array) -> Array:
        x = of(frames)
        a, b = x[:-lag], x[lag:]
        now = (a.T @ a + b.T @ b) / 2
        later = (a.T @ b + b.T @ a) / 2
        mean = (a.sum(axis=0) + b.sum(axis=0)) / 2
        return np.concatenate([mean, now.ravel(), later.ravel()])

    return from_pairs(chains, lag, STRETCHES, sums)


def _matrices(mean: Array, size: int) -> tuple[Array, Array, Array]:
    m = mean[..., :size]
    shape = (*mean.shape[:-1], size, size)
    outer = m[..., :, None] * m[..., None, :]
    now = mean[..., size : size + size**2].reshape(shape) - outer
    later = mean[..., size + size**2 :].reshape(shape) - outer
    return m, now, later


def decomposed(now: Array, later: Array) -> tuple[Array, Array]:
    """Eigenvalues of TICA, slowest first, and vectors whose components have unit variance.

    Solved by deeptime, with the sign that makes the largest coefficient of a vector positive.
    """
    from deeptime.numeric import eig_corr

    damping = max(SMALLEST * np.trace(now) / len(now), STILL)
    damped = now + damping * np.eye(len(now))
    values, vectors, *_ = eig_corr(damped, later, epsilon=0.0, canonical_signs=True)
    order = np.argsort(-values)  # deeptime's is by size: fast oscillations are negative
    return values[order], vectors[:, order]


def timescales(mean: Array, size: int, lag: float) -> Array:
    """-lag/ln λ of the slowest components, ``(..., 3)``, ps."""
    _, now, later = _matrices(mean.reshape(-1, mean.shape[-1]), size)
    values = np.array([decomposed(*both)[0][:TIMESCALES] for both in zip(now, later, strict=True)])
    times = -lag / np.log(np.clip(np.abs(values), 1e-12, 1 - 1e-12))
    return times.reshape(*mean.shape[:-1], -1)


def find_components(context: Context, chains: Sequence[Array], spacing: float) -> Components | None:
    """TICA of the reference; None where it is too short."""
    chosen = one_per_bond(context)
    g = max(float(inefficiency([features(c[:, [t]]) for c in chains]).max()) for t in chosen)
    lag = max(round(g * LAG_SHARE), 1)
    if sum(max(len(c) - lag, 0) for c in chains) < FEWEST_FRAMES:
        return None
    sums = covariances([c[:, chosen] for c in chains], lag, features)
    mean, now, later = _matrices(sums.mean, 2 * len(chosen))
    vectors = decomposed(now, later)[1][:, :COMPONENTS]
    return Components(mean, vectors, lag * spacing, chosen)


def findings(
    context: Context, bench: Bench, components: Components | None
) -> tuple[Findings, list[list[Array]] | None]:
    """Timescales, and free energies along the slowest components.

    Returns:
        The findings, and both sides projected on the components.
    """
    names = ("TICA timescales", "Free energy along TICA *")
    if components is None:
        reason = (
            "no rotatable bond between heavy atoms."
            if not len(context.followed)
            else "the reference has no evenly spaced frames, or too few, for TICA."
        )
        return not_available(reason, *names), None
    chains = [r.series["followed"] for r in bench.records]
    projected = [components.project(c) for c in chains]
    results = Findings(distributions=_free_energies(projected, bench))
    if reason := bench.pair.no_kinetics():
        return results + not_available(reason, names[0]), projected
    return results + _timescales(components, chains, projected, bench), projected


def _free_energies(projected: list[list[Array]], bench: Bench) -> tuple[Distribution, ...]:
    distributions = []
    for k in range(projected[0][0].shape[1]):
        values = np.concatenate([c[:, k] for c in projected[0]])
        low, high = np.percentile(values, (0.5, 99.5))
        if high - low < 1e-9:
            continue
        edges = np.linspace(low, high, BINS + 1)
        blocks = [from_series([_one_hot(c[:, k], edges) for c in side]) for side in projected]
        centres = np.linspace(-1, 1, BINS)
        slow = np.stack([centres, centres**2], axis=1)
        samples = [float(effective_samples([c[:, k] for c in s])) for s in projected]
        name = f"Free energy along TICA {k + 1}"
        both, effective_frames = (blocks[0], blocks[1]), (samples[0], samples[1])
        distributions.append(
            compare_histograms(name, edges, both, slow, FREE_ENERGY, bench, effective_frames)
        )
    return tuple(distributions)


def _one_hot(values: Array, edges: Array) -> Array:
    """Histogram of each frame; what lies outside counts in the outermost bin."""
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)
    return np.eye(BINS, dtype=np.uint8)[bins]


def _timescales(
    components: Components,
    chains: list[list[Array]],
    projected: list[list[Array]],
    bench: Bench,
) -> Findings:
    name = "TICA timescales"
    sides, noise_floor = [], None
    for record, side, slow in zip(bench.records, chains, projected, strict=True):
        spacing = record.survey.spacing or 1.0
        lag = max(round(components.lag / spacing), 1)
        if sum(max(len(c) - lag, 0) for c in side) < FEWEST_FRAMES:
            return not_available(f"a side has too few frames {components.lag:g} ps apart.", name)
        chosen = [c[:, components.chosen] for c in side]
        blocks, size = covariances(chosen, lag, features), 2 * len(components.chosen)

        def value(m: Array, size: int = size, lag: float = lag * spacing) -> Array:
            return timescales(m, size, lag)

        samples = float(effective_samples(slow).min())
        series = blocks.split(blocks.each[:, :size])
        sides.append(estimate_together(blocks, value, series, bench.generator, RESAMPLES, samples))
        if noise_floor is None:
            noise_floor = floor(blocks, value)
    points = [sum(map(len, c)) for c in chains]
    extents = bench.extents(points)
    labels = tuple(f"component {k + 1}" for k in range(len(sides[0].value)))
    assert noise_floor is not None
    return Findings(profiles=(profile(name, labels, sides, extents, noise_floor),))
