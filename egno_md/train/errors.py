"""Held-out errors of an operator and of the baselines it must beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from egno_md.data.windows import WindowBatch, WindowDataset
from egno_md.nn.operator import BoundOperator, Prediction, Start, WindowOperator
from egno_md.train.losses import SquaredErrors

SAMPLE = 3000
BATCH = 100
SAMPLE_ATOMS, BATCH_ATOMS = 90_000, 3000
"""Bounds on the same for large systems, in atoms."""

Predictor = Callable[[WindowBatch], Prediction]


def measure(predict: Predictor, windows: WindowDataset, limit: int = SAMPLE) -> SquaredErrors:
    """Errors of a predictor over evenly spread windows."""
    chosen = windows.spread(limit, SAMPLE_ATOMS)
    at_once = min(BATCH, max(BATCH_ATOMS // windows.atoms, 1))
    total: SquaredErrors | None = None
    with torch.inference_mode():
        for indices in np.array_split(chosen, max(1, -(-len(chosen) // at_once))):
            batch = windows[indices]
            errors = SquaredErrors.of(predict(batch), batch)
            total = errors if total is None else total + errors
    assert total is not None
    return total


def measure_errors(
    operator: WindowOperator | BoundOperator, windows: WindowDataset, limit: int = SAMPLE
) -> SquaredErrors:
    """Errors of the operator over evenly spread windows."""
    times = torch.tensor(windows.window.time_points, dtype=torch.float64)
    device = next(operator.network.parameters()).device

    def predict(batch: WindowBatch) -> Prediction:
        there = batch.to(device)
        start = Start(there.positions, there.velocities, there.forces, there.box)
        decoded = operator(start, times)
        return replace(
            decoded, positions=decoded.positions.cpu(), velocities=decoded.velocities.cpu()
        )

    return measure(predict, windows, limit)


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
        still = persistence(b)
        return Prediction(still.positions + still.velocities * tau, still.velocities)

    def accelerated(b: WindowBatch) -> Prediction:
        assert b.forces is not None
        a = (b.forces / masses)[:, None]
        straight = ballistic(b)
        return Prediction(straight.positions + 0.5 * a * tau**2, straight.velocities + a * tau)

    found: dict[str, Predictor] = {"persistence": persistence, "ballistic": ballistic}
    if windows.has_forces:
        found["half_a_tau_squared"] = accelerated
    return found
