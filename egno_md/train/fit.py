"""Fitting an operator with Lightning: checkpoints, early stopping, resume."""

from __future__ import annotations

import csv
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader

from egno_md.core.progress import Progress
from egno_md.data.windows import WindowDataset
from egno_md.nn.linear import LinearNetwork
from egno_md.nn.operator import WindowOperator
from egno_md.spec.train import TrainProtocol
from egno_md.train.linear import fit_linear
from egno_md.train.module import Budget, MovingAverage, OperatorModule
from egno_md.train.sampling import FixedBatches, RandomBatches

VALIDATION_WINDOWS = 1024
VALIDATION_ATOMS, VALIDATION_BATCH_ATOMS = 30_000, 3000
"""Bounds on what a validation reads, and reads at once, in atoms."""

SOLVED_ATOMS = 30_000
"""Read at once where there is a solution in closed form."""

COLUMNS: tuple[str, ...] = (
    "step",
    "seconds",
    "learning_rate",
    "loss",
    "val_f_mse",
    "val_a_mse",
    "val_velocity_error",
)


@dataclass(frozen=True)
class FitResult:
    """How training ended.

    Attributes:
        steps: optimiser steps taken, over resumes.
        seconds: wall time of training, over resumes.
        best_step: step of the weights that were kept.
        stopped: why it ended.
    """

    steps: int
    seconds: float
    best_step: int
    stopped: str


def fit(
    operator: WindowOperator,
    train: WindowDataset,
    validation: WindowDataset,
    protocol: TrainProtocol,
    folder: Path,
    *,
    seed: int,
    device: str,
    progress: Progress,
) -> FitResult:
    """Train in place; the operator ends with the best validated weights.

    A linear network is solved by least squares instead, without checkpoints.

    Args:
        operator: freshly built, its weights drawn.
        train: windows to learn from.
        validation: windows that choose the weights.
        protocol: how.
        folder: for checkpoints and `metrics.csv`; an earlier run there goes on.
        seed: of the batches.
        device: ``cpu`` or ``gpu``, known to be there.
        progress: who listens.

    Raises:
        TrainingError: the error became NaN.
    """
    if isinstance(operator.network, LinearNetwork):
        return _solve(operator.network, operator, train)
    optimisation = protocol.optimisation
    module = OperatorModule(operator, optimisation, protocol.supervise_velocities)
    batches = RandomBatches(len(train), optimisation.batch_size, optimisation.validate_every, seed)
    chosen = validation.spread(VALIDATION_WINDOWS, VALIDATION_ATOMS)
    at_once = min(64, VALIDATION_BATCH_ATOMS // validation.atoms)
    held_out = FixedBatches(chosen, max(optimisation.batch_size, at_once))
    best = ModelCheckpoint(
        folder / "checkpoints", filename="best", monitor="val_f_mse", enable_version_counter=False
    )
    last = ModelCheckpoint(
        folder / "checkpoints", filename="last", enable_version_counter=False, save_top_k=1
    )
    budget = Budget(optimisation)
    history = History(folder / "metrics.csv", budget, progress)
    callbacks: list[Callback] = [budget, best, last]
    if optimisation.weight_average is not None:
        callbacks.append(MovingAverage(optimisation.weight_average))
    if optimisation.patience is not None:
        callbacks.append(EarlyStopping("val_f_mse", patience=optimisation.patience))
    callbacks.append(history)
    resume = folder / "checkpoints" / "last.ckpt"
    with quiet(), interruptible():
        trainer = new_trainer(callbacks, optimisation.gradient_clip, device)
        trainer.fit(
            module,
            DataLoader(train, batch_size=None, sampler=batches),
            DataLoader(validation, batch_size=None, sampler=held_out),
            ckpt_path=str(resume) if resume.is_file() else None,
            weights_only=True,
        )
    saved = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    state = saved["state_dict"]
    operator.cpu().load_state_dict(
        {k.removeprefix("operator."): v for k, v in state.items() if k.startswith("operator.")}
    )
    operator.eval()
    spent = budget.fraction(trainer.global_step) >= 1
    stopped = "the budget is spent" if spent else "no gain in validation"
    return FitResult(trainer.global_step, round(budget.seconds, 2), saved["global_step"], stopped)


def _solve(network: LinearNetwork, operator: WindowOperator, train: WindowDataset) -> FitResult:
    begin = time.perf_counter()
    at_once = max(SOLVED_ATOMS // train.atoms, 1)
    numbers = FixedBatches(np.arange(len(train)), at_once)
    fit_linear(network, operator.card.scales, (train[chosen] for chosen in numbers))
    operator.eval()
    seconds = round(time.perf_counter() - begin, 2)
    return FitResult(0, seconds, 0, "solved by least squares")


class History(Callback):
    """Writes one CSV row per validation and reports progress.

    Args:
        path: of the CSV; rows beyond a resumed step are dropped.
        budget: tells seconds and the share that is spent.
        progress: who listens.
        columns: of the CSV.
        in_words: what a row says of validation, as named values of the progress.
    """

    def __init__(
        self,
        path: Path,
        budget: Budget,
        progress: Progress,
        columns: tuple[str, ...] = COLUMNS,
        in_words: Callable[[dict[str, float]], Mapping[str, str]] | None = None,
    ) -> None:
        self.path, self.budget, self.progress = path, budget, progress
        self.columns, self.in_words = columns, in_words or _in_words
        self.losses: list[float] = []
        self.validated: Mapping[str, str] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the rows up to the step training continues from."""
        rows = [r for r in read_metrics(self.path) if int(r["step"]) <= trainer.global_step]
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Collect the loss; tell how far we are."""
        self.losses.append(float(outputs["loss"]))
        if trainer.global_step % 20 == 0:
            fraction = min(self.budget.fraction(trainer.global_step), 1.0)
            recent = self.losses[-100:]
            values = {
                "step": f"{trainer.global_step:,}",
                "loss": f"{sum(recent) / len(recent):.4g}",
                "learning rate": f"{trainer.optimizers[0].param_groups[0]['lr']:.2e}",
            }
            self.progress.update(fraction, 1.0, values | dict(self.validated))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the row."""
        if trainer.sanity_checking or not self.losses:
            return
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        row = {
            "step": trainer.global_step,
            "seconds": round(self.budget.seconds, 2),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "loss": sum(self.losses) / len(self.losses),
            **{c: metrics[c] for c in self.columns if c.startswith("val_")},
        }
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)
        self.losses.clear()
        self.validated = self.in_words(row)


def _in_words(row: dict[str, float]) -> dict[str, str]:
    return {
        "validation F-MSE": f"{row['val_f_mse']:.3g} Å²",
        "validation A-MSE": f"{row['val_a_mse']:.3g} Å²",
        "velocity error": f"{row['val_velocity_error']:.1%} of thermal",
    }


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Rows of a `metrics.csv`; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def new_trainer(
    callbacks: list[Callback],
    gradient_clip: float | None,
    device: str,
    *,
    inference_mode: bool = True,
) -> L.Trainer:
    """A silent trainer without logger; `inference_mode` off where validation needs gradients."""
    return L.Trainer(
        accelerator=device,
        devices=1,
        max_epochs=-1,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=gradient_clip,
        num_sanity_val_steps=0,
        inference_mode=inference_mode,
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Lightning turns Ctrl-C into an exit; it is an interrupt that --resume continues."""
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's advice about loggers and workers off the user's screen."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
