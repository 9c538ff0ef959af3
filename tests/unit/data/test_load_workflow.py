"""`load` brings MD17 and foreign trajectories into stores."""

import json
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from mdtraj.formats import HDF5TrajectoryFile

from egno_md.core.errors import DataError, OutputError
from egno_md.data import foreign
from egno_md.data.md17 import molecule_topology
from egno_md.data.output import read_run
from egno_md.data.store import MANIFEST
from egno_md.md import load
from egno_md.md.load import run_load

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
STILL = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
FRAMES = 8


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not part of the project")
    return path


def moving() -> np.ndarray:
    """Å; every atom at a constant velocity of its own."""
    velocities = np.random.default_rng(2).normal(size=(3, 3))
    return STILL + 0.01 * np.arange(FRAMES)[:, None, None] * velocities


@pytest.fixture
def md17(tmp_path) -> Path:
    path = tmp_path / "water.npz"
    zeros = np.zeros((FRAMES, 3, 3))
    np.savez(path, z=np.array([8, 1, 1]), R=moving(), E=np.zeros((FRAMES, 1)), F=zeros)
    return path


@pytest.fixture
def hdf5(tmp_path) -> Path:
    path = tmp_path / "water.h5"
    x = (moving() / 10).astype(np.float32)
    with HDF5TrajectoryFile(str(path), "w") as file:
        file.topology = molecule_topology(np.array([8, 1, 1]), STILL / 10)
        file.write(x, time=0.5 * np.arange(FRAMES), velocities=2 * x)
    return path


@pytest.fixture
def three_frames_at_once(monkeypatch):
    monkeypatch.setattr(foreign, "frames_at_once", lambda atoms: 3)


def test_md17_loads_without_velocities(md17, tmp_path):
    store = run_load(str(md17), tmp_path / "out", velocities="none", name="my-water")
    assert store.chains == ("loaded",)
    assert store.manifest.spacing == pytest.approx(0.0005)
    assert store.manifest.system == "my-water"
    assert store.manifest.is_complete
    np.testing.assert_allclose(store.chain("loaded").positions, moving() / 10, rtol=1e-6)
    record = read_run(tmp_path / "out")
    assert record is not None
    assert record["frames"] == FRAMES


def test_missing_velocities_say_what_to_ask_for(md17, tmp_path):
    with pytest.raises(DataError, match=r"holds no velocities\. Ask for '--velocities finite-di"):
        run_load(str(md17), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("three_frames_at_once")
def test_finite_differences_are_made_when_asked_for(md17, tmp_path):
    store = run_load(str(md17), tmp_path / "out", velocities="finite-difference")
    read = store.chain("loaded")
    assert len(read) == FRAMES - 2
    assert len(store.manifest.shards) > 1
    expected = (moving()[1] - moving()[0]) / 10 / 0.0005
    np.testing.assert_allclose(read.velocities[3], expected, rtol=1e-5)
    np.testing.assert_allclose(read.times, 0.0005 * np.arange(1, FRAMES - 1))


@pytest.mark.usefixtures("three_frames_at_once")
def test_stored_velocities_are_kept(hdf5, tmp_path):
    store = run_load(str(hdf5), tmp_path / "out")
    read = store.chain("loaded")
    np.testing.assert_array_equal(read.velocities, 2 * read.positions)
    assert [s.frames for s in store.manifest.shards] == [3, 3, 2]
    assert store.manifest.spacing == 0.5


def test_scattered_frames_have_no_spacing(tmp_path):
    path = tmp_path / "revised.npz"
    np.savez(
        path,
        nuclear_charges=np.array([8, 1, 1]),
        coords=moving(),
        energies=np.zeros(FRAMES),
        forces=np.zeros((FRAMES, 3, 3)),
        old_indices=np.arange(FRAMES) ** 2,
    )
    store = run_load(str(path), tmp_path / "out", velocities="none")
    assert store.chains == ("scattered",)
    assert store.manifest.spacing is None
    with pytest.raises(DataError, match="not evenly spaced"):
        run_load(str(path), tmp_path / "other", velocities="finite-difference")


def test_selection_applies_to_md17(md17, tmp_path):
    store = run_load(str(md17), tmp_path / "out", velocities="none", selection="element H")
    read = store.chain("loaded")
    assert read.positions.shape[1] == 2
    assert read.potential_energy is None


def test_request_names_the_file_but_not_where_it_lies(hdf5, tmp_path):
    run_load(str(hdf5), tmp_path / "out")
    record = (tmp_path / "out" / "run.json").read_text()
    assert json.loads(record)["request"]["source"]["file"] == "water.h5"
    assert len(json.loads(record)["request"]["source"]["sha256"]) == 64
    assert str(tmp_path) not in record
    assert str(tmp_path) not in (tmp_path / "out" / MANIFEST).read_text()


@pytest.mark.usefixtures("three_frames_at_once")
def test_interrupted_load_starts_afresh(hdf5, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def interrupted(writer, parts, *_):
        writer.append(next(iter(parts)), "loaded")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(load, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_load(str(hdf5), out)
    (out / "shards" / "loaded-00001.partial.h5").write_bytes(b"half")
    with pytest.raises(OutputError, match="--resume"):
        run_load(str(hdf5), out)
    with pytest.raises(OutputError, match="different velocities"):
        run_load(str(hdf5), out, velocities="none", mode="resume")
    store = run_load(str(hdf5), out, mode="resume")
    assert len(store.chain("loaded")) == FRAMES
    assert len(list((out / "shards").iterdir())) == len(store.manifest.shards)


def test_finished_load_is_not_repeated(hdf5, tmp_path):
    run_load(str(hdf5), tmp_path / "out")
    shard = next((tmp_path / "out" / "shards").iterdir())
    before = shard.stat().st_mtime_ns
    run_load(str(hdf5), tmp_path / "out", mode="resume")
    assert shard.stat().st_mtime_ns == before


def test_md17_with_a_topology_file_is_refused(md17, hdf5, tmp_path):
    with pytest.raises(DataError, match="Leave out '--topology'"):
        run_load(str(md17), tmp_path / "out", topology=hdf5, velocities="none")


def test_named_system_gives_masses_and_digest(tmp_path):
    source = shared("md17/md17_ethanol_first2000.npz")
    store = run_load(str(source), tmp_path / "out", velocities="none", system="ethanol")
    known = load.load_system("ethanol").system
    assert store.manifest.digest == known.digest
    assert store.manifest.system == "ethanol"
    assert store.manifest.provenance["potential"] == ""
    assert len(store.chain("loaded")) == 2000


def test_atoms_must_be_those_of_the_named_system(md17, tmp_path):
    with pytest.raises(DataError, match="has 3 atoms, system ethanol has 9"):
        run_load(str(md17), tmp_path / "out", velocities="none", system="ethanol")


def test_elements_must_be_those_of_the_named_system(tmp_path):
    known = load.load_system("ethanol").system
    path = tmp_path / "permuted.npz"
    x = known.positions[::-1][None] * 10
    z = known.atomic_numbers[::-1]
    np.savez(path, z=z, R=x, E=np.zeros(1), F=np.zeros_like(x))
    with pytest.raises(DataError, match="atom 0 is H, in system ethanol it is C"):
        run_load(str(path), tmp_path / "out", velocities="none", system="ethanol")


def test_adk_path_loads_with_a_given_spacing(tmp_path):
    source, top = shared("adk/adk_dims.dcd"), shared("adk/adk.psf")
    store = run_load(
        str(source), tmp_path / "out", topology=str(top), spacing=1.0, velocities="none"
    )
    assert store.manifest.frames == 98
    first = mdtraj.load(str(SHARED / "adk" / "adk_closed.pdb"))
    assert store.topology.n_atoms == first.n_atoms
