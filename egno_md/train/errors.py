"""Held-out errors of an operator and of the baselines it must beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from egno_md.data.windows import WindowBatch, WindowDataset, WindowSet
from egno_md.nn.bound import BoundOperator
from egno_md.nn.decode import Prediction, Start, WindowDecoder
from egno_md.train.losses import SquaredErrors
from egno_md.train.sampling import FixedBatches

SAMPLE = 3000
BATCH = 100
SAMPLE_ATOMS, BATCH_ATOMS = 90_000, 3000
"""Bounds on the same for large systems, in atoms."""

Predictor = Callable[[WindowBatch], Prediction]


def measure(predict: Predictor, windows: WindowDataset, limit: int = SAMPLE) -> SquaredErrors:
    """Errors of a predictor over evenly spread windows."""
    chosen = windows.spread(limit, SAMPLE_ATOMS)
    return total_errors(predict, windows, chosen, min(BATCH, max(BATCH_ATOMS // windows.atoms, 1)))


def total_errors(
    predict: Predictor, windows: WindowSet, chosen: Int[np.ndarray, " chosen"], at_once: int
) -> SquaredErrors:
    """Errors of a predictor over some windows, so many of them at once."""
    with torch.inference_mode():
        batches = (windows[numbers] for numbers in FixedBatches(chosen, at_once))
        return reduce(add, (SquaredErrors.of(predict(batch), batch) for batch in batches))


def predictor(
    operator: WindowDecoder, time_points: Float[Tensor, " points"] | None = None
) -> Predictor:
    """Predictions of an operator on any device, for batches on the CPU.

    Args:
        operator: that predicts.
        time_points: as of its call.
    """
    device = next(operator.parameters()).device

    def predict(batch: WindowBatch) -> Prediction:
        prediction = operator(start_of(batch.to(device)), time_points)
        return replace(
            prediction, positions=prediction.positions.cpu(), velocities=prediction.velocities.cpu()
        )

    return predict


def start_of(batch: WindowBatch) -> Start:
    """The start frames of a batch."""
    return Start(
        batch.positions,
        batch.velocities,
        batch.forces,
        batch.box,
        batch.features,
        batch.past_positions,
        batch.past_velocities,
    )


def measure_errors(
    operator: WindowDecoder, windows: WindowDataset, limit: int = SAMPLE
) -> SquaredErrors:
    """Errors of the operator over evenly spread windows."""
    times = torch.tensor(windows.window.time_points, dtype=torch.float64)
    return measure(predictor(operator, times), windows, limit)


def baselines(operator: BoundOperator, windows: WindowDataset) -> dict[str, Predictor]:
    """Predictions that need no training.

    `persistence` keeps positions and velocities; `ballistic` is x + vτ;
    `half_a_tau_squared` is x + vτ + ½aτ² with v + aτ, where forces are known.
    """
    tau = torch.tensor(windows.window.time_points, dtype=torch.float32).view(1, -1, 1, 1)
    masses = torch.tensor(operator.masses, dtype=torch.float32)[:, None]

    def persistence(b: WindowBatch) -> Prediction:
        shape = b.future_positions.shape
        return Prediction(b.positions[:, None].expand(shape), b.velocities[:, None].expand(shape))

    def ballistic(b: WindowBatch) -> Prediction:
        persistent = persistence(b)
        return Prediction(persistent.positions + persistent.velocities * tau, persistent.velocities)

    def accelerated(b: WindowBatch) -> Prediction:
        assert b.forces is not None
        a = (b.forces / masses)[:, None]
        straight = ballistic(b)
        return Prediction(straight.positions + 0.5 * a * tau**2, straight.velocities + a * tau)

    predictors: dict[str, Predictor] = {"persistence": persistence, "ballistic": ballistic}
    if windows.has_forces:
        predictors["half_a_tau_squared"] = accelerated
    return predictors
