"""TensorNet over all pairs of one molecule, from the weights of a TorchMD-Net model.

TorchMD-Net searches neighbours and keeps every feature as a 3 × 3 matrix. For one
molecule every pair is an edge (the cutoff function removes those beyond it), and
nine coefficients in an orthonormal basis say the same as the matrix: one number
for its trace, three for its skew part, five for its symmetric traceless part.
The energies agree with TorchMD-Net's to rounding at a fraction of the time.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

PARTS = (0, 1, 1, 1, 2, 2, 2, 2, 2)
"""To which of the three parts of a matrix each of its nine coefficients belongs."""


class DenseTensorNet(nn.Module):
    """TensorNet (Simeon & De Fabritiis 2023) of one molecule.

    Args:
        model: a TorchMD-Net TensorNet of group O(3); its parameters are shared.
        atomic_numbers: ``(atoms,)``.
    """

    basis: Tensor

    def __init__(self, model: nn.Module, atomic_numbers: np.ndarray) -> None:
        super().__init__()
        self.model = model
        net = model.representation_model
        count = len(atomic_numbers)
        self.cutoff = float(net.cutoff_upper)
        first, second = np.triu_indices(count, k=1)
        index = np.full((count, count), len(first))  # the last pair is an atom with itself
        index[first, second] = index[second, first] = np.arange(len(first))
        sign = np.sign(np.arange(count)[None] - np.arange(count)[:, None])
        signs = np.where(np.array(PARTS) == 1, sign.reshape(-1, 1), 1.0)
        dtype = next(model.parameters()).dtype
        constants = {
            "numbers": torch.as_tensor(np.asarray(atomic_numbers), dtype=torch.long),
            "first": torch.as_tensor(first),
            "second": torch.as_tensor(second),
            "index": torch.as_tensor(index.ravel()),
            "signs": torch.as_tensor(signs, dtype=dtype),
            "parts": torch.tensor(PARTS),
            "basis": torch.as_tensor(matrix_basis(), dtype=dtype),
            "groups": torch.nn.functional.one_hot(torch.tensor(PARTS)).T.to(dtype),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)

    def forward(self, positions: Float[Tensor, "batch atoms 3"]) -> Float[Tensor, " batch"]:
        """Energies in the model's unit, without its constant, at positions in Å."""
        net: Any = self.model.representation_model
        out: Any = self.model.output_model
        shape = positions.shape[:2]
        pair = positions.index_select(1, self.first) - positions.index_select(1, self.second)
        distance = pair.square().sum(-1).sqrt()
        unit = pair / distance[..., None]
        distance = torch.cat([distance, distance.new_zeros(shape[0], 1)], dim=1)
        cut = 0.5 * (torch.cos(distance * (math.pi / self.cutoff)) + 1) * (distance < self.cutoff)
        radial = net.distance_expansion(distance)
        features = self._embed(net.tensor_embedding, radial, cut, unit, shape)
        for layer in net.layers:
            features = self._interact(layer, features, radial, cut, shape)
        norms = (self.groups @ features.square().flatten(1)).view(3, *features.shape[1:])
        atoms = silu(net.linear(_normalised(norms.transpose(0, 1).flatten(1), net.out_norm)))
        energies = out.output_network(atoms).view(shape).sum(1)
        return energies * self.model.std

    def _embed(
        self, layer: Any, radial: Tensor, cut: Tensor, unit: Tensor, shape: torch.Size
    ) -> Tensor:
        """The first features, ``(9, batch · atoms, channels)``."""
        projections = (layer.distance_proj1, layer.distance_proj2, layer.distance_proj3)
        weights = torch.stack([cut[..., None] * project(radial) for project in projections])
        count = shape[1]
        kinds = layer.emb(self.numbers)
        both = torch.cat(
            [kinds.repeat_interleave(count, 0), kinds.repeat(count, 1)], dim=-1
        )  # receiver, sender
        edges = weights.index_select(2, self.index) * layer.emb2(both)
        edges = edges.view(3, shape[0] * count, count, edges.shape[-1])
        angular = self._angular(unit).view(shape[0], count, count, 9).transpose(2, 3).flatten(0, 1)
        parts = zip(angular.split((1, 3, 5), dim=1), edges, strict=True)
        messages = torch.cat([torch.bmm(a, e) for a, e in parts], dim=1).transpose(0, 1)
        gate = _normalised(messages.square().sum(0), layer.init_norm)
        for linear in layer.linears_scalar:
            gate = silu(linear(gate))
        gates = (
            gate.view(len(gate), 3, messages.shape[-1]).transpose(0, 1).index_select(0, self.parts)
        )
        return self._mix(messages, layer.linears_tensor) * gates

    def _interact(
        self, layer: Any, features: Tensor, radial: Tensor, cut: Tensor, shape: torch.Size
    ) -> Tensor:
        edge = radial
        for linear in layer.linears_scalar:
            edge = silu(linear(edge))
        edge = (edge * cut[..., None]).unflatten(-1, (3, features.shape[-1])).permute(2, 0, 1, 3)
        features = features / (features.square().sum(0) + 1)
        mixed = self._mix(features, layer.linears_tensor[:3])
        channels = mixed.shape[-1]
        sender = mixed.view(9, shape[0], 1, shape[1], channels)
        edges = edge.index_select(2, self.index).unflatten(2, (shape[1], shape[1]))
        parts = zip(edges, sender.split((1, 3, 5)), strict=True)
        message = torch.cat([(e * s).sum(3) for e, s in parts]).view(mixed.shape)
        a, b = self._matrix(mixed), self._matrix(message)
        product = self._coefficients(_product(a, b) + _product(b, a))
        product = product / (product.square().sum(0) + 1)
        change = self._mix(product, layer.linears_tensor[3:])
        matrix = self._matrix(change)
        return features + change + self._coefficients(_product(matrix, matrix))

    def _angular(self, unit: Tensor) -> Tensor:
        """Coefficients of I, the skew matrix of u and uuᵀ without its trace, per edge."""
        outer = (unit[..., :, None] * unit[..., None, :]).flatten(-2) @ self.basis[:, 4:]
        scalar = torch.full_like(unit[..., :1], math.sqrt(3))
        each = torch.cat([scalar, math.sqrt(2) * unit, outer], dim=-1)
        itself = torch.zeros_like(each[:, :1])
        itself[..., 0] = math.sqrt(3)
        return torch.cat([each, itself], dim=1).index_select(1, self.index) * self.signs

    def _mix(self, features: Tensor, linears: Any) -> Tensor:
        """One linear map of the channels per part, without bias."""
        weights = torch.stack([linear.weight.T for linear in linears])
        return torch.bmm(features, weights.index_select(0, self.parts))

    def _matrix(self, features: Tensor) -> Tensor:
        return (self.basis @ features.flatten(1)).view(3, 3, *features.shape[1:])

    def _coefficients(self, matrix: Tensor) -> Tensor:
        return (self.basis.T @ matrix.flatten(2).flatten(0, 1)).view(9, *matrix.shape[2:])


def compiled(
    energy: DenseTensorNet,
) -> Callable[[Float[Tensor, "atoms 3"]], tuple[Tensor, Tensor]]:
    """Energy and forces of one molecule as one TorchScript graph, without autograd.

    Forward and backward pass are written out as plain operations once; no
    operation depends on the positions' values. On small molecules what is saved
    is the overhead of each operation: measured, 2.5 times.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    def both(positions: Tensor) -> tuple[Tensor, Tensor]:
        positions = positions.detach().requires_grad_(True)
        total = energy(positions[None])
        (gradient,) = torch.autograd.grad(total.sum(), positions)
        return total.detach(), -gradient

    count, parameter = len(energy.numbers), next(energy.parameters())
    # atoms apart from each other: at one point the distances have no derivative
    example = torch.arange(3.0 * count).view(count, 3).to(parameter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is in maintenance, and says so
        graph = make_fx(both)(example)
        graph.graph.eliminate_dead_code()
        graph.recompile()
        with torch.no_grad():
            return torch.jit.freeze(torch.jit.trace(graph.eval(), example, check_trace=False))


def fits_all_pairs(arguments: dict[str, Any]) -> bool:
    """Whether `DenseTensorNet` computes what TorchMD-Net would with these arguments."""
    required = {
        "model": "tensornet",
        "equivariance_invariance_group": "O(3)",
        "output_model": "Scalar",
        "activation": "silu",
        "cutoff_lower": 0.0,
    }
    return all(arguments.get(k) == v for k, v in required.items()) and not (
        arguments.get("prior_model") or arguments.get("box_vecs")
    )


def _normalised(values: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Layer normalisation in plain operations, whose derivative TorchScript can trace."""
    centred = values - values.mean(-1, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + norm.eps)
    return centred * scale * norm.weight + norm.bias


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product over the first two axes."""
    return (a[:, :, None] * b[None]).sum(1)


def matrix_basis() -> np.ndarray:
    """``(9, 9)``: column k is an orthonormal 3 × 3 matrix, flattened: trace, skew, symmetric."""
    skew = np.zeros((3, 3, 3))
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        skew[a, b, c], skew[a, c, b] = -1, 1
    symmetric = np.zeros((5, 3, 3))
    for k, (a, b) in enumerate(((0, 1), (1, 2), (0, 2))):
        symmetric[k, a, b] = symmetric[k, b, a] = 1 / math.sqrt(2)
    symmetric[3] = np.diag([1, -1, 0]) / math.sqrt(2)
    symmetric[4] = np.diag([-1, -1, 2]) / math.sqrt(6)
    parts = np.concatenate([np.eye(3)[None] / math.sqrt(3), skew / math.sqrt(2), symmetric])
    return parts.reshape(9, 9).T
