"""The Lightning module: one operator, its loss, optimiser and validation errors."""

from __future__ import annotations

import math

import torch

from egno_md.data.windows import WindowBatch
from egno_md.nn.decode import WindowDecoder
from egno_md.spec.train import Optimisation
from egno_md.train.budget import BudgetModule
from egno_md.train.errors import start_of
from egno_md.train.losses import SquaredErrors, window_loss

BLOWN_UP = 1e30
"""Stands for errors beyond it, and for those that overflow."""


class OperatorModule(BudgetModule):
    """Trains a `WindowOperator`, or whatever else decodes windows.

    Args:
        operator: what is trained.
        optimisation: how.
        velocity_weight: of the velocity term in the loss.
    """

    def __init__(
        self,
        operator: WindowDecoder,
        optimisation: Optimisation,
        velocity_weight: float,
    ) -> None:
        super().__init__(optimisation)
        self.operator = operator
        self.velocity_weight = velocity_weight
        self._errors: SquaredErrors | None = None

    def training_step(self, batch: WindowBatch, number: int) -> torch.Tensor:
        """The loss of one batch."""
        prediction = self.operator(start_of(batch))
        loss = window_loss(prediction, batch, self.operator.scales, self.velocity_weight)
        self.log("loss", loss, batch_size=len(batch.positions))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Reset the errors before a validation."""
        self._errors = None

    def validation_step(self, batch: WindowBatch, _: int) -> None:
        """Collect the errors of one batch."""
        prediction = self.operator(start_of(batch))
        errors = SquaredErrors.of(prediction, batch)
        self._errors = errors if self._errors is None else self._errors + errors

    def measures(self, errors: SquaredErrors) -> dict[str, float]:
        """F-MSE and A-MSE (Å²) and the velocity error at ΔT."""
        return {
            "val_f_mse": errors.f_mse,
            "val_a_mse": errors.a_mse,
            "val_velocity_error": errors.velocity_error[-1],
        }

    def on_validation_epoch_end(self) -> None:
        """Log what `measures` finds, bounded while the weights are sound.

        A network that is rolled out may blow up before it has learned anything.
        """
        if self._errors is None:
            return
        values = self.measures(self._errors)
        is_finite = all(math.isfinite(v) for v in values.values())
        if not is_finite and not all(bool(p.isfinite().all()) for p in self.parameters()):
            self.refuse_divergence()
        self.log_dict({k: v if v < BLOWN_UP else BLOWN_UP for k, v in values.items()})
