"""One training run with Lightning: checkpoints, early stopping, metrics, resume."""

from __future__ import annotations

import csv
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.utils.data import DataLoader

from egno_md.core.processes import world
from egno_md.core.progress import Progress
from egno_md.spec.train import Optimisation
from egno_md.train.budget import Budget, BudgetModule, MovingAverage

PROGRESS = ("step", "seconds", "learning_rate", "loss")
"""Columns of `metrics.csv` before those of the validation."""


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


@dataclass(frozen=True)
class Report:
    """What a run records and reports.

    Attributes:
        measures: what validation logs, columns of `metrics.csv`; the least value of the first
            marks the weights that are kept.
        in_words: a row's validation errors, as named values of the progress.
    """

    measures: tuple[str, ...]
    in_words: Callable[[dict[str, float]], Mapping[str, str]]

    @property
    def monitor(self) -> str:
        """The measure that decides."""
        return self.measures[0]


def run_fit(
    module: BudgetModule,
    trainee: nn.Module,
    loaders: tuple[DataLoader[Any], DataLoader[Any]],
    optimisation: Optimisation,
    folder: Path,
    report: Report,
    *,
    device: str,
    progress: Progress,
    inference_mode: bool = True,
) -> FitResult:
    """Train in place; `trainee` ends with the best validated weights.

    Args:
        module: what Lightning trains.
        trainee: the part of it that is kept.
        loaders: of training and validation batches.
        optimisation: how.
        folder: for checkpoints and `metrics.csv`; an earlier run there is continued.
        report: what is recorded and reported.
        device: ``cpu`` or ``gpu``, which must be available.
        progress: receives updates and notes.
        inference_mode: off where validation needs gradients.

    Raises:
        TrainingError: the error became NaN.
    """
    name = next(n for n, child in module.named_children() if child is trainee)
    checkpoints = folder / "checkpoints"
    best = ModelCheckpoint(
        checkpoints, filename="best", monitor=report.monitor, enable_version_counter=False
    )
    last = ModelCheckpoint(checkpoints, filename="last", enable_version_counter=False, save_top_k=1)
    budget = Budget(optimisation)
    callbacks: list[Callback] = [budget, best, last]
    if optimisation.weight_average is not None:
        callbacks.append(MovingAverage(optimisation.weight_average))
    if optimisation.patience is not None:
        callbacks.append(EarlyStopping(report.monitor, patience=optimisation.patience))
    callbacks.append(History(folder / "metrics.csv", budget, progress, report))
    resume = checkpoints / "last.ckpt"
    with (
        quiet(),
        interruptible(),
        products("high" if optimisation.precision == "tf32" else "highest"),
    ):
        trainer = _new_trainer(callbacks, optimisation, device, inference_mode)
        if optimisation.compile:
            _compile(trainee, optimisation.compile == "cuda-graphs", device, progress)
        trainer.fit(
            module,
            *loaders,
            ckpt_path=str(resume) if resume.is_file() else None,
            weights_only=True,
        )
    checkpoint = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    prefix = f"{name}."
    trainee.cpu().load_state_dict(
        {
            k.removeprefix(prefix): v
            for k, v in checkpoint["state_dict"].items()
            if k.startswith(prefix)
        }
    )
    trainee.eval()
    spent = budget.fraction(trainer.global_step) >= 1
    stopped = "the budget is spent" if spent else "no gain in validation"
    return FitResult(
        trainer.global_step, round(budget.seconds, 2), checkpoint["global_step"], stopped
    )


class History(Callback):
    """Writes one CSV row per validation and reports progress.

    Args:
        path: of the CSV; rows beyond a resumed step are dropped.
        budget: seconds, and the share that is spent.
        progress: receives updates and notes.
        report: the columns, and the words of the progress.
    """

    def __init__(self, path: Path, budget: Budget, progress: Progress, report: Report) -> None:
        self.path, self.budget, self.progress = path, budget, progress
        self.measures, self.in_words = report.measures, report.in_words
        self.columns = (*PROGRESS, *self.measures)
        self.losses: list[float] = []
        self.validated: Mapping[str, str] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the rows up to the step training continues from."""
        if not trainer.is_global_zero:
            return
        rows = [r for r in read_metrics(self.path) if int(r["step"]) <= trainer.global_step]
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Collect the loss, over all processes, and report progress."""
        # Lightning hands out the loss divided for accumulation
        loss = outputs["loss"].detach() * trainer.accumulate_grad_batches
        self.losses.append(float(trainer.strategy.reduce(loss, reduce_op="mean")))
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
        if trainer.sanity_checking or not self.losses or not trainer.is_global_zero:
            return
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        row = {
            "step": trainer.global_step,
            "seconds": round(self.budget.seconds, 2),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "loss": sum(self.losses) / len(self.losses),
            **{name: metrics[name] for name in self.measures},
        }
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)
        self.losses.clear()
        self.validated = self.in_words(row)


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Rows of a `metrics.csv`; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _compile(trainee: nn.Module, with_graphs: bool, device: str, progress: Progress) -> None:
    """Translate a network in place, where there is a compiler."""
    if not can_compile():
        progress.note("compile: no C++ compiler is found, so the network runs as it is.")
        return
    network = getattr(trainee, "network", trainee)
    if with_graphs and device == "gpu":
        network.compile(dynamic=False, mode="reduce-overhead")
        return
    if with_graphs:
        progress.note("compile: CUDA graphs need a GPU, so the network is translated without them.")
    network.compile(dynamic=False)


def can_compile() -> bool:
    """Whether torch.compile finds what it needs on this machine."""
    compiler = os.environ.get("CXX", "")
    is_installed = any(shutil.which(name) for name in (compiler, "g++", "clang++") if name)
    return is_installed and sys.platform != "win32"


def _new_trainer(
    callbacks: list[Callback], optimisation: Optimisation, device: str, inference_mode: bool
) -> L.Trainer:
    """A silent trainer without logger.

    Under torchrun or SLURM every process trains on its share of each batch, on as many
    nodes as take part; gradients are averaged over all of them.
    """
    processes, nodes = world()
    many: dict[str, Any] = {}
    if processes > 1:
        # the last layer's scalars are read by nothing, so their weights have no gradients
        backend = "gloo" if device == "cpu" else "nccl"
        strategy = DDPStrategy(process_group_backend=backend, find_unused_parameters=True)
        many = {"strategy": strategy, "num_nodes": nodes, "use_distributed_sampler": False}
    return L.Trainer(
        accelerator=device,
        devices=processes // nodes,
        precision="bf16-mixed" if optimisation.precision == "bf16" else "32-true",
        accumulate_grad_batches=optimisation.accumulate,
        **many,
        max_epochs=-1,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=optimisation.gradient_clip,
        num_sanity_val_steps=0,
        inference_mode=inference_mode,
    )


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Set how exactly single-precision matrices are multiplied, for a while."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


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
