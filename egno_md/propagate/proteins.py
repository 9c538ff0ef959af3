"""What rollouts of proteins need beside those of small molecules."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from egno_md.core.errors import DataError, SpecError
from egno_md.core.selection import choose_atoms
from egno_md.core.units import format_quantity
from egno_md.geometry.lift import Lift
from egno_md.geometry.stereocentres import Stereochemistry
from egno_md.md.build import BuiltSystem, read_structure
from egno_md.md.refine.refiner import Held
from egno_md.nn.card import OperatorCard
from egno_md.propagate.events import Tally
from egno_md.propagate.observe import Observer
from egno_md.spec.propagate import PropagateProtocol

OBSERVABLES = "observables.csv"

DECORRELATION = 0.2
"""ps: velocities forget in about this time, and with them what a start frame can tell."""


def find_observer(built: BuiltSystem) -> Observer | None:
    """What is measured on line; None of what is no protein.

    Raises:
        DataError: a state of the system cannot be read, or has other residues.
    """
    states = {}
    for name, file in built.spec.states.items():
        topology, positions = read_structure(built.folder / file)
        carbons = [
            a.index
            for a in topology.atoms()
            if a.name == "CA" and a.residue.name not in ("CA", "HOH")
        ]
        if not carbons:
            raise DataError(
                f"{built.folder / file}: state '{name}' has no CA atoms. Give a PDB file of the "
                "protein."
            )
        states[name] = positions[carbons]
    return Observer.of(built.system, states)


def find_lift(built: BuiltSystem, card: OperatorCard, protocol: PropagateProtocol) -> Lift | None:
    """What carries the atoms that an operator does not know.

    Raises:
        SpecError: the protocol never refines, or keeps frames that are not refined.
    """
    if card.atoms == "all":
        return None
    if protocol.refine_every is None and protocol.policy != "off":
        raise SpecError(
            f"the operator of {card.system} knows its atoms: {card.atoms} alone; the others are "
            "carried along and clash until they are refined. Add --refine every=1, or policy: off "
            "to go without."
        )
    if protocol.save == "points":
        raise SpecError(
            f"save: points would keep frames whose atoms besides {card.atoms} are only carried "
            "along. Use save: windows."
        )
    return Lift.of(built.system, card.atoms)


def what_is_held(
    built: BuiltSystem, card: OperatorCard, protocol: PropagateProtocol
) -> Held | None:
    """What a refinement of every window must leave alone.

    Springs hold the backbone, or the alpha carbons of an operator that knows no
    more; heavy atoms of what is no protein.
    """
    if protocol.refine_every is None:
        return None
    system, stereo = built.system, Stereochemistry.of(built.system)
    if card.atoms == "ca":
        atoms = choose_atoms(system.topology, "ca", system.name)
    elif len(stereo.peptides):
        names = {"N", "CA", "C", "O"}
        atoms = np.array(
            [a.index for a in system.topology.atoms if a.name in names and not a.residue.is_water]
        )
    else:
        atoms = np.flatnonzero(system.atomic_numbers > 1)
    return Held(atoms, stereo)


def caveat(card: OperatorCard) -> str:
    """What a deterministic operator of long windows cannot give; empty for short ones."""
    length = card.window.length
    if length <= DECORRELATION:
        return ""
    return (
        f"This operator is deterministic and its windows of {format_quantity(length, 'time')} are "
        "longer than velocities remember: trained on squared errors it predicts the mean of what "
        "may follow, so fluctuations collapse. Neither kinetics nor widths of distributions can "
        "be read from this rollout; use a sampler for those."
    )


def summarise_protein(tally: Tally) -> dict[str, Any]:
    """Means of what was observed, and which residues refinement moved."""
    observed, residues = {}, {}
    for name in tally.moments:
        kind, _, rest = name.partition(".")
        if kind == "observed":
            observed[rest] = {
                "mean": _short(tally.mean(name)),
                "std": _short(tally.deviation(name)),
            }
        elif kind == "refined":
            residues[rest] = _short(tally.mean(name))
    if not observed and not residues:
        return {}
    ordered = dict(sorted(residues.items(), key=lambda item: -(item[1] or 0.0)))
    return {
        "observed": observed,
        "refined_by_residue_nm": ordered,
        "refinement_blocks": _short(tally.mean("refinement_blocks")),
        "refinement_displacement_nm": _short(tally.mean("refinement_displacement")),
    }


def write_observables(root: Path, events: Path) -> None:
    """What was observed at every window's end, as a table."""
    rows = []
    with events.open(encoding="utf-8") as file:
        for line in file:
            event = json.loads(line)
            if "observed" in event:
                rows.append(
                    {k: event[k] for k in ("replica", "window", "time")} | event["observed"]
                )
    if not rows:
        return
    with (root / OBSERVABLES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(k for r in rows for k in r)))
        writer.writeheader()
        writer.writerows(rows)


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
