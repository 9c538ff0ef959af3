"""h(r): the distribution of all interatomic distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import pdist

from egno_md.analysis.histograms import Measure
from egno_md.analysis.statistics import inefficiency
from egno_md.core.state import Trajectory

Array = np.ndarray

BINS = 500
RANGE = 10.0
"""Å."""
MOST_DISTANCES = 5e7
"""Distances evaluated per side; longer trajectories are thinned evenly."""

EDGES = np.linspace(0.0, RANGE, BINS + 1)


def _integrated_difference(p: Array, q: Array) -> Array:
    """Mean |Δh| over the bins times 10 Å, with h = probability / bin width."""
    return np.abs(p - q).mean(axis=-1) / (RANGE / BINS) * RANGE


HR_MAE = Measure(
    "MAE × 10 Å",
    _integrated_difference,
    "Mean over 500 bins from 0 to 10 Å of |h_reference(r) - h_rollout(r)|, with h normalised to "
    "unit area in Å⁻¹, times 10 Å: the integral ∫|Δh| dr of Fu et al. 2023 (TMLR), between 0 "
    "and 2.",
)


def distance_counts(chains: Sequence[Trajectory]) -> list[Float[Array, "frames bins"]]:
    """Histogram of all pair distances below 10 Å, per frame.

    Frames are thinned evenly where there would be more than 5e7 distances.
    """
    atoms = chains[0].positions.shape[1]
    pairs = atoms * (atoms - 1) // 2
    stride = max(int(np.ceil(sum(len(c) for c in chains) * pairs / MOST_DISTANCES)), 1)
    return [np.stack([_counts(x) for x in c.positions[::stride]]) for c in chains]


def distance_inefficiency(counts: Sequence[Float[Array, "frames bins"]]) -> float:
    """Frames per independent frame, from the mean and mean square of all distances."""
    centres = (EDGES[1:] + EDGES[:-1]) / 2
    inside = [np.maximum(c.sum(axis=1), 1.0) for c in counts]
    return max(
        inefficiency([c @ centres**power / n for c, n in zip(counts, inside, strict=True)])
        for power in (1, 2)
    )


def _counts(positions: Float[Array, "atoms 3"]) -> Float[Array, " bins"]:
    bins = (pdist(np.asarray(positions, dtype=np.float64)) * (10.0 * BINS / RANGE)).astype(int)
    return np.bincount(bins[bins < BINS], minlength=BINS).astype(np.float32)
