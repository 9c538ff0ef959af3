"""What the tests of benchmark data share: real files, and the published networks' sizes."""

from pathlib import Path

import pytest
import torch

from egno_md.nn.card import Scales
from egno_md.nn.decode import Prediction, Start
from egno_md.paper.operator import TaskOperator
from egno_md.paper.task import Task, TaskData
from egno_md.spec.network import PublishedEgno

SHARED = Path(__file__).parents[4].parent / "shared" / "data"
ONES = Scales(length=1, velocity=1, acceleration=1, position_residual=1, velocity_residual=1)


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not part of the project")
    return path


def published(task: Task, layers: int, hidden: int) -> TaskOperator:
    spec = PublishedEgno(kind="egno-published", layers=layers, hidden=hidden, modes=2)
    return TaskOperator(spec, task, ONES)


def parameters(task: Task, layers: int, hidden: int) -> int:
    return sum(p.numel() for p in published(task, layers, hidden).parameters())


def predicted(data: TaskData) -> Prediction:
    """A small published network on two training windows."""
    batch = data.train[[0, 1]]
    operator = published(data.task, 2, 8)
    with torch.no_grad():
        return operator(Start(batch.positions, batch.velocities, features=batch.features))
