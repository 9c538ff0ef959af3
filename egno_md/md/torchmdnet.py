"""A TorchMD-Net model as a potential inside OpenMM."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from egno_md.core.errors import PotentialError
from egno_md.core.units import NANOMETRE_PER_ANGSTROM


class TorchMDNetForce:
    """TorchMD-Net as a potential of a `PythonForce`.

    The model works in Å; `energy_unit` says what one unit of its energy is in
    kJ/mol.
    """

    def __init__(
        self, model: torch.nn.Module, atomic_numbers: np.ndarray, energy_unit: float
    ) -> None:
        self.model = model.eval()
        self.numbers = torch.as_tensor(np.asarray(atomic_numbers), dtype=torch.long)
        self.energy_unit = energy_unit
        self.failures = 0

    def reset(self) -> None:
        """Nothing is remembered between evaluations."""

    def compute(self, positions: np.ndarray, walker: int = 0) -> tuple[float, np.ndarray]:  # noqa: ARG002
        """Energy and forces at ``(atoms, 3)`` positions in nm."""
        angstrom = torch.as_tensor(
            positions / NANOMETRE_PER_ANGSTROM, dtype=next(self.model.parameters()).dtype
        )
        energy, forces = self.model(self.numbers, angstrom)
        unit = self.energy_unit
        return (
            float(energy.detach()) * unit,
            forces.detach().double().numpy() * (unit / NANOMETRE_PER_ANGSTROM),
        )


def save_model(folder: Path, model: torch.nn.Module, arguments: dict, energy_unit: float) -> None:
    """Write weights (safetensors) and arguments (JSON), never a pickle.

    Args:
        folder: created if needed.
        model: what `torchmdnet.models.model.create_model(arguments)` returned.
        arguments: TorchMD-Net's own, all of them JSON values.
        energy_unit: kJ/mol per unit of the model's energy.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().clone().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    content = {
        "format": "torchmd-net",
        "energy_unit_kj_per_mol": energy_unit,
        "arguments": arguments,
    }
    (folder / "model.json").write_text(json.dumps(content, indent=1))


def load_force(folder: Path, atomic_numbers: np.ndarray) -> TorchMDNetForce:
    """The potential saved by `save_model`.

    Raises:
        PotentialError: files missing or not of this format, or torchmd-net absent.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        from torchmdnet.models.model import create_model
    except ImportError:
        raise PotentialError(
            "the potential needs torchmd-net. Run: pip install torchmd-net"
        ) from None
    try:
        content = json.loads((folder / "model.json").read_text())
        model = create_model(content["arguments"])
        model.load_state_dict(load_file(folder / "model.safetensors"))
        unit = float(content["energy_unit_kj_per_mol"])
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        detail = " ".join(str(error).split())[:160]
        raise PotentialError(
            f"{folder}: no TorchMD-Net model (model.json, model.safetensors): {detail}."
        ) from None
    return TorchMDNetForce(model, atomic_numbers, unit)
