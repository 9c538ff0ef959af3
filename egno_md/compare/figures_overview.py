"""Overview of all verdicts in one figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from egno_md.compare.observable import (
    DIFFERENT,
    INDISTINGUISHABLE,
    NOT_ENOUGH_DATA,
    Comparison,
    Distribution,
    Judged,
    Observable,
)
from egno_md.compare.style import REFERENCE, ROLLOUTS
from egno_md.core.plotting import new_figure

LOOKS = {
    INDISTINGUISHABLE: (ROLLOUTS[0], "o", "full"),
    DIFFERENT: (ROLLOUTS[1], "D", "full"),
    NOT_ENOUGH_DATA: ("#8c8c8c", "o", "none"),
}
FARTHEST = 8.0
"""Half-intervals; larger differences are drawn there as arrows."""
MOST_ROWS = 44


def verdict_figure(comparisons: Sequence[Comparison]) -> Figure:
    """Each difference in units of half its 95% interval, by group, per rollout."""
    rows = _rows(comparisons[0])
    figure = new_figure(2.6 + 2.7 * len(comparisons), 0.9 + 0.175 * len(rows))
    panels = figure.subplots(1, len(comparisons), sharey=True, squeeze=False)[0]
    for axes, comparison in zip(panels, comparisons, strict=True):
        _panel(axes, comparison, rows)
    panels[0].set_yticks(range(len(rows)), [_short(r) for r in rows], fontsize=7)
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    handles = [
        Line2D([], [], ls="", marker=m, color=c, fillstyle=f, label=v)  # type: ignore[arg-type]
        for v, (c, m, f) in LOOKS.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _rows(comparison: Comparison) -> list[str]:
    """Names by group; torsions and their free energies only where there is room."""
    groups = ("structure", "thermodynamics", "kinetics", "integrity")
    ordered = sorted(comparison.judged, key=lambda j: groups.index(j.group))
    names = [j.name for j in ordered]
    if len(names) > MOST_ROWS:
        names = [n for n in names if not n.startswith(("Torsion ", "Free energy along "))
                 or n.startswith(("Torsion decorrelation", "Free energy along TICA"))]  # fmt: skip
    return names


def _short(name: str) -> str:
    return name if len(name) <= 34 else name[:33] + "…"


def _panel(axes: Axes, comparison: Comparison, rows: list[str]) -> None:
    judged = {j.name: j for j in comparison.judged}
    axes.axvspan(-1, 1, color=REFERENCE, alpha=0.1, lw=0)
    axes.axvline(0, color=REFERENCE, lw=0.6)
    for place, name in enumerate(rows):
        item = judged.get(name)
        if item is None:
            continue
        size = _size(item)
        paint, marker, style = LOOKS[item.verdict]
        if abs(size) > FARTHEST:
            size, marker = float(np.sign(size) * FARTHEST), "<" if size < 0 else ">"
        axes.plot(size, place, marker=marker, color=paint, fillstyle=style, ms=4.5, ls="")  # type: ignore[arg-type]
    axes.set_xlim(-FARTHEST - 0.5, FARTHEST + 0.5)
    axes.set_title(comparison.label)
    axes.set_xlabel("difference  /  half of its 95% interval")
    axes.grid(axis="y", color="0.92", lw=0.6)
    axes.set_axisbelow(True)


def _size(judged: Judged) -> float:
    """The difference over half its interval; of a profile, its largest."""
    if isinstance(judged, Distribution):
        return judged.distance / judged.expected if judged.expected else 0.0
    if isinstance(judged, Observable):
        return _ratio(judged.difference, judged.interval)
    each = [
        _ratio(d, None if lo is None or hi is None else (lo, hi))
        for d, lo, hi in zip(judged.difference, judged.lower, judged.upper, strict=True)
    ]
    return max(each, key=abs)


def _ratio(difference: float, interval: tuple[float, float] | None) -> float:
    if interval is None or interval[1] <= interval[0]:
        return 0.0
    return 2 * difference / (interval[1] - interval[0])
