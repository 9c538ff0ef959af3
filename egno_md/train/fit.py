"""Fitting an operator of one system on windows of its trajectories."""

from __future__ import annotations

from pathlib import Path

from egno_md.core.progress import Progress
from egno_md.data.windows import WindowDataset
from egno_md.nn.linear import LinearNetwork
from egno_md.nn.operator import WindowOperator
from egno_md.spec.train import TrainProtocol
from egno_md.train.linear import solve_linear
from egno_md.train.loop import FitResult, Report, run_fit
from egno_md.train.module import OperatorModule
from egno_md.train.sampling import FixedBatches, loader, random_batches

VALIDATION_WINDOWS = 1024
VALIDATION_ATOMS, VALIDATION_BATCH_ATOMS = 30_000, 3000
"""Bounds on what a validation reads, and reads at once, in atoms."""


def fit(
    operator: WindowOperator,
    train: WindowDataset,
    validation: WindowDataset,
    protocol: TrainProtocol,
    folder: Path,
    *,
    seed: int,
    device: str,
    progress: Progress,
) -> FitResult:
    """Train in place; the operator ends with the best validated weights.

    A linear network is solved by least squares instead, without checkpoints.

    Args:
        operator: freshly built, its weights drawn.
        train: windows to learn from.
        validation: windows that choose the weights.
        protocol: how.
        folder: for checkpoints and `metrics.csv`; an earlier run there is continued.
        seed: of the batches.
        device: ``cpu`` or ``gpu``, which must be available.
        progress: receives updates and notes.

    Raises:
        TrainingError: the error became NaN.
    """
    if isinstance(operator.network, LinearNetwork):
        operator.eval()
        return solve_linear(operator.network, operator.scales, train)
    optimisation = protocol.optimisation
    module = OperatorModule(operator, optimisation, protocol.supervise_velocities)
    batches = random_batches(len(train), optimisation, seed)
    chosen = validation.spread(VALIDATION_WINDOWS, VALIDATION_ATOMS)
    at_once = min(64, VALIDATION_BATCH_ATOMS // validation.atoms)
    held_out = FixedBatches(chosen, max(optimisation.batch_size, at_once))
    loaders = loader(train, batches), loader(validation, held_out)
    return run_fit(
        module, operator, loaders, optimisation, folder, REPORT, device=device, progress=progress
    )


def _in_words(row: dict[str, float]) -> dict[str, str]:
    return {
        "validation F-MSE": f"{row['val_f_mse']:.3g} Å²",
        "validation A-MSE": f"{row['val_a_mse']:.3g} Å²",
        "velocity error": f"{row['val_velocity_error']:.1%} of thermal",
    }


REPORT = Report(("val_f_mse", "val_a_mse", "val_velocity_error"), _in_words)
