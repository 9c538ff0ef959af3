"""Fitting a network to one of the published benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree
from torch.utils.data import DataLoader, Sampler

from egno_md.core.errors import SpecError
from egno_md.core.progress import Progress
from egno_md.data.windows import WindowBatch
from egno_md.nn.card import Scales
from egno_md.nn.linear import LinearNetwork
from egno_md.paper.operator import TaskOperator
from egno_md.paper.spec import StartNoise
from egno_md.paper.task import Task, TaskData, TaskWindows
from egno_md.spec.network import Egno, Network
from egno_md.spec.train import Optimisation
from egno_md.train.errors import predictor, total_errors
from egno_md.train.linear import solve_linear
from egno_md.train.loop import FitResult, Report, run_fit
from egno_md.train.losses import SquaredErrors
from egno_md.train.module import OperatorModule
from egno_md.train.sampling import FixedBatches, drawing, piece_of_step, share

SAMPLE = 200
"""Frames whose nearest neighbours set the unit of length."""
NODES_AT_ONCE = 5000
"""Nodes in one validation batch, at most."""


class EpochBatches(Sampler[np.ndarray]):
    """Every window once an epoch, shuffled; several epochs between validations.

    Args:
        windows: to draw from.
        batch_size: windows a batch; the last one of an epoch may be smaller.
        epochs: between two validations.
        seed: with the number of the validation it decides every batch.
        variants: of every window, each numbered `windows` on from the last; an epoch
            holds one of them, drawn at random.
    """

    def __init__(
        self, windows: int, batch_size: int, epochs: int, seed: int, variants: int = 1
    ) -> None:
        self.windows, self.batch_size, self.epochs, self.seed = windows, batch_size, epochs, seed
        self.variants = variants
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each of its epochs, which end with a validation."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.epochs * -(-self.windows // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        random = np.random.default_rng([self.seed, self.epoch])
        for _ in range(self.epochs):
            order = random.permutation(self.windows)
            if self.variants > 1:
                order += self.windows * random.integers(self.variants, size=self.windows)
            for start in range(0, self.windows, self.batch_size):
                yield share(order[start : start + self.batch_size])


class TaskModule(OperatorModule):
    """Trains a `TaskOperator`; errors are in the squared unit of the data set.

    Args:
        operator: what is trained.
        optimisation: how.
        velocity_weight: of the velocity term in the loss.
        start_noise: on start frames; None for none.
        seed: of the noise.
    """

    def __init__(
        self,
        operator: TaskOperator,
        optimisation: Optimisation,
        velocity_weight: float,
        start_noise: StartNoise | None,
        seed: int,
    ) -> None:
        super().__init__(operator, optimisation, velocity_weight)
        self.start_noise, self.seed = start_noise, seed

    def training_step(self, batch: WindowBatch, number: int) -> torch.Tensor:
        """The loss of one batch, with noise on its start frames."""
        if self.start_noise is not None:
            scales = self.operator.scales
            piece = piece_of_step(number, self.optimisation.accumulate)
            random = drawing(self.seed, 0, self.global_step, piece)
            deviations = (
                self.start_noise.positions * scales.length,
                self.start_noise.velocities * scales.velocity,
            )
            x, v = (
                values + deviation * torch.randn(values.shape, generator=random).to(values)
                for values, deviation in zip(
                    (batch.positions, batch.velocities), deviations, strict=True
                )
            )
            batch = replace(batch, positions=x, velocities=v)
        return super().training_step(batch, number)

    def measures(self, errors: SquaredErrors) -> dict[str, float]:
        """F-MSE and A-MSE."""
        return {"val_f_mse": errors.mse[-1], "val_a_mse": float(np.mean(errors.mse))}


def fit_task(
    operator: TaskOperator,
    data: TaskData,
    optimisation: Optimisation,
    folder: Path,
    *,
    velocity_weight: float,
    time_reversal: bool,
    evaluate_every: int,
    seed: int,
    device: str,
    progress: Progress,
    start_noise: StartNoise | None = None,
) -> FitResult:
    """Train in place; the operator ends with the best validated weights.

    Args:
        operator: freshly built, its weights drawn.
        data: of its task.
        optimisation: how; `validate_every` is set by `evaluate_every`.
        folder: for checkpoints and `metrics.csv`; an earlier run there is continued.
        velocity_weight: of the velocity term in the loss.
        time_reversal: learn half of the windows run backwards in time.
        evaluate_every: epochs between two validations.
        seed: of the batches and the noise.
        device: ``cpu`` or ``gpu``, which must be available.
        progress: receives updates and notes.
        start_noise: on the start frames of training.

    Raises:
        SpecError: windows that cannot be reversed.
        TrainingError: the error became NaN.
    """
    if isinstance(operator.network, LinearNetwork):
        operator.eval()
        return solve_linear(operator.network, operator.scales, data.train)
    module = TaskModule(operator, optimisation, velocity_weight, start_noise, seed)
    train, count = data.train, len(data.train)
    if time_reversal:
        _check_reversible(data.task)
        train = train.with_reversed()
    variants = len(train) // count
    batches = EpochBatches(count, optimisation.batch_size, evaluate_every, seed, variants)
    held_out = FixedBatches(np.arange(len(data.validation)), _at_once(data.task))
    loaders = (
        DataLoader(train, batch_size=None, sampler=batches),
        DataLoader(data.validation, batch_size=None, sampler=held_out),
    )
    return run_fit(
        module, operator, loaders, optimisation, folder, REPORT, device=device, progress=progress
    )


def task_errors(operator: TaskOperator, windows: TaskWindows) -> SquaredErrors:
    """Errors over every window of one part."""
    every = np.arange(len(windows))
    return total_errors(predictor(operator), windows, every, _at_once(operator.task))


def task_scales(network: Network, task: Task, windows: TaskWindows) -> Scales:
    """Root mean squares of the training windows for our EGNO; one for all others.

    The unit of length is a short distance between nodes, which one in four nearest
    neighbours goes below: a bond, where there are bonds.
    """
    if not isinstance(network, Egno):
        ones = dict.fromkeys(("length", "velocity", "position_residual", "velocity_residual"), 1.0)
        return Scales(**ones, acceleration=1.0)
    x, v, length = windows.positions, windows.velocities, task.time_points[-1]
    end, speed = windows.future_positions[:, -1], windows.future_velocities[:, -1]
    baseline = x + v * length if network.output == "ballistic" else x
    start = v if network.output == "ballistic" else np.zeros_like(v)
    return Scales(
        length=_nearest(x[:SAMPLE]),
        velocity=_rms(v),
        acceleration=1.0,
        position_residual=_rms(end - baseline),
        velocity_residual=_rms(speed - start),
    )


def _check_reversible(task: Task) -> None:
    if not task.is_reversible:
        raise SpecError(
            f"time_reversal: windows of {task.name} run backwards are no windows of it: only those "
            "of Hamiltonian dynamics with velocities of their own are. Use time_reversal: false."
        )
    steps = np.diff([0.0, *task.time_points])
    if not np.allclose(steps, steps[0]):
        raise SpecError(
            f"time_reversal: the time points of {task.name} are not evenly spaced from the start. "
            "Use window: uniform, or time_reversal: false."
        )


def _at_once(task: Task) -> int:
    return max(NODES_AT_ONCE // task.atoms, 1)


def _nearest(positions: np.ndarray) -> float:
    trees = (KDTree(frame) for frame in positions)
    pairs = zip(trees, positions, strict=True)
    return float(np.quantile([tree.query(frame, k=2)[0][:, 1] for tree, frame in pairs], 0.25))


def _rms(values: np.ndarray) -> float:
    return max(float(np.sqrt(np.square(values, dtype=np.float64).mean())), 1e-12)


def _in_words(row: dict[str, float]) -> dict[str, str]:
    return {
        "validation F-MSE": f"{row['val_f_mse']:.4g}",
        "validation A-MSE": f"{row['val_a_mse']:.4g}",
    }


REPORT = Report(("val_f_mse", "val_a_mse"), _in_words)
