"""The timeline of rollouts: what happened to the windows, replica by replica."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from egno_md.report.drawing import Drawing, Tips, draw
from egno_md.report.folders import Folder
from egno_md.report.numbers import number, seconds

KINDS = {
    "accept": ("#0072B2", "accepted"),
    "stay": ("#999999", "move not made"),
    "exact": ("#009E73", "exact MD"),
    "prefix": ("#56B4E9", "prefix kept"),
    "refine": ("#E69F00", "refined"),
    "fallback": ("#D55E00", "fell back to MD"),
    "stop": ("#000000", "stopped"),
}
"""What a controller decides, from best to worst; colours of Okabe and Ito 2008.

A rejected Metropolis move is neither a fault nor an intervention; nor is MD as the source."""
SOUND = ("accept", "stay", "exact")
RARE = ("stay", "exact")
"""Shown where they occur: of Metropolis moves alone, and where the source is MD itself."""
SEAMLESS = ({"accept"}, {"exact"})
"""Kinds whose neighbouring stretches are drawn as one."""
HEIGHTS = {
    "accept": 0.34,
    "stay": 0.42,
    "exact": 0.34,
    "prefix": 0.5,
    "refine": 0.66,
    "fallback": 0.82,
    "stop": 0.98,
}
"""Of a mark in its lane: worse is taller, so that colours are not needed."""
BINS = 200
LANES = 8
"""Replicas with a lane of their own; the rest is left to the table."""

Event = dict[str, Any]


def draw_timeline(folders: Sequence[Folder]) -> Drawing | None:
    """Lanes of every rollout and its energy errors over simulated time.

    Args:
        folders: rollouts, with events.

    Returns:
        None where no rollout has events.
    """
    shown = [f for f in folders if f.events]
    if not shown:
        return None
    counts = "; ".join(
        f"{f.label}: " + ", ".join(f"{n} {KINDS[k][1]}" for k, n in count_kinds(f).items() if n)
        for f in shown
    )
    occurring = {k for k in KINDS if k not in RARE or any(count_kinds(f)[k] for f in shown)}
    lanes = [max(min(len(_by_replica(f)), LANES), 1) for f in shown]
    heights = [h for n in lanes for h in (0.45 + 0.2 * n, 1.25)]

    def paint(figure: Figure, tips: Tips) -> None:
        axes = figure.subplots(
            2 * len(shown), 1, sharex=True, squeeze=False, height_ratios=heights
        )[:, 0]
        for folder, above, below in zip(shown, axes[::2], axes[1::2], strict=True):
            _lanes(above, folder, tips)
            _energy_errors(below, folder)
        # marks alone do not widen the axes of a rollout without energies
        axes[-1].set_xlim(0, max(_end(f) for f in shown))
        axes[-1].set_xlabel("simulated time  (ps)")
        handles = [Patch(color=c, label=t) for k, (c, t) in KINDS.items() if k in occurring]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8)

    title = "What happened to each window, and its energy error"
    return draw(
        "timeline", title, f"Event timeline. {counts}.", (9, 0.5 + 1.05 * sum(heights)), paint
    )


def count_kinds(folder: Folder) -> dict[str, int]:
    """Events of each kind."""
    kinds = [e.get("kind") for e in folder.events]
    return {k: kinds.count(k) for k in KINDS}


def event_costs(folder: Folder) -> list[tuple[str, int, float]]:
    """Kind, count and seconds of checks and repair, for kinds that occurred."""
    spent: dict[str, float] = defaultdict(float)
    for event in folder.events:
        spent[str(event.get("kind"))] += float(event.get("seconds") or 0.0)
    return [(k, n, spent[k]) for k, n in count_kinds(folder).items() if n]


def _by_replica(folder: Folder) -> dict[int, list[Event]]:
    replicas: dict[int, list[Event]] = defaultdict(list)
    for event in folder.events:
        if event.get("kind") in KINDS and isinstance(event.get("time"), (int, float)):
            replicas[int(event.get("replica") or 0)].append(event)
    return dict(sorted(replicas.items()))


def _end(folder: Folder) -> float:
    return max((e["time"] for r in _by_replica(folder).values() for e in r), default=0.0) or 1.0


def _lanes(axes: Axes, folder: Folder, tips: Tips) -> None:
    replicas, end = _by_replica(folder), _end(folder)
    shown = list(replicas.items())[:LANES]
    order = list(KINDS)
    for lane, (replica, events) in enumerate(shown):
        for first, last, kinds, spent in _stretches(events, end):
            worst = max(kinds, key=order.index)
            height = HEIGHTS[worst]
            patch = Rectangle(
                (first, -lane - height / 2), last - first, height,
                color=KINDS[worst][0], lw=0 if set(kinds) in SEAMLESS else 0.6,
            )  # fmt: skip
            counts = ", ".join(f"{n} {KINDS[k][1]}" for k, n in kinds.items())
            tips.put(
                patch,
                f"{folder.label}, replica {replica}, {number(first)} to {number(last)} ps: {counts}; "
                f"{seconds(spent)} of checks and repair",
            )
            axes.add_patch(patch)
    axes.set_ylim(-len(shown) + 0.4, 0.6)
    axes.set_yticks([-k for k in range(len(shown))], [str(r) for r, _ in shown], fontsize=7)
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_ylabel("replica", fontsize=8)
    more = f", first {LANES} of {len(replicas)} replicas" if len(replicas) > LANES else ""
    axes.set_title(f"{folder.label}{more}", loc="left", fontsize=9.5, fontweight="bold")


def _stretches(events: list[Event], end: float) -> list[tuple[float, float, dict[str, int], float]]:
    """Stretches of time with their events; neighbours of one kind become one."""
    order = list(KINDS)
    bins: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        bins[min(int(event["time"] / end * BINS - 1e-9), BINS - 1)].append(event)
    stretches: list[tuple[float, float, dict[str, int], float]] = []
    for place, inside in sorted(bins.items()):
        kinds = {k: n for k in order if (n := sum(e["kind"] == k for e in inside))}
        spent = sum(float(e.get("seconds") or 0.0) for e in inside)
        first, last = place * end / BINS, (place + 1) * end / BINS
        if stretches and set(kinds) == set(stretches[-1][2]) and set(kinds) in SEAMLESS:
            before = stretches.pop()
            kinds = {kind: n + before[2][kind] for kind, n in kinds.items()}
            first, spent = before[0], spent + before[3]
        stretches.append((first, last, kinds, spent))
    return stretches


def _energy_errors(axes: Axes, folder: Folder) -> None:
    points = [
        (e["time"], e["energy_error"])
        for r in _by_replica(folder).values()
        for e in r
        if e.get("energy_error") is not None
    ]
    axes.axhline(0, color="0.5", lw=0.7, zorder=0)
    axes.set_ylabel("energy error\n(kJ/mol)", fontsize=8)
    axes.tick_params(labelsize=7)
    if not points:
        is_refined = any(e["kind"] == "refine" for r in _by_replica(folder).values() for e in r)
        message = "windows end in refined frames" if is_refined else "no energies were checked"
        axes.text(0.5, 0.5, message, transform=axes.transAxes, ha="center")
        axes.set_yticks([])
        return
    times, errors = np.array(points).T
    end = _end(folder)
    place = np.clip((times / end * BINS - 1e-9).astype(int), 0, BINS - 1)
    rows = np.array(
        [
            ((k + 0.5) * end / BINS, *np.percentile(errors[place == k], [0, 50, 100]))
            for k in np.unique(place)
        ]
    )
    middle, low, median, high = rows.T
    axes.fill_between(middle, low, high, color="#0072B2", alpha=0.3, lw=0, step="mid")
    axes.plot(middle, median, color="#0072B2", lw=1, drawstyle="steps-mid")
    # Broken windows may lie decades above thermal noise; both must be seen.
    size = np.abs(errors)
    linear = max(10 * float(np.median(size)), 1e-3)
    if size.max() > 10 * linear:
        axes.set_yscale("symlog", linthresh=10.0 ** np.ceil(np.log10(linear)))
