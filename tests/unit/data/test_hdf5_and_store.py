"""Trajectory files and stores give back what was written, or say why not."""

import json
import shutil
from pathlib import Path

import mdtraj
import numpy as np
import pytest
import tables

from egno_md.core.errors import DataError
from egno_md.core.state import Trajectory
from egno_md.data.hdf5 import read_hdf5, write_hdf5
from egno_md.data.md17 import molecule_topology
from egno_md.data.store import (
    MANIFEST,
    Store,
    StoreWriter,
    new_manifest,
    read_manifest,
    single_system,
)

ATOMS = 3
STILL = np.array([[0.0, 0.0, 0.0], [0.096, 0.0, 0.0], [-0.024, 0.093, 0.0]])


def water() -> mdtraj.Topology:
    return molecule_topology(np.array([8, 1, 1]), STILL)


def frames(count: int = 4, start: float = 0.0, *, box: bool = False) -> Trajectory:
    random = np.random.default_rng(count)
    vectors = np.array([[2.0, 0, 0], [0.5, 2.1, 0], [-0.3, 0.2, 1.9]])
    return Trajectory(
        positions=random.normal(size=(count, ATOMS, 3)).astype(np.float32),
        times=start + 0.0005 * np.arange(count),
        velocities=random.normal(size=(count, ATOMS, 3)).astype(np.float32),
        forces=random.normal(size=(count, ATOMS, 3)).astype(np.float32),
        potential_energy=random.normal(size=count) - 4e5,
        box=np.tile(vectors, (count, 1, 1)) if box else None,
    )


def write_file(path: Path, trajectory: Trajectory) -> Path:
    write_hdf5(path, trajectory, water(), np.array([16.0, 1.0, 1.0]), 6)
    return path


@pytest.fixture
def writer(tmp_path) -> StoreWriter:
    system = single_system(water(), "water", STILL)
    return StoreWriter(tmp_path / "store", new_manifest(system, "load", 0.0005), water())


@pytest.mark.parametrize("box", [False, True])
def test_file_gives_back_every_field_exactly(tmp_path, box):
    written = frames(box=box)
    read, topology = read_hdf5(write_file(tmp_path / "a.h5", written))
    for name in ("positions", "times", "velocities", "forces", "potential_energy", "box"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name), err_msg=name)
    assert topology == water()
    assert topology.n_bonds == 2


def test_times_and_energies_keep_double_precision(tmp_path):
    """Single precision cannot tell 0.5 fs apart at 1 µs, nor 1 mJ/mol at 4e5 kJ/mol."""
    written = frames(start=1e6)
    read, _ = read_hdf5(write_file(tmp_path / "a.h5", written))
    np.testing.assert_array_equal(read.times, written.times)
    np.testing.assert_array_equal(read.potential_energy, written.potential_energy)
    assert read.times.dtype == np.float64


def test_fields_left_out_stay_out(tmp_path):
    written = Trajectory(positions=frames().positions, times=np.arange(4.0))
    read, _ = read_hdf5(write_file(tmp_path / "a.h5", written))
    assert read.velocities is None
    assert read.forces is None
    assert read.potential_energy is None
    assert read.box is None


def test_mdtraj_reads_the_file(tmp_path):
    written = frames()
    read = mdtraj.load(str(write_file(tmp_path / "a.h5", written)))
    np.testing.assert_array_equal(read.xyz, written.positions)


def test_no_partial_file_is_left(tmp_path):
    write_file(tmp_path / "a.h5", frames())
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.95])
def test_truncated_file_is_refused(tmp_path, share):
    content = write_file(tmp_path / "a.h5", frames(2000)).read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"cut\.h5: truncated, or not an MDTraj HDF5 file"):
        read_hdf5(path)


def test_other_hdf5_file_is_refused(tmp_path):
    path = tmp_path / "other.h5"
    with tables.open_file(str(path), "w") as file:
        file.create_array("/", "numbers", np.arange(3))
    with pytest.raises(DataError, match=r"other\.h5"):
        read_hdf5(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_hdf5(tmp_path / "a.h5")


def test_store_gives_back_its_shards_joined(writer):
    written = frames(9)
    writer.append(written.slice(0, 4), "loaded")
    writer.append(written.slice(4, 9), "loaded")
    writer.finish()
    store = Store(writer.root)
    read = store.chain("loaded")
    for name in ("positions", "times", "velocities", "forces", "potential_energy"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name), err_msg=name)
    assert store.manifest.is_complete
    assert store.manifest.frames == 9
    assert len(store.chain("loaded", limit=1)) == 4
    assert store.topology == water()


def test_stored_system_agrees_with_its_digest(writer):
    writer.append(frames(), "loaded")
    store = Store(writer.root)
    assert store.system().digest == store.manifest.digest
    np.testing.assert_array_equal(store.system().positions, frames().positions[0])


def test_manifest_gives_back_itself(writer):
    writer.append(frames(), "loaded", seed=3)
    assert read_manifest(writer.root) == writer.manifest
    assert writer.manifest.provenance["seed"] == 3


def test_shards_of_different_chains_are_not_joined(writer):
    writer.append(frames(4), "first")
    writer.append(frames(5), "second")
    writer.append(frames(6, start=0.002), "first")
    store = Store(writer.root)
    assert store.chains == ("first", "second")
    assert [len(stretch) for stretch in store] == [10, 5]


def test_damaged_shard_is_named(writer):
    shard = writer.append(frames(2000), "loaded")
    path = writer.root / shard.file
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"loaded-00000\.h5: truncated"):
        Store(writer.root).chain("loaded")


def test_shard_with_other_frames_than_listed_is_refused(writer, tmp_path):
    shard = writer.append(frames(4), "loaded")
    shutil.copyfile(write_file(tmp_path / "a.h5", frames(3)), writer.root / shard.file)
    with pytest.raises(DataError, match="holds 3 frames, the manifest says 4"):
        Store(writer.root).chain("loaded")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"format": "other"}', '{"format": "egno-md trajectory store 1"}'],
)
def test_damaged_manifest_is_refused(writer, content):
    writer.append(frames(), "loaded")
    (writer.root / MANIFEST).write_text(content)
    with pytest.raises(DataError, match=r"manifest\.json"):
        Store(writer.root)


@pytest.mark.parametrize("name", ["../outside.h5", "shards/../../outside.h5", "absolute"])
def test_manifest_cannot_name_a_file_outside(writer, tmp_path, name):
    outside = write_file(tmp_path / "outside.h5", frames())
    writer.append(frames(), "loaded")
    content = json.loads((writer.root / MANIFEST).read_text())
    content["shards"][0]["file"] = str(outside) if name == "absolute" else name
    (writer.root / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(DataError, match="names a file outside"):
        Store(writer.root).chain("loaded")


def test_link_to_a_file_outside_is_refused(writer, tmp_path):
    shard = writer.append(frames(), "loaded")
    path = writer.root / shard.file
    path.unlink()
    path.symlink_to(write_file(tmp_path / "outside.h5", frames()))
    with pytest.raises(DataError, match="names a file outside"):
        Store(writer.root).chain("loaded")


def test_folder_without_a_store_says_how_to_make_one(tmp_path):
    with pytest.raises(DataError, match="Make one with 'egno-md generate'"):
        Store(tmp_path)


def test_store_without_frames_is_refused(writer):
    with pytest.raises(DataError, match="holds no frames yet"):
        Store(writer.root)
