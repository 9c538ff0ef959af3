"""x + c v needs no training: its coefficients are a least-squares fit in closed form."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from egno_md.data.windows import WindowBatch, WindowSet
from egno_md.nn.card import Scales
from egno_md.nn.linear import LinearNetwork
from egno_md.train.loop import FitResult
from egno_md.train.sampling import FixedBatches

ATOMS_AT_ONCE = 30_000
"""Read at once while solving."""


def fit_linear(network: LinearNetwork, scales: Scales, batches: Iterable[WindowBatch]) -> None:
    """Fit the coefficients to windows in physical units, each window counted once.

    Args:
        network: changed in place.
        scales: of the operator it belongs to.
        batches: that together hold every window.
    """
    displacements = ((b, b.future_positions - b.positions[:, None]) for b in batches)
    network.fit(
        (b.velocities / scales.velocity, moves.transpose(0, 1) / scales.length)
        for b, moves in displacements
    )


def solve_linear(network: LinearNetwork, scales: Scales, train: WindowSet) -> FitResult:
    """Fit the coefficients to every training window; see `fit_linear`."""
    start = time.perf_counter()
    numbers = FixedBatches(np.arange(len(train)), max(ATOMS_AT_ONCE // train.atoms, 1))
    fit_linear(network, scales, (train[chosen] for chosen in numbers))
    return FitResult(0, round(time.perf_counter() - start, 2), 0, "solved by least squares")
