"""The learning curve."""

from __future__ import annotations

from pathlib import Path

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
    right.plot(steps, [float(r["val_f_mse"]) for r in rows], color="#D55E00", label="F-MSE")
    right.plot(steps, [float(r["val_a_mse"]) for r in rows], color="#009E73", label="A-MSE")
    right.set(xlabel="step", ylabel="mean squared error (Å²)", yscale="log", title="Validation")
    velocity = right.twinx()
    errors = [100 * float(r["val_velocity_error"]) for r in rows]
    velocity.plot(steps, errors, color="#CC79A7", linestyle="--", label="velocity error")
    velocity.set(ylabel="velocity error (% of thermal)", yscale="log")
    handles = right.get_lines() + velocity.get_lines()
    right.legend(handles, [str(h.get_label()) for h in handles], frameon=False)
    for axis in (left, right):
        axis.spines["top"].set_visible(False)
        axis.grid(alpha=0.25)
    for suffix in ("png", "svg"):
        figure.savefig(folder / f"loss.{suffix}", dpi=150)
    plt.close(figure)
