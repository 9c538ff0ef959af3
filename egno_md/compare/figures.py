"""Figures of one reference and one or more rollouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from egno_md.compare.figures_kinetics import free_energy_figure, spectrum_figure
from egno_md.compare.figures_overview import verdict_figure
from egno_md.compare.observable import Comparison, Distribution, Judged, Observable, Profile
from egno_md.compare.style import LINES, MARKERS, RC, REFERENCE, colour, item_named, pad, save
from egno_md.core.plotting import new_figure

Comparisons = Sequence[Comparison]

TORSIONS_DRAWN = 12
WHISKERS = "whiskers: 95% interval of the difference, none where there are too few data"
LABELLED_MEMBERS = 60
"""Bonds, angles or atoms up to which each is named on the axis."""


@dataclass(frozen=True)
class DrawnFigure:
    """A figure on disk.

    Attributes:
        name: file name without its ending; there is a .png and a .svg.
        title: what it shows.
        alt: the same in words, for readers who do not see it.
    """

    name: str
    title: str
    alt: str


def draw_figures(comparisons: Comparisons, folder: Path) -> tuple[DrawnFigure, ...]:
    """Draw what the comparisons hold; a figure without data is left out.

    Args:
        comparisons: of several rollouts with one reference.
        folder: where the .svg and .png files go; it must exist.
    """
    drawings: tuple[tuple[str, str, Callable[[Comparisons], Figure | None]], ...] = (
        ("verdicts", "All verdicts", verdict_figure),
        ("distances", "Interatomic distances", _distances),
        ("torsions", "Torsion distributions", _torsions),
        ("temperature", "Temperature", _temperature),
        ("energy", "Energy over time", _energy),
        ("rmsf", f"Fluctuation of each atom; {WHISKERS}", _rmsf),
        ("bonds", f"Bond lengths; {WHISKERS}", lambda c: _deviations(c, "Bond length", 1e3, "pm")),
        ("spectrum", "Vibrational spectrum and velocity autocorrelation", spectrum_figure),
        ("free_energy", "Free energy along the slowest components", free_energy_figure),
        ("angles", f"Angles; {WHISKERS}", lambda c: _deviations(c, "Angle", 1.0, "°")),
    )
    figures = []
    for name, title, draw in drawings:
        with mpl.rc_context(RC):
            figure = draw(comparisons)
        if figure is not None:
            save(figure, folder, name)
            figures.append(DrawnFigure(name, title, _alt(name, title, comparisons)))
    return tuple(figures)


ALT_NUMBERS = {
    "distances": "h(r)",
    "temperature": "Temperature",
    "energy": "Potential energy",
    "rmsf": "RMSF",
    "bonds": "Bond length, width",
    "angles": "Angle, width",
    "spectrum": "Vibrational spectrum",
    "free_energy": "Free energy along TICA 1",
}
"""The observable whose verdict goes into a figure's alt text."""


def _alt(name: str, title: str, comparisons: Comparisons) -> str:
    rollouts = " and ".join(c.label for c in comparisons)
    head = f"{title.split(';')[0]} of the reference and of {rollouts}, {comparisons[0].system}."
    if name == "verdicts":
        counts = [f"{c.label}: " + ", ".join(f"{n} {v}" for v, n in c.verdicts.items())
                  for c in comparisons]  # fmt: skip
        return f"{head} {'; '.join(counts)}."
    verdicts = []
    for c in comparisons:
        judged = item_named(c.judged, ALT_NUMBERS.get(name, ""))
        if judged is not None:
            verdicts.append(f"{c.label}, {judged.name}: {judged.verdict}{_size(judged)}")
    return f"{head} {'; '.join(verdicts)}." if verdicts else head


def _size(judged: Judged) -> str:
    if isinstance(judged, Profile):
        return ""
    if isinstance(judged, Distribution):
        return f", distance {judged.distance:.3g}"
    return f", {judged.rollout:.4g} against {judged.reference:.4g} {judged.unit}".rstrip()


def _steps(axes: Axes, d: Distribution, values: Sequence[float], **style: Any) -> None:
    axes.stairs(values, d.edges, baseline=None, **style)


def _distances(comparisons: Comparisons) -> Figure | None:
    distributions = [item_named(c.distributions, "h(r)") for c in comparisons]
    if any(d is None for d in distributions):
        return None
    figure = new_figure(6.4, 4.4)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.4])
    first = distributions[0]
    top.stairs(first.reference, first.edges, fill=True, color=REFERENCE, alpha=0.18)
    _steps(top, first, first.reference, color=REFERENCE, label="reference", lw=1.0)
    for i, (c, d) in enumerate(zip(comparisons, distributions, strict=True)):
        label = f"{c.label} (MAE × 10 Å = {d.distance:.3f}, noise floor {d.noise_floor:.3f})"
        _steps(top, d, d.rollout, color=colour(i), ls=LINES[i % 4], lw=1.0, label=label)
        change = np.subtract(d.rollout, d.reference)
        _steps(bottom, d, change, color=colour(i), ls=LINES[i % 4], lw=1.0)
    bottom.axhline(0, color=REFERENCE, lw=0.6)
    last = np.flatnonzero(np.sum([np.add(d.reference, d.rollout) for d in distributions], axis=0))
    top.set_xlim(0.6, min(first.edges[last[-1] + 1] + 0.3, 10.0))
    top.set_ylim(bottom=0)
    pad(top, 0.12)
    top.set_ylim(bottom=0)
    top.set_ylabel("h(r)  /  Å⁻¹")
    bottom.set_ylabel("Δh(r)  /  Å⁻¹")
    bottom.set_xlabel("interatomic distance r  /  Å")
    top.legend(loc="upper right")
    return figure


def _torsions(comparisons: Comparisons) -> Figure | None:
    names = [d.name for d in comparisons[0].distributions if d.name.startswith("Torsion ")]
    if not names:
        return None
    distributions = [[item_named(c.distributions, n) for n in names] for c in comparisons]
    order = _one_per_bond(
        names, [max(d.distance for d in column) for column in zip(*distributions, strict=True)]
    )
    rows = -(-len(order) // 4)
    figure = new_figure(8.4, 1.0 + 1.75 * rows)
    panels = figure.subplots(rows, min(4, len(order)), sharex=True, squeeze=False)
    for axes in panels.flat[len(order) :]:
        axes.set_visible(False)
    for axes, t in zip(panels.flat, order, strict=False):
        first = distributions[0][t]
        axes.stairs(first.reference, first.edges, fill=True, color=REFERENCE, alpha=0.22)
        for i, side in enumerate(distributions):
            _steps(axes, side[t], side[t].rollout, color=colour(i), ls=LINES[i % 4], lw=1.3)
            axes.text(
                0.98 - 0.2 * (len(distributions) - 1 - i), 0.98, f"{side[t].distance:.2f}", fontsize=7.5,
                transform=axes.transAxes, ha="right", va="top", color=colour(i),
            )  # fmt: skip
        axes.set_title(names[t].removeprefix("Torsion "), fontsize=8)
        axes.set(xlim=(-180, 180), yticks=[], ylim=(0, axes.get_ylim()[1] * 1.2))
        axes.xaxis.set_major_locator(MultipleLocator(90))
    for axes in panels[:, 0]:
        axes.set_ylabel("density")
    for column in range(panels.shape[1]):
        lowest = max(r for r in range(rows) if r * 4 + column < len(order))
        panels[lowest, column].set_xlabel("torsion  /  °")
        panels[lowest, column].tick_params(labelbottom=True)
    _shared_legend(figure, comparisons, "number: Jensen–Shannon distance, base 2")
    return figure


def _one_per_bond(names: Sequence[str], distances: Sequence[float]) -> list[int]:
    """The torsion that differs most about each bond, worst bonds first."""
    worst: dict[str, int] = {}
    for t in sorted(range(len(names)), key=lambda t: -distances[t]):
        parts = names[t].removeprefix("Torsion ").rsplit(" ", 1)
        atoms = parts[-1].split("–")
        worst.setdefault(" ".join([*parts[:-1], *atoms[1:3]]), t)
    return list(worst.values())[:TORSIONS_DRAWN]


def _temperature(comparisons: Comparisons) -> Figure | None:
    if any(item_named(c.series, "Temperature") is None for c in comparisons):
        return None
    elements = [o.name for o in comparisons[0].observables if o.name.startswith("Temperature of ")]
    elements = [n for n in elements if all(item_named(c.observables, n) for c in comparisons)]
    figure = new_figure(8.2, 3.2)
    left, right = figure.subplots(1, 2, width_ratios=[1.7, 1])
    _series(left, comparisons, "Temperature")
    left.set_ylabel("temperature  /  K")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=4, columnspacing=1.2)
    rows = ["Temperature", *elements]
    for i, c in enumerate(comparisons):
        temperatures = [item_named(c.observables, n) for n in rows]
        places = np.arange(len(rows)) + 0.8 * ((i + 1) / (len(comparisons) + 1) - 0.5)
        _points(right, places, temperatures, i)
    for r, name in enumerate(rows):
        value = item_named(comparisons[0].observables, name).reference
        right.plot([r - 0.4, r + 0.4], [value, value], color=REFERENCE, lw=2.2)
    right.set_xticks(range(len(rows)), ["all", *(n.split()[-1] for n in elements)])
    right.set_xlabel("atoms")
    right.set_ylabel("mean temperature  /  K")
    right.set_title("bar: reference; whisker: 95% of the difference", fontsize=8)
    pad(right, 0.1)
    return figure


def _points(axes: Axes, places: np.ndarray, observables: Sequence[Observable], i: int) -> None:
    values = np.array([o.rollout for o in observables])
    reach = np.array(
        [0 if o.interval is None else o.interval[1] - o.difference for o in observables]
    )
    axes.errorbar(
        places, values, yerr=reach, fmt=MARKERS[i % 4], ms=4.5, color=colour(i), capsize=2.5, lw=1.1
    )


def _energy(comparisons: Comparisons) -> Figure | None:
    names = [s.name for s in comparisons[0].series if s.name.endswith("energy")]
    names = [n for n in names if all(item_named(c.series, n) for c in comparisons)]
    if not names:
        return None
    figure = new_figure(6.8, 0.8 + 1.9 * len(names))
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(panels, names, strict=True):
        _series(axes, comparisons, name)
        axes.set_ylabel(f"{name.lower()}\n/  kJ/mol")
        if axes is not panels[-1]:
            axes.set_xlabel("")
    panels[0].legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=4, columnspacing=1.2)
    return figure


def _series(axes: Axes, comparisons: Comparisons, name: str) -> None:
    first = item_named(comparisons[0].series, name)
    axes.plot(first.reference_times, first.reference, color=REFERENCE, lw=0.9, label="reference")
    for i, c in enumerate(comparisons):
        s = item_named(c.series, name)
        axes.plot(s.rollout_times, s.rollout, color=colour(i), lw=0.9, alpha=0.85, label=c.label)
    axes.set_xlabel("simulated time  /  ps")
    axes.margins(x=0.01)


def _rmsf(comparisons: Comparisons) -> Figure | None:
    profiles = [item_named(c.profiles, "RMSF") for c in comparisons]
    if any(p is None for p in profiles):
        return None
    first: Profile = profiles[0]
    figure = new_figure(7.6, 3.3)
    axes = figure.subplots()
    places = np.arange(len(first.labels))
    heights = 10 * np.array(first.reference)
    axes.bar(places, heights, width=0.8, color=REFERENCE, alpha=0.22, label="reference")
    for i, (c, p) in enumerate(zip(comparisons, profiles, strict=True)):
        reach = _reach(p)
        shift = 0.0 if len(places) > LABELLED_MEMBERS else 0.12 * (i - (len(profiles) - 1) / 2)
        axes.errorbar(
            places + shift, 10 * np.array(p.rollout), yerr=10 * reach, fmt=MARKERS[i % 4], ms=4,
            lw=1, capsize=2, color=colour(i), label=c.label,
        )  # fmt: skip
    _name_members(axes, first.labels)
    axes.set_ylabel("RMSF  /  Å")
    axes.set_ylim(0, 1.35 * 10 * max(max(p.reference + p.rollout) for p in profiles))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=4)
    return figure


def _deviations(comparisons: Comparisons, name: str, scale: float, unit: str) -> Figure | None:
    """Mean and width of every bond or angle less the reference's, with the noise floor."""
    kinds = ("mean", "width")
    profiles = {k: [item_named(c.profiles, f"{name}, {k}") for c in comparisons] for k in kinds}
    if any(p is None for side in profiles.values() for p in side):
        return None
    figure = new_figure(7.6, 4.8)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, kind in zip(panels, kinds, strict=True):
        first = profiles[kind][0]
        places = np.arange(len(first.labels))
        floor = scale * np.abs(first.noise_floor)
        axes.bar(places, 2 * floor, bottom=-floor, width=0.8, color=REFERENCE, alpha=0.2,
                 label="noise floor: halves of the reference")  # fmt: skip
        axes.axhline(0, color=REFERENCE, lw=0.8)
        for i, (c, p) in enumerate(zip(comparisons, profiles[kind], strict=True)):
            shift = 0.25 * (i - (len(comparisons) - 1) / 2)
            axes.errorbar(
                places + shift, scale * np.array(p.difference), yerr=scale * _reach(p),
                fmt=MARKERS[i % 4], ms=3.5, lw=0.9, color=colour(i), label=c.label,
            )  # fmt: skip
        axes.set_ylabel(f"Δ {kind}  /  {unit}")
    panels[0].legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=3, columnspacing=1.2)
    _name_members(panels[1], profiles["mean"][0].labels)
    return figure


def _reach(p: Profile) -> np.ndarray:
    """Half the width of each interval; zero where there is none."""
    return np.array(
        [0.0 if u is None else u - d for u, d in zip(p.upper, p.difference, strict=True)]
    )


def _name_members(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_xlim(-0.7, len(labels) - 0.3)
    if len(labels) <= LABELLED_MEMBERS:
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
    else:
        axes.set_xlabel("number in the topology")


def _shared_legend(figure: Figure, comparisons: Comparisons, note: str) -> None:
    handles: list[Artist] = [Patch(color=REFERENCE, alpha=0.22, label="reference")]
    handles += [
        Line2D([], [], color=colour(i), ls=LINES[i % 4], label=c.label)  # type: ignore[list-item]
        for i, c in enumerate(comparisons)
    ]
    handles.append(Line2D([], [], ls="", label=note))  # type: ignore[arg-type]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
