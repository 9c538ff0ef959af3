"""x + c v needs no training: its coefficients are a least-squares fit in closed form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from egno_md.nn.card import Scales
from egno_md.nn.linear import LinearNetwork


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
