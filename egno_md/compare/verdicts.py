"""From estimates to verdicts: one at a time, then all of a comparison together.

A reader sees some thirty verdicts at once, so that "different" is controlled
over all of them: by Benjamini and Hochberg's procedure (1995, J. R. Stat. Soc. B
57, 289) at a false discovery rate of 5%. Where nothing differs, the chance that
anything at all is called different is then at most 5%.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy import stats

from egno_md.compare.observable import (
    DIFFERENT,
    INDISTINGUISHABLE,
    NOT_ENOUGH_DATA,
    Comparison,
    Distribution,
    Judged,
    Observable,
    Profile,
    Verdict,
)
from egno_md.compare.statistics import ENOUGH_SAMPLES, RESOLUTION, Estimate, student_reach

Array = np.ndarray
Single = TypeVar("Single", Observable, Distribution)

DISCOVERY_RATE = 0.05


@dataclass(frozen=True, eq=False)
class Extent:
    """Amount of data behind an estimate of one side.

    Attributes:
        picoseconds: simulated time; None where the time axis is not physical.
        points: measured values in it.
    """

    picoseconds: float | None
    points: float


@dataclass(frozen=True, eq=False)
class Difference:
    """Rollout minus reference, member by member.

    Attributes:
        delta: ``(members,)``.
        reach: half the width of the 95% interval; NaN where there is none.
        p_value: of no difference; NaN where there is none.
        is_enough: whether both sides hold enough independent samples.
        samples: ``(2, members)`` effective number of frames of both sides.
        extents: of both sides.
    """

    delta: Array
    reach: Array
    p_value: Array
    is_enough: Array
    samples: Array
    extents: tuple[Extent, Extent]


def difference(a: Estimate, b: Estimate, extents: tuple[Extent, Extent]) -> Difference:
    """Compare the estimates of reference and rollout.

    The interval is Δ ± t·√(s_a² + s_b²), with bootstrap standard errors s and
    Student's quantile at Welch's degrees of freedom, counted in blocks (Welch
    1947, Biometrika 34, 28).
    """
    delta = b.value - a.value
    error = np.hypot(a.error, b.error)
    freedom = _welch(a, b)
    reach = student_reach(error, freedom)
    equal = np.abs(delta) <= RESOLUTION * np.maximum(np.abs(a.value), np.abs(b.value))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error > 0, np.abs(delta) / error, np.inf)
    p_value = np.where(equal, 1.0, 2 * stats.t.sf(ratio, np.maximum(freedom, 1.0)))
    samples = shared_samples(a.samples, b.samples, extents)
    is_enough = (samples.min(axis=0) >= ENOUGH_SAMPLES) & np.isfinite(reach)
    return Difference(delta, reach, p_value, is_enough, samples, extents)


def shared_samples(a: Array, b: Array, extents: tuple[Extent, Extent]) -> Array:
    """Effective samples of both sides, ``(2, members)``, by the slower side's correlation time.

    A series much shorter than its correlation time looks as if it did not move,
    and its own correlation time comes out too short. So neither side is granted
    more samples than its length holds of the other's correlation time, as far as
    frames are close enough to resolve that.
    """
    own = np.array([a, b], dtype=np.float64)
    times = [e.picoseconds for e in extents]
    if None in times:
        return own
    length = np.array(times, dtype=np.float64)[:, None]
    points = np.array([e.points for e in extents])[:, None]
    each = np.where(own < points / 2, length / np.maximum(own, 1.0), 0.0)
    slowest = each.max(axis=0)
    limit = np.where(slowest > 0, length / np.where(slowest > 0, slowest, 1.0), np.inf)
    return np.minimum(own, limit)


def needed(change: Difference, threshold: Array) -> tuple[float, float] | None:
    """Simulated time needed of both sides, ps; None where it is reached or there are no times.

    Errors fall as the root of the length.

    Args:
        change: the difference.
        threshold: ``(members,)`` the difference to resolve. The member that needs most
            decides, among those without a verdict where there are any.
    """
    times = [e.picoseconds for e in change.extents]
    if None in times:
        return None
    short = ENOUGH_SAMPLES / np.maximum(change.samples, 1e-3)
    with np.errstate(divide="ignore", invalid="ignore"):
        wide = np.where(threshold > 0, (change.reach / threshold) ** 2, 1.0)
    undecided = ~change.is_enough
    factor = np.where(undecided, short, np.nan_to_num(wide, nan=1.0))
    if undecided.any():
        factor = factor[:, undecided]
    factors = np.maximum(factor[:, int(np.argmax(factor.max(axis=0)))], 1.0)
    if factors.max() <= 1.0:
        return None
    return float(times[0] * factors[0]), float(times[1] * factors[1])  # type: ignore[operator]


def _welch(a: Estimate, b: Estimate) -> Array:
    total = a.error**2 + b.error**2
    left, right = np.maximum(a.blocks - 1, 0.5), np.maximum(b.blocks - 1, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = total**2 / (a.error**4 / left + b.error**4 / right)
    return np.where(total > 0, freedom, left + right)


def settle(comparison: Comparison) -> Comparison:
    """Decide what is different, over all observables of a comparison together.

    "Not enough data" stands. Of the others, "different" is what the procedure of
    Benjamini and Hochberg rejects at 5%, provided that the difference also
    exceeds the noise floor: slow modes that correlation times miss show up there.
    A difference below its threshold is marked negligible.
    """
    limit = critical_p_value(
        np.array([j.p_value for j in comparison.judged if _is_open(j)], dtype=np.float64)
    )
    return replace(
        comparison,
        observables=tuple(_settle_one(o, limit) for o in comparison.observables),
        profiles=tuple(_settle_profile(p, limit) for p in comparison.profiles),
        distributions=tuple(_settle_one(d, limit) for d in comparison.distributions),
    )


def critical_p_value(p_values: Array, rate: float = DISCOVERY_RATE) -> float:
    """The largest p value that Benjamini and Hochberg's procedure rejects; -1 for none."""
    ordered = np.sort(p_values)
    below = ordered <= rate * np.arange(1, len(ordered) + 1) / max(len(ordered), 1)
    return float(ordered[np.flatnonzero(below)[-1]]) if below.any() else -1.0


def _is_open(judged: Judged) -> bool:
    return judged.verdict != NOT_ENOUGH_DATA and judged.p_value is not None


def _settle_one(judged: Single, limit: float) -> Single:
    if not _is_open(judged):
        return judged
    size = judged.distance if isinstance(judged, Distribution) else judged.difference
    different = judged.p_value <= limit and abs(size) > abs(judged.noise_floor)  # type: ignore[operator]
    return replace(
        judged,
        verdict=DIFFERENT if different else INDISTINGUISHABLE,
        is_negligible=bool(different and abs(size) <= judged.threshold),
    )


def _settle_profile(profile: Profile, limit: float) -> Profile:
    if not _is_open(profile):
        return profile
    judged = sum(v != NOT_ENOUGH_DATA for v in profile.verdicts)
    verdicts: list[Verdict] = []
    for verdict, p, delta, floor in zip(
        profile.verdicts, profile.p_values, profile.difference, profile.noise_floor, strict=True
    ):
        if verdict == NOT_ENOUGH_DATA or p is None:
            verdicts.append(NOT_ENOUGH_DATA)
        else:
            different = min(p * judged, 1.0) <= limit and abs(delta) > abs(floor)
            verdicts.append(DIFFERENT if different else INDISTINGUISHABLE)
    large = [
        abs(d) > t
        for v, d, t in zip(verdicts, profile.difference, profile.thresholds, strict=True)
        if v == DIFFERENT
    ]
    return replace(
        profile,
        verdicts=tuple(verdicts),
        verdict=DIFFERENT if large else INDISTINGUISHABLE,
        is_negligible=bool(large) and not any(large),
    )
