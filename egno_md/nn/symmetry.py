"""How exactly an operator commutes with rotations, reflections and translations."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from egno_md.nn.decode import Prediction, Start
from egno_md.nn.operator import BoundOperator, WindowOperator

TRANSLATION = 1.0
"""nm: several molecule sizes."""


class StartLike(Protocol):
    """Anything that holds start frames."""

    @property
    def positions(self) -> Tensor:
        """Nm."""
        ...

    @property
    def velocities(self) -> Tensor:
        """nm/ps."""
        ...

    @property
    def forces(self) -> Tensor | None:
        """kJ/mol/nm."""
        ...

    @property
    def box(self) -> Tensor | None:
        """Box vectors as rows, nm."""
        ...


def random_rotation(random: np.random.Generator) -> Float[Tensor, "3 3"]:
    """A rotation drawn uniformly (Haar), by QR of a Gaussian matrix."""
    q, r = np.linalg.qr(random.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    return torch.from_numpy(q)


@torch.inference_mode()
def equivariance_residuals(
    operator: WindowOperator | BoundOperator, batch: StartLike, random: np.random.Generator
) -> dict[str, float]:
    """Largest |f(g·x) - g·f(x)| over the largest predicted move, per symmetry.

    Args:
        operator: to test, in its own precision.
        batch: start frames.
        random: draws the rotation and the translation.
    """
    dtype = next(operator.network.parameters()).dtype
    rotation = random_rotation(random).to(dtype)
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=dtype)) @ rotation
    shift = torch.from_numpy(random.uniform(-TRANSLATION, TRANSLATION, 3)).to(dtype)
    zero = torch.zeros_like(shift)
    eye = torch.eye(3, dtype=dtype)
    cases = {
        "rotation": (rotation, zero),
        "reflection": (mirror, zero),
        "translation": (eye, shift),
    }
    x, v, f, box = (
        None if a is None else a.to(dtype)
        for a in (batch.positions, batch.velocities, batch.forces, batch.box)
    )
    if not operator.card.validity.periodic:
        box = None
    assert x is not None
    assert v is not None
    plain = operator(Start(x, v, f, box))
    residuals = {}
    for name, (matrix, offset) in cases.items():
        forces = None if f is None else f @ matrix.T
        turned = None if box is None else box @ matrix.T
        moved = operator(Start(x @ matrix.T + offset, v @ matrix.T, forces, turned))
        residuals[name] = relative_residual(plain, moved, x, matrix, offset)
    return residuals


def relative_residual(
    plain: Prediction, moved: Prediction, positions: Tensor, matrix: Tensor, offset: Tensor
) -> float:
    """Largest |f(g·x) - g·f(x)| over the largest predicted move; for velocities over the fastest.

    Args:
        plain: f(x).
        moved: f(g·x).
        positions: x.
        matrix: of g, a rotation or a reflection.
        offset: of g.
    """
    expected = plain.positions @ matrix.T + offset
    by_position = (moved.positions - expected).abs().max() / (
        plain.positions - positions[:, None]
    ).abs().max()
    by_velocity = (moved.velocities - plain.velocities @ matrix.T).abs().max() / (
        plain.velocities.abs().max()
    )
    return float(torch.maximum(by_position, by_velocity))
