"""How exactly trained operators commute with large rotations and translations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from egno_md.nn.decode import Prediction, Start
from egno_md.nn.symmetry import relative_residual
from egno_md.paper.operator import TaskOperator
from egno_md.paper.stress.lab import Case, Lab, Training

CHARGES = Case("nbody", "nbody")
NEARLY_PI = math.pi - 1e-6
AXES = 4
"""Random axes and directions for every angle and distance; the largest residual counts."""
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}

Motion = tuple[str, float, Tensor, Tensor]
"""Symmetry, amount, matrix and offset in double precision."""


def needs(lab: Lab) -> list[Training]:
    """The operators to test under rotations and translations."""
    return lab.trainings(CHARGES)


def measure(lab: Lab) -> dict[str, Any]:
    """Largest residual over windows, axes and seeds, relative to the largest predicted move."""
    question = lab.protocol.equivariance
    windows = lab.data(CHARGES).data.test.first(question.windows)
    everything = windows[np.arange(len(windows))]
    assert everything.features is not None
    x, v, q = (
        a.double() for a in (everything.positions, everything.velocities, everything.features)
    )
    size = float((x - x.mean(1, keepdim=True)).square().sum(-1).mean().sqrt())
    motions = list(_motions(lab, size))
    rows: dict[tuple[str, str, float], dict[str, float]] = {}
    for training in needs(lab):
        operator = lab.operator(training)
        for precision, dtype in PRECISIONS.items():
            operator.to(dtype)
            for symmetry, amount, *residuals in _residuals(operator, x, v, q, motions, dtype):
                row = rows.setdefault((training.model, symmetry, amount), {})
                for key, value in zip((precision, f"{precision}_input"), residuals, strict=True):
                    row[key] = max(row.get(key, 0.0), value)
    keys = ("model", "symmetry", "amount")
    return {
        "windows": len(windows),
        "system_size": size,
        "rows": [dict(zip(keys, names, strict=True)) | row for names, row in rows.items()],
    }


@torch.inference_mode()
def _residuals(
    operator: TaskOperator,
    x: Tensor,
    v: Tensor,
    q: Tensor,
    motions: list[Motion],
    dtype: torch.dtype,
) -> Iterator[tuple[str, float, float, float]]:
    """Symmetry, amount, residual, and what rounding the moved positions alone amounts to.

    Inputs are moved, and results compared, in double precision: what is left
    is the operator's.
    """

    def call(positions: Tensor, velocities: Tensor) -> Prediction:
        prediction = operator(
            Start(positions.to(dtype), velocities.to(dtype), features=q.to(dtype))
        )
        return Prediction(prediction.positions.double(), prediction.velocities.double())

    plain = call(x, v)
    largest = (plain.positions - x[:, None]).abs().max()
    for symmetry, amount, matrix, offset in motions:
        inputs = x @ matrix.T + offset
        transformed = call(inputs, v @ matrix.T)
        rounding = float((inputs.to(dtype).double() - inputs).abs().max() / largest)
        yield symmetry, amount, relative_residual(plain, transformed, x, matrix, offset), rounding


def _motions(lab: Lab, size: float) -> Iterator[Motion]:
    question = lab.protocol.equivariance
    random = np.random.default_rng(lab.protocol.sizes.seed)
    zero, eye = torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    for angle in (*question.angles, NEARLY_PI, math.pi):
        for _ in range(AXES):
            yield "rotation", angle, _rotation(_direction(random), angle), zero
    for name, axis in zip("xyz", eye, strict=True):
        yield f"rotation about {name}", math.pi, 2 * torch.outer(axis, axis) - eye, zero
    for distance in question.translations:
        for _ in range(AXES):
            yield "translation", distance, eye, _direction(random) * (distance * size)


def _direction(random: np.random.Generator) -> Tensor:
    vector = random.standard_normal(3)
    return torch.from_numpy(vector / np.linalg.norm(vector))


def _rotation(axis: Tensor, angle: float) -> Tensor:
    """Rodrigues' formula; exact to rounding at π as well."""
    x, y, z = axis.tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    return eye + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)
