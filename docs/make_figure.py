"""Draw docs/ethanol.png from the folders that benchmarks/ethanol.py leaves.

python docs/make_figure.py ROOT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

STYLES = {
    "operator": ("#D55E00", "-", "o", "operator, one call"),
    "ballistic": ("#0072B2", "--", "^", "ballistic"),
    "half_a_tau_squared": ("#009E73", "-.", "v", "½aτ²"),
}


def main(root: Path) -> None:
    """Read the results, draw the three panels."""
    evaluation = json.loads((root / "op8-fresh" / "evaluation.json").read_text())
    compared = json.loads((root / "comparison" / "comparison.json").read_text())
    rollout = next(r for r in compared["rollouts"] if r["label"] == "rollout-8-fs-checked")
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
    rows = evaluation["by_time"]
    times = [r["time"] * 1e3 for r in rows]
    for name, (colour, line, marker, label) in STYLES.items():
        values = [100 * r["velocity_error"][name] for r in rows]
        left.plot(times, values, color=colour, linestyle=line, marker=marker, label=label)
    left.set(
        xlabel="time after the start frame (fs)", ylabel="velocity error (% of thermal)",
        yscale="log", title="One 8 fs window, held-out frames",
    )  # fmt: skip
    left.legend(frameon=False)
    h = next(d for d in rollout["distributions"] if d["name"] == "h(r)")
    edges = np.array(h["edges"])
    middle.stairs(h["reference"], edges, fill=True, color="#cccccc", label="MD, 80 ps")
    middle.stairs(h["rollout"], edges, color="#D55E00", label="rollout, 80 ps")
    middle.set(xlabel="interatomic distance (Å)", ylabel="h(r)", xlim=(0.8, 4.8),
               title="Structure")  # fmt: skip
    middle.legend(frameon=False)
    names = ["Temperature", "Temperature of C", "Temperature of O", "Temperature of H"]
    found = {o["name"]: o for o in rollout["observables"]}
    for x, name in enumerate(names):
        one = found[name]
        low, high = one["interval"]
        middle_value = one["rollout"] - one["reference"]
        error = [[middle_value - low], [high - middle_value]]
        right.errorbar(x, middle_value, yerr=error, fmt="o", color="#D55E00", capsize=4)
    right.axhline(0, color="black", linewidth=0.8)
    right.set_xticks(range(4), ["all", "C", "O", "H"])
    right.set(ylabel="rollout minus MD (K)", title="Temperature, 95% intervals")
    for axis in (left, middle, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(__file__).with_name("ethanol.png"), dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
