"""The all-pairs TensorNet is TorchMD-Net's TensorNet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from egno_md.core.errors import PotentialError
from egno_md.core.system import System
from egno_md.core.units import KJ_PER_KCAL, NANOMETRE_PER_ANGSTROM
from egno_md.md.potentials.tensornet import DenseTensorNet, matrix_basis
from egno_md.md.potentials.torchmdnet import TorchMDNetForce, load_force, new_tensornet, save_model
from egno_md.spec.fit_potential import TensorNet

SINGLE = 2e-6
"""Relative: both are single precision, summed in another order."""


def a_network(system: System, cutoff: float, layers: int = 1) -> tuple[DenseTensorNet, dict]:
    torch.manual_seed(0)
    network = TensorNet.model_construct(layers=layers, channels=16, radial=8, cutoff=cutoff)
    return new_tensornet(network, system.atomic_numbers, scale=20.0)


@pytest.mark.parametrize(("cutoff", "layers"), [(0.5, 1), (0.25, 2), (0.5, 0)])
def test_energies_and_forces_are_torchmd_nets(ethanol: System, cutoff: float, layers: int) -> None:
    dense, _ = a_network(ethanol, cutoff, layers)
    ours = TorchMDNetForce(dense, ethanol.atomic_numbers, 1.0)
    theirs = TorchMDNetForce(dense.model, ethanol.atomic_numbers, 1.0)
    random = np.random.default_rng(1)
    for _ in range(3):
        positions = ethanol.positions + 0.01 * random.standard_normal((9, 3))
        energy, forces = ours.compute(positions)
        expected, pulls = theirs.compute(positions)
        assert energy == pytest.approx(expected, rel=SINGLE, abs=1e-4)
        assert np.abs(forces - pulls).max() < 50 * SINGLE * np.abs(pulls).max()
        assert np.abs(pulls).max() > 1


def test_rotations_and_reflections_leave_the_energy(ethanol: System) -> None:
    dense, _ = a_network(ethanol, 0.5)
    force = TorchMDNetForce(dense, ethanol.atomic_numbers, 1.0)
    turn, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))
    energy, forces = force.compute(ethanol.positions)
    for matrix in (turn, -turn):
        turned, pulls = force.compute(ethanol.positions @ matrix.T)
        assert turned == pytest.approx(energy, abs=1e-4)
        np.testing.assert_allclose(pulls, forces @ matrix.T, atol=1e-4 * np.abs(forces).max())


def test_a_batch_gives_what_each_frame_gives(ethanol: System) -> None:
    dense, _ = a_network(ethanol, 0.5)
    noise = 0.1 * torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(3))
    frames = torch.as_tensor(ethanol.positions / NANOMETRE_PER_ANGSTROM).float() + noise
    together = dense(frames)
    apart = torch.stack([dense(f[None])[0] for f in frames])
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-4)


def test_the_basis_is_orthonormal() -> None:
    basis = matrix_basis()
    np.testing.assert_allclose(basis.T @ basis, np.eye(9), atol=1e-15)


def test_a_saved_model_comes_back_with_its_offset(ethanol: System, tmp_path: Path) -> None:
    dense, arguments = a_network(ethanol, 0.5)
    offset = -405_000.125
    save_model(tmp_path, dense.model, arguments, KJ_PER_KCAL, offset)
    loaded = load_force(tmp_path, ethanol.atomic_numbers)
    expected, pulls = TorchMDNetForce(dense, ethanol.atomic_numbers, KJ_PER_KCAL).compute(
        ethanol.positions
    )
    energy, forces = loaded.compute(ethanol.positions)
    assert energy - offset == pytest.approx(expected, abs=1e-6)
    np.testing.assert_array_equal(forces, pulls)


def test_damaged_weights_are_an_error_that_names_the_folder(
    ethanol: System, tmp_path: Path
) -> None:
    dense, arguments = a_network(ethanol, 0.5)
    save_model(tmp_path, dense.model, arguments, 1.0)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(PotentialError, match=str(tmp_path)):
        load_force(tmp_path, ethanol.atomic_numbers)
