"""How exactly an operator commutes with rotations, reflections and translations."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from egno_md.nn.decode import Prediction, Start
from egno_md.nn.operator import BoundOperator, WindowOperator

TRANSLATION = 1.0
"""nm: several molecule sizes."""


def random_rotation(random: np.random.Generator) -> Float[Tensor, "3 3"]:
    """A rotation drawn uniformly (Haar), by QR of a Gaussian matrix."""
    q, r = np.linalg.qr(random.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    return torch.from_numpy(q)


def random_motions(
    random: np.random.Generator, distance: float, dtype: torch.dtype = torch.float64
) -> dict[str, tuple[Float[Tensor, "3 3"], Float[Tensor, " 3"]]]:
    """Matrix and offset of a rotation, of it with a reflection, and of a translation.

    Args:
        random: draws the rotation and the translation.
        distance: largest component of the translation.
        dtype: of the tensors.
    """
    rotation = random_rotation(random).to(dtype)
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=dtype)) @ rotation
    shift = torch.from_numpy(random.uniform(-distance, distance, 3)).to(dtype)
    zero, eye = torch.zeros_like(shift), torch.eye(3, dtype=dtype)
    return {"rotation": (rotation, zero), "reflection": (mirror, zero), "translation": (eye, shift)}


@torch.inference_mode()
def equivariance_residuals(
    operator: WindowOperator | BoundOperator, start: Start, random: np.random.Generator
) -> dict[str, float]:
    """Largest |f(g·x) - g·f(x)| over the largest predicted move, per symmetry.

    Args:
        operator: to test, in its own precision.
        start: start frames.
        random: draws the rotation and the translation.
    """
    dtype = next(operator.network.parameters()).dtype
    motions = random_motions(random, TRANSLATION, dtype)
    x, v, f, box = (
        None if a is None else a.to(dtype)
        for a in (start.positions, start.velocities, start.forces, start.box)
    )
    if not operator.card.validity.periodic:
        box = None
    assert x is not None
    assert v is not None
    plain = operator(Start(x, v, f, box))
    residuals = {}
    for name, (matrix, offset) in motions.items():
        forces = None if f is None else f @ matrix.T
        vectors = None if box is None else box @ matrix.T
        transformed = operator(Start(x @ matrix.T + offset, v @ matrix.T, forces, vectors))
        residuals[name] = relative_residual(plain, transformed, x, matrix, offset)
    return residuals


def relative_residual(
    plain: Prediction, transformed: Prediction, positions: Tensor, matrix: Tensor, offset: Tensor
) -> float:
    """Largest |f(g·x) - g·f(x)| over the largest predicted move; for velocities over the fastest.

    Args:
        plain: f(x).
        transformed: f(g·x).
        positions: x.
        matrix: of g, a rotation or a reflection.
        offset: of g.
    """
    expected = plain.positions @ matrix.T + offset
    by_position = (transformed.positions - expected).abs().max() / (
        plain.positions - positions[:, None]
    ).abs().max()
    by_velocity = (transformed.velocities - plain.velocities @ matrix.T).abs().max() / (
        plain.velocities.abs().max()
    )
    return float(torch.maximum(by_position, by_velocity))
