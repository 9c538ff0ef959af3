"""The learning curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl


def plot_training(rows: list[dict[str, str]], folder: Path) -> None:
    """Draw loss and validation errors against steps into `loss.png` and `loss.svg`."""
    if not rows:
        return
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    steps = [int(r["step"]) for r in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.plot(steps, [float(r["loss"]) for r in rows], color="#0072B2", label="training loss")
    left.set(xlabel="step", ylabel="loss (normalised)", yscale="log", title="Training")
    if "val_flow_loss" in rows[0]:
        errors = [float(r["val_flow_loss"]) for r in rows]
        right.plot(steps, errors, color="#D55E00", label="flow matching loss")
        right.set(xlabel="step", ylabel="loss (1 knows only widths)", title="Validation")
        right.legend(frameon=False)
    else:
        _plot_errors(right, steps, rows)
    for axis in (left, right):
        axis.spines["top"].set_visible(False)
        axis.grid(alpha=0.25)
    for suffix in ("png", "svg"):
        figure.savefig(folder / f"loss.{suffix}", dpi=150)
    plt.close(figure)


def _plot_errors(axes: Any, steps: list[int], rows: list[dict[str, str]]) -> None:
    axes.plot(steps, [float(r["val_f_mse"]) for r in rows], color="#D55E00", label="F-MSE")
    axes.plot(steps, [float(r["val_a_mse"]) for r in rows], color="#009E73", label="A-MSE")
    axes.set(xlabel="step", ylabel="mean squared error (Å²)", yscale="log", title="Validation")
    velocity = axes.twinx()
    errors = [100 * float(r["val_velocity_error"]) for r in rows]
    velocity.plot(steps, errors, color="#CC79A7", linestyle="--", label="velocity error")
    velocity.set(ylabel="velocity error (% of thermal)", yscale="log")
    handles = axes.get_lines() + velocity.get_lines()
    axes.legend(handles, [str(h.get_label()) for h in handles], frameon=False)
