"""One refinement within a rollout: what it does to a frame, and to which residues."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from egno_md.core.ports import Refinement, Refiner
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.propagate.constraints import Projection
from egno_md.propagate.events import Tally

MUCH = 0.05
"""nm: root-mean-square move of a residue's atoms that counts as a repair."""

LISTED = 5
"""Residues that an event names, the most moved first."""


@dataclass(frozen=True, eq=False)
class Repair:
    """Refines frames and keeps account.

    Attributes:
        refiner: made when first needed.
        constraints: that the repaired frame must keep; None without constraints.
        kelvin: of its velocities.
        tally: clocks, and how far each residue was moved.
    """

    refiner: Callable[[], Refiner]
    constraints: Projection | None
    kelvin: float
    tally: Tally

    def __call__(
        self, end: Frame, start: Frame, random: np.random.Generator
    ) -> tuple[Frame, dict[str, Any]]:
        """The repaired frame, and what was done.

        Args:
            end: to repair.
            start: of its window; has the stereochemistry to keep.
            random: draws the seed of the velocities.

        Raises:
            PotentialError: beyond repair.
        """
        with self.tally.clock("refinement"):
            refiner = self.refiner()
            seed = int(random.integers(2**31 - 2))
            done = refiner.refine(end, self.kelvin, seed, start)
            frame = done.frame
            if self.constraints is not None:
                frame = self.constraints.frame(frame)
        self.tally.add("refinement_blocks", done.blocks)
        self.tally.add("refinement_displacement", done.displacement)
        return frame, self._residues(done, getattr(refiner, "system", None))

    def _residues(self, done: Refinement, system: System | None) -> dict[str, Any]:
        told: dict[str, Any] = {
            "blocks": done.blocks,
            "displacement": round(done.displacement, 6),
            "max_force": round(done.max_force, 3),
        }
        if system is None or system.topology.n_residues < 2:
            return told
        moves = residue_moves(system, done.moves)
        for name, move in moves.items():
            self.tally.add(f"refined.{name}", move)
        worst = sorted(moves.items(), key=lambda item: -item[1])
        told["residues_moved"] = sum(m > MUCH for m in moves.values())
        told["residues"] = {name: round(move, 5) for name, move in worst[:LISTED]}
        return told


def residue_moves(system: System, moves: np.ndarray) -> dict[str, float]:
    """Root-mean-square move of each amino acid's atoms, nm."""
    several = system.topology.n_chains > 1
    found = {}
    for residue in system.topology.residues:
        if residue.is_water:
            continue
        name = f"{residue}-{residue.chain.index}" if several else str(residue)
        found[name] = float(np.sqrt(np.mean(np.square(moves[[a.index for a in residue.atoms]]))))
    return found
