"""One row's run of a benchmark: one model, one seed, in a folder that resumes."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from egno_md.core.errors import TrainingError
from egno_md.core.progress import Progress
from egno_md.data.store import write_json
from egno_md.paper.operator import TaskOperator
from egno_md.paper.spec import BenchmarkModel, TaskBudget
from egno_md.paper.task import TaskData
from egno_md.paper.training import fit_task, task_errors, task_scales
from egno_md.spec.train import Optimisation
from egno_md.train.loop import FitResult, read_metrics
from egno_md.train.losses import SquaredErrors

REQUEST, RESULT = "request.json", "result.json"
WEIGHTS, METRICS = "model.safetensors", "metrics.csv"


@dataclass(frozen=True)
class Job:
    """One model with one seed.

    Attributes:
        name: of the model in the protocol.
        model: from the protocol.
        seed: of weights and batches.
        folder: of its checkpoints, metrics and result.
        device: ``cpu`` or ``gpu``.
    """

    name: str
    model: BenchmarkModel
    seed: int
    folder: Path
    device: str

    @property
    def label(self) -> str:
        """Name in progress and notes."""
        return f"{self.name}, seed {self.seed}"

    def request(self, protocol: TaskBudget, data: TaskData) -> dict[str, Any]:
        """Everything that decides the result."""
        return {
            "model": self.model.model_dump(
                mode="json", exclude={"title", "published", "published_for"}
            ),
            "data": dict(data.settings) | data_identity(data),
            "epochs": protocol.epochs,
            "max_time": protocol.model_dump(mode="json")["max_time"],
            "evaluate_every": protocol.evaluate_every,
            "seed": self.seed,
        }


def data_identity(data: TaskData) -> dict[str, str]:
    """Fingerprint of the data where they are files, for the request."""
    return {} if data.fingerprint is None else {"fingerprint": data.fingerprint}


@dataclass(frozen=True)
class Pace:
    """Conversion between epochs and optimiser steps.

    Each validation ends an epoch of Lightning's own, whose last step is taken with the
    batches that are left, however few are accumulated.

    Attributes:
        batches: an epoch.
        every: epochs between two validations.
        accumulate: batches a step.
    """

    batches: int
    every: int
    accumulate: int

    @classmethod
    def of(cls, job: Job, protocol: TaskBudget, data: TaskData) -> Pace:
        """The pace of a run."""
        steps = job.model.steps
        every = min(protocol.evaluate_every, protocol.epochs)
        return cls(-(-len(data.train) // steps.batch_size), every, steps.accumulate)

    @property
    def _between(self) -> int:
        """Steps between two validations."""
        return -(-self.every * self.batches // self.accumulate)

    def steps(self, epochs: int) -> int:
        """Largest number of steps within so many epochs."""
        validations, remainder = divmod(epochs, self.every)
        return validations * self._between + remainder * self.batches // self.accumulate

    def epochs(self, steps: int) -> float:
        """Number of epochs in so many steps."""
        validations, remainder = divmod(steps, self._between)
        batches = validations * self.every * self.batches + remainder * self.accumulate
        return round(batches / self.batches, 1)


def earlier_result(job: Job, request: dict[str, Any]) -> dict[str, Any] | None:
    """The result of an earlier, equal run, or None."""
    content = _read(job.folder / RESULT)
    same = json.loads(json.dumps(request)) == content.get("request")
    return content if same else None


def begin(job: Job, request: dict[str, Any]) -> None:
    """Make a run's folder; files of an earlier run stay only if its request was the same."""
    path = job.folder / REQUEST
    if _read(path) != json.loads(json.dumps(request)):
        shutil.rmtree(job.folder, ignore_errors=True)
        job.folder.mkdir(parents=True)
        write_json(path, request)


def _read(path: Path) -> dict[str, Any]:
    """A JSON file's content, empty where there is none to read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def run_job(job: Job, protocol: TaskBudget, data: TaskData, progress: Progress) -> dict[str, Any]:
    """Train and test; an interrupted run is continued, a finished one is read.

    Returns:
        What `result.json` says: errors in the squared unit of the data, budget, time.
        A training that failed is a result too, with `failed` and no errors.
    """
    request = job.request(protocol, data)
    earlier = earlier_result(job, request)
    if earlier is not None:
        return earlier
    begin(job, request)
    operator = new_operator(job.model, data, job.seed)
    result: dict[str, Any] = {
        "request": request,
        "model": job.name,
        "seed": job.seed,
        "parameters": sum(p.numel() for p in operator.parameters()),
        "device": torch.cuda.get_device_name() if job.device == "gpu" else "cpu",
    }
    try:
        pace = Pace.of(job, protocol, data)
        fit = _fit(job, protocol, data, operator, pace, progress)
        result |= _test_errors(task_errors(operator, data.test)) | _spent(fit, pace)
        result["validation"] = _learning_curve(job.folder / METRICS, pace)
    except TrainingError as error:
        result |= {"failed": str(error), "f_mse": None, "a_mse": None}
        result |= dict.fromkeys(("epochs", "best_epoch", "seconds"), 0.0)
    else:
        state = {k: v.detach().cpu().contiguous() for k, v in operator.state_dict().items()}
        save_file(state, job.folder / WEIGHTS)
    write_json(job.folder / RESULT, result)
    return result


def _spent(fit: FitResult, pace: Pace) -> dict[str, Any]:
    return {
        "epochs": pace.epochs(fit.steps),
        "best_epoch": pace.epochs(fit.best_step),
        "seconds": fit.seconds,
        "stopped": fit.stopped,
    }


def _learning_curve(metrics: Path, pace: Pace) -> list[tuple[float, float]]:
    """Epochs and the F-MSE in validation after them."""
    return [(pace.epochs(int(r["step"])), float(r["val_f_mse"])) for r in read_metrics(metrics)]


def new_operator(model: BenchmarkModel, data: TaskData, seed: int) -> TaskOperator:
    """A freshly drawn operator of a row."""
    torch.manual_seed(seed)
    scales = task_scales(model.network, data.task, data.train)
    return TaskOperator(model.network, data.task, scales)


def _fit(
    job: Job,
    protocol: TaskBudget,
    data: TaskData,
    operator: TaskOperator,
    pace: Pace,
    progress: Progress,
) -> FitResult:
    optimisation = Optimisation(
        **job.model.steps.model_dump(), max_steps=pace.steps(protocol.epochs), max_time=None
    ).model_copy(update={"max_time": protocol.max_time})
    return fit_task(
        operator,
        data,
        optimisation,
        job.folder,
        velocity_weight=job.model.supervise_velocities,
        time_reversal=job.model.time_reversal,
        start_noise=job.model.start_noise,
        evaluate_every=pace.every,
        seed=job.seed,
        device=job.device,
        progress=progress,
    )


def _test_errors(errors: SquaredErrors) -> dict[str, Any]:
    many = len(errors.mse) > 1
    if not all(np.isfinite(errors.mse)):
        raise TrainingError("the best weights blow up on the test set")
    return {
        "f_mse": errors.mse[-1],
        "a_mse": float(np.mean(errors.mse)) if many else None,
        "mse_by_point": errors.mse,
    }
