"""Shared by the questions: data, resumable trainings, and trained operators to measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file

from egno_md.core.errors import TrainingError
from egno_md.core.progress import Progress
from egno_md.nn.decode import Prediction, join_predictions
from egno_md.paper.datasets.nbody import TIMESTEP, charged_particles, simulate
from egno_md.paper.job import WEIGHTS, Job, new_operator, run_job
from egno_md.paper.operator import TaskOperator
from egno_md.paper.spec import BenchmarkModel
from egno_md.paper.stress.spec import FINE_POINTS, SpheresQuestion, StressProtocol, StressSizes
from egno_md.paper.stress.spheres import (
    simulate_spheres,
    spheres_task,
    velocity_decorrelation_time,
)
from egno_md.paper.task import TaskData, TaskWindows
from egno_md.train.errors import start_of

BEGIN, STRIDE = 3008, 16
"""Steps of the n-body generator: where its window starts, and between the frames that are kept."""
MEMORY_FRAME, MEMORY_FRAMES, MEMORY_RUNS = 0.1, 400, 200
"""Frame spacing, frames and number of trajectories for the velocity decorrelation time."""
AT_ONCE = 250
"""Windows decoded by one call."""

Data = Literal["nbody", "hard", "soft", "none"]


@dataclass(frozen=True)
class Case:
    """Data that operators are trained on.

    Attributes:
        name: of a folder.
        kind: charged particles, or spheres by their repulsion.
        length: ΔT of spheres.
    """

    name: str
    kind: Data
    length: float = 0.0


@dataclass(frozen=True, eq=False)
class CaseData:
    """The data of a case, with reference values for the questions.

    Attributes:
        data: windows.
        fine: true positions of the test windows at `FINE_POINTS` even times;
            None for spheres.
        contacts: test windows in which any two spheres touched; None for charges.
    """

    data: TaskData
    fine: Float[np.ndarray, "windows fine atoms 3"] | None
    contacts: Bool[np.ndarray, " windows"] | None


@dataclass(frozen=True)
class Training:
    """One operator that a question needs.

    Attributes:
        model: its name in the protocol.
        case: what it is trained on.
        modes: of its temporal convolutions.
        seed: of weights and batches.
    """

    model: str
    case: Case
    modes: int
    seed: int

    @property
    def label(self) -> str:
        """Name in progress and notes."""
        return f"{self.model} on {self.case.name}, {self.modes} modes, seed {self.seed}"


class Lab:
    """Trains each operator once and caches it.

    Args:
        protocol: the questions and sizes.
        out: folder of all trainings.
        seeds: of every training.
        device: ``cpu`` or ``gpu``, where operators are trained; they are measured on the CPU.
    """

    def __init__(
        self, protocol: StressProtocol, out: Path, seeds: Sequence[int], device: str
    ) -> None:
        self.protocol, self.out, self.seeds, self.device = protocol, out, tuple(seeds), device

    def trainings(self, case: Case, modes: int | None = None) -> list[Training]:
        """Every model and seed on a case; with their own number of modes by default."""
        return [
            Training(name, case, model.network.modes if modes is None else modes, seed)
            for name, model in self.protocol.models.items()
            for seed in self.seeds
        ]

    def data(self, case: Case) -> CaseData:
        """Data of a case, generated on the first call."""
        p = self.protocol
        # frozen specs can be hashed
        return _generate(p.sizes, p.spheres, p.points, case)  # type: ignore[arg-type]

    def job(self, training: Training) -> Job:
        """The training as a benchmark's run."""
        model = self.protocol.models[training.model]
        case = training.case
        row = BenchmarkModel(
            title=model.title,
            network=model.network.model_copy(update={"modes": training.modes}),
            points=self.protocol.points if case.kind == "nbody" else self.protocol.spheres.points,
            steps=model.steps,
            supervise_velocities=model.supervise_velocities,
        )
        folder = self.out / case.name / training.model / f"modes-{training.modes}"
        return Job(
            training.model, row, training.seed, folder / f"seed-{training.seed}", self.device
        )

    def train(self, training: Training, progress: Progress) -> dict[str, Any]:
        """Train and test; an interrupted training is continued, a finished one is read.

        Raises:
            TrainingError: the training failed.
        """
        data = self.data(training.case).data
        result = run_job(self.job(training), self.protocol, data, progress)
        if "failed" in result:
            raise TrainingError(
                f"{training.label}: failed: {result['failed']} Use a smaller "
                f"models.{training.model}.steps.learning_rate and --overwrite."
            )
        return result

    def operator(self, training: Training) -> TaskOperator:
        """A trained operator."""
        job = self.job(training)
        operator = new_operator(job.model, self.data(training.case).data, training.seed)
        operator.load_state_dict(load_file(job.folder / WEIGHTS))
        return operator.eval()

    @cached_property
    def memory(self) -> float:
        """The velocity decorrelation time of hard spheres."""
        return _memory(self.protocol.sizes.seed, self.protocol.spheres)  # type: ignore[arg-type]


@torch.inference_mode()
def decode(
    operator: TaskOperator, windows: TaskWindows, times: Sequence[float] | None = None
) -> Prediction:
    """Every window of a part, at the trained time points or at any others."""
    time_points = None if times is None else torch.tensor(times, dtype=torch.float64)
    order = np.arange(len(windows))
    parts = [
        operator(start_of(windows[order[i : i + AT_ONCE]]), time_points)
        for i in range(0, len(windows), AT_ONCE)
    ]
    return join_predictions(parts)


def squared_errors(
    prediction: Float[np.ndarray, "windows points atoms 3"],
    true: Float[np.ndarray, "windows points atoms 3"],
) -> Float[np.ndarray, "windows points"]:
    """Mean squared error per coordinate, by window and time point."""
    return np.square(np.asarray(prediction, dtype=np.float64) - true).mean((2, 3))


@lru_cache(maxsize=4)
def _generate(sizes: StressSizes, spheres: SpheresQuestion, points: int, case: Case) -> CaseData:
    if case.kind == "nbody":
        return _charges(sizes, points)
    data, contacts = spheres_task(sizes, spheres, case.kind, case.length)
    return CaseData(data, None, contacts)


def _charges(sizes: StressSizes, points: int) -> CaseData:
    """Charged particles, from about where the published window starts and a little longer."""
    chosen = np.arange(FINE_POINTS // points, FINE_POINTS + 1, FINE_POINTS // points)
    parts, fine = {}, None
    counts = {"validation": sizes.validation, "test": sizes.test, "train": sizes.train}
    for index, (name, count) in enumerate(counts.items()):
        random = np.random.default_rng([sizes.seed, index])
        x, v, charges = simulate(count, FINE_POINTS + 1, random, stride=STRIDE, first_frame=BEGIN)
        x, v = x.astype(np.float32), v.astype(np.float32)
        features = charges[..., None].astype(np.float32)
        parts[name] = TaskWindows(x[:, 0], v[:, 0], features, x[:, chosen], v[:, chosen])
        fine = x[:, 1:] if name == "test" else fine
    data = TaskData(
        charged_particles(chosen * STRIDE * TIMESTEP),
        parts["train"],
        parts["validation"],
        parts["test"],
        unit="",
        source="charged particles, generated",
        settings={"sizes": sizes.model_dump(), "begin": BEGIN, "stride": STRIDE, "points": points},
    )
    return CaseData(data, fine, None)


@lru_cache(maxsize=1)
def _memory(seed: int, spheres: SpheresQuestion) -> float:
    random = np.random.default_rng([seed, len("memory")])
    _, v, _ = simulate_spheres(MEMORY_RUNS, MEMORY_FRAMES, MEMORY_FRAME, spheres, "hard", random)
    return velocity_decorrelation_time(v, MEMORY_FRAME)
