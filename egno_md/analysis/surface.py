"""Surface area and hydrogen bonds, on evenly chosen frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import mdtraj
import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from egno_md.analysis.findings import Bench, Findings, not_available
from egno_md.analysis.internal import as_mdtraj, bonds_apart, neighbours
from egno_md.analysis.record import Probe
from egno_md.analysis.statistics import MEAN
from egno_md.core.system import System

if TYPE_CHECKING:
    from egno_md.analysis.context import Context

Array = np.ndarray

SURFACE_FRAMES = 500
SURFACE_ATOMS = 200_000
"""Atoms times frames: fewer frames, yet at least 60, of large molecules."""
BOND_FRAMES = 2000
HYDROGEN, NITROGEN, OXYGEN = 1, 7, 8
LONGEST = 0.25
"""nm from H to the acceptor (Baker and Hubbard 1984)."""
LEAST_ANGLE = np.radians(120.0)
FEWEST_BONDS_APART = 3


@dataclass(frozen=True, eq=False)
class HydrogenBonds:
    """Where hydrogen bonds may form.

    Attributes:
        donors: ``(donors, 2)`` atoms D and H.
        acceptors: atoms N and O.
        forbidden: pairs of D and A fewer than three bonds apart.
    """

    donors: Array
    acceptors: Array
    forbidden: frozenset[tuple[int, int]]

    @property
    def possible(self) -> bool:
        """Whether any donor has an acceptor."""
        return any((d, a) not in self.forbidden for d in self.donors[:, 0] for a in self.acceptors)

    def count(self, positions: Float[Array, "atoms 3"]) -> int:
        """Hydrogen bonds of one frame, nm."""
        x = np.asarray(positions, np.float64)
        near = KDTree(x[self.acceptors]).query_ball_point(x[self.donors[:, 1]], LONGEST)
        triples = [
            (d, h, self.acceptors[k])
            for (d, h), found in zip(self.donors.tolist(), near, strict=True)
            for k in found
            if (d, int(self.acceptors[k])) not in self.forbidden
        ]
        if not triples:
            return 0
        d, h, a = np.array(triples).T
        left, right = x[d] - x[h], x[a] - x[h]
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        cosine = (left * right).sum(axis=1) / lengths
        return int((cosine < np.cos(LEAST_ANGLE)).sum())


def find_hydrogen_bonds(system: System) -> HydrogenBonds:
    """Donors and acceptors by element and bonds."""
    numbers, bonded = system.atomic_numbers, neighbours(system)
    polar = np.flatnonzero(np.isin(numbers, (NITROGEN, OXYGEN)))
    donors = [(d, h) for d in polar.tolist() for h in bonded[d] if numbers[h] == HYDROGEN]
    apart = bonds_apart(system, FEWEST_BONDS_APART - 1)
    forbidden = {(d, a) for d in polar.tolist() for a in apart[d]}
    return HydrogenBonds(
        np.array(donors, dtype=np.int64).reshape(-1, 2), polar, frozenset(forbidden)
    )


def surface_area(system: System, positions: Float[Array, "frames atoms 3"]) -> Array:
    """Solvent-accessible surface of each frame, nm²."""
    each = np.asarray(mdtraj.shrake_rupley(as_mdtraj(system, positions)), np.float64)
    return each.sum(axis=1)


def probes(context: Context) -> list[Probe]:
    """Surface and hydrogen bonds."""
    system = context.system
    found = [
        Probe({"surface": "series"}, lambda p: {"surface": surface_area(system, p.positions)},
              most=int(np.clip(SURFACE_ATOMS // system.n_atoms, 60, SURFACE_FRAMES)),
              width=8 * system.n_atoms)
    ]  # fmt: skip
    bonds = find_hydrogen_bonds(system)
    if bonds.possible:
        found.append(
            Probe(
                {"hydrogen bonds": "series"},
                lambda p: {
                    "hydrogen bonds": np.array([bonds.count(x) for x in p.positions], float)
                },
                most=BOND_FRAMES,
            )
        )
    return found


def findings(_: Context, bench: Bench) -> Findings:
    """Surface and hydrogen bonds."""
    found = Findings((bench.scalar("Surface area", "surface", MEAN),))
    if "hydrogen bonds" not in bench.reference.series:
        reason = "no nitrogen or oxygen with a hydrogen has an acceptor three bonds or more away."
        return found + not_available(reason, "Hydrogen bonds")
    return found + Findings((bench.scalar("Hydrogen bonds", "hydrogen bonds", MEAN),))
