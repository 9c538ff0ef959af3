"""The motion capture benchmark: splits, edges, heights, from npz files and from CMU's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from egno_md.core.errors import DataError, SpecError
from egno_md.paper.datasets.mocap import mocap_task
from tests.unit.paper.datasets.task_checks import parameters, predicted, shared
from tests.unit.paper.datasets.test_acclaim import ASF

TRAIN = (1, 2, 5, 6, 10)


def trials(count: int, frames: int, joints: int = 3) -> dict[str, np.ndarray]:
    """Trial i has its number in z and its frame in x; joint j is at height j + 1."""
    still = np.zeros((frames, joints, 3))
    still[:, :, 0] = np.arange(frames)[:, None]
    still[:, :, 1] = np.arange(joints) + 1
    shift = np.array([0, 0, 1.0])
    arrays = {f"case_{i:02d}": (still + i * shift).astype(np.float32) for i in range(count)}
    edges = np.array([[j, j - 1] for j in range(1, joints)])
    return {"edges": edges, **arrays}


def save(path: Path, arrays: dict) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.fixture
def run(tmp_path) -> Path:
    return save(tmp_path / "run.npz", trials(11, 125))


def origin(windows) -> list[tuple[int, int]]:
    """Trial and start frame of each window."""
    return [(int(x[0, 2]), int(x[0, 0])) for x in windows.positions]


def test_the_published_run_split_is_drawn_again(run):
    """Its first start frames as the authors' own file of the split has them."""
    data = mocap_task(run)
    assert [len(w) for w in (data.train, data.validation, data.test)] == [200, 240, 240]
    assert origin(data.train)[:3] == [(1, 57), (1, 61), (1, 26)]
    assert origin(data.test)[80:83] == [(7, 2), (7, 18), (7, 79)]
    assert sorted({trial for trial, _ in origin(data.train)}) == list(TRAIN)
    assert data.settings["split"] == "published"
    assert "as published" in data.source


@pytest.mark.parametrize(
    ("changes", "is_other"),
    [
        ({}, False),
        ({"targets": "last"}, False),
        ({"split": "by-trial"}, True),
        ({"sizes": (200, 240, 120)}, True),
        ({"window": 25}, True),
    ],
)
def test_a_changed_task_is_not_the_published_one(run, changes, is_other):
    assert mocap_task(run, **changes).stands_in == is_other


def test_every_start_of_the_published_file_is_drawn_again():
    split = np.load(shared("mocap/subject09_run_split.npz"))
    path = shared("mocap/subject09_run.npz")
    data = mocap_task(path)
    frames = np.load(path)
    for part, name, each in (
        (data.train, "train", 40),
        (data.validation, "val", 80),
        (data.test, "test", 80),
    ):
        keys = [k for k in split.files if k.startswith(name)]
        expected = [frames[k.removeprefix(name + "_")][split[k][:each]] for k in keys]
        np.testing.assert_array_equal(part.positions, np.concatenate(expected))


def test_real_run_has_the_published_sizes():
    data = mocap_task(shared("mocap/subject09_run.npz"))
    assert data.task.atoms == 31
    assert len(data.task.pairs) == 130
    assert len(data.task.bonds) == 30
    ahead = data.test.future_positions[:, -1] - data.test.positions
    static = np.square(ahead).mean()
    ballistic = np.square(ahead - 30 * data.test.velocities).mean()
    assert static == pytest.approx(89.80, abs=0.01)
    assert ballistic == pytest.approx(19.80, abs=0.01)


def test_the_published_network_has_the_published_size(run):
    data = mocap_task(run)
    assert data.task.time_points == (6, 12, 18, 24, 30)
    assert parameters(data.task, layers=6, hidden=128) == 1_192_684
    assert predicted(data).positions.shape == (2, 5, 3, 3)


def test_edges_know_how_many_bones_apart_their_joints_are(tmp_path):
    arrays = trials(11, 125, joints=4)
    task = mocap_task(save(tmp_path / "run.npz", arrays)).task
    assert task.edge_features is not None
    apart = {
        tuple(p): int(f) for p, f in zip(task.pairs.tolist(), task.edge_features[:, 0], strict=True)
    }
    assert apart == {(i, j): abs(i - j) for i in range(4) for j in range(4) if 0 < abs(i - j) < 3}


def test_heights_are_shares_of_the_largest_in_training(tmp_path):
    arrays = trials(11, 125)
    for i in TRAIN:
        arrays[f"case_{i:02d}"][:, :, 1] *= 2
    data = mocap_task(save(tmp_path / "run.npz", arrays))
    assert data.settings["largest_height"] == 6
    np.testing.assert_allclose(data.train.features[0, :, 0], [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(data.test.features[0, :, 0], [1 / 6, 2 / 6, 3 / 6])


def test_last_targets_are_consecutive_frames(run):
    data = mocap_task(run, targets="last")
    assert data.task.time_points == (26, 27, 28, 29, 30)
    _, start = origin(data.train)[0]
    assert data.train.future_positions[0, :, 0, 0].tolist() == [start + o for o in range(26, 31)]
    assert torch.equal(data.train[[0]].velocities[0, 0], torch.tensor([1.0, 0, 0]))


def test_starts_without_a_past_are_left_out_and_counted(run):
    data = mocap_task(run, past=True)
    assert data.train.past_positions is not None
    kept = sum(len(w) for w in (data.train, data.validation, data.test))
    assert kept + data.settings["starts_without_past"] == 680  # type: ignore[operator]
    assert min(start for _, start in origin(data.train)) >= 24


def test_the_published_walk_split_needs_all_its_trials(tmp_path):
    path = save(tmp_path / "walk.npz", trials(20, 340))
    with pytest.raises(DataError, match="has 20 trials, the published split numbers 23"):
        mocap_task(path, "walk", split="published")
    whole = mocap_task(save(tmp_path / "all.npz", trials(23, 340)), "walk", split="published")
    assert sorted({i for i, _ in origin(whole.test)}) == [0, 6, 10, 19, 21, 22]
    assert [len(w) for w in (whole.train, whole.validation, whole.test)] == [198, 600, 600]


def test_the_walk_split_of_our_own_says_so_and_shares_no_trial(tmp_path):
    path = save(tmp_path / "walk.npz", trials(20, 200))
    data = mocap_task(path, "walk", seed=3)
    parts = [{i for i, _ in origin(w)} for w in (data.train, data.validation, data.test)]
    assert set.union(*parts) == set(range(20))
    assert sum(len(p) for p in parts) == 20
    assert [len(w) for w in (data.train, data.validation, data.test)] == [200, 600, 600]
    assert "of our own, not the published one" in data.source
    assert origin(mocap_task(path, "walk", seed=3).test) == origin(data.test)
    assert origin(mocap_task(path, "walk", seed=4).test) != origin(data.test)


def folder(root: Path, trials: range, frames: int = 30) -> Path:
    root.mkdir()
    (root / "35.asf").write_text(ASF)
    for trial in trials:
        lines = [
            f"{t + 1}\nroot 0 {t} {trial} 0 0 0\nupper 0\nlower {t}\nxthenz 0 0\nzthenx 0 0\ntilted 0"
            for t in range(frames)
        ]
        (root / f"35_{trial:02d}.amc").write_text(":DEGREES\n" + "\n".join(lines) + "\n")
    return root


def test_a_folder_of_cmu_files_is_read_by_subject_and_trial(tmp_path):
    root = folder(tmp_path / "35", range(13, 19))  # 17 and 18 are no walks
    data = mocap_task(root, "walk", window=10, sizes=(4, 3, 2))
    assert data.settings["trials"] == [[1, 3], [0], [2]]
    # the root moves in x by a frame at a time, at the height of its trial's number
    assert data.train.positions[:, 0, 1].tolist() == [14, 14, 16, 16]
    np.testing.assert_allclose(data.test.velocities[:, 0], [[1, 0, 0]] * 2, atol=1e-9)
    assert data.task.atoms == 7
    assert len(data.task.bonds) == 6


def test_a_folder_without_skeleton_or_trials_is_named(tmp_path):
    root = folder(tmp_path / "35", range(1, 4))
    with pytest.raises(DataError, match="has 3 of the trials 35_XX.amc"):
        mocap_task(root, "walk")
    with pytest.raises(DataError, match="has 0 skeletons 09.asf"):
        mocap_task(root, "run")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"a": np.zeros(3)}, "holds a; edges and at least 4 trials"),
        (trials(11, 125) | {"case_03": np.zeros((125, 4, 3))}, r"case_03 has shape \(125, 4, 3\)"),
        (trials(11, 125) | {"case_03": np.full((125, 3, 3), np.nan)}, "case_03 holds NaN"),
        (trials(11, 125) | {"edges": np.zeros((2, 3), dtype=int)}, r"edges has shape \(2, 3\)"),
        (trials(11, 125) | {"edges": np.array([[0, 3]])}, "edges names joint 3, there are 3"),
        (trials(11, 125) | {"edges": np.array([{}, {}])}, "pickled objects"),
        (trials(11, 110), "trial 1 has 110 frames, a window from frame 89 needs 121"),
    ],
)
def test_wrong_content_is_named(tmp_path, arrays, says):
    with pytest.raises(DataError, match=says):
        mocap_task(save(tmp_path / "run.npz", arrays))


def test_wrong_options_are_named(run):
    with pytest.raises(SpecError, match="'jump' is not a motion capture subject"):
        mocap_task(run, "jump")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="split 'mine' is not known"):
        mocap_task(run, split="mine")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="405 windows are not 1 to 80 from each of 5 trials"):
        mocap_task(run, sizes=(405, 1, 1))
    with pytest.raises(DataError, match="the shortest trial has 94"):
        mocap_task(run, split="by-trial", sizes=(1000, 10, 10))
    with pytest.raises(DataError, match="no start has 100 frames before it"):
        mocap_task(save(run.with_name("l.npz"), trials(11, 300)), window=125, past=True)
