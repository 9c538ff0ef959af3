"""h(r): the distribution of all interatomic distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.spatial.distance import pdist

from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings, not_available
from egno_md.compare.histograms import Measure, compare_histograms
from egno_md.compare.record import Probe
from egno_md.geometry.images import near_pairs

Array = np.ndarray

BINS = 500
RANGE = 10.0
"""Å."""
MOST_DISTANCES = 5e7
"""Distances evaluated per side; longer trajectories are thinned evenly."""
FEWEST_FRAMES = 200
"""Frames measured all the same, of large systems."""
LARGE = 300
"""Atoms from which distances beyond the range are not evaluated."""

EDGES = np.linspace(0.0, RANGE, BINS + 1)


def integrated_difference(p: Array, q: Array) -> Array:
    """Mean |Δh| over the bins times 10 Å, with h = probability / bin width."""
    return np.abs(p - q).mean(axis=-1) / (RANGE / BINS) * RANGE


HR_MAE = Measure("MAE × 10 Å", integrated_difference)


def distance_counts(
    positions: Float[Array, "frames atoms 3"],
    boxes: Sequence[Array | None] | None = None,
) -> Float[Array, "frames bins"]:
    """Histogram of all pair distances below 10 Å, per frame, from nm.

    Args:
        positions: nm.
        boxes: of every frame, where distances are those of nearest images.
    """
    x = np.asarray(positions, np.float64)
    each = [None] * len(x) if boxes is None else boxes
    return np.stack([_counts(*frame) for frame in zip(x, each, strict=True)])


def _counts(positions: Float[Array, "atoms 3"], box: Array | None) -> Float[Array, " bins"]:
    if box is not None:
        pairs, vectors = near_pairs(positions, positions, RANGE / 10, box)
        nanometres = np.linalg.norm(vectors[pairs[:, 0] < pairs[:, 1]], axis=1)
    elif len(positions) > LARGE:
        i, j = KDTree(positions).query_pairs(RANGE / 10, output_type="ndarray").T
        nanometres = np.linalg.norm(positions[i] - positions[j], axis=1)
    else:
        nanometres = pdist(positions)
    bins = (nanometres * (10.0 * BINS / RANGE)).astype(int)
    return np.bincount(bins[bins < BINS], minlength=BINS).astype(np.float64)


def probes(context: Context) -> list[Probe]:
    """h(r)."""
    pairs = context.system.n_atoms * (context.system.n_atoms - 1) // 2
    most = max(int(MOST_DISTANCES / max(pairs, 1)), FEWEST_FRAMES)
    measure = Probe(
        {"distances": "blocks"},
        lambda p: {"distances": distance_counts(p.positions, context.boxes(p))},
        context.needs_box,
        most=most,
        width=BINS,
    )
    return [measure]


def findings(_: Context, bench: Bench) -> Findings:
    """h(r)."""
    if reason := bench.pair.no_images():
        return not_available(reason, "h(r)")
    blocks = bench.sums("distances")
    if not all(b.mean.sum() for b in blocks):
        return not_available("no two atoms lie within 10 Å.", "h(r)")
    centres = (EDGES[1:] + EDGES[:-1]) / 2
    slow = np.stack([centres, centres**2], axis=1)
    return Findings(distributions=(compare_histograms("h(r)", EDGES, blocks, slow, HR_MAE, bench),))
