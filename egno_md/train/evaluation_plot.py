"""Errors against lead time, beside the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

STYLES = {
    "operator": ("#D55E00", "-", "o"),
    "persistence": ("#999999", ":", "s"),
    "ballistic": ("#0072B2", "--", "^"),
    "half_a_tau_squared": ("#009E73", "-.", "v"),
}
NAMES = {"half_a_tau_squared": "½aτ²"}


def plot_evaluation(result: dict[str, Any], folder: Path) -> None:
    """Draw `errors.png` and `errors.svg` from an `evaluation.json`."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    rows = result["by_time"]
    femtoseconds = [r["time"] * 1e3 for r in rows]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    panels = (
        ("position_rmse", 1.0, "position error (Å, RMS)"),
        ("velocity_error", 100.0, "velocity error (% of thermal, RMS)"),
    )
    for axis, (key, factor, label) in zip(axes, panels, strict=True):
        for name, (colour, line, marker) in STYLES.items():
            if any(r[key][name] is None for r in rows):
                continue
            values = [max(r[key][name] * factor, 1e-6) for r in rows]
            axis.plot(
                femtoseconds,
                values,
                color=colour,
                linestyle=line,
                marker=marker,
                label=NAMES.get(name, name),
            )
        axis.set(xlabel="time after the start frame (fs)", ylabel=label, yscale="log")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].legend(frameon=False, fontsize="small")
    figure.suptitle(f"{result['system']}: {result['windows']:,} held-out windows", fontsize=11)
    for suffix in ("png", "svg"):
        figure.savefig(folder / f"errors.{suffix}", dpi=150)
    plt.close(figure)
