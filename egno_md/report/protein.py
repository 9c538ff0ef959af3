"""Proteins in rollouts: observables at windows' ends, and moves by refinement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from egno_md.report.drawing import Drawing, Tips, draw
from egno_md.report.folders import Folder
from egno_md.report.numbers import number

STATE = "ca_rmsd."
ANGSTROM, PERCENT, UNCHANGED = 10.0, 100.0, 1.0
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours of Okabe and Ito 2008."""
STYLES = ("-", "--", ":", "-.")
"""Of the rollouts, in their order."""
MUCH = 0.5
"""Å; a residue that refinement moves farther counts as repaired."""

Panel = tuple[str, float, dict[str, str]]


def draw_observed(folders: Sequence[Folder]) -> Drawing | None:
    """Distance to known states, extent, fold and energy over time; None without a protein."""
    shown = [f for f in folders if any(e.get("observed") for e in f.events)]
    if not shown:
        return None
    panels = _panels({n for f in shown for e in f.events for n in e.get("observed") or {}})

    def paint(figure: Figure, tips: Tips) -> None:
        rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(rows, panels, strict=True):
            for style, folder in zip(STYLES * len(shown), shown, strict=False):
                _lines(axes, folder, panel, style, len(shown) > 1, tips)
            axes.set_ylabel(panel[0], fontsize=8)
            axes.ticklabel_format(axis="y", useOffset=False)
            if len(panel[2]) > 1 or len(shown) > 1:
                axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
        rows[-1].set_xlabel("simulated time  (ps)")

    alt = "; ".join(f"{f.label}: {_last(f)}" for f in shown)
    title = "The protein at every window's end"
    return draw(
        "observed", title, f"At the last window's end. {alt}.", (9, 1.5 * len(panels)), paint
    )


def draw_refined(folders: Sequence[Folder]) -> Drawing | None:
    """How far refinement moved every residue on the mean, along the chain."""
    shown = [
        (f, moves)
        for f in folders
        if (moves := (f.content.get("summary") or {}).get("refined_by_residue_nm"))
    ]
    if not shown:
        return None

    def paint(figure: Figure, tips: Tips) -> None:
        rows = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
        for axes, (folder, moves) in zip(rows, shown, strict=True):
            residues = sorted(moves, key=_place)
            heights = [ANGSTROM * moves[r] for r in residues]
            colours = [LINES[1] if h > MUCH else LINES[0] for h in heights]
            bars = axes.bar(range(len(residues)), heights, width=0.9, color=colours)
            for bar, residue, height in zip(bars, residues, heights, strict=True):
                tips.put(bar, f"{folder.label}, {residue}: {number(height)} Å")
            step = max(len(residues) // 12, 1)
            ticks = range(0, len(residues), step)
            axes.set_xticks(list(ticks), [residues[i] for i in ticks], fontsize=7)
            axes.margins(x=0.01)
            axes.axhline(MUCH, color="0.5", lw=0.8, ls=":")
            axes.set_ylabel(f"{folder.label}\nmean move  (Å)", fontsize=8)

    worst = "; ".join(
        f"{f.label}: {', '.join(f'{n} {number(ANGSTROM * m)} Å' for n, m in list(v.items())[:3])}"
        for f, v in shown
    )
    title = "How far refinement moved each residue"
    return draw("refined", title, f"Most moved. {worst}.", (9, 1.8 * len(shown)), paint)


def _panels(names: set[str]) -> list[Panel]:
    """Axis title, factor and curves of each panel, as far as they were observed."""
    states = {n: f"to {n.removeprefix(STATE)}" for n in sorted(names) if n.startswith(STATE)}
    panels: list[Panel] = [
        ("CA RMSD\n(Å)", ANGSTROM, states),
        ("radius of\ngyration  (Å)", ANGSTROM, {"radius_of_gyration": "radius of gyration"}),
        ("residues\n(%)", PERCENT, {n: n for n in ("helix", "strand", "coil")}),
        ("energy\n(kJ/mol)", UNCHANGED, {"potential_energy": "potential energy"}),
    ]
    observed = [(t, f, {n: c for n, c in curves.items() if n in names}) for t, f, curves in panels]
    return [panel for panel in observed if panel[2]]


def _lines(
    axes: Axes, folder: Folder, panel: Panel, style: str, is_named: bool, tips: Tips
) -> None:
    _, factor, curves = panel
    for colour, (name, title) in zip(LINES, curves.items(), strict=False):
        label = f"{folder.label}: {title}" if is_named else title
        for count, replica in enumerate(
            sorted({int(e.get("replica") or 0) for e in folder.events})
        ):
            points = _series(folder.events, replica, name)
            if not len(points):
                continue
            (line,) = axes.plot(
                points[:, 0], factor * points[:, 1], style, color=colour, lw=1.2,
                label="_nolegend_" if count else label,
                marker="." if len(points) < 100 else "", ms=4,
            )  # fmt: skip
            mean, width = factor * points[:, 1].mean(), factor * points[:, 1].std()
            tips.put(line, f"{label}, replica {replica}: {number(mean)} ± {number(width)}")


def _series(events: Sequence[dict[str, Any]], replica: int, name: str) -> np.ndarray:
    rows = [
        (e["time"], e["observed"][name])
        for e in events
        if int(e.get("replica") or 0) == replica
        and (e.get("observed") or {}).get(name) is not None
        and isinstance(e.get("time"), (int, float))
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _last(folder: Folder) -> str:
    last = next(e["observed"] for e in reversed(folder.events) if e.get("observed"))
    return ", ".join(f"{n.replace('_', ' ')} {number(v)}" for n, v in last.items())


def _place(residue: str) -> tuple[str, int, str]:
    """Along the chain: names are ``MET1``, with ``-chain`` where there are several."""
    name, _, chain = residue.partition("-")
    digits = "".join(c for c in name if c.isdigit())
    return chain, int(digits or 0), name
