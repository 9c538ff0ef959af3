"""Fitting a potential to energies and forces with Lightning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from egno_md.core.progress import Progress
from egno_md.spec.fit_potential import FitPotentialProtocol
from egno_md.spec.train import Optimisation
from egno_md.train.budget import BudgetModule
from egno_md.train.loop import FitResult, Report, run_fit
from egno_md.train.sampling import FixedBatches, random_batches

VALIDATION_FRAMES = 512
FRAMES_PER_BATCH = 64

Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class LabelledFrames(Dataset[Batch]):
    """Frames with energies and forces, in the potential's own units.

    Attributes:
        positions: ``(frames, atoms, 3)``, Å.
        energies: ``(frames,)``, kcal/mol, without their constant.
        forces: ``(frames, atoms, 3)``, kcal/mol/Å.
    """

    positions: Tensor
    energies: Tensor
    forces: Tensor

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: np.ndarray) -> Batch:
        chosen = torch.as_tensor(index)
        return self.positions[chosen], self.energies[chosen], self.forces[chosen]


@dataclass(frozen=True)
class PotentialErrors:
    """Errors of a potential.

    Attributes:
        frames: how many were measured.
        force_mae: kcal/mol/Å, over components.
        force_rmse: kcal/mol/Å, over components.
        energy_mae: kcal/mol.
        energy_rmse: kcal/mol.
    """

    frames: int
    force_mae: float
    force_rmse: float
    energy_mae: float
    energy_rmse: float


def energies_and_forces(
    energy: nn.Module, positions: Tensor, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """Energies at `positions`, and forces as their negative gradient."""
    with torch.enable_grad():
        positions = positions.detach().requires_grad_(True)
        energies = energy(positions)
        (gradient,) = torch.autograd.grad(energies.sum(), positions, create_graph=create_graph)
    return energies, -gradient


class PotentialModule(BudgetModule):
    """Trains a module that gives energies at positions.

    Args:
        energy: ``(batch, atoms, 3)`` Å to ``(batch,)`` kcal/mol.
        optimisation: how.
        scales: standard deviations of the energies and of the force components.
        energy_weight: of the energy term in the loss.
    """

    def __init__(
        self,
        energy: nn.Module,
        optimisation: Optimisation,
        scales: tuple[float, float],
        energy_weight: float,
    ) -> None:
        super().__init__(optimisation)
        self.energy = energy
        self.scales, self.energy_weight = scales, energy_weight
        self._sums = torch.zeros(3)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Mean squared errors of forces and energies, each over its variance."""
        positions, energies, forces = batch
        predictions, pulls = energies_and_forces(self.energy, positions, create_graph=True)
        of_forces = (pulls - forces).square().mean() / self.scales[1] ** 2
        of_energies = (predictions - energies).square().mean() / self.scales[0] ** 2
        loss = of_forces + self.energy_weight * of_energies
        self.log("loss", loss, batch_size=len(positions))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Reset the errors before a validation."""
        self._sums = torch.zeros(3)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Collect the errors of one batch."""
        positions, energies, forces = batch
        predictions, pulls = energies_and_forces(self.energy, positions)
        force = (pulls - forces).abs().mean((1, 2)).sum()
        energy = (predictions.detach() - energies).abs().sum()
        self._sums += torch.stack([force, energy, force.new_tensor(len(positions))]).cpu()

    def on_validation_epoch_end(self) -> None:
        """Log the mean absolute errors."""
        force, energy, frames = self._sums.tolist()
        if not math.isfinite(force + energy):
            self.refuse_divergence()
        self.log_dict({"val_force_mae": force / frames, "val_energy_mae": energy / frames})


def fit_potential(
    energy: nn.Module,
    train: LabelledFrames,
    validation: LabelledFrames,
    protocol: FitPotentialProtocol,
    folder: Path,
    *,
    seed: int,
    device: str,
    progress: Progress,
) -> FitResult:
    """Train in place; the module ends with the best validated weights.

    Args:
        energy: freshly built, its weights drawn.
        train: frames to learn from.
        validation: frames that choose the weights.
        protocol: how.
        folder: for checkpoints and `metrics.csv`; an earlier run there is continued.
        seed: of the batches.
        device: ``cpu`` or ``gpu``, which must be available.
        progress: receives updates and notes.

    Raises:
        TrainingError: the error became NaN.
    """
    optimisation = protocol.optimisation
    scales = (float(train.energies.std()) or 1.0, float(train.forces.std()) or 1.0)
    module = PotentialModule(energy, optimisation, scales, protocol.energy_weight)
    batches = random_batches(len(train), optimisation, seed)
    count = min(len(validation), VALIDATION_FRAMES)
    chosen = np.linspace(0, len(validation) - 1, count).astype(int)
    held_out = FixedBatches(chosen, FRAMES_PER_BATCH)
    loaders = (
        DataLoader(train, batch_size=None, sampler=batches),
        DataLoader(validation, batch_size=None, sampler=held_out),
    )
    return run_fit(
        module,
        energy,
        loaders,
        optimisation,
        folder,
        REPORT,
        device=device,
        progress=progress,
        inference_mode=False,
    )


def measure_potential(energy: nn.Module, frames: LabelledFrames) -> PotentialErrors:
    """Errors of energies and forces on `frames`."""
    force, energies = [], []
    for start in range(0, len(frames), FRAMES_PER_BATCH):
        index = np.arange(start, min(start + FRAMES_PER_BATCH, len(frames)))
        positions, labels, pulls = frames[index]
        predictions, forces = energies_and_forces(energy, positions)
        force.append((forces - pulls).double().flatten())
        energies.append((predictions.detach() - labels).double())
    of_forces, of_energies = torch.cat(force), torch.cat(energies)
    return PotentialErrors(
        frames=len(frames),
        force_mae=float(of_forces.abs().mean()),
        force_rmse=float(of_forces.square().mean().sqrt()),
        energy_mae=float(of_energies.abs().mean()),
        energy_rmse=float(of_energies.square().mean().sqrt()),
    )


def _in_words(row: dict[str, float]) -> dict[str, str]:
    return {
        "validation force error": f"{row['val_force_mae']:.3g} kcal/mol/Å",
        "validation energy error": f"{row['val_energy_mae']:.3g} kcal/mol",
    }


REPORT = Report(("val_force_mae", "val_energy_mae"), _in_words)
