"""What a comparison found: plain values that go to JSON and come back."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np

Array = np.ndarray
Verdict = Literal["indistinguishable", "different", "not enough data"]

INDISTINGUISHABLE: Verdict = "indistinguishable"
DIFFERENT: Verdict = "different"
NOT_ENOUGH_DATA: Verdict = "not enough data"

DIGITS = 7
"""Significant digits in JSON: single precision, in which frames are stored."""


@dataclass(frozen=True)
class Observable:
    """One number of the reference and of the rollout.

    Attributes:
        name: what it is.
        unit: of every value here.
        reference: its value.
        rollout: its value.
        difference: rollout minus reference.
        interval: 95% block-bootstrap confidence interval of the difference;
            None where fewer than two independent blocks exist.
        noise_floor: the same difference between two halves of the reference.
        verdict: see `egno_md.analysis.statistics.judge`.
        definition: how it is computed.
    """

    name: str
    unit: str
    reference: float
    rollout: float
    difference: float
    interval: tuple[float, float] | None
    noise_floor: float
    verdict: Verdict
    definition: str


@dataclass(frozen=True)
class Profile:
    """One number per bond, angle or atom: an `Observable` in columns.

    The intervals are 95% each; the verdicts are corrected for the number of
    members, so that one bond in twenty is not called different by chance.

    Attributes:
        name: what it is.
        unit: of every value here.
        labels: of the members.
        verdict: different where any member is.
        definition: how it is computed.
    """

    name: str
    unit: str
    labels: tuple[str, ...]
    reference: tuple[float, ...]
    rollout: tuple[float, ...]
    difference: tuple[float, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]
    noise_floor: tuple[float, ...]
    verdicts: tuple[Verdict, ...]
    verdict: Verdict
    definition: str


@dataclass(frozen=True)
class Distribution:
    """A histogram of the reference and of the rollout, and their distance.

    Attributes:
        name: of the coordinate.
        unit: of `edges`; the densities are per this unit.
        edges: bin edges, one more than there are bins.
        reference: density per bin.
        rollout: density per bin.
        measure: name of the distance.
        distance: between the two, zero where they are equal.
        expected: the distance that sampling alone gives in 95 of 100 cases.
        noise_floor: the distance between two halves of the reference.
        verdict: different where `distance` exceeds `expected` and `noise_floor`.
        definition: how it is computed.
    """

    name: str
    unit: str
    edges: tuple[float, ...]
    reference: tuple[float, ...]
    rollout: tuple[float, ...]
    measure: str
    distance: float
    expected: float | None
    noise_floor: float
    verdict: Verdict
    definition: str


@dataclass(frozen=True)
class Series:
    """A quantity over time, in averages over equal stretches, for drawing only."""

    name: str
    unit: str
    reference_times: tuple[float, ...]
    reference: tuple[float, ...]
    rollout_times: tuple[float, ...]
    rollout: tuple[float, ...]


@dataclass(frozen=True)
class Unavailable:
    """An observable that could not be computed, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Sampling:
    """How much was compared.

    Attributes:
        frames: over all chains.
        chains: contiguous stretches.
        picoseconds: of simulated time over all chains.
    """

    frames: int
    chains: int
    picoseconds: float


@dataclass(frozen=True)
class Comparison:
    """A rollout held against a reference.

    Attributes:
        label: how tables and figures call the rollout.
        system: name of the system.
        reference_sampling: how much of the reference there is.
        rollout_sampling: how much of the rollout there is.
        observables: one number each.
        profiles: one number per bond, angle or atom.
        distributions: h(r) and torsions.
        series: for drawing.
        unavailable: what could not be computed.
        notes: what a reader must know before believing a verdict.
    """

    label: str
    system: str
    reference_sampling: Sampling
    rollout_sampling: Sampling
    observables: tuple[Observable, ...]
    profiles: tuple[Profile, ...]
    distributions: tuple[Distribution, ...]
    series: tuple[Series, ...]
    unavailable: tuple[Unavailable, ...]
    notes: tuple[str, ...] = ()

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """How many observables, profiles and distributions have each verdict."""
        found = [o.verdict for o in (*self.observables, *self.profiles, *self.distributions)]
        return {v: found.count(v) for v in (INDISTINGUISHABLE, DIFFERENT, NOT_ENOUGH_DATA)}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON without NaN; numbers rounded to single precision."""
        return {**_plain(asdict(self)), "verdicts": self.verdicts}


def comparison_from_json(content: dict[str, Any]) -> Comparison:
    """The inverse of `Comparison.to_json`, to rounding."""
    kinds = {
        "observables": Observable,
        "profiles": Profile,
        "distributions": Distribution,
        "series": Series,
        "unavailable": Unavailable,
    }
    values: dict[str, Any] = {
        "label": content["label"],
        "system": content["system"],
        "notes": tuple(content["notes"]),
    }
    for side in ("reference_sampling", "rollout_sampling"):
        values[side] = Sampling(**content[side])
    for key, kind in kinds.items():
        values[key] = tuple(_build(kind, c) for c in content[key])
    return Comparison(**values)


def _build(kind: type, content: dict[str, Any]) -> Any:
    names = {f.name for f in fields(kind)}
    return kind(
        **{
            k: tuple(v) if isinstance(v, list) else v  # JSON knows no tuples
            for k, v in content.items()
            if k in names
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
