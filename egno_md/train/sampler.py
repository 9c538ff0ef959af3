"""Fitting a sampler by flow matching (Lipman et al. 2023) over whole windows."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from egno_md.core.progress import Progress
from egno_md.data.sampler_windows import SamplerBatch, SamplerWindows
from egno_md.nn.sampler import LENGTH, SamplerOperator, centred, flow_times
from egno_md.spec.train import Optimisation, TrainProtocol
from egno_md.train.budget import BudgetModule
from egno_md.train.loop import FitResult, Report, run_fit
from egno_md.train.sampling import (
    FixedBatches,
    drawing,
    loader,
    piece_of_step,
    random_batches,
)

VALIDATION_WINDOWS = 384
VALIDATION_BATCH = 128
SAMPLE = 4096


class SamplerModule(BudgetModule):
    """Trains a `SamplerOperator`.

    Flow times and noise come from generators seeded by the step and the piece of it
    that is computed: a resumed run draws what an uninterrupted one would have drawn.

    Args:
        operator: what is trained.
        optimisation: how.
        seed: of flow times and noise.
    """

    def __init__(self, operator: SamplerOperator, optimisation: Optimisation, seed: int) -> None:
        super().__init__(optimisation)
        self.operator = operator
        self.seed = seed

    def training_step(self, batch: SamplerBatch, number: int) -> Tensor:
        """The loss of one batch."""
        piece = piece_of_step(number, self.optimisation.accumulate)
        random = drawing(self.seed, 0, self.global_step, piece)
        loss = flow_loss(self.operator, batch, random)
        self.log("loss", loss, batch_size=len(batch.start))
        return loss

    def validation_step(self, batch: SamplerBatch, number: int) -> None:
        """The same noise at every validation."""
        loss = flow_loss(self.operator, batch, drawing(self.seed, 1, number))
        if not bool(loss.isfinite()):
            self.refuse_divergence()
        self.log("val_flow_loss", loss, batch_size=len(batch.start))


def flow_loss(operator: SamplerOperator, batch: SamplerBatch, generator: torch.Generator) -> Tensor:
    """Mean squared error of the normalised velocity, at random flow times.

    1 without learning anything beyond the width of moves and noise; it cannot fall
    to 0, since many windows lead through one noisy window.

    Args:
        operator: to measure.
        batch: true windows.
        generator: on CPU; draws flow times, more of them near the data, and noise.
    """
    count, device = len(batch.start), batch.start.device
    # one in each stratum: less noise than independent draws
    share = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    flow = flow_times(share).to(device)
    noise = centred(torch.randn(batch.future.shape, generator=generator)).to(device)
    noise = noise * (operator.card.network.noise / LENGTH)
    true = (batch.future - batch.start[:, None]) / LENGTH
    t = flow.view(-1, 1, 1, 1)
    moves = t * true + (1 - t) * noise
    linear_part = operator.preconditioned(moves, flow)
    target = (true - noise - linear_part.linear) / linear_part.scale
    conditions = operator.conditions(batch.start)
    start_features = operator.field.start_features(conditions)
    output = operator.residual(moves, linear_part, flow, conditions, start_features)
    return (output - target).square().mean()


def window_spread(windows: SamplerWindows) -> tuple[float, ...]:
    """Root mean square move of a coordinate since the start frame at each time point, nm."""
    batch = windows[windows.spread(SAMPLE)]
    moves = (batch.future - batch.start[:, None]).double()
    return tuple(max(x, 1e-6) for x in moves.square().mean(dim=(0, 2, 3)).sqrt().tolist())


def fit_sampler(
    operator: SamplerOperator,
    train: SamplerWindows,
    validation: SamplerWindows,
    protocol: TrainProtocol,
    folder: Path,
    *,
    seed: int,
    device: str,
    progress: Progress,
) -> FitResult:
    """Train in place; the operator ends with the best validated weights.

    Args:
        operator: freshly built, its weights drawn.
        train: windows to learn from.
        validation: windows that choose the weights.
        protocol: how.
        folder: for checkpoints and `metrics.csv`; an earlier run there is continued.
        seed: of batches, flow times and noise.
        device: ``cpu`` or ``gpu``, which must be available.
        progress: receives updates and notes.

    Raises:
        TrainingError: the error became NaN.
    """
    optimisation = protocol.optimisation
    module = SamplerModule(operator, optimisation, seed)
    batches = random_batches(len(train), optimisation, seed)
    held_out = FixedBatches(validation.spread(VALIDATION_WINDOWS), VALIDATION_BATCH)
    loaders = loader(train, batches), loader(validation, held_out)
    return run_fit(
        module, operator, loaders, optimisation, folder, REPORT, device=device, progress=progress
    )


def _in_words(row: dict[str, float]) -> dict[str, str]:
    return {"validation loss": f"{row['val_flow_loss']:.4f} (1 knows only widths)"}


REPORT = Report(("val_flow_loss",), _in_words)
