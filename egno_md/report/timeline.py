"""The timeline of a rollout: what happened to each window, and its energy error."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from egno_md.report.folders import Folder

KINDS = {
    "accept": ("#0072B2", "o", "accepted"),
    "prefix": ("#56B4E9", "^", "prefix kept"),
    "refine": ("#E69F00", "s", "refined"),
    "fallback": ("#D55E00", "D", "fell back to MD"),
    "stop": ("#000000", "X", "stopped"),
}
"""Colours of Okabe and Ito 2008, with a marker each for readers who see none."""
FONT: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Picture:
    """A figure inside the page.

    Attributes:
        source: a data URI.
        title: caption.
        alt: the same in words.
    """

    source: str
    title: str
    alt: str


def picture(png: bytes, title: str, alt: str) -> Picture:
    """Embed a PNG."""
    encoded = base64.b64encode(png).decode("ascii")
    return Picture(f"data:image/png;base64,{encoded}", title, alt)


def draw_timeline(folders: Sequence[Folder]) -> Picture | None:
    """Events of rollouts above each other on one time axis; None without events."""
    shown = [f for f in folders if f.events]
    if not shown:
        return None
    with mpl.rc_context(FONT):
        figure = Figure(figsize=(8.2, 0.9 + 2.6 * len(shown)), layout="constrained")
        FigureCanvasAgg(figure)
        rows = figure.subplots(
            2 * len(shown), 1, sharex=True, squeeze=False, height_ratios=[2.2, 1] * len(shown)
        )[:, 0]
        for folder, energy, kinds in zip(shown, rows[::2], rows[1::2], strict=True):
            _energy_errors(energy, folder)
            _kinds(kinds, folder)
        rows[-1].set_xlabel("simulated time  /  ps")
        handles = [Line2D([], [], ls="", marker=m, color=c, label=t) for c, m, t in KINDS.values()]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(KINDS))
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=150, metadata={"Software": None})
    counts = "; ".join(
        f"{f.label}: " + ", ".join(f"{n} {KINDS[k][2]}" for k, n in _count(f).items() if n)
        for f in shown
    )
    return picture(stream.getvalue(), "What happened to each window", f"Event timeline. {counts}.")


def _count(folder: Folder) -> dict[str, int]:
    found = [e.get("kind") for e in folder.events]
    return {k: found.count(k) for k in KINDS}


def _energy_errors(axes: Axes, folder: Folder) -> None:
    known = False
    for kind, (colour, marker, _) in KINDS.items():
        points = [
            (e["time"], e["energy_error"])
            for e in folder.events
            if e.get("kind") == kind and e.get("energy_error") is not None
        ]
        if points:
            known = True
            axes.plot(*zip(*points, strict=True), ls="", marker=marker, ms=3, color=colour,
                      alpha=0.75, mew=0, rasterized=True)  # fmt: skip
    axes.axhline(0, color="0.5", lw=0.7, zorder=0)
    if not known:
        axes.text(0.5, 0.5, "no energies were checked", transform=axes.transAxes, ha="center")
        axes.set_yticks([])
    else:
        # Broken windows may lie decades above thermal noise; both must be seen.
        size = np.abs(
            [e["energy_error"] for e in folder.events if e.get("energy_error") is not None]
        )
        linear = max(10 * float(np.median(size)), 1e-3)
        if size.max() > 10 * linear:
            axes.set_yscale("symlog", linthresh=10.0 ** np.ceil(np.log10(linear)))
    axes.set_ylabel("energy error\n/  kJ/mol")
    axes.set_title(folder.label, loc="left", fontsize=9.5, fontweight="bold")


def _kinds(axes: Axes, folder: Folder) -> None:
    order = list(KINDS)[::-1]
    for place, kind in enumerate(order):
        times = [e["time"] for e in folder.events if e.get("kind") == kind]
        axes.plot(times, [place] * len(times), ls="", marker="|", ms=7, mew=0.9,
                  color=KINDS[kind][0])  # fmt: skip
    axes.set_yticks(range(len(order)), order, fontsize=7)
    axes.set_ylim(-0.7, len(order) - 0.3)
