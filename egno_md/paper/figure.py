"""A benchmark as a figure: errors beside the published ones, and the learning curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
ROW_HEIGHT = 0.34
WIDE = 8.0
"""Errors that differ by more than this factor are drawn on a logarithmic axis."""


def draw_benchmark(
    content: Mapping[str, Any], runs: Mapping[str, Sequence[Path]], folder: Path
) -> None:
    """Draw `benchmark.png` and `benchmark.svg`.

    Args:
        content: what `results.json` says.
        runs: folders of the seeds by model, each with a `metrics.csv`.
        folder: for the figure.
    """
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows = content["rows"]
    height = max(3.6, 1.6 + ROW_HEIGHT * len(rows))
    figure, (bars, curves) = plt.subplots(
        1, 2, figsize=(11, height), layout="constrained", width_ratios=(1.1, 1)
    )
    _draw_errors(bars, rows, content["unit"])
    _draw_curves(curves, rows, runs, content["unit"])
    for axis in (bars, curves):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, which="both", axis="both" if axis is curves else "x")
    for suffix in ("png", "svg"):
        figure.savefig(folder / f"benchmark.{suffix}", dpi=150)
    plt.close(figure)


def _draw_errors(axis: Any, rows: Sequence[Mapping[str, Any]], unit: str) -> None:
    """Every seed, the median, and the published value."""
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        values = _finite_errors(row)
        if not values:
            axis.text(0.02, place, "failed", transform=axis.get_yaxis_transform(), va="center")
            continue
        axis.plot(values, [place] * len(values), "o", color=COLOURS[0], alpha=0.45, ms=4)
        axis.plot(row["f_mse"], place, "|", color=COLOURS[0], ms=14, mew=2.4)
        paper = (row["published"] or {}).get("f_mse")
        if paper:
            axis.plot(paper, place, "D", mfc="none", color=COLOURS[1], ms=6)
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], ls="", marker="|", color=COLOURS[0], ms=12, mew=2.4, label="median"),
        Line2D([], [], ls="", marker="o", color=COLOURS[0], alpha=0.45, ms=4, label="each seed"),
    ]
    papers = [row["published"]["f_mse"] for row in rows if row["published"]]
    if papers:
        style: dict[str, Any] = {"marker": "D", "mfc": "none", "color": COLOURS[1], "ms": 6}
        handles.append(Line2D([], [], ls="", label="published", **style))
    axis.legend(
        handles=handles, frameon=False, loc="lower center", ncols=3, bbox_to_anchor=(0.5, 1)
    )
    shown = [v for row in rows for v in _finite_errors(row)] + papers
    if shown and max(shown) > WIDE * min(shown):
        _set_log(axis.xaxis)
    else:
        axis.set_xlim(0, 1.06 * max(shown, default=1.0))
    axis.set(xlabel=_label("test F-MSE", unit), ylim=(-0.7, len(rows) - 0.3))
    axis.set_yticks(places, [r["title"] for r in rows])


def _finite_errors(row: Mapping[str, Any]) -> list[float]:
    """Errors of the seeds that did not fail."""
    return [value for value in row["f_mse_by_seed"] if value is not None]


def _draw_curves(
    axis: Any,
    rows: Sequence[Mapping[str, Any]],
    runs: Mapping[str, Sequence[Path]],
    unit: str,
) -> None:
    """Validation error of every seed against epochs."""
    drawn, firsts, lasts = 0, [], []
    for row in rows:
        label = row["title"]
        for folder, epochs in zip(runs[row["model"]], row["epochs"], strict=True):
            steps, values = _curve(folder / "metrics.csv")
            if len(steps) < 2:
                continue
            firsts.append(values[0])
            lasts.append(values.min())
            scale = (epochs or 1.0) / steps[-1]
            style = ("-", "--", ":")[drawn // len(COLOURS) % 3]
            colour = COLOURS[drawn % len(COLOURS)]
            axis.plot(steps * scale, values, style, color=colour, label=label, lw=1.3, alpha=0.85)
            label = None
        drawn += label is None
    axis.set(xlabel="epoch", ylabel=_label("validation F-MSE", unit))
    _set_log(axis.yaxis)
    if drawn:  # a curve that blows up for once leaves the frame
        axis.set_ylim(min(lasts) / 1.3, max(2 * float(np.median(firsts)), 1.3 * max(lasts)))
    if not drawn:
        axis.text(
            0.5, 0.5, "too few validations for a curve", transform=axis.transAxes, ha="center"
        )
    else:
        axis.legend(frameon=False, fontsize=8, ncols=2 if drawn > 8 else 1)


def _set_log(axis: Any) -> None:
    """A logarithmic axis with plain numbers on it."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _curve(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not path.is_file():
        return np.empty(0), np.empty(0)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = np.array([float(r["step"]) for r in rows])
    return steps, np.array([float(r["val_f_mse"]) for r in rows])


def _label(what: str, unit: str) -> str:
    return f"{what} ({unit})" if unit else what
