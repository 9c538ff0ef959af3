"""Surface area and hydrogen bonds, on evenly chosen frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mdtraj
import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings, not_available
from egno_md.compare.record import Probe
from egno_md.compare.statistics import MEAN
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.geometry.bonded import bond_neighbours, bonded_within, marked
from egno_md.geometry.images import near_pairs
from egno_md.geometry.internal import as_mdtraj

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
    """Donors and acceptors of hydrogen bonds.

    Attributes:
        donors: ``(donors, 2)`` atoms D and H.
        acceptors: atoms N and O.
        forbidden: which atoms are fewer than three bonds apart.
    """

    donors: Array
    acceptors: Array
    forbidden: csr_array

    @property
    def possible(self) -> bool:
        """Whether any donor has an acceptor."""
        donors = self.donors[:, 0]
        near = self.forbidden[donors][:, self.acceptors]
        return near.nnz < len(donors) * len(self.acceptors)

    def count(self, positions: Float[Array, "atoms 3"], box: Array | None = None) -> int:
        """Hydrogen bonds of one frame, nm; in a box to the nearest images of acceptors."""
        x = np.asarray(positions, np.float64)
        pairs, right = near_pairs(x[self.donors[:, 1]], x[self.acceptors], LONGEST, box)
        (d, h), a = self.donors[pairs[:, 0]].T, self.acceptors[pairs[:, 1]]
        allowed = ~marked(self.forbidden, d, a)
        left, right = (x[d] - x[h])[allowed], right[allowed]
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        cosine = (left * right).sum(axis=1) / lengths
        return int((cosine < np.cos(LEAST_ANGLE)).sum())


def find_hydrogen_bonds(system: System) -> HydrogenBonds:
    """Donors and acceptors by element and bonds."""
    numbers, bonded = system.atomic_numbers, bond_neighbours(system.bonds, system.n_atoms)
    polar = np.flatnonzero(np.isin(numbers, (NITROGEN, OXYGEN)))
    donors = [(d, h) for d in polar.tolist() for h in bonded[d] if numbers[h] == HYDROGEN]
    forbidden = bonded_within(system.bonds, system.n_atoms, FEWEST_BONDS_APART - 1)
    return HydrogenBonds(np.array(donors, dtype=np.int64).reshape(-1, 2), polar, forbidden)


def surface_area(system: System, positions: Float[Array, "frames atoms 3"]) -> Array:
    """Solvent-accessible surface of each frame, nm²."""
    each = np.asarray(mdtraj.shrake_rupley(as_mdtraj(system, positions)), np.float64)
    return each.sum(axis=1)


def probes(context: Context) -> list[Probe]:
    """Surface and hydrogen bonds."""
    system = context.system
    measurements = []
    if not context.has_images:
        measurements.append(
            Probe(
                {"surface": "series"},
                lambda p: {"surface": surface_area(system, p.positions)},
                most=int(np.clip(SURFACE_ATOMS // system.n_atoms, 60, SURFACE_FRAMES)),
                width=8 * system.n_atoms,
            )
        )
    bonds = find_hydrogen_bonds(system)
    if bonds.possible:

        def count(part: Trajectory) -> Mapping[str, Array]:
            frames = zip(part.positions, context.boxes(part), strict=True)
            return {"hydrogen bonds": np.array([bonds.count(*f) for f in frames], float)}

        keep = {"hydrogen bonds": "series"}
        measurements.append(Probe(keep, count, context.needs_box, BOND_FRAMES))  # type: ignore[arg-type]
    return measurements


def findings(_: Context, bench: Bench) -> Findings:
    """Surface and hydrogen bonds."""
    if reason := bench.pair.no_extent():
        results = not_available(reason, "Surface area")
    else:
        results = Findings((bench.scalar("Surface area", "surface", MEAN),))
    if reason := bench.pair.no_images():
        return results + not_available(reason, "Hydrogen bonds")
    if "hydrogen bonds" not in bench.reference.series:
        reason = "no nitrogen or oxygen with a hydrogen has an acceptor three bonds or more away."
        return results + not_available(reason, "Hydrogen bonds")
    return results + Findings((bench.scalar("Hydrogen bonds", "hydrogen bonds", MEAN),))
