"""x + c v: the rival that needs no training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from egno_md.nn.scene import Paths, Scene


class LinearNetwork(nn.Module):
    """Every node goes straight on, for as long as fits best at each time point.

    Args:
        points: P, one coefficient each.
    """

    def __init__(self, points: int) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.arange(1, points + 1) / points)

    def forward(self, scene: Scene) -> Paths:
        """Decode every time point."""
        v = scene.velocities[:, None]
        positions = scene.positions[:, None] + self.coefficients[:, None] * v
        return Paths(positions, v.expand_as(positions))

    @torch.no_grad()
    def fit(
        self,
        batches: Iterable[tuple[Float[Tensor, "... 3"], Float[Tensor, "points ... 3"]]],
    ) -> None:
        """Set the coefficients that make the squared error smallest: ⟨v·Δx⟩ / ⟨v·v⟩.

        Args:
            batches: start velocities, and displacements since the start, in the
                network's units. Batches may differ in size.
        """
        products = torch.zeros(len(self.coefficients), dtype=torch.float64)
        squares = torch.zeros((), dtype=torch.float64)
        for velocities, displacements in batches:
            v = velocities.double().cpu()
            products += (displacements.double().cpu() * v).flatten(1).sum(1)
            squares += v.square().sum()
        if squares > 0:
            self.coefficients.copy_(products / squares)
