"""`fit-potential` on a toy molecule, as a user would run it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openmm
import pytest

from egno_md.core.errors import BundleMismatch, DataError
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.data.store import Store, StoreWriter, new_manifest
from egno_md.md.build import load_system
from egno_md.nn.operator import WindowOperator
from egno_md.spec.fit_potential import FitPotentialProtocol, FrameSplit
from egno_md.train.fit_potential import run_fit_potential, split_frames
from tests.cli.test_verbs import egno
from tests.conftest import changed, make_card

FRAMES, STEPS = 160, 60
TINY = [
    word
    for key, value in {
        "network.channels": 8,
        "network.radial": 8,
        "optimisation.max_time": "null",
        "optimisation.max_steps": STEPS,
        "optimisation.validate_every": 20,
        "optimisation.weight_average": 0.9,
        "optimisation.learning_rate": 5e-3,
        "split.train": 128,
        "split.validation": 16,
    }.items()
    for word in ("--set", f"{key}={value}")
]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Distorted ethanol with energies and forces of MMFF94, in the revised MD17 layout."""
    built = load_system("ethanol/mmff94")
    context = openmm.Context(
        built.openmm_system,
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatformByName("Reference"),
    )
    random = np.random.default_rng(0)
    coords, energies, forces = [], [], []
    for _ in range(FRAMES):
        context.setPositions(built.system.positions + 0.006 * random.standard_normal((9, 3)))
        state = context.getState(positions=True, energy=True, forces=True)
        coords.append(state.getPositions(asNumpy=True)._value * 10)
        energies.append(state.getPotentialEnergy()._value / 4.184)
        forces.append(state.getForces(asNumpy=True)._value / 41.84)
    path = tmp_path_factory.mktemp("frames") / "rmd17_toy.npz"
    np.savez(
        path,
        nuclear_charges=built.system.atomic_numbers,
        coords=coords,
        energies=np.array(energies) - 97_000.0,
        forces=forces,
        old_indices=random.permutation(FRAMES) * 7,
    )
    return path


@pytest.fixture(scope="module")
def fitted(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fit") / "fit"
    egno("fit-potential", frames, "--system", "ethanol", *TINY, "--out", out, "--quiet")
    return out


def test_a_short_fit_learns_forces(fitted: Path) -> None:
    summary = json.loads((fitted / "summary.json").read_text())
    assert summary["steps"] == STEPS
    assert summary["frames"] == {"train": 128, "validation": 16, "test": 16}
    assert summary["test"]["force_rmse"] < 0.8 * summary["test_force_spread"]
    rows = (fitted / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + STEPS // 20
    record = json.loads((fitted / "run.json").read_text())
    assert record["status"] == "complete"
    assert record["request"]["data"]["file"] == "rmd17_toy.npz"


def test_its_system_generates_at_once_and_is_known_by_its_checksum(
    fitted: Path, tmp_path: Path
) -> None:
    settings = ["equilibration='5 fs'", "sampling.segments=1", "sampling.segment_length='5 fs'"]
    settings += ["sampling.decorrelation='1 fs'"]
    words = [w for s in settings for w in ("--set", s)]
    egno("generate", fitted / "system", *words, "--out", tmp_path / "data", "--quiet")
    store = Store(tmp_path / "data")
    built = load_system(str(fitted / "system"))
    assert store.manifest.digest == load_system("ethanol").system.digest
    assert store.manifest.provenance["potential"] == built.system.potential
    assert built.system.potential.startswith("TorchMD-Net model ")
    energies = next(iter(store)).potential_energy
    assert np.all(np.abs(energies / 4.184 + 97_000) < 500)


def test_its_errors_are_those_of_its_forces_in_openmm(fitted: Path, frames: Path) -> None:
    from egno_md.core.state import Frame
    from egno_md.md.engine import OpenMMEngine

    engine = OpenMMEngine(
        load_system(str(fitted / "system")), timestep=5e-4, kelvin=300.0, friction=5.0, seed=1
    )
    with np.load(frames) as file:
        order = np.argsort(file["old_indices"])
        coords, forces = file["coords"][order], file["forces"][order]
    test = split_frames(FRAMES, FrameSplit(train=128, validation=16), 0, frames)["test"]
    errors = [
        engine.evaluate(Frame(coords[i] / 10, np.zeros((9, 3)))).forces / 41.84 - forces[i]
        for i in test
    ]
    summary = json.loads((fitted / "summary.json").read_text())
    assert np.abs(errors).mean() == pytest.approx(summary["test"]["force_mae"], rel=1e-4)


def test_a_finished_fit_is_not_repeated_and_another_is_refused(fitted: Path, frames: Path) -> None:
    same = ["fit-potential", frames, "--system", "ethanol", *TINY, "--out", fitted]
    before = (fitted / "system" / "model" / "model.safetensors").stat().st_mtime_ns
    egno(*same, "--resume", "--quiet")
    assert (fitted / "system" / "model" / "model.safetensors").stat().st_mtime_ns == before
    assert "holds results" in egno(*same, code=2).stderr
    assert "different seed" in egno(*same, "--resume", "--seed", 3, code=2).stderr


def test_an_interrupted_fit_ends_as_an_uninterrupted_one(
    fitted: Path, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from egno_md.train.potential import PotentialModule

    taken = PotentialModule.training_step

    def interrupted(self: PotentialModule, batch: tuple, index: int):
        if self.global_step == 30:
            raise KeyboardInterrupt
        return taken(self, batch, index)

    command = ["fit-potential", frames, "--system", "ethanol", *TINY, "--out", tmp_path / "fit"]
    monkeypatch.setattr(PotentialModule, "training_step", interrupted)
    egno(*command, "--quiet", code=130)
    monkeypatch.setattr(PotentialModule, "training_step", taken)
    egno(*command, "--quiet", "--resume")
    ours, theirs = (
        json.loads((folder / "summary.json").read_text()) for folder in (tmp_path / "fit", fitted)
    )
    assert ours["test"] == pytest.approx(theirs["test"], rel=1e-5)


def test_frames_of_another_molecule_are_refused(frames: Path, tmp_path: Path) -> None:
    command = ["fit-potential", frames, "--system", "benzene", *TINY, "--out", tmp_path / "x"]
    message = egno(*command, code=2).stderr
    assert "its atoms are C C O H" in message
    assert not (tmp_path / "x").exists()


def test_frames_with_nan_are_refused(frames: Path, tmp_path: Path) -> None:
    with np.load(frames) as file:
        arrays = dict(file)
    arrays["forces"][5, 0, 0] = np.nan
    np.savez(tmp_path / "bad.npz", **arrays)
    message = egno("fit-potential", tmp_path / "bad.npz", "--out", tmp_path / "x", code=2).stderr
    assert "holds NaN or infinity" in message


def test_a_store_without_forces_is_refused(ethanol: System, tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "data", new_manifest(ethanol, "load", None), ethanol.topology)
    still = np.repeat(ethanol.positions[None], 4, axis=0)
    writer.append(Trajectory(still, np.arange(4.0), potential_energy=np.zeros(4)), "scattered")
    writer.finish()
    protocol = FitPotentialProtocol.model_validate({"optimisation": {"max_steps": 1}})
    with pytest.raises(DataError, match="holds no forces"):
        run_fit_potential(tmp_path / "data", protocol, tmp_path / "x")


def test_too_few_frames_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="100 frames cannot be split into 950"):
        split_frames(100, FrameSplit(train=950, validation=50), 0, tmp_path)
    shares = split_frames(100, FrameSplit(train=0.8, validation=0.1), 0, tmp_path)
    assert [len(shares[k]) for k in ("train", "validation", "test")] == [80, 10, 10]
    assert sorted(np.concatenate(list(shares.values()))) == list(range(100))


def test_a_share_above_one_and_an_unknown_protocol_are_named(frames: Path, tmp_path: Path) -> None:
    command = ["fit-potential", frames, "--out", tmp_path / "x"]
    assert "split.train" in egno(*command, "--set", "split.train=1.5", code=2).stderr
    message = egno(*command, "--protocol", "tensornett", code=2).stderr
    assert "Did you mean 'tensornet'" in message


def test_an_operator_of_another_potential_is_refused(ethanol: System) -> None:
    from egno_md.spec.network import Egno

    mmff94 = load_system("ethanol/mmff94").system
    card = make_card(ethanol, Egno(kind="egno"))
    WindowOperator(card).bind(mmff94)
    operator = WindowOperator(changed(card, potential="GFN2-xTB"))
    operator.bind(ethanol)
    with pytest.raises(BundleMismatch, match="learned ethanol from GFN2-xTB"):
        operator.bind(mmff94)


def test_a_store_is_fitted_too(frames: Path, tmp_path: Path) -> None:
    egno("load", frames, "--velocities", "none", "--out", tmp_path / "data", "--quiet")
    few = ["--set", "optimisation.max_steps=2", "--set", "optimisation.validate_every=2"]
    egno("fit-potential", tmp_path / "data", *TINY, *few, "--out", tmp_path / "fit", "--quiet")
    assert (tmp_path / "fit" / "system" / "system.yaml").is_file()
