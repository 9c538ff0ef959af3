"""Radial distribution functions of periodic systems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import mdtraj
import numpy as np

from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings, not_available
from egno_md.compare.histograms import Measure, compare_histograms
from egno_md.compare.record import Probe
from egno_md.core.state import Trajectory
from egno_md.core.system import System

Array = np.ndarray

BINS = 100
RANGE = 1.0
"""nm, or half the shortest box height."""
MOST_DISTANCES = 2e7
FEWEST_FRAMES = 100
MOST_ELEMENTS = 3
"""The commonest heavy elements."""

G_MAE = Measure("mean |Δg|", lambda p, q: np.abs(p - q).mean(axis=-1), is_normalised=False)


@dataclass(frozen=True, eq=False)
class RadialPairs:
    """Pairs of atoms of two elements in different molecules."""

    name: str
    pairs: Array
    reach: float

    @property
    def edges(self) -> Array:
        """Of the bins, nm."""
        return np.linspace(0.0, self.reach, BINS + 1)

    def measure(self, part: Trajectory, system: System) -> Array:
        """g(r) of each frame, ``(frames, bins)``: pairs over those of an ideal gas."""
        assert part.box is not None
        whole = mdtraj.Trajectory(np.asarray(part.positions, np.float32), system.topology)
        whole.unitcell_vectors = np.asarray(part.box, np.float32)
        shells = 4 / 3 * np.pi * np.diff(self.edges**3)
        volumes = np.abs(np.linalg.det(np.asarray(part.box, np.float64)))
        densities = []
        for number, volume in enumerate(volumes):
            r = mdtraj.compute_distances(whole[number], self.pairs, periodic=True)[0]
            counts = np.histogram(r, bins=self.edges)[0]
            densities.append(counts * volume / (shells * len(self.pairs)))
        return np.array(densities)


def radial_pairs(system: System, box: Array, molecule: Array | None = None) -> list[RadialPairs]:
    """All kinds of pairs of the commonest heavy elements; empty within one molecule.

    Args:
        system: whose atoms they are.
        box: vectors as rows, nm.
        molecule: its number per atom; by the system's bonds if None.
    """
    molecule = system.molecules if molecule is None else molecule
    elements = np.array(system.elements)
    common = [e for e, _ in Counter(elements[system.atomic_numbers > 1]).most_common(MOST_ELEMENTS)]
    heights = np.abs(np.linalg.det(box)) / np.array(
        [np.linalg.norm(np.cross(box[(k + 1) % 3], box[(k + 2) % 3])) for k in range(3)]
    )
    reach = float(min(RANGE, heights.min() / 2))
    kinds = []
    for one, two in combinations_with_replacement(sorted(common), 2):
        pairs = system.topology.select_pairs(
            np.flatnonzero(elements == one), np.flatnonzero(elements == two)
        )
        pairs = pairs[molecule[pairs[:, 0]] != molecule[pairs[:, 1]]] if len(pairs) else pairs
        if len(pairs):
            kinds.append(RadialPairs(f"g(r) {one}–{two}", np.asarray(pairs), reach))
    return kinds


def _kinds(context: Context) -> list[RadialPairs]:
    box = context.system.box
    if box is None or not context.survey.has_box:
        return []
    molecule = context.survey.side.molecule
    return radial_pairs(context.system, np.asarray(box, np.float64), molecule)


def probes(context: Context) -> list[Probe]:
    """One g(r) per kind of pair."""
    measurements = []
    for kind in _kinds(context):

        def measure(part: Trajectory, kind: RadialPairs = kind) -> Mapping[str, Array]:
            return {kind.name: kind.measure(part, context.system)}

        most = max(int(MOST_DISTANCES / len(kind.pairs)), FEWEST_FRAMES)
        measurements.append(
            Probe({kind.name: "blocks"}, measure, needs="box", most=most, width=BINS)
        )
    return measurements


def findings(context: Context, bench: Bench) -> Findings:
    """g(r) where there is a box."""
    if not (bench.pair.reference.has_box and bench.pair.rollout.has_box):
        return not_available("no periodic box.", "g(r) *")
    kinds = _kinds(context)
    if not kinds:
        return not_available("all heavy atoms are in one molecule.", "g(r) *")
    distributions = []
    for kind in kinds:
        centres = (kind.edges[1:] + kind.edges[:-1]) / 2
        slow = np.stack([np.sin(np.pi * k * centres / kind.reach) for k in (1, 2, 4, 8)], axis=1)
        blocks = bench.sums(kind.name)
        distributions.append(compare_histograms(kind.name, kind.edges, blocks, slow, G_MAE, bench))
    return Findings(distributions=tuple(distributions))
