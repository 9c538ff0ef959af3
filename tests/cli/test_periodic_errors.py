"""Boxes, radii and pressures that do not fit: one line that says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from egno_md.core.system import System
from egno_md.data.store import Store, StoreWriter, new_manifest
from egno_md.md.build import load_system
from egno_md.nn.bundle import save_bundle
from egno_md.spec.files import shipped
from tests.cli.test_errors import fails
from tests.cli.test_verbs import TINY_TRAIN, egno
from tests.conftest import make_operator


@pytest.fixture(scope="module")
def water() -> System:
    return load_system("waterbox").system


@pytest.fixture
def still_water(water: System, tmp_path: Path) -> Store:
    """Frames of water that stand almost still, in their box."""
    from egno_md.core.state import Trajectory

    random = np.random.default_rng(0)
    x = water.positions + 1e-4 * random.standard_normal((60, *water.positions.shape))
    v = random.standard_normal(x.shape)
    box = np.repeat(water.box[None], 60, axis=0)
    trajectory = Trajectory(x, 0.001 * np.arange(60), v, 100 * v, np.zeros(60), box)
    writer = StoreWriter(tmp_path / "still", new_manifest(water, "generate", 0.001), water.topology)
    writer.append(trajectory, "one")
    writer.finish()
    return Store(tmp_path / "still")


def own_water(tmp_path: Path, *edits: tuple[str, str], box: bool = True) -> Path:
    folder = tmp_path / "mine"
    shutil.copytree(shipped("systems") / "waterbox", folder)
    text = (folder / "system.yaml").read_text()
    for before, after in edits:
        assert before in text
        text = text.replace(before, after)
    (folder / "system.yaml").write_text(text)
    if not box:
        lines = (folder / "waterbox.pdb").read_text().splitlines()
        kept = [line for line in lines if not line.startswith("CRYST1")]
        (folder / "waterbox.pdb").write_text("\n".join(kept) + "\n")
    return folder


def test_ewald_without_a_box(tmp_path: Path) -> None:
    message = fails("generate", own_water(tmp_path, box=False), "--out", tmp_path / "o")
    assert "nonbonded: pme needs a periodic box" in message
    assert "CRYST1" in message


def test_a_force_field_cutoff_beyond_half_the_box(tmp_path: Path) -> None:
    folder = own_water(tmp_path, ("cutoff: 0.8 nm", "cutoff: 0.95 nm"))
    message = fails("generate", folder, "--out", tmp_path / "o")
    assert "a cutoff of 0.95 nm is beyond half the box, which is 1.87 nm across" in message
    assert "at most 0.93 nm" in message


def test_no_cutoff_in_a_box(tmp_path: Path) -> None:
    folder = own_water(tmp_path, ("nonbonded: pme", "nonbonded: no-cutoff"))
    assert "Set nonbonded: pme" in fails("generate", folder, "--out", tmp_path / "o")


def test_radii_and_graphs_that_do_not_fit_the_box(still_water: Store, tmp_path: Path) -> None:
    train = ("train", still_water.root, *TINY_TRAIN, "--out", tmp_path / "o")
    message = fails(*train, "--protocol", "egno-8fs")
    assert "waterbox is periodic" in message
    assert "edges: radius" in message
    assert "kind: egno-published" in fails(
        "train", still_water.root, "--protocol", "egno-published", "--out", tmp_path / "o"
    )
    water = (*train, "--protocol", "egno-water-4fs")
    message = fails(*water, "--set", "network.cutoff='1.2 nm'")
    assert "a radius of 1.2 nm is beyond half the box" in message
    assert "edges: radius needs a cutoff" in fails(*water, "--set", "network.cutoff=null")
    assert "edges: radius needs a cutoff" in fails(*water, "--set", "network.edges=complete")


def test_pressures_that_mean_nothing(ethanol: System, tmp_path: Path) -> None:
    save_bundle(tmp_path / "bundle", make_operator(ethanol))
    rollout = ("propagate", "ethanol", "--operator", tmp_path / "bundle", "--out", tmp_path / "o")
    barostat = ("--set", "boundary.barostat={pressure: 1 bar}")
    assert "ethanol has no periodic box" in fails(*rollout, *barostat)
    message = fails(*rollout, "--set", "boundary={kind: none, barostat: {pressure: 1 bar}}")
    assert "boundary.barostat: unknown key" in message, "pressure needs a thermostat"
    message = fails("generate", "ethanol", "--set", "pressure='1 bar'", "--out", tmp_path / "o")
    assert "ethanol has no periodic box" in message


def test_frames_of_a_periodic_system_need_their_box(water: System, tmp_path: Path) -> None:
    frames = mdtraj.Trajectory(
        np.repeat(water.positions[None], 3, axis=0).astype(np.float32), water.topology
    )
    frames.save_dcd(str(tmp_path / "boxless.dcd"))
    load = ("load", tmp_path / "boxless.dcd", "--spacing", "1fs", "--velocities", "none")
    top = shipped("systems") / "waterbox" / "waterbox.pdb"
    message = fails(*load, "--topology", top, "--system", "waterbox", "--out", tmp_path / "store")
    assert "no box and system waterbox is periodic" in message
    frames.unitcell_vectors = np.repeat(water.box[None], 3, axis=0).astype(np.float32)
    frames.xyz -= np.floor(frames.xyz / 1.87) * np.float32(1.87)
    frames.save_dcd(str(tmp_path / "boxless.dcd"), force_overwrite=True)
    egno(*load, "--topology", top, "--system", "waterbox", "--out", tmp_path / "store", "--quiet")
    stored = Store(tmp_path / "store")
    assert stored.system().box is not None
    bonds = water.bonds
    first = next(iter(stored)).positions[0]
    lengths = np.linalg.norm(first[bonds[:, 0]] - first[bonds[:, 1]], axis=1)
    assert lengths.max() < 0.12, "molecules broken across faces are whole again"
