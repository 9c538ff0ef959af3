"""The stress questions as a figure, one panel each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from egno_md.paper.figure import COLOURS

SMALLEST = 1e-17
"""Drawn value of a residual of exactly 0."""
Rows = Sequence[Mapping[str, Any]]
Answer = Mapping[str, Any]
Titles = Mapping[str, str]
CONTACTS = {"hard": "bounce", "soft": "soft", "none": "pass through"}


def draw_stress(content: Mapping[str, Any], folder: Path) -> None:
    """Draw `stress.png` and `stress.svg`.

    Args:
        content: what `results.json` says.
        folder: for the figure.
    """
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = list(content["questions"])
    columns = min(len(names), 3)
    lines = -(-len(names) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(4.6 * columns, 4.1 * lines), layout="constrained", squeeze=False
    )
    for axis, name in zip(axes.flat, names, strict=False):
        PANELS[name](axis, content["questions"][name], content["models"])
        axis.spines["top"].set_visible(False)
        axis.spines["right"].set_visible(False)
        axis.grid(alpha=0.25)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for suffix in ("png", "svg"):
        figure.savefig(folder / f"stress.{suffix}", dpi=110)
    plt.close(figure)


def _equivariance(axis: Any, answer: Answer, titles: Titles) -> None:
    """Residuals against angle or distance; filled in single, hollow in double precision."""
    for number, (model, title) in enumerate(titles.items()):
        colour = COLOURS[number]
        for symmetry, marker in (("rotation", "o"), ("translation", "^")):
            rows = [
                r
                for r in answer["rows"]
                if r["model"] == model and r["symmetry"].startswith(symmetry)
            ]
            x = [r["amount"] for r in rows]
            for precision, fill in (("float32", colour), ("float64", "none")):
                y = [max(r[precision], SMALLEST) for r in rows]
                label = f"{title}, {symmetry}" if precision == "float32" else None
                axis.plot(x, y, marker, color=colour, mfc=fill, ms=5, label=label)
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="angle / rad, or distance / system sizes",
        ylabel="residual / largest move",
        title="Equivariance (filled float32, hollow float64)",
    )
    # above all points, where there are none
    axis.set_ylim(top=axis.get_ylim()[1] * 1e5)
    axis.legend(frameon=False, fontsize=8, ncols=1, loc="upper left")


def _resolution(axis: Any, answer: Answer, titles: Titles) -> None:
    """Error by the number of decoded points, directly and by a spline."""
    names = list(dict.fromkeys(r["points"] for r in answer["rows"]))
    for number, (model, title) in enumerate(titles.items()):
        rows = {r["points"]: r for r in answer["rows"] if r["model"] == model}
        for key, style, text in (
            ("a_mse", "o-", "asked"),
            ("a_mse_by_spline", "s:", "spline of the trained"),
        ):
            y = [rows[n][key] for n in names]
            hollow = {} if key == "a_mse" else {"mfc": "none"}
            axis.plot(y, style, color=COLOURS[number], ms=5, label=f"{title}, {text}", **hollow)
    if str(answer["trained_points"]) in names:
        axis.axvline(names.index(str(answer["trained_points"])), color="0.6", lw=0.8)
    axis.set_xticks(range(len(names)), [n.replace(" ", "\n") for n in names])
    axis.set(
        yscale="log",
        xlabel="time points asked for (line: trained)",
        ylabel="A-MSE",
        title="Zero-shot resolution",
    )
    axis.legend(frameon=False, fontsize=8)


def _collisions(axis: Any, answer: Answer, titles: Titles) -> None:
    """Errors over x + vτ; full bars of windows with contact, pale ones without."""
    width = 0.8 / (2 * len(titles))
    kinds = list(dict.fromkeys(r["contact"] for r in answer["rows"]))
    for number, (model, title) in enumerate(titles.items()):
        rows = {r["contact"]: r for r in answer["rows"] if r["model"] == model}
        for side, (key, alpha, text) in enumerate(
            (("touch", 1.0, "contact"), ("miss", 0.4, "no contact"))
        ):
            places = np.arange(len(kinds)) + (2 * number + side - len(titles) + 0.5) * width
            heights = [rows[k].get(f"over_ballistic_{key}", np.nan) for k in kinds]
            label = f"{title}, {text}"
            axis.bar(places, heights, width, color=COLOURS[number], alpha=alpha, label=label)
    axis.set_xticks(range(len(kinds)), [CONTACTS[k] for k in kinds])
    axis.set(yscale="log", ylabel="F-MSE / that of x + vτ", title="Collisions of spheres")
    axis.legend(frameon=False, fontsize=8)


def _ladder(axis: Any, answer: Answer, titles: Titles) -> None:
    """Error over knowing nothing, and the variance that predictions keep."""
    for number, (model, title) in enumerate(titles.items()):
        rows = [r for r in answer["rows"] if r["model"] == model]
        x = [r["multiple"] for r in rows]
        colour = COLOURS[number]
        axis.plot(x, [r["over_nothing"] for r in rows], "o-", color=colour, label=f"{title}, error")
        y = [r["spread"] for r in rows]
        axis.plot(x, y, "s--", color=colour, mfc="none", label=f"{title}, variance kept")
    axis.axvline(1.0, color="0.6", lw=0.8)
    axis.set(
        xscale="log",
        xlabel="ΔT / velocity decorrelation time",
        ylabel="error / knowing nothing; variance / true",
        title="Long windows",
        ylim=(-0.03, None),
    )
    axis.legend(frameon=False, fontsize=8)


def _modes(axis: Any, answer: Answer, titles: Titles) -> None:
    """Error by the number of modes, the chosen one ringed; the spectrum in grey."""
    for number, (model, title) in enumerate(titles.items()):
        rows = [r for r in answer["rows"] if r["model"] == model]
        x = [r["modes"] for r in rows]
        y = np.array([r["a_mse"] for r in rows])
        bars = [r["standard_error"] for r in rows]
        colour = COLOURS[number]
        axis.errorbar(x, y, bars, fmt="o-", color=colour, ms=5, capsize=3, label=title)
        chosen = answer["chosen"][model]
        axis.plot(chosen, y[x.index(chosen)], "o", ms=13, mfc="none", color=colour)
    axis.set(
        yscale="log",
        xlabel="modes I (ringed: the rule's choice)",
        ylabel="A-MSE, ± one standard error behind the best",
        title=f"Fourier modes at P = {answer['points']}",
    )
    axis.set_xticks(sorted({r["modes"] for r in answer["rows"]}))
    power = axis.twinx()
    first = next(iter(titles))
    rows = [r for r in answer["rows"] if r["model"] == first and r["power_above"] > 1e-9]
    power.bar([r["modes"] for r in rows], [r["power_above"] for r in rows], color="0.85", width=0.5)
    power.set(yscale="log", ylabel="share of displacement power above I")
    power.spines["top"].set_visible(False)
    axis.set_zorder(power.get_zorder() + 1)
    axis.patch.set_visible(False)
    axis.legend(frameon=False, fontsize=8)


PANELS: Mapping[str, Callable[[Any, Answer, Titles], None]] = {
    "equivariance": _equivariance,
    "resolution": _resolution,
    "collisions": _collisions,
    "ladder": _ladder,
    "modes": _modes,
}
