from __future__ import annotations

import json
import shutil
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from egno_md.compare.observable import NOT_ENOUGH_DATA
from egno_md.compare.reading import folder_labels, read_side
from egno_md.compare.run import run_compare
from egno_md.core.errors import DataError, OutputError
from egno_md.core.system import System
from egno_md.data.store import StoreWriter, new_manifest

from .conftest import BUTANE, new_topology


@pytest.fixture
def store(tmp_path, system, sample):
    def write(name: str, seed: int, chains: int = 1, frames: int = 60, of: System = system) -> Path:
        writer = StoreWriter(tmp_path / name, new_manifest(of, "generate", 0.01), of.topology)
        for c in range(chains):
            writer.append(sample(seed + c, frames=frames), f"chain{c}")
        writer.finish()
        return tmp_path / name

    return write


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr("egno_md.compare.run.draw_figures", lambda *_: ())


@pytest.mark.usefixtures("no_figures")
def test_rollouts_stand_side_by_side_in_the_order_given(store, tmp_path):
    out = tmp_path / "out"
    reference, checked, unchecked = store("md", 0, chains=2), store("on", 5), store("off", 6)
    result = run_compare(reference, [checked], out, unchecked=unchecked)
    content = json.loads((out / "comparison.json").read_text())
    assert [r["label"] for r in content["rollouts"]] == ["on", "off"]
    assert content["unchecked"] == "off"
    assert content["rollouts"][0]["reference_sampling"]["chains"] == 2
    assert json.loads((out / "run.json").read_text())["status"] == "complete"
    again = run_compare(reference, [checked], out, unchecked=unchecked, mode="resume")
    assert again.to_json() == result.to_json()


@pytest.mark.usefixtures("no_figures")
def test_a_comparison_is_not_resumed_with_other_trajectories(store, tmp_path):
    """The paths are the same, what lies there is not."""
    reference, rollout = store("md", 0), store("on", 1)
    run_compare(reference, [rollout], tmp_path / "out")
    run_compare(reference, [rollout], tmp_path / "out", mode="resume")
    shutil.rmtree(rollout)
    store("on", 1, frames=50)
    with pytest.raises(OutputError, match="with different trajectories"):
        run_compare(reference, [rollout], tmp_path / "out", mode="resume")
    shutil.rmtree(rollout)
    store("on", 1)
    run_compare(reference, [rollout], tmp_path / "out", mode="resume")


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("changed", "named"), [("rollout.dcd", "trajectories"), ("top.pdb", "topology")]
)
def test_a_comparison_is_not_resumed_with_other_files(
    changed, named, store, system, sample, tmp_path
):
    x = sample(3, frames=40).positions.astype(np.float32)
    frames = mdtraj.Trajectory(x, system.topology)
    frames.save_dcd(str(tmp_path / "rollout.dcd"))
    frames[0].save_pdb(str(tmp_path / "top.pdb"))
    given = (store("md", 0), [tmp_path / "rollout.dcd"], tmp_path / "out")
    run_compare(*given, topology=tmp_path / "top.pdb")
    run_compare(*given, topology=tmp_path / "top.pdb", mode="resume")
    frames[1:].save(str(tmp_path / changed))
    with pytest.raises(OutputError, match=f"with different {named}"):
        run_compare(*given, topology=tmp_path / "top.pdb", mode="resume")


@pytest.mark.usefixtures("no_figures")
def test_different_atoms_are_refused_before_the_folder_is_claimed(store, system, tmp_path):
    other = System("other", new_topology("CCSCH"), system.masses, BUTANE, 12)
    with pytest.raises(DataError, match="atom 2 is O"):
        run_compare(store("md", 0), [store("other", 1, of=other)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_figures")
def test_an_occupied_folder_is_refused(store, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not written by egno-md"):
        run_compare(store("md", 0), [store("on", 1)], tmp_path / "out")


@pytest.mark.usefixtures("no_figures")
def test_files_mdtraj_reads_are_compared_without_velocities(store, system, sample, tmp_path):
    frames = mdtraj.Trajectory(sample(3).positions.astype(np.float32), system.topology)
    frames.save_dcd(str(tmp_path / "rollout.dcd"))
    frames[0].save_pdb(str(tmp_path / "top.pdb"))
    found = run_compare(
        store("md", 0), [tmp_path / "rollout.dcd"], tmp_path / "out", topology=tmp_path / "top.pdb"
    ).comparisons[0]
    assert found.label == "rollout"
    assert {"Temperature", "Potential energy", "Force, root mean square"} <= {
        u.name for u in found.unavailable
    }
    assert found.distributions[0].verdict != NOT_ENOUGH_DATA


def test_an_unreadable_path_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read_side(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no trajectory store"):
        read_side(tmp_path)
    (tmp_path / "a.dcd").write_bytes(b"junk")
    with pytest.raises(DataError, match="--topology FILE"):
        read_side(tmp_path / "a.dcd")


def test_labels_are_told_apart(tmp_path):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "c"]
    assert folder_labels(paths) == ["a/run", "b/run", "c"]
    assert folder_labels([paths[2], paths[2]])[1].endswith("(2)")
