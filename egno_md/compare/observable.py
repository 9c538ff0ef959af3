"""Results of a comparison as plain values, and their JSON.

comparison.json holds one object per rollout, `Comparison.to_json`:

- ``observables``, ``profiles``, ``distributions``: one number each, one number per member
  (bond, atom, peak …), or a histogram. All carry ``group`` (structure,
  thermodynamics, kinetics, integrity), ``definition``, ``source``, ``verdict``, and
  ``is_negligible``: whether a difference, though real, is below ``threshold``.
- ``exact``: each side against an exact law (Maxwell-Boltzmann).
- ``stability``: how long chains stayed unbroken, or null.
- ``efficiency``: independent samples per wall second of both sides, or null.
- ``series``: for drawing (quantities over time, and the velocity autocorrelation over lag).
- ``unavailable``: observables that were not compared, each with the reason.
- ``notes``: sentences to read before trusting a verdict.
- ``mode``: ``dynamics``, or ``sampler`` where the rollout's time axis is not physical.
- ``verdicts``: how many of each.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np

Array = np.ndarray
Verdict = Literal["indistinguishable", "different", "not enough data"]
Mode = Literal["dynamics", "sampler"]

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
        noise_floor: the same difference between two stretches of the reference.
        verdict: see `egno_md.compare.verdicts.settle`.
        definition: how it is computed.
        group: structure, thermodynamics, kinetics or integrity.
        source: where the definition comes from.
        p_value: of no difference, before correction for the number of observables.
        samples: effective independent frames of reference and rollout.
        threshold: differences below it are negligible in practice.
        is_negligible: whether the verdict is "different" and the difference below it.
        needed_ps: simulated time of (reference, rollout), ps, needed for a verdict
            where there are too few data, else for an interval as narrow as the
            threshold. None where that is reached.
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
    group: str = ""
    source: str = ""
    p_value: float | None = None
    samples: tuple[float, float] | None = None
    threshold: float = 0.0
    is_negligible: bool = False
    needed_ps: tuple[float, float] | None = None


@dataclass(frozen=True)
class Profile:
    """One number per bond, angle, atom, peak or state: an `Observable` in columns.

    The intervals are 95% each; the verdicts are corrected for the number of
    members, so that one bond in twenty is not called different by chance.

    Attributes:
        name: what it is.
        unit: of every value here.
        labels: of the members.
        verdict: different where any member is.
        p_values: per member, uncorrected; None where there are too few data.
        p_value: of no difference in any member (Bonferroni).
        thresholds: per member; see `Observable.threshold`.
        is_negligible: whether it is different, and no member by more than its threshold.
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
    group: str = ""
    source: str = ""
    p_values: tuple[float | None, ...] = ()
    p_value: float | None = None
    thresholds: tuple[float, ...] = ()
    is_negligible: bool = False
    needed_ps: tuple[float, float] | None = None


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
        interval: 95% block-bootstrap interval of the distance.
        expected: the distance that sampling alone gives in 95 of 100 cases.
        noise_floor: the distance between two stretches of the reference.
        verdict: see `egno_md.compare.verdicts.settle`.
        definition: how the distance is computed.
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
    group: str = ""
    source: str = ""
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    samples: tuple[float, float] | None = None
    threshold: float = 0.0
    is_negligible: bool = False
    needed_ps: tuple[float, float] | None = None


Judged = Observable | Profile | Distribution
"""Results with a verdict."""


@dataclass(frozen=True)
class Exact:
    """One number of each side, compared with its exact value.

    Attributes:
        name: what it is.
        unit: of every value here.
        exact: theoretical value for the reference.
        reference: value of the reference.
        reference_interval: its 95% interval, or None.
        reference_verdict: of reference against exact.
        rollout: value of the rollout.
        rollout_interval: its 95% interval, or None.
        rollout_verdict: of rollout against its own exact value.
        definition: how it is computed.
        source: where the law comes from.
        rollout_exact: theoretical value for the rollout, whose degrees of freedom and masses
            may differ; None where it is the reference's.
    """

    name: str
    unit: str
    exact: float
    reference: float
    reference_interval: tuple[float, float] | None
    reference_verdict: Verdict
    rollout: float
    rollout_interval: tuple[float, float] | None
    rollout_verdict: Verdict
    definition: str
    source: str
    rollout_exact: float | None = None


@dataclass(frozen=True)
class Stability:
    """How long chains stayed unbroken.

    Attributes:
        limit: the deviation of a bond that counts as broken, nm.
        reference_ps: per chain, until it broke or ended.
        reference_broken: per chain, whether it broke.
        rollout_ps: likewise.
        rollout_broken: likewise.
    """

    limit: float
    reference_ps: tuple[float, ...]
    reference_broken: tuple[bool, ...]
    rollout_ps: tuple[float, ...]
    rollout_broken: tuple[bool, ...]


@dataclass(frozen=True)
class Efficiency:
    """Independent samples per wall second.

    Attributes:
        slowest: the observable that decorrelates slowest in the reference.
        unit: of the rates.
        reference: of the reference's run, None where its wall time is not known.
        rollout: of the rollout's.
        ratio: rollout over reference, where both are known and hold enough samples.
        reference_seconds: wall time.
        rollout_seconds: wall time.
        reference_samples: effective number of independent frames.
        rollout_samples: likewise.
        definition: how it is computed.
    """

    slowest: str
    unit: str
    reference: float | None
    rollout: float | None
    ratio: float | None
    reference_seconds: float | None
    rollout_seconds: float | None
    reference_samples: float
    rollout_samples: float
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
    """An observable that was not compared, and why."""

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
    """A comparison of a rollout with a reference; see the module for its JSON.

    Attributes:
        label: name of the rollout in tables and figures.
        system: name of the system.
        reference_sampling: how much of the reference there is.
        rollout_sampling: how much of the rollout there is.
        observables: one number each.
        profiles: one number per bond, angle, atom, peak or state.
        distributions: h(r), torsions, free energies, spectrum.
        series: for drawing.
        unavailable: observables that were not compared.
        notes: sentences to read before trusting a verdict.
        mode: dynamics, or sampler where the rollout's time axis is not physical.
        exact: each side against exact laws.
        stability: None without bonds, or without times.
        efficiency: None where neither wall time is known.
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
    mode: Mode = "dynamics"
    exact: tuple[Exact, ...] = ()
    stability: Stability | None = None
    efficiency: Efficiency | None = None

    @property
    def judged(self) -> tuple[Judged, ...]:
        """All that has a verdict."""
        return (*self.observables, *self.profiles, *self.distributions)

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """How many observables, profiles and distributions have each verdict."""
        verdicts = [o.verdict for o in self.judged]
        return {v: verdicts.count(v) for v in (INDISTINGUISHABLE, DIFFERENT, NOT_ENOUGH_DATA)}

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
        "exact": Exact,
    }
    values: dict[str, Any] = {
        "label": content["label"],
        "system": content["system"],
        "notes": tuple(content["notes"]),
        "mode": content.get("mode", "dynamics"),
    }
    for side in ("reference_sampling", "rollout_sampling"):
        values[side] = Sampling(**content[side])
    for key, kind in kinds.items():
        values[key] = tuple(_build(kind, c) for c in content.get(key, ()))
    for key, kind in (("stability", Stability), ("efficiency", Efficiency)):
        values[key] = None if content.get(key) is None else _build(kind, content[key])
    return Comparison(**values)


def _build(kind: type, content: dict[str, Any]) -> Any:
    names = {f.name for f in fields(kind)}
    return kind(
        **{
            k: tuple(v) if isinstance(v, list) else v  # JSON has no tuples
            for k, v in content.items()
            if k in names
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
