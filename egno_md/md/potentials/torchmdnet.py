"""A TorchMD-Net model as a potential inside OpenMM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from egno_md.core.errors import PotentialError
from egno_md.core.quiet import hush_warp
from egno_md.core.units import NANOMETRE_PER_ANGSTROM
from egno_md.md.potentials.tensornet import DenseTensorNet, compiled, fits_all_pairs
from egno_md.spec.fit_potential import TensorNet

ALL_PAIRS_LIMIT = 64
"""Atoms up to which every pair is an edge; a neighbour search pays beyond."""


class TorchMDNetForce:
    """TorchMD-Net as a potential of a `PythonForce`.

    The model works in Å; `energy_unit` says what one unit of its energy is in
    kJ/mol, and `energy_offset` (kJ/mol) is added to it in double precision.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        atomic_numbers: np.ndarray,
        energy_unit: float,
        energy_offset: float = 0.0,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.dtype = next(model.parameters()).dtype
        self.numbers = torch.as_tensor(np.asarray(atomic_numbers), dtype=torch.long)
        self.energy_unit, self.energy_offset = energy_unit, energy_offset
        self.failures = 0
        self._compiled = None

    def reset(self) -> None:
        """Nothing is remembered between evaluations."""

    def compute(self, positions: np.ndarray, walker: int = 0) -> tuple[float, np.ndarray]:  # noqa: ARG002
        """Energy and forces at ``(atoms, 3)`` positions in nm."""
        angstrom = torch.as_tensor(positions / NANOMETRE_PER_ANGSTROM, dtype=self.dtype)
        energy, forces = self.evaluate(angstrom)
        unit = self.energy_unit
        return (
            float(energy.detach()) * unit + self.energy_offset,
            forces.detach().double().numpy() * (unit / NANOMETRE_PER_ANGSTROM),
        )

    def evaluate(self, angstrom: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Energy and forces in the model's own units, at positions in Å."""
        if not isinstance(self.model, DenseTensorNet):
            return self.model(self.numbers, angstrom)
        if self._compiled is None:
            self._compiled = compiled(self.model)
        with torch.inference_mode():
            return self._compiled(angstrom)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compiled": None}


def new_tensornet(
    network: TensorNet, atomic_numbers: np.ndarray, scale: float
) -> tuple[DenseTensorNet, dict[str, Any]]:
    """A TensorNet with fresh weights, and TorchMD-Net's arguments for it.

    Args:
        network: its size.
        atomic_numbers: of the molecule.
        scale: multiplies its output.

    Raises:
        PotentialError: torchmd-net is not installed.
    """
    arguments = {
        "model": "tensornet",
        "embedding_dimension": network.channels,
        "num_layers": network.layers,
        "num_rbf": network.radial,
        "rbf_type": "expnorm",
        "trainable_rbf": False,
        "activation": "silu",
        "cutoff_lower": 0.0,
        "cutoff_upper": network.cutoff / NANOMETRE_PER_ANGSTROM,
        "max_z": int(max(atomic_numbers)) + 1,
        "max_num_neighbors": max(len(atomic_numbers), 2),
        "equivariance_invariance_group": "O(3)",
        "prior_model": None,
        "atom_filter": -1,
        "derivative": True,
        "output_model": "Scalar",
        "reduce_op": "add",
        "precision": 32,
        "static_shapes": False,
        "vector_cutoff": False,
    }
    model = _create(arguments)
    model.std.fill_(scale)
    return DenseTensorNet(model, atomic_numbers), arguments


def save_model(
    folder: Path,
    model: torch.nn.Module,
    arguments: dict[str, Any],
    energy_unit: float,
    energy_offset: float = 0.0,
) -> None:
    """Write weights (safetensors) and arguments (JSON), never a pickle.

    Args:
        folder: created if needed.
        model: what `torchmdnet.models.model.create_model(arguments)` returned.
        arguments: TorchMD-Net's own, all of them JSON values.
        energy_unit: kJ/mol per unit of the model's energy.
        energy_offset: kJ/mol, added to that: a total energy is too large for its
            single precision.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().clone().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    content = {
        "format": "torchmd-net",
        "energy_unit_kj_per_mol": energy_unit,
        "energy_offset_kj_per_mol": energy_offset,
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
        content = json.loads((folder / "model.json").read_text())
        arguments = content["arguments"]
        model = _create(arguments)
        model.load_state_dict(load_file(folder / "model.safetensors"))
        unit = float(content["energy_unit_kj_per_mol"])
        offset = float(content.get("energy_offset_kj_per_mol", 0.0))
        is_dense = fits_all_pairs(arguments) and len(atomic_numbers) <= ALL_PAIRS_LIMIT
        if is_dense:
            model = DenseTensorNet(model, atomic_numbers)
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        detail = " ".join(str(error).split())[:160]
        raise PotentialError(
            f"{folder}: no TorchMD-Net model (model.json, model.safetensors): {detail}."
        ) from None
    return TorchMDNetForce(model, atomic_numbers, unit, offset)


def _create(arguments: dict[str, Any]) -> torch.nn.Module:
    try:
        hush_warp()
        from torchmdnet.models.model import create_model
    except ImportError:
        raise PotentialError(
            "the potential needs torchmd-net. Run: pip install torchmd-net"
        ) from None
    return create_model(arguments)
