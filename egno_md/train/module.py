"""The Lightning module: one operator, its loss, optimiser and validation errors."""

from __future__ import annotations

import math
import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging

from egno_md.core.errors import TrainingError
from egno_md.data.windows import WindowBatch
from egno_md.nn.operator import Start, WindowOperator
from egno_md.spec.train import Optimisation
from egno_md.train.losses import SquaredErrors, window_loss


class OperatorModule(L.LightningModule):
    """Trains a `WindowOperator`.

    Args:
        operator: what is trained.
        optimisation: how.
        velocity_weight: of the velocity term in the loss.
    """

    def __init__(
        self, operator: WindowOperator, optimisation: Optimisation, velocity_weight: float
    ) -> None:
        super().__init__()
        self.operator = operator
        self.optimisation = optimisation
        self.velocity_weight = velocity_weight
        self.fraction = 0.0
        self._errors: SquaredErrors | None = None

    def training_step(self, batch: WindowBatch, _: int) -> torch.Tensor:
        """The loss of one batch."""
        prediction = self.operator(_start(batch))
        loss = window_loss(prediction, batch, self.operator.card.scales, self.velocity_weight)
        self.log("loss", loss, batch_size=len(batch.positions))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the errors of the last validation."""
        self._errors = None

    def validation_step(self, batch: WindowBatch, _: int) -> None:
        """Collect the errors of one batch."""
        prediction = self.operator(_start(batch))
        errors = SquaredErrors.of(prediction, batch)
        self._errors = errors if self._errors is None else self._errors + errors

    def on_validation_epoch_end(self) -> None:
        """Log F-MSE and A-MSE (Å²) and the velocity error at ΔT."""
        if self._errors is None:
            return
        values = {
            "val_f_mse": self._errors.f_mse,
            "val_a_mse": self._errors.a_mse,
            "val_velocity_error": self._errors.velocity_error[-1],
        }
        if not all(math.isfinite(v) for v in values.values()):
            raise TrainingError(
                f"validation error became NaN at step {self.global_step}. "
                "Use a smaller optimisation.learning_rate, or gradient_clip: 1.0."
            )
        self.log_dict(values)

    def configure_optimizers(self) -> Any:
        """AdamW; the cosine follows the budget, in steps or time."""
        return torch.optim.AdamW(
            self.parameters(),
            lr=self.optimisation.learning_rate,
            weight_decay=self.optimisation.weight_decay,
        )

    def on_train_batch_start(self, *_: Any) -> None:
        """Set the learning rate from how much of the budget is spent."""
        if self.optimisation.schedule == "cosine":
            factor = 0.5 * (1 + math.cos(math.pi * min(self.fraction, 1.0)))
            for group in self.optimizers().param_groups:  # type: ignore[union-attr]
                group["lr"] = self.optimisation.learning_rate * max(factor, 1e-3)

    def transfer_batch_to_device(
        self, batch: WindowBatch, device: torch.device, dataloader_idx: int
    ) -> WindowBatch:
        """Move our own batch type."""
        return batch.to(device)


def _start(batch: WindowBatch) -> Start:
    return Start(batch.positions, batch.velocities, batch.forces, batch.box)


class Budget(Callback):
    """Ends training when its steps or its time are spent; counts over resumes."""

    def __init__(self, optimisation: Optimisation) -> None:
        self.max_steps = optimisation.max_steps
        self.max_seconds = optimisation.max_time
        self.spent = 0.0
        self._mark = 0.0

    @property
    def seconds(self) -> float:
        """Wall time spent training, validation included."""
        return self.spent + time.perf_counter() - self._mark

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock; a run killed after its last step takes no further one."""
        self._mark = time.perf_counter()
        if self.fraction(trainer.global_step) >= 1:
            trainer.should_stop = True

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Tell the module how much is spent."""
        pl_module.fraction = self.fraction(trainer.global_step)  # type: ignore[assignment]

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Stop when all is spent."""
        if self.fraction(trainer.global_step) >= 1:
            trainer.should_stop = True

    def fraction(self, step: int) -> float:
        """Share of the budget spent: the larger of steps and time."""
        by_steps = 0.0 if self.max_steps is None else step / self.max_steps
        by_time = 0.0 if self.max_seconds is None else self.seconds / self.max_seconds
        return max(by_steps, by_time)

    def state_dict(self) -> dict[str, float]:
        """Saved in checkpoints."""
        return {"spent": self.seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Restored from checkpoints."""
        self.spent = state_dict["spent"]


class MovingAverage(WeightAveraging):
    """Exponential moving average of the weights, with a warm-up.

    Update n uses the decay min(decay, (1 + n)/(10 + n)), so that early
    averages follow the weights. Validation and the final weights use it.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Any, current: Any, count: Any) -> None:
            keep = min(decay, (1 + int(count)) / (10 + int(count)))
            torch._foreach_lerp_(averaged, current, 1 - keep)

        super().__init__(multi_avg_fn=average, use_buffers=False)
