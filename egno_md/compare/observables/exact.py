"""Kinetic temperatures against the canonical ensemble, each side on its own.

2K/(k_B T) of f quadratic degrees of freedom is chi-square distributed with f
degrees of freedom, so that the kinetic temperature has the mean T and the width
T √(2/f). Merz and Shirts (2018, PLoS ONE 13, e0202764; physical_validation) hold
simulations against the same mean and width.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from egno_md.compare.catalogue import entry
from egno_md.compare.findings import Bench, Findings, not_available, with_square
from egno_md.compare.observable import (
    DIFFERENT,
    INDISTINGUISHABLE,
    NOT_ENOUGH_DATA,
    Exact,
    Verdict,
)
from egno_md.compare.observables import thermal
from egno_md.compare.record import Record
from egno_md.compare.statistics import (
    ENOUGH_SAMPLES,
    MEAN,
    WIDTH,
    Estimate,
    Statistic,
    series_estimate,
    student_reach,
)
from egno_md.compare.verdicts import critical_p_value
from egno_md.core.system import System

Array = np.ndarray
_Row = tuple[str, tuple[float, float], list[Estimate]]
"""Name, exact value of each side, estimate of each side."""


def exact_findings(bench: Bench, elements: list[str]) -> Findings:
    """Mean and width of the temperature, overall and per element, of both sides."""
    name = "Exact temperature *"
    kelvins = [r.survey.side.kelvin for r in bench.records]
    if None in kelvins:
        reason = "the thermostat's temperature is not known of both sides. Compare folders of ours."
        return not_available(reason, name)
    if kelvins[0] != kelvins[1]:
        reason = f"the thermostats differ ({kelvins[0]:g} K and {kelvins[1]:g} K)."
        return not_available(reason, name)
    kelvin = float(kelvins[0])  # type: ignore[arg-type]
    widths = [_exact_widths(r.survey.side.system, elements) for r in bench.records]
    rows: list[_Row] = []
    for label in widths[0]:
        width = (kelvin * widths[0][label], kelvin * widths[1][label])
        for kind, statistic, exact in (("mean", MEAN, (kelvin, kelvin)), ("width", WIDTH, width)):
            sides = [_estimate(r, f"temperature{label}", statistic, bench) for r in bench.records]
            rows.append((f"Exact temperature{label}, {kind}", exact, sides))
    verdicts = [_verdicts([(exact[k], sides[k]) for _, exact, sides in rows]) for k in (0, 1)]
    return Findings(exact=tuple(_row(r, a, b) for r, a, b in zip(rows, *verdicts, strict=True)))


def _exact_widths(system: System, elements: list[str]) -> dict[str, float]:
    """Width of the kinetic temperature over its mean, overall and of each element that moves."""
    relative = thermal.element_widths(system)
    overall = {"": float(np.sqrt(2 / system.internal_freedom))}
    return overall | {f" of {e}": relative[e] for e in elements if system.freedom[e] > 0}


def _estimate(record: Record, quantity: str, statistic: Statistic, bench: Bench) -> Estimate:
    features = with_square if statistic is WIDTH else lambda x: x[:, None, None]
    chains = [features(np.asarray(c, np.float64)) for c in record.series[quantity]]
    return series_estimate(chains, statistic, bench.generator)


def _verdicts(side: list[tuple[float, Estimate]]) -> list[Verdict]:
    """Of one side, over all its values together (Benjamini and Hochberg)."""
    p_values = []
    for exact, e in side:
        error, freedom = float(e.error[0]), max(float(e.blocks[0]) - 1, 1.0)
        enough = e.samples[0] >= ENOUGH_SAMPLES and np.isfinite(error)
        ratio = abs(float(e.value[0]) - exact) / max(error, np.finfo(float).tiny)
        p_values.append(2 * stats.t.sf(ratio, freedom) if enough else np.nan)
    limit = critical_p_value(np.array([p for p in p_values if np.isfinite(p)]))
    return [
        NOT_ENOUGH_DATA if np.isnan(p) else DIFFERENT if p <= limit else INDISTINGUISHABLE
        for p in p_values
    ]


def _row(row: _Row, first: Verdict, second: Verdict) -> Exact:
    name, exact, (a, b) = row
    listing = entry("Exact temperature *")
    return Exact(
        name=name.replace("Exact temperature", "Temperature"),
        unit=listing.unit,
        exact=exact[0],
        rollout_exact=None if exact[0] == exact[1] else exact[1],
        reference=float(a.value[0]),
        reference_interval=_interval(a),
        reference_verdict=first,
        rollout=float(b.value[0]),
        rollout_interval=_interval(b),
        rollout_verdict=second,
        definition=listing.definition,
        source=listing.source,
    )


def _interval(e: Estimate) -> tuple[float, float] | None:
    if not np.isfinite(e.error[0]):
        return None
    value = float(e.value[0])
    reach = float(student_reach(e.error, e.blocks - 1)[0])
    return value - reach, value + reach
