"""What happened in a rollout, window by window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from egno_md.core.ports import Refinement
from egno_md.core.system import System
from egno_md.propagate.check import Check

EventKind = Literal["accept", "stay", "prefix", "refine", "exact", "fallback", "stop"]
KINDS: tuple[EventKind, ...] = ("accept", "stay", "prefix", "refine", "exact", "fallback", "stop")

MUCH = 0.05
"""nm: root-mean-square move of a residue's atoms that counts as a repair."""

LISTED = 5
"""Residues that an event names, the most moved first."""


@dataclass(frozen=True)
class RefinementRecord:
    """What a refinement did.

    Attributes:
        blocks: minimisation blocks used.
        displacement: root-mean-square move of the atoms, nm.
        max_force: largest force after minimisation, kJ/mol/nm.
        by_residue: root-mean-square move of each residue's atoms, nm; empty of one residue.
    """

    blocks: int
    displacement: float
    max_force: float
    by_residue: Mapping[str, float]

    @classmethod
    def of(cls, done: Refinement, system: System) -> RefinementRecord:
        """From a refinement of a system."""
        moves = {} if system.topology.n_residues < 2 else residue_moves(system, done.moves)
        return cls(done.blocks, done.displacement, done.max_force, moves)

    @property
    def most_moved(self) -> dict[str, float]:
        """The residues moved furthest, nm, the first most."""
        return dict(sorted(self.by_residue.items(), key=lambda item: -item[1])[:LISTED])

    @property
    def residues_moved(self) -> int:
        """Residues moved by more than `MUCH`."""
        return sum(move > MUCH for move in self.by_residue.values())

    def to_json(self) -> dict[str, Any]:
        """As `events.jsonl` has it."""
        record: dict[str, Any] = {
            "blocks": self.blocks,
            "displacement": round(self.displacement, 6),
            "max_force": round(self.max_force, 3),
        }
        if self.by_residue:
            record["residues_moved"] = self.residues_moved
            record["residues"] = {n: round(move, 5) for n, move in self.most_moved.items()}
        return record


def residue_moves(system: System, moves: np.ndarray) -> dict[str, float]:
    """Root-mean-square move of each residue's atoms, but of water's, nm.

    Args:
        system: that moved.
        moves: of each atom, nm.
    """
    has_several_chains = system.topology.n_chains > 1
    by_residue = {}
    for residue in system.topology.residues:
        if residue.is_water:
            continue
        name = f"{residue}-{residue.chain.index}" if has_several_chains else str(residue)
        atoms = [a.index for a in residue.atoms]
        by_residue[name] = float(np.sqrt(np.mean(np.square(moves[atoms]))))
    return by_residue


@dataclass(frozen=True)
class EndState:
    """What is measured where a window has ended, the boundary behind it.

    Attributes:
        temperatures: ``all`` and per element, K; None where no velocities were made.
        bond_deviation: largest departure of a bond from its reference, nm.
        potential_energy: kJ/mol, where known.
        volume: of the box, nm³.
        excess_friction: per element, 1/ps.
    """

    temperatures: Mapping[str, float] | None
    bond_deviation: float
    potential_energy: float | None = None
    volume: float | None = None
    excess_friction: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MoveRecord:
    """One Metropolis move.

    Attributes:
        is_weighed: whether the way back had to be drawn.
        is_accepted: whether it was made.
        windows_drawn: for it.
    """

    is_weighed: bool
    is_accepted: bool
    windows_drawn: int


@dataclass(frozen=True)
class Event:
    """One window's outcome.

    Attributes:
        replica: which.
        window: counted from 0.
        time: ps, at the window's end.
        kind: accept, stay (a Metropolis move not made), prefix, refine, exact (the source is MD
            itself), fallback or stop.
        reason: why not simply accepted.
        seconds: spent on checks and repair of this window.
        check: what was measured on the proposal, where it was checked; of a refined
            end of every window, on the refined frame.
        refined: what a refinement did, and to which residues.
        observed: by observers at the window's end.
        end: what is measured where it ended; None of a stop.
        redraws: draws that did not hold before.
        move: of a Metropolis move.
    """

    replica: int
    window: int
    time: float
    kind: EventKind
    reason: str
    seconds: float
    check: Check | None
    refined: RefinementRecord | None = None
    observed: Mapping[str, float] | None = None
    end: EndState | None = None
    redraws: int = 0
    move: MoveRecord | None = None

    def to_json(self) -> dict[str, Any]:
        """One flat record; what is not finite becomes null."""
        record: dict[str, Any] = {
            "replica": self.replica,
            "window": self.window,
            "time": round(self.time, 9),
            "kind": self.kind,
            "reason": self.reason,
            "seconds": round(self.seconds, 6),
        }
        names = ("energy_error", "max_force", "bond_deviation", "closest_contact", "temperature")
        measured = {} if self.check is None else asdict(self.check)
        for name in names:
            record[name] = _finite(measured.get(name))
        record["temperature_by_element"] = {
            k: _finite(v) for k, v in measured.get("temperature_by_element", {}).items()
        }
        if self.refined is not None:
            record["refined"] = self.refined.to_json()
        if self.observed is not None:
            record["observed"] = {k: _finite(v) for k, v in self.observed.items()}
        return record


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")
