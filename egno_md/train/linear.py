"""x + c v needs no training: its coefficients are a least-squares fit in closed form."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from jaxtyping import Float
from torch import Tensor

from egno_md.data.tasks import TaskWindows
from egno_md.data.windows import WindowDataset
from egno_md.nn.card import Scales
from egno_md.nn.linear import LinearNetwork
from egno_md.nn.operator import WindowOperator
from egno_md.nn.task import TaskOperator
from egno_md.train.loop import FitResult
from egno_md.train.sampling import FixedBatches

ATOMS_AT_ONCE = 30_000
"""Read at once while solving."""


class Windows(Protocol):
    """A batch of windows; see `WindowBatch`."""

    @property
    def positions(self) -> Float[Tensor, "batch atoms 3"]:
        """At the start."""
        ...

    @property
    def velocities(self) -> Float[Tensor, "batch atoms 3"]:
        """At the start."""
        ...

    @property
    def future_positions(self) -> Float[Tensor, "batch points atoms 3"]:
        """At the time points."""
        ...


def fit_linear(network: LinearNetwork, scales: Scales, batches: Iterable[Windows]) -> None:
    """Fit the coefficients to windows in physical units, each window counted once.

    Args:
        network: changed in place.
        scales: of the operator it belongs to.
        batches: that together hold every window.
    """
    network.fit(_scaled(scales, batches))


def _scaled(scales: Scales, batches: Iterable[Windows]) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in batches:
        moved = batch.future_positions - batch.positions[:, None]
        yield batch.velocities / scales.velocity, moved.transpose(0, 1) / scales.length


def solve_linear(
    operator: WindowOperator | TaskOperator, train: WindowDataset | TaskWindows
) -> FitResult:
    """Fit an operator of a `LinearNetwork` to every training window."""
    assert isinstance(operator.network, LinearNetwork)
    begin = time.perf_counter()
    numbers = FixedBatches(np.arange(len(train)), max(ATOMS_AT_ONCE // train.atoms, 1))
    fit_linear(operator.network, operator.scales, (train[chosen] for chosen in numbers))
    operator.eval()
    return FitResult(0, round(time.perf_counter() - begin, 2), 0, "solved by least squares")
