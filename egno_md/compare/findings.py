"""Results of one group of observables, and how they are made from records of two sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from egno_md.compare.blocks import Blocks
from egno_md.compare.catalogue import entry
from egno_md.compare.observable import (
    INDISTINGUISHABLE,
    NOT_ENOUGH_DATA,
    Distribution,
    Exact,
    Observable,
    Profile,
    Series,
    Unavailable,
)
from egno_md.compare.record import Record
from egno_md.compare.sides import Pair
from egno_md.compare.statistics import Estimate, Statistic, estimate, series_estimate
from egno_md.compare.verdicts import Extent, difference, needed

Array = np.ndarray

SERIES_POINTS = 200
"""Averages kept of a series over time, for drawing."""
LARGEST_SHARE_MISSING = 0.5
"""A profile is judged when at most this share of its members has too few data."""


@dataclass(frozen=True)
class Findings:
    """Results of one group of observables."""

    observables: tuple[Observable, ...] = ()
    profiles: tuple[Profile, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    series: tuple[Series, ...] = ()
    unavailable: tuple[Unavailable, ...] = ()
    exact: tuple[Exact, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        return Findings(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def not_available(reason: str, *names: str) -> Findings:
    """Observables that cannot be computed, and why."""
    return Findings(unavailable=tuple(Unavailable(n, reason) for n in names))


@dataclass(frozen=True, eq=False)
class Bench:
    """The records of both sides, and the generator of the bootstrap.

    Attributes:
        reference: measurements of the reference.
        rollout: measurements of the rollout.
        generator: draws the bootstrap.
    """

    reference: Record
    rollout: Record
    generator: np.random.Generator

    @property
    def pair(self) -> Pair:
        """The two surveys."""
        return Pair(self.reference.survey, self.rollout.survey)

    @property
    def records(self) -> tuple[Record, Record]:
        """Reference, then rollout."""
        return self.reference, self.rollout

    def extents(self, points: Sequence[float]) -> tuple[Extent, Extent]:
        """Simulated time and number of values of both sides."""
        times = self.pair.no_kinetics() is None
        reference, rollout = (
            Extent(r.survey.sampling.picoseconds if times else None, n)
            for r, n in zip(self.records, points, strict=True)
        )
        return reference, rollout

    def scalar(
        self,
        name: str,
        quantity: str,
        statistic: Statistic,
        features: Callable[[Array], Array] = lambda x: x[:, None, None],
    ) -> Observable:
        """An observable from a series with one value a frame.

        Args:
            name: in the catalogue.
            quantity: in the records.
            statistic: of the features.
            features: takes ``(frames,)`` to ``(frames, 1, features)``.
        """
        chains = [[features(np.asarray(c, np.float64)) for c in r.series[quantity]]
                  for r in self.records]  # fmt: skip
        sides = [series_estimate(c, statistic, self.generator) for c in chains]
        extents = self.extents([sum(map(len, c)) for c in chains])
        noise_floor = _between(*series_halves(chains[0]), statistic)
        return observable(name, sides, extents, noise_floor)

    def profile(
        self,
        name: str,
        labels: tuple[str, ...],
        statistic: Statistic,
        blocks: tuple[Blocks, Blocks],
    ) -> Profile:
        """An observable per member, from sums ``(stretches, members, features)``."""
        sides = [estimate(b, statistic, self.generator) for b in blocks]
        extents = self.extents([len(b) for b in blocks])
        return profile(name, labels, sides, extents, floor(blocks[0], statistic.value))

    def sums(self, quantity: str) -> tuple[Blocks, Blocks]:
        """A quantity that both sides hold as sums."""
        return self.reference.blocks[quantity], self.rollout.blocks[quantity]

    def trace(self, name: str, unit: str, quantity: str) -> Series:
        """A series over simulated time, its chains laid end to end, for drawing."""
        columns = []
        for record in self.records:
            values = record.series[quantity]
            columns += [_thinned(_elapsed(record)), _thinned(np.concatenate(values))]
        return Series(name, unit, *columns)


def with_square(x: Array) -> Array:
    """The features of a width, ``(frames, 1, 2)``, from ``(frames,)``."""
    return np.stack([x, x**2], axis=-1)[:, None]


def observable(
    name: str, sides: Sequence[Estimate], extents: tuple[Extent, Extent], noise_floor: float
) -> Observable:
    """An observable from the estimates of both sides, with its entry in the catalogue."""
    listing, (a, b) = entry(name), sides
    change = difference(a, b, extents)
    reference, rollout = float(a.value[0]), float(b.value[0])
    threshold = listing.threshold(reference)
    delta, reach = float(change.delta[0]), float(change.reach[0])
    return Observable(
        name=name,
        unit=listing.unit,
        reference=reference,
        rollout=rollout,
        difference=delta,
        interval=(delta - reach, delta + reach) if np.isfinite(reach) else None,
        noise_floor=noise_floor,
        verdict=INDISTINGUISHABLE if change.is_enough[0] else NOT_ENOUGH_DATA,
        definition=listing.definition,
        group=listing.group,
        source=listing.source,
        p_value=float(change.p_value[0]) if change.is_enough[0] else None,
        samples=(float(change.samples[0, 0]), float(change.samples[1, 0])),
        threshold=threshold,
        needed_ps=needed(change, np.array([threshold])),
    )


def profile(
    name: str,
    labels: tuple[str, ...],
    sides: Sequence[Estimate],
    extents: tuple[Extent, Extent],
    noise_floor: Array,
) -> Profile:
    """A profile from the estimates of both sides, with its entry in the catalogue."""
    listing, (a, b) = entry(name), sides
    change = difference(a, b, extents)
    p_values = [
        float(p) if e else None for p, e in zip(change.p_value, change.is_enough, strict=True)
    ]
    judged = [p for p in p_values if p is not None]
    enough = len(judged) >= LARGEST_SHARE_MISSING * len(labels) and bool(judged)
    thresholds = np.array([listing.threshold(v) for v in a.value])
    bounded = np.isfinite(change.reach)
    lower, upper = change.delta - change.reach, change.delta + change.reach
    return Profile(
        name=name,
        unit=listing.unit,
        labels=labels,
        reference=_floats(a.value),
        rollout=_floats(b.value),
        difference=_floats(change.delta),
        lower=tuple(float(x) if k else None for x, k in zip(lower, bounded, strict=True)),
        upper=tuple(float(x) if k else None for x, k in zip(upper, bounded, strict=True)),
        noise_floor=_floats(noise_floor),
        verdicts=tuple(INDISTINGUISHABLE if e else NOT_ENOUGH_DATA for e in change.is_enough),
        verdict=INDISTINGUISHABLE if enough else NOT_ENOUGH_DATA,
        definition=listing.definition,
        group=listing.group,
        source=listing.source,
        p_values=tuple(p_values),
        p_value=min(1.0, min(judged) * len(judged)) if enough else None,
        thresholds=_floats(thresholds),
        needed_ps=needed(change, thresholds),
    )


def floor(blocks: Blocks, value: Callable[[Array], Array]) -> Array:
    """Noise floor of a function of averages: its difference between two halves of a side."""
    parts = blocks.halves()
    if parts is None:
        return np.zeros(np.shape(value(blocks.mean)))
    first, second = (value(p.mean) for p in parts)
    return second - first


def series_halves(chains: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """Two stretches, each about half of a series: whole chains where there are several."""
    if len(chains) > 1:
        ends = np.cumsum([len(c) for c in chains])
        at = int(np.argmin(np.abs(ends[:-1] - ends[-1] / 2))) + 1
        return list(chains[:at]), list(chains[at:])
    middle = len(chains[0]) // 2
    return [chains[0][:middle]], [chains[0][middle:]]


def _between(first: Sequence[Array], second: Sequence[Array], statistic: Statistic) -> float:
    if not sum(map(len, first)) or not sum(map(len, second)):
        return 0.0
    one, two = (statistic.value(np.concatenate(s).mean(axis=0))[0] for s in (first, second))
    return float(two - one)


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _elapsed(record: Record) -> Array:
    """Simulated time of every frame, ps: each chain begins where the last one ended."""
    elapsed, end = [], 0.0
    for length, span in zip(record.survey.lengths, record.survey.spans, strict=True):
        elapsed.append(np.linspace(end, end + span, length))
        end += span
    return np.concatenate(elapsed)


def _thinned(values: Array) -> tuple[float, ...]:
    parts = np.array_split(np.asarray(values, np.float64), min(SERIES_POINTS, len(values)))
    return tuple(float(p.mean()) for p in parts)
