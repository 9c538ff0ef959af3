"""The training loss, and reported errors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from egno_md.data.windows import WindowBatch
from egno_md.nn.card import Scales
from egno_md.nn.decode import Prediction


def window_loss(
    prediction: Prediction, batch: WindowBatch, scales: Scales, velocity_weight: float
) -> Tensor:
    """Mean squared position error over the decoded points (Xu et al. 2024, Eq. 11),
    plus `velocity_weight` times that of velocities, each in units of its
    baseline's residual at ΔT, plus the network's own penalty.
    """
    points = prediction.points
    x = (prediction.positions - batch.future_positions[:, points]) / scales.position_residual
    loss = x.square().mean()
    if velocity_weight > 0:
        v = prediction.velocities - batch.future_velocities[:, points]
        loss = loss + velocity_weight * (v / scales.velocity_residual).square().mean()
    return loss if prediction.penalty is None else loss + prediction.penalty


@dataclass(frozen=True, eq=False)
class SquaredErrors:
    """Mean squared errors by decoded time point, summed over windows.

    Attributes:
        windows: how many.
        positions: nm², per time point, summed over windows.
        velocities: (nm/ps)², likewise.
        thermal: mean squared true velocity, likewise.
    """

    windows: int
    positions: Float[Tensor, " points"]
    velocities: Float[Tensor, " points"]
    thermal: Float[Tensor, " points"]

    @classmethod
    def of(cls, prediction: Prediction, batch: WindowBatch) -> SquaredErrors:
        """The errors of one batch."""
        dims = (0, 2, 3)
        windows = len(batch.positions)
        future_x = batch.future_positions[:, prediction.points]
        future_v = batch.future_velocities[:, prediction.points]
        x = (prediction.positions - future_x).square().mean(dims)
        v = (prediction.velocities - future_v).square().mean(dims)
        thermal = future_v.square().mean(dims)
        return cls(windows, x * windows, v * windows, thermal * windows)

    def __add__(self, other: SquaredErrors) -> SquaredErrors:
        return SquaredErrors(
            self.windows + other.windows,
            self.positions + other.positions,
            self.velocities + other.velocities,
            self.thermal + other.thermal,
        )

    @property
    def mse(self) -> list[float]:
        """Per-coordinate mean squared position error per time point, in the data's own unit."""
        return (self.positions / self.windows).tolist()

    @property
    def f_mse(self) -> float:
        """Per-coordinate mean squared position error of the last time point, Å²."""
        return float(self.positions[-1] / self.windows) * 100

    @property
    def a_mse(self) -> float:
        """Mean of the same over the decoded time points, Å²; F-MSE where there is one."""
        return float(self.positions.mean() / self.windows) * 100

    @property
    def position_rmse(self) -> list[float]:
        """Root mean squared position error per time point, Å."""
        return (torch.sqrt(self.positions / self.windows) * 10).tolist()

    @property
    def velocity_error(self) -> list[float]:
        """Root mean squared velocity error per time point over the thermal velocity."""
        return torch.sqrt(self.velocities / self.thermal).tolist()
