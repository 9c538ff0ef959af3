"""Every number of a comparison as rows."""

from __future__ import annotations

from collections.abc import Iterator

from egno_md.compare.observable import Comparison, Distribution, Observable, Profile

COLUMNS = (
    "rollout",
    "group",
    "observable",
    "member",
    "unit",
    "reference",
    "rollout_value",
    "difference",
    "lower",
    "upper",
    "noise_floor",
    "p_value",
    "threshold",
    "verdict",
    "is_negligible",
)
Row = tuple[str | float | bool | None, ...]


def comparison_rows(comparison: Comparison) -> Iterator[Row]:
    """A row per number, in the order of `COLUMNS`.

    A distribution's difference is the distance of its histograms.
    """
    for judged in comparison.judged:
        head = (comparison.label, judged.group, judged.name)
        if isinstance(judged, Observable):
            yield (*head, "", *_scalar(judged))
        elif isinstance(judged, Distribution):
            yield (*head, "", *_distribution(judged))
        else:
            for k, label in enumerate(judged.labels):
                yield (*head, label, *_member(judged, k))


def _scalar(o: Observable) -> Row:
    return (
        o.unit,
        o.reference,
        o.rollout,
        o.difference,
        *(o.interval or (None, None)),
        o.noise_floor,
        o.p_value,
        o.threshold,
        o.verdict,
        o.is_negligible,
    )


def _distribution(d: Distribution) -> Row:
    return (
        d.measure,
        None,
        None,
        d.distance,
        *(d.interval or (None, None)),
        d.noise_floor,
        d.p_value,
        d.threshold,
        d.verdict,
        d.is_negligible,
    )


def _member(p: Profile, k: int) -> Row:
    negligible = p.verdicts[k] == "different" and abs(p.difference[k]) <= p.thresholds[k]
    return (
        p.unit,
        p.reference[k],
        p.rollout[k],
        p.difference[k],
        p.lower[k],
        p.upper[k],
        p.noise_floor[k],
        p.p_values[k],
        p.thresholds[k],
        p.verdicts[k],
        negligible,
    )
