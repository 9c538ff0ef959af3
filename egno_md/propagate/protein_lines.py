"""What people read of a protein's rollout: while it runs, and at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from egno_md.propagate.event import Event
from egno_md.propagate.observe import FOLDS
from egno_md.propagate.summary import RolloutSummary, Spread

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
    refined = [e.refined for e in last if e.refined and e.refined.by_residue]
    if refined:
        moves = {name: move for r in refined for name, move in r.most_moved.items()}
        values["residues refined by > 0.5 Å"] = f"{sum(r.residues_moved for r in refined)}"
        values["refined most"] = _most(moves)
    return values


def protein_lines(summary: RolloutSummary) -> list[str]:
    """What was observed at windows' ends, and what refinement did; nothing without a protein."""
    lines = []
    observed = {n: v for n, v in (summary.observed or {}).items() if v.mean is not None}
    if EXTENT in observed:
        states = ", ".join(
            f"{_spread(v)} Å to {n.removeprefix(STATE)}"
            for n, v in observed.items()
            if n.startswith(STATE)
        )
        parts = [f"CA RMSD {states}"] if states else []
        parts += [
            f"radius of gyration {_spread(observed[EXTENT])} Å",
            _fold({n: v.mean for n, v in observed.items() if v.mean is not None}),
        ]
        if "potential_energy" in observed:
            energy = observed["potential_energy"]
            parts.append(f"potential energy {energy.mean:,.0f} ± {energy.std:,.0f} kJ/mol")
        lines.append("At windows' ends: " + "; ".join(parts))
    if summary.refined_by_residue_nm and summary.refinement_displacement_nm is not None:
        lines.append(
            f"Refinement moved atoms by {10 * summary.refinement_displacement_nm:.2f} Å (root "
            f"mean square), most of all {_most(summary.refined_by_residue_nm)}; largest bond "
            f"deviation {10 * summary.largest_bond_deviation:.2f} Å"
        )
    return lines


def cost_lines(summary: RolloutSummary) -> list[str]:
    """Where a refined window's time goes, and how long a window would have to be to pay."""
    windows, spent = summary.windows, summary.seconds
    if not windows or not summary.events.get("refine") or not summary.speed_up:
        return []
    parts = {p: spent.get(p, 0.0) / windows for p in PARTS}
    total = spent["total"] / windows
    parts["other"] = max(total - sum(parts.values()), 0.0)
    listed = ", ".join(f"{p} {v:.3g} s" for p, v in parts.items() if v >= 5e-4)
    even = summary.window_ps / summary.speed_up
    return [
        f"A window costs {total:.3g} s: {listed}",
        f"That is the time of {even:.2g} ps of MD: at this cost longer windows gain and shorter "
        "ones lose",
    ]


def _fold(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {values[name]:.0%}" for name in FOLDS if name in values)


def _spread(value: Spread) -> str:
    """In Å."""
    return f"{10 * (value.mean or 0.0):.2f} ± {10 * (value.std or 0.0):.2f}"


def _most(moves: Mapping[str, float | None]) -> str:
    worst = sorted(moves.items(), key=lambda item: -(item[1] or 0.0))[:LISTED]
    return ", ".join(f"{name} {10 * (move or 0.0):.1f} Å" for name, move in worst)
