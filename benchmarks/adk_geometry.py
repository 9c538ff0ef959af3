"""What the benchmark of adenylate kinase measures on frames: geometry, states, moves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from egno_md.compare.observables.integrity import clash_count
from egno_md.compare.observables.ramachandran import outlier_shares
from egno_md.core.state import Frame
from egno_md.data.store import Store
from egno_md.geometry.bonded import bonded_within
from egno_md.geometry.peptide import find_peptide
from egno_md.geometry.superposition import superposed_rmsd
from egno_md.md.build import load_system
from egno_md.propagate.check import Checker
from egno_md.propagate.observe import find_observers

MOST = 40
"""Frames of MD that are looked at, evenly spread."""

CONTACT = 0.2
"""nm up to which contacts are looked for: hydrogens of a hydrogen bond are 0.18 apart."""


def frames(store: Store, most: int | None = None) -> list[Frame]:
    """Frames of a store, evenly spread where there are more."""
    every = [t[i] for t in store for i in range(len(t))]
    return every if most is None else every[:: max(len(every) // most, 1)]


def geometry(
    reference: Store, rolled: Store, events: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Every refined frame beside frames of MD; the worst of each, and every window."""
    system = reference.system()
    start = frames(reference)[-1].positions
    sides = {"MD": frames(reference, MOST), "rollout": frames(rolled)}
    # lengths of a bond are held against their mean in MD
    checker = Checker.of(system, start, CONTACT)
    bonds = system.bonds
    lengths = np.mean(
        [np.linalg.norm(f.positions[bonds[:, 0]] - f.positions[bonds[:, 1]], axis=1)
         for f in sides["MD"]], axis=0,
    )  # fmt: skip
    checker = replace(checker, bond_lengths=lengths)
    near, peptide = bonded_within(system.bonds, system.n_atoms, 3), find_peptide(system)
    assert peptide is not None

    def row(frame: Frame) -> dict[str, float]:
        check = checker.measure(Frame(start, frame.velocities), frame)
        outliers = outlier_shares(system, peptide, frame.positions[None].astype(np.float32))
        return {
            "bond off by / Å": 10 * check.bond_deviation,
            "centres inverted": check.inverted_centres,
            "stereocentres or peptide bonds turned": len(check.turned),
            "cis peptide bonds": int(checker.stereo.cis(frame.positions).sum()),
            "closest contact / Å": 10 * min(check.closest_contact, CONTACT),
            "clashes": clash_count(frame.positions, system, near),
            "Ramachandran outliers / %": 100 * float(outliers[0]),
        }

    found: dict[str, dict[str, Any]] = {}
    rows = {name: [row(f) for f in held] for name, held in sides.items()}
    for name, held in rows.items():
        for key in held[0]:
            values = [r[key] for r in held]
            worst = min(values) if key.startswith("closest") else max(values)
            found.setdefault(key, {})
            found[key] |= {f"{name}, mean": round(float(np.mean(values)), 3)}
            found[key] |= {f"{name}, worst": round(float(worst), 3)}
    forces = [e["max_force"] for e in events if e["max_force"] is not None]
    found["largest force / kJ/mol/nm"] = {
        "rollout, mean": round(float(np.mean(forces)), 1) if forces else None,
        "rollout, worst": round(max(forces), 1) if forces else None,
    }
    return found


def observed(reference: Store, rolled: Store) -> dict[str, dict[str, Any]]:
    """Distance to both states, extent, fold, temperature and energy: means and widths."""
    (observer,) = find_observers(load_system("adk"))
    checker = Checker.of(reference.system(), reference.system().positions)
    found: dict[str, dict[str, Any]] = {}
    for name, held in (("MD", frames(reference, MOST)), ("rollout", frames(rolled))):
        rows = []
        for frame in held:
            kelvin = {"temperature / K": checker.temperature(frame.velocities)}
            rows.append(
                {f"{k}{UNITS.get(k, '')}": v for k, v in observer.measure(frame).items()} | kelvin
            )
        for key in rows[0]:
            values = [r[key] for r in rows]
            found.setdefault(key, {})
            found[key] |= {
                f"{name}, mean": round(float(np.mean(values)), 4),
                f"{name}, deviation": round(float(np.std(values)), 4),
            }
            if name == "rollout":
                found[key]["rollout, last"] = round(float(values[-1]), 4)
    return found


UNITS = {
    "radius_of_gyration": " / nm", "ca_rmsd.open": " / nm", "ca_rmsd.closed": " / nm",
    "potential_energy": " / kJ/mol",
}  # fmt: skip


def steps(reference: Store, rolled: Store, window: float) -> dict[str, Any]:
    """Root-mean-square move of the backbone over one window, superposed, in Å.

    A deterministic operator past the decorrelation time moves less than MD does: what it
    predicts is a mean.
    """
    system = reference.system()
    backbone = np.array([a.index for a in system.topology.atoms if a.name in ("N", "CA", "C", "O")])
    stride = round(window / (reference.manifest.spacing or window))
    md = [f.positions for f in frames(reference)]
    ours = [md[-1], *(f.positions for f in frames(rolled))]
    return {
        "MD": _moves([(a[backbone], b[backbone]) for a, b in zip(md, md[stride:], strict=False)]),
        "rollout": _moves([(a[backbone], b[backbone]) for a, b in pairwise(ours)]),
    }


def _moves(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    moves = [10 * superposed_rmsd(b, a) for a, b in pairs]
    return {"mean / Å": round(float(np.mean(moves)), 3), "largest / Å": round(max(moves), 3)}
