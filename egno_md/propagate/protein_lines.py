"""What people read of a protein's rollout: while it runs, and at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from egno_md.propagate.events import Event
from egno_md.propagate.observe import FOLDS

PARTS = ("network", "lift", "refinement", "checks", "fallback", "observables", "output")
"""Clocks that are told one by one; the rest of a window's time is called other."""

STATE = "ca_rmsd."
EXTENT = "radius_of_gyration"
LISTED = 3
"""Residues that are named, the most refined first."""


def protein_values(last: Sequence[Event]) -> dict[str, str]:
    """Fold, distance to known states, extent and refinement, for a panel of progress.

    Args:
        last: event of every replica's last window; its values are means over them.
    """
    seen = [e.observed for e in last if e.observed]
    values: dict[str, str] = {}
    if seen:
        now = {name: float(np.mean([s[name] for s in seen if name in s])) for name in seen[0]}
        values |= {"fold": _fold(now), "radius of gyration": f"{10 * now[EXTENT]:.2f} Å"}
        values |= {
            f"CA RMSD to {name.removeprefix(STATE)}": f"{10 * value:.2f} Å"
            for name, value in now.items()
            if name.startswith(STATE)
        }
    refined = [e.refined for e in last if e.refined and "residues_moved" in e.refined]
    if refined:
        moves = {n: m for r in refined for n, m in r["residues"].items()}
        count = sum(r["residues_moved"] for r in refined)
        values["residues refined by > 0.5 Å"] = f"{count}"
        values["refined most"] = _most(moves)
    return values


def protein_lines(summary: dict[str, Any]) -> list[str]:
    """What was observed at windows' ends, and what refinement did; nothing without a protein."""
    lines = []
    observed = {n: v for n, v in summary.get("observed", {}).items() if v["mean"] is not None}
    if EXTENT in observed:
        states = ", ".join(
            f"{_spread(v, 10)} Å to {n.removeprefix(STATE)}"
            for n, v in observed.items()
            if n.startswith(STATE)
        )
        found = [f"CA RMSD {states}"] if states else []
        found += [
            f"radius of gyration {_spread(observed[EXTENT], 10)} Å",
            _fold({n: v["mean"] for n, v in observed.items()}),
        ]
        if "potential_energy" in observed:
            energy = observed["potential_energy"]
            found.append(f"potential energy {energy['mean']:,.0f} ± {energy['std']:,.0f} kJ/mol")
        lines.append("At windows' ends: " + "; ".join(found))
    residues = summary.get("refined_by_residue_nm")
    if residues:
        lines.append(
            f"Refinement moved atoms by {10 * summary['refinement_displacement_nm']:.2f} Å (root "
            f"mean square), most of all {_most(residues)}; largest bond deviation "
            f"{10 * summary['largest_bond_deviation']:.2f} Å"
        )
    return lines


def cost_lines(summary: dict[str, Any]) -> list[str]:
    """Where a refined window's time goes, and how long a window would have to be to pay."""
    windows, spent = summary["windows"], summary["seconds"]
    if not windows or not summary["events"].get("refine"):
        return []
    parts = {p: spent.get(p, 0.0) / windows for p in PARTS}
    total = spent["total"] / windows
    parts["other"] = max(total - sum(parts.values()), 0.0)
    listed = ", ".join(f"{p} {v:.3g} s" for p, v in parts.items() if v >= 5e-4)
    even = summary["window_ps"] / summary["speed_up"]
    return [
        f"A window costs {total:.3g} s: {listed}",
        f"That is the time of {even:.2g} ps of MD: at this cost longer windows gain and shorter "
        "ones lose",
    ]


def _fold(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {values[name]:.0%}" for name in FOLDS if name in values)


def _spread(value: dict[str, float], factor: float) -> str:
    return f"{factor * value['mean']:.2f} ± {factor * value['std']:.2f}"


def _most(moves: dict[str, float]) -> str:
    worst = sorted(moves.items(), key=lambda item: -(item[1] or 0.0))[:LISTED]
    return ", ".join(f"{name} {10 * move:.1f} Å" for name, move in worst)
