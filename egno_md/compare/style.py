"""Style of figures, with colours that colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from egno_md.core.plotting import STYLE

REFERENCE = "#3b3b3b"
ROLLOUTS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Okabe and Ito 2008, https://jfly.uni-koeln.de/color."""
MARKERS = ("o", "s", "^", "D")
LINES = ("-", "--", "-.", ":")

RC: dict[Any, Any] = {
    **STYLE,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.grid": False,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.4,
}
DPI = 160


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `name`.svg and `name`.png, the same bytes for the same figure."""
    with mpl.rc_context(RC):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=DPI)


def colour(index: int) -> str:
    """Colour of the rollout at `index`."""
    return ROLLOUTS[index % len(ROLLOUTS)]


def pad(axes: Axes, share: float = 0.08) -> None:
    """Leave room above and below the data."""
    low, high = axes.get_ylim()
    axes.set_ylim(low - share * (high - low), high + share * (high - low))


def item_named(items: Sequence[Any], name: str) -> Any:
    """The result of this name, None where there is none."""
    return next((i for i in items if i.name == name), None)
