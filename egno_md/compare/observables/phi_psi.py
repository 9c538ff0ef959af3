"""Maps of φ and ψ: their distance, the share of a rare basin, the slowest process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from egno_md.compare.histograms import jensen_shannon
from egno_md.compare.observables.states import count_matrix, implied_timescales
from egno_md.compare.statistics import MEAN, series_estimate, student_reach
from egno_md.core.errors import DataError
from egno_md.core.system import System
from egno_md.geometry.peptide import find_peptide

Array = np.ndarray

BINS = 36
"""Per turn, as in Ramachandran maps of 10 degrees."""

CELLS = 12
"""Per turn, of the Markov model's states: 30 degrees."""

RULE_OF_THREE = 3.0
"""Upper end of the 95% interval of a share of which n independent frames show nothing, times n."""


@dataclass(frozen=True)
class Share:
    """Share of frames in which a condition holds.

    Attributes:
        value: share of the frames.
        low: of its 95% interval, by block bootstrap.
        high: likewise; 3/n where it holds in none of n independent frames (of the slowest
            of the cosines and sines of φ and ψ).
        visits: number of stretches of frames in which it holds.
    """

    value: float
    low: float
    high: float
    visits: int


def backbone_torsions(
    system: System, positions: Float[Array, "frames atoms 3"]
) -> Float[Array, "frames residues 2"]:
    """φ and ψ of every residue that has both, radians.

    Raises:
        DataError: there is none.
    """
    peptide = find_peptide(system)
    if peptide is None or not len(peptide.ramachandran):
        raise DataError(
            f"{system.name} has no residue with both φ and ψ. Compare a peptide of at least one "
            "residue between two others or caps."
        )
    return peptide.phi_psi(positions)


def torsion_map(
    chains: Sequence[Float[Array, "frames 2"]], bins: int = BINS
) -> Float[Array, " cells"]:
    """Probability of each cell of one residue's map, flat."""
    cells = np.concatenate([cells_of(c, bins) for c in chains])
    counts = np.bincount(cells, minlength=bins * bins)
    return counts / counts.sum()


def cells_of(torsions: Float[Array, "frames 2"], bins: int) -> Array:
    """Number of the cell of every frame."""
    place = np.floor((torsions / np.pi + 1) / 2 * bins).astype(np.int64) % bins
    return place[:, 0] * bins + place[:, 1]


def map_distance(a: Sequence[Array], b: Sequence[Array]) -> float:
    """Jensen-Shannon distance (base 2) of two maps of 36 × 36 cells."""
    return float(jensen_shannon(torsion_map(a), torsion_map(b)))


def positive_phi(chains: Sequence[Float[Array, "frames 2"]], seed: int = 0) -> Share:
    """How often φ > 0, the rare basin of L residues."""
    series = [(c[:, 0] > 0).astype(np.float64) for c in chains]
    visits = int(sum((np.diff(s, prepend=0.0) > 0).sum() for s in series))
    share = series_estimate([s[:, None, None] for s in series], MEAN, np.random.default_rng(seed))
    value = float(share.value[0])
    if visits == 0:
        return Share(value, 0.0, min(RULE_OF_THREE / _slowest_samples(chains, seed), 1.0), visits)
    reach = float(student_reach(share.error, share.blocks - 1)[0])
    if not np.isfinite(reach):  # one block has no error
        return Share(value, 0.0, 1.0, visits)
    return Share(value, max(value - reach, 0.0), min(value + reach, 1.0), visits)


def _slowest_samples(chains: Sequence[Array], seed: int) -> float:
    """Independent frames of the slowest of the cosines and sines of φ and ψ."""
    each = [np.concatenate([np.cos(c), np.sin(c)], axis=1)[..., None] for c in chains]
    averages = series_estimate(each, MEAN, np.random.default_rng(seed))
    return max(float(averages.samples.min()), 1.0)


def slowest_process(chains: Sequence[Float[Array, "frames 2"]], lag: int, spacing: float) -> float:
    """Implied timescale of the slowest process on a map of 12 × 12 cells, ps.

    Of a reversible Markov model over the cells that transitions connect.

    Args:
        chains: φ and ψ.
        lag: frames.
        spacing: ps between frames.
    """
    states = [cells_of(c, CELLS) for c in chains]
    return float(implied_timescales(count_matrix(states, lag, CELLS * CELLS), lag * spacing)[0])
