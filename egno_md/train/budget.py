"""The budget of a training run, and the learning rate that follows it."""

from __future__ import annotations

import math
import time
from typing import Any, Never

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from egno_md.core.errors import TrainingError
from egno_md.spec.train import Optimisation


class BudgetModule(L.LightningModule):
    """Trains with AdamW and a learning rate that follows the share of the budget spent.

    Args:
        optimisation: how.
    """

    def __init__(self, optimisation: Optimisation) -> None:
        super().__init__()
        self.optimisation = optimisation
        self.fraction = 0.0

    def configure_optimizers(self) -> Any:
        """AdamW; the cosine follows the budget, in steps or time."""
        return torch.optim.AdamW(
            self.parameters(),
            lr=self.optimisation.learning_rate,
            weight_decay=self.optimisation.weight_decay,
            # with scaled gradients a fused step cannot be clipped
            fused=self.optimisation.precision != "bf16",
        )

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rate from how much of the budget is spent."""
        match self.optimisation.schedule:
            case "cosine":
                factor = max(0.5 * (1 + math.cos(math.pi * min(self.fraction, 1.0))), 1e-3)
            case "step":
                factor = 1.0 if self.fraction < 0.5 else 0.5
            case "constant":
                factor = 1.0
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = self.optimisation.learning_rate * factor

    def refuse_divergence(self) -> Never:
        """End a training whose weights or errors are no longer finite.

        Raises:
            TrainingError: always.
        """
        raise TrainingError(
            f"validation error became NaN at step {self.global_step}. "
            "Use a smaller optimisation.learning_rate, or gradient_clip: 1.0."
        )


class Budget(Callback):
    """Ends training when its steps or its time are spent; counts over resumes.

    Clocks of processes that train together differ: the first one's holds for all.
    """

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
        self._stop_when_spent(trainer)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the module's share of the budget spent."""
        pl_module.fraction = self._common_fraction(trainer)  # type: ignore[assignment]

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop when all is spent."""
        self._stop_when_spent(trainer)

    def fraction(self, step: int) -> float:
        """Share of the budget spent: the larger of steps and time."""
        by_steps = 0.0 if self.max_steps is None else step / self.max_steps
        by_time = 0.0 if self.max_seconds is None else self.seconds / self.max_seconds
        return max(by_steps, by_time)

    def _common_fraction(self, trainer: L.Trainer) -> float:
        """The share that all processes take for spent."""
        fraction = self.fraction(trainer.global_step)
        if self.max_seconds is None or trainer.world_size == 1:
            return fraction
        return trainer.strategy.broadcast(fraction)

    def _stop_when_spent(self, trainer: L.Trainer) -> None:
        if self._common_fraction(trainer) >= 1:
            trainer.should_stop = True

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
            get_ema_multi_avg_fn(keep)(averaged, current, count)

        super().__init__(multi_avg_fn=average, use_buffers=False)
