"""Wall time of rollouts by parts, beside that of MD for the same dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from egno_md.report.drawing import Drawing, Tips, draw
from egno_md.report.folders import Folder
from egno_md.report.numbers import percent, seconds

PARTS = {
    "network": ("#0072B2", "network"),
    "lift": ("#F0E442", "lift to all atoms"),
    "checks": ("#56B4E9", "forces and checks"),
    "refinement": ("#E69F00", "refinement"),
    "fallback": ("#D55E00", "MD fallback"),
    "dynamics": ("#A6761D", "exact MD"),
    "thermostat": ("#009E73", "thermostat"),
    "observables": ("#8A6FDF", "observables"),
    "output": ("#CC79A7", "output"),
    "other": ("#999999", "the rest of the loop"),
}
SECONDS_PER_DAY = 86400.0
LABEL_FROM = 0.07
"""Share of the widest bar that has room for its number."""


@dataclass(frozen=True)
class Account:
    """Wall seconds of one rollout.

    Attributes:
        label: of the rollout.
        parts: per part; "other" is the rest of `total`.
        total: of the rollout.
        reference: the same dynamics by MD, from its speed timed in the same run.
    """

    label: str
    parts: dict[str, float]
    total: float
    reference: float | None


def accounts(folders: Sequence[Folder]) -> list[Account]:
    """Accounts of all rollouts whose summary has wall times."""
    results = []
    for folder in folders:
        summary = folder.content.get("summary") or {}
        clocks = summary.get("seconds") or {}
        total = clocks.get("total")
        if not total:
            continue
        parts = {p: float(clocks.get(p) or 0.0) for p in PARTS if p != "other"}
        parts["other"] = max(total - sum(parts.values()), 0.0)
        pace, simulated = summary.get("reference_ns_per_day"), summary.get("simulated_ps")
        reference = simulated * 1e-3 / pace * SECONDS_PER_DAY if pace and simulated else None
        results.append(Account(folder.label, parts, float(total), reference))
    return results


def draw_accounts(timings: Sequence[Account]) -> Drawing | None:
    """Bars of every rollout, as a share of the time MD takes for the same dynamics."""
    if not timings:
        return None
    is_relative = all(a.reference for a in timings)
    width = 1.0 if is_relative else max(a.total for a in timings)
    width = max(width, *(a.total / _unit(a, is_relative) for a in timings))

    def paint(figure: Figure, tips: Tips) -> None:
        axes = figure.subplots()
        rows = [a.label for a in timings]
        for row, account in enumerate(timings):
            _bar(axes, row, account, _unit(account, is_relative), width, tips)
        if is_relative:
            bar = axes.barh(
                len(timings), 1.0, height=0.5, color="none", edgecolor="0.5", hatch="///"
            )
            tips.put(
                bar.patches[0],
                "reference MD of the same length: "
                + ", ".join(f"{seconds(a.reference)} for {a.label}" for a in timings),
            )
            rows.append("reference MD")
        axes.set_yticks(range(len(rows)), rows)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12 * width)
        if is_relative:
            axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")
        axes.set_xlabel(
            "wall time, share of MD's for the same dynamics" if is_relative else "wall time  (s)"
        )
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(
            list(unique.values()), list(unique), loc="outside upper center", ncols=4, fontsize=8
        )

    alt = "; ".join(
        f"{a.label}: {seconds(a.total)}, of it "
        + ", ".join(f"{PARTS[p][1]} {percent(s / a.total)}" for p, s in a.parts.items() if s)
        + (f"; MD would take {seconds(a.reference)}" if a.reference else "")
        for a in timings
    )
    height = 1.15 + 0.42 * (len(timings) + is_relative)
    return draw(
        "speed",
        "Wall time of rollouts beside MD's for the same dynamics",
        f"Speed account. {alt}.",
        (9, height),
        paint,
    )


def _unit(account: Account, is_relative: bool) -> float:
    return account.reference if is_relative and account.reference else 1.0


def _bar(axes: Axes, row: int, account: Account, unit: float, width: float, tips: Tips) -> None:
    left = 0.0
    for part, wall in account.parts.items():
        if not wall:
            continue
        colour, name = PARTS[part]
        share = wall / unit
        bar = axes.barh(row, share, left=left, height=0.6, color=colour, label=name)
        tips.put(
            bar.patches[0],
            f"{account.label}, {name}: {seconds(wall)}, {percent(wall / account.total)}",
        )
        if share > LABEL_FROM * width:
            axes.text(
                left + share / 2, row, percent(wall / account.total), ha="center", va="center",
                color="#fefefe" if part in ("network", "fallback", "thermostat") else "#010101",
                fontsize=8,
            )  # fmt: skip
        left += share
    axes.text(left + 0.01 * width, row, seconds(account.total), va="center", fontsize=8)
