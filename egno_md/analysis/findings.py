"""Results of one group of observables, and how they are made from series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from egno_md.analysis.observable import (
    DIFFERENT,
    INDISTINGUISHABLE,
    NOT_ENOUGH_DATA,
    Distribution,
    Observable,
    Profile,
    Series,
    Unavailable,
    Verdict,
)
from egno_md.analysis.sides import Pair, Side
from egno_md.analysis.statistics import Chains, Difference, Statistic, difference

Array = np.ndarray

SERIES_POINTS = 200
"""Averages kept of a series over time, for drawing."""


@dataclass(frozen=True)
class Findings:
    """What one group of observables adds to a comparison."""

    observables: tuple[Observable, ...] = ()
    profiles: tuple[Profile, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    series: tuple[Series, ...] = ()
    unavailable: tuple[Unavailable, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            self.observables + other.observables,
            self.profiles + other.profiles,
            self.distributions + other.distributions,
            self.series + other.series,
            self.unavailable + other.unavailable,
        )


def not_available(reason: str, *names: str) -> Findings:
    """Observables that cannot be computed, and why."""
    return Findings(unavailable=tuple(Unavailable(n, reason) for n in names))


def observable(name: str, unit: str, found: Difference, definition: str) -> Observable:
    """A difference with its name."""
    return Observable(
        name=name,
        unit=unit,
        reference=found.reference,
        rollout=found.rollout,
        difference=found.value,
        interval=found.interval,
        noise_floor=found.noise_floor,
        verdict=found.verdict,
        definition=definition,
    )


def scalar(
    name: str,
    unit: str,
    statistic: Statistic,
    values: tuple[Chains, Chains],
    definition: str,
    generator: np.random.Generator,
) -> Observable:
    """An observable from a series of each side, chains of ``(frames,)``."""
    return observable(name, unit, difference(*values, statistic, generator), definition)


def profile(
    name: str,
    unit: str,
    statistic: Statistic,
    values: tuple[Chains, Chains],
    labels: tuple[str, ...],
    definition: str,
    generator: np.random.Generator,
) -> Profile:
    """An observable per member from chains of ``(frames, members)``."""
    members = range(len(labels))
    columns = [tuple([chain[:, k] for chain in side] for side in values) for k in members]
    found = [difference(a, b, statistic, generator, len(labels)) for a, b in columns]
    intervals = [d.interval or (None, None) for d in found]
    return Profile(
        name=name,
        unit=unit,
        labels=labels,
        reference=tuple(d.reference for d in found),
        rollout=tuple(d.rollout for d in found),
        difference=tuple(d.value for d in found),
        lower=tuple(i[0] for i in intervals),
        upper=tuple(i[1] for i in intervals),
        noise_floor=tuple(d.noise_floor for d in found),
        verdicts=tuple(d.verdict for d in found),
        verdict=joint_verdict([d.verdict for d in found]),
        definition=definition,
    )


def joint_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    """Different where any member is; without verdict where most members are."""
    if DIFFERENT in verdicts:
        return DIFFERENT
    if 2 * verdicts.count(NOT_ENOUGH_DATA) > len(verdicts):
        return NOT_ENOUGH_DATA
    return INDISTINGUISHABLE


def series(name: str, unit: str, pair: Pair, values: tuple[Chains, Chains]) -> Series:
    """A quantity over simulated time, its chains laid end to end, for drawing."""
    columns = []
    for side, chains in zip((pair.reference, pair.rollout), values, strict=True):
        columns += [_thinned(_elapsed(side)), _thinned(np.concatenate(chains))]
    return Series(name, unit, *columns)


def _elapsed(side: Side) -> Array:
    """Simulated time of every frame, ps: each chain begins where the last one ended."""
    elapsed, end = [], 0.0
    for chain in side.chains:
        elapsed.append(chain.times - chain.times[0] + end)
        end = float(elapsed[-1][-1])
    return np.concatenate(elapsed)


def _thinned(values: Array) -> tuple[float, ...]:
    parts = np.array_split(np.asarray(values, np.float64), min(SERIES_POINTS, len(values)))
    return tuple(float(p.mean()) for p in parts)
