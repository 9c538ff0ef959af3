"""The section on rollouts: timeline, cost of events, speed account, results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from egno_md.report.account import PARTS, Account, accounts, draw_accounts
from egno_md.report.blocks import Block, Cell, Fold, Image, Section, Text, table
from egno_md.report.folders import Folder, of_verb
from egno_md.report.gaps import gaps
from egno_md.report.numbers import NONE, number, percent, seconds
from egno_md.report.protein import draw_observed, draw_refined
from egno_md.report.timeline import KINDS, RARE, SOUND, draw_timeline, event_costs

Folders = Sequence[Folder]

REFINED_MEANS = "refined means"
MOST_EVENTS = 300
"""Rows of the table of interventions."""


def rollouts(folders: Folders) -> Section | None:
    """Rollouts side by side: the timeline, its cost, where the time went, and results."""
    runs = of_verb(folders, "propagate")
    if not runs:
        return None
    shown = [f for f in runs if "summary" in f.content]
    blocks: list[Block] = [*gaps(runs), *_caveats(shown)]
    blocks += [
        Text(f"{f.label}: {statement}", "note")
        for f in shown
        if (statement := f.content["summary"].get("statement"))
    ]
    timeline = draw_timeline(runs)
    if timeline is not None:
        blocks.append(Image(timeline))
        blocks.append(
            Text(
                "Each lane is a replica; a mark is as tall as what happened is grave. Below, the "
                "energy errors of proposals: median and range. Where errors span decades, the axis "
                "is linear near zero and logarithmic beyond."
            )
        )
        blocks.append(_events(runs))
        blocks += _interventions(runs)
    for drawing in (draw_observed(runs), draw_refined(shown)):
        if drawing is not None:
            blocks.append(Image(drawing))
    timings = accounts(shown)
    account = draw_accounts(timings)
    if account is not None:
        blocks.append(Image(account))
        blocks.append(_account_table(timings, shown))
    if shown:
        columns = ("", *(f.label for f in shown))
        blocks.append(table("Rollouts side by side", columns, _rollout_rows(shown)))
    return Section("rollouts", "Rollouts", tuple(blocks))


def _caveats(shown: Folders) -> Iterator[Block]:
    """The caveats in the rollouts' summaries."""
    for folder in shown:
        if caveat := folder.content["summary"].get("caveat"):
            yield Text(f"{folder.label}: {caveat}", "note")


def _protein_rows(shown: Folders) -> list[tuple[str, ...]]:
    """Observables measured during the run, and the residues that refinement moved most."""
    summaries = [f.content["summary"] for f in shown]
    names = list(dict.fromkeys(n for s in summaries for n in s.get("observed", {})))
    units = {"radius_of_gyration": ", nm", "potential_energy": ", kJ/mol"}
    rows = []
    for name in names:
        unit = ", nm" if name.startswith("ca_rmsd") else units.get(name, " of residues")
        title = name.replace("ca_rmsd.", "CA RMSD to ").replace("_", " ") + unit
        values = [s.get("observed", {}).get(name, {}) for s in summaries]
        rows.append((title, *(_spread(v.get("mean"), v.get("std")) for v in values)))
    if any(s.get("refined_by_residue_nm") for s in summaries):
        worst = [list(s.get("refined_by_residue_nm", {}).items())[:3] for s in summaries]
        rows.append(
            (
                "residues that refinement moved most, nm",
                *(", ".join(f"{n} {number(v)}" for n, v in w) or NONE for w in worst),
            )
        )
    return rows


def _events(runs: Folders) -> Block:
    rows = []
    for folder in runs:
        costs = event_costs(folder)
        total = sum(n for _, n, _ in costs) or 1
        rows += [
            (
                folder.label, KINDS[kind][1], Cell(number(n), sort=n),
                Cell(percent(n / total), sort=n / total), Cell(seconds(spent), sort=spent),
                Cell(seconds(spent / n), sort=spent / n),
            )
            for kind, n, spent in costs
        ]  # fmt: skip
    columns = ("rollout", "outcome", "windows", "share", "checks and repair", "each")
    return table("What the windows came to, and its cost", columns, rows, anchor="outcomes")


def _interventions(runs: Folders) -> Iterator[Block]:
    rows = [
        (f.label, e)
        for f in runs
        for e in f.events
        if e.get("kind") in KINDS and e["kind"] not in SOUND and not _is_planned(e)
    ]
    if not rows:
        return
    cells = [
        (
            label, Cell(number(e.get("time")), sort=e.get("time")), number(e.get("replica")),
            KINDS[e["kind"]][1], str(e.get("reason") or NONE),
            Cell(number(e.get("energy_error")), sort=e.get("energy_error")),
            Cell(seconds(e.get("seconds")), sort=e.get("seconds")),
        )
        for label, e in rows[:MOST_EVENTS]
    ]  # fmt: skip
    columns = (
        "rollout",
        "time, ps",
        "replica",
        "outcome",
        "reason",
        "energy error, kJ/mol",
        "cost",
    )
    of = f", first {MOST_EVENTS} of {len(rows)}" if len(rows) > MOST_EVENTS else f" ({len(rows)})"
    caption = f"Windows not simply accepted{of}"
    interventions = table(caption, columns, cells, filters=(0, 3), anchor="interventions")
    yield Fold(caption, (interventions,), is_printed=False)


def _is_planned(event: dict[str, Any]) -> bool:
    """Whether a window was refined because every window is."""
    return event["kind"] == "refine" and event.get("reason") in (None, "", "every window")


def _account_table(timings: Sequence[Account], shown: Folders) -> Block:
    rows: list[tuple[str, ...]] = [
        (title, *(_share(b.parts[part], b.total) for b in timings))
        for part, (_, title) in PARTS.items()
        if any(b.parts[part] for b in timings)
    ]
    rows.append(("total", *(seconds(b.total) for b in timings)))
    rows.append(("the same dynamics by MD", *(seconds(b.reference) for b in timings)))
    summaries = {f.label: f.content["summary"] for f in shown}
    rows += [
        (title, *(number(summaries[b.label].get(key)) for b in timings))
        for key, title in (
            ("rollout_ns_per_day", "rollout, ns/day"),
            ("reference_ns_per_day", "reference MD, ns/day"),
            ("speed_up", "speed-up, everything included"),
        )
    ]
    return table("Where the time went", ("", *(b.label for b in timings)), rows)


def _share(spent: float, total: float) -> str:
    return f"{seconds(spent)} ({percent(spent / total)})" if spent else NONE


def _rollout_rows(shown: Folders) -> list[tuple[str, ...]]:
    summaries = [f.content["summary"] for f in shown]

    def row(title: str, read: Callable[[dict[str, Any]], str]) -> tuple[str, ...]:
        return (title, *(read(s) for s in summaries))

    elements = list(
        dict.fromkeys(e for s in summaries for e in s.get("temperature_by_element", {}))
    )
    rows = [
        row("policy", lambda s: str(s.get("policy", "–"))),
        row("ensemble", lambda s: f"{s.get('ensemble', NONE)}, {_mode(s)}"),
        row("replicas", lambda s: number(s.get("replicas"))),
        row("windows, all replicas", lambda s: number(s.get("windows"))),
        row("simulated, ps", lambda s: number(s.get("simulated_ps"))),
        row("temperature target, K", lambda s: number(s.get("temperature_target"), 4)),
        row("temperature, K", lambda s: number(s.get("temperature_mean"), 4)),
    ]
    rows += [
        row(
            f"temperature of {e}, K",
            lambda s, e=e: number(s.get("temperature_by_element", {}).get(e), 4),
        )
        for e in elements
    ]
    rows += [
        row(
            f"excess friction of {e}, 1/ps",
            lambda s, e=e: number(s.get("excess_friction_by_element", {}).get(e)),
        )
        for e in elements
    ]
    rows += [
        row(f"windows {KINDS[k][1]}", lambda s, k=k: number(s.get("events", {}).get(k)))
        for k in KINDS
        if k not in RARE or any(s.get("events", {}).get(k) for s in summaries)
    ]
    if any(s.get("corrected") for s in summaries):
        rows += [
            row("correction", lambda s: str(s.get("corrected") or "none")),
            row("acceptance of moves", lambda s: percent(s.get("acceptance"))),
            row("windows drawn for moves", lambda s: number(s.get("windows_drawn"))),
        ]
    rows += [
        row("share of MD fallback", lambda s: percent(s.get("fallback_share"))),
        row(
            "energy error per window, kJ/mol",
            lambda s: _spread(s.get("energy_error_mean"), s.get("energy_error_std")),
        ),
        row("energy drift of kept windows, kJ/mol/ps", lambda s: number(s.get("energy_drift"))),
        row("total energy drift, kJ/mol/ps", lambda s: number(s.get("trajectory_drift"))),
        row("largest bond deviation, nm", lambda s: number(s.get("largest_bond_deviation"))),
        *_protein_rows(shown),
        row("stopped early", lambda s: "; ".join(filter(None, s.get("stop_reasons", []))) or "no"),
    ]
    return rows


def _spread(mean: float | None, deviation: float | None) -> str:
    return NONE if mean is None else f"{number(mean)} ± {number(deviation)}"


def _mode(summary: dict[str, Any]) -> str:
    """Dynamics or sampler; long deterministic windows are neither, but refined means."""
    return REFINED_MEANS if summary.get("caveat") else str(summary.get("mode", NONE))
