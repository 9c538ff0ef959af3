"""The MD17 benchmark: heavy atoms, edges, splits, from MD17 files and from stores."""

from pathlib import Path

import numpy as np
import pytest

from egno_md.core.errors import DataError, SpecError, WindowMismatch
from egno_md.core.state import Trajectory
from egno_md.data.md17 import MD17_SPACING, molecule_topology
from egno_md.data.store import StoreWriter, new_manifest, single_system
from egno_md.paper.datasets import md17
from egno_md.paper.datasets.md17 import md17_task
from tests.unit.paper.datasets.task_checks import parameters, predicted, shared

ETHANOL = np.array([[0.0, 0, 0], [1.5, 0, 0], [0, 1.4, 0], [-1.0, 0, 0]])
"""Å: C, C, O and one hydrogen."""
NUMBERS = np.array([6, 6, 8, 1])
FS = MD17_SPACING
"""ps between frames of an MD17 file."""
SPACING = 0.002
"""ps between frames of a store here."""
SINGLE = 1e-4
"""Å: rounding of positions up to 3,000 Å stored in single precision."""


def moving(frames: int) -> np.ndarray:
    """Frame t lies at x = t² / 1000 Å, which tells starts and velocities."""
    t = np.arange(frames)[:, None]
    return ETHANOL + np.array([1, 0, 0]) * (t**2 / 1000)[:, :, None]


def save(path: Path, positions: np.ndarray, numbers: np.ndarray = NUMBERS) -> Path:
    np.savez(
        path, z=numbers, R=positions, E=np.zeros((len(positions), 1)), F=np.zeros_like(positions)
    )
    return path


def starts(windows) -> np.ndarray:
    return np.round(np.sqrt(windows.positions[:, 0, 0] * 1000)).astype(int)


@pytest.fixture
def file(tmp_path) -> Path:
    return save(tmp_path / "md17_ethanol.npz", moving(1000))


def test_windows_are_of_heavy_atoms_in_angstrom_per_frame(file):
    data = md17_task(file, length=80 * FS, split="random", sizes=(50, 20, 20))
    assert data.unit == "Å"
    assert data.task.atoms == 3
    assert data.task.time_points == tuple(10.0 * p for p in range(1, 9))
    begin = starts(data.train)
    speed = ((begin + 1) ** 2 - begin**2) / 1000
    np.testing.assert_allclose(data.train.velocities[:, 2, 0], speed, atol=1e-9)
    end = (begin + 80) ** 2 / 1000
    np.testing.assert_allclose(data.train.future_positions[:, -1, 0, 0], end, atol=1e-9)
    np.testing.assert_allclose(data.train.features[0, :, 0], [6 / 8, 6 / 8, 1])


def test_edges_know_elements_hops_and_the_rigid_bond(file):
    task = md17_task(file, length=80 * FS, split="random", sizes=(5, 2, 2)).task
    assert task.pairs.tolist() == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    assert task.edge_features is not None
    assert task.edge_features.tolist() == [
        [6, 6, 1, 1],
        [6, 8, 1, 0],
        [6, 6, 1, 1],
        [6, 8, 2, 0],
        [8, 6, 1, 0],
        [8, 6, 2, 0],
    ]
    assert task.bonds.tolist() == [[0, 1], [0, 2]]


def test_all_bonds_of_a_molecule_without_a_list_are_rigid(tmp_path):
    path = save(tmp_path / "a.npz", moving(200), np.array([7, 6, 8, 1]))
    data = md17_task(path, length=8 * FS, split="random", sizes=(5, 2, 2))
    assert data.settings["rigid_bonds"] == "all bonds"
    assert data.task.edge_features is not None
    assert data.task.edge_features[:, 3].tolist() == [1, 1, 1, 0, 1, 0]


def test_the_published_network_has_the_published_size(file):
    data = md17_task(file, length=80 * FS, split="random", sizes=(5, 2, 2))
    assert parameters(data.task, layers=5, hidden=64) == 252_570
    assert predicted(data).positions.shape == (2, 8, 3, 3)


def test_random_starts_are_different_and_follow_the_seed(file):
    data = md17_task(file, length=80 * FS, split="random", sizes=(300, 200, 200), seed=1)
    drawn = np.concatenate([starts(w) for w in (data.train, data.validation, data.test)])
    assert len(set(drawn)) == 700
    assert drawn.max() <= 1000 - 82
    again = md17_task(file, length=80 * FS, split="random", sizes=(300, 200, 200), seed=1)
    np.testing.assert_array_equal(starts(again.test), starts(data.test))
    other = md17_task(file, length=80 * FS, split="random", sizes=(300, 200, 200), seed=2)
    assert set(starts(other.test)) != set(starts(data.test))


@pytest.mark.parametrize("past", [False, True])
def test_blocks_of_time_share_no_frame(file, past):
    data = md17_task(file, length=40 * FS, split="time", sizes=(100, 20, 20), past=past)
    train, validation, test = (starts(w) for w in (data.train, data.validation, data.test))
    back = 35 if past else 0
    assert train.max() + 41 < validation.min() - back
    assert validation.max() + 41 < test.min() - back
    assert data.settings["split"] == "time"


def test_the_published_split_is_drawn_as_its_authors_draw_it(tmp_path):
    """Written out again with the legacy global generator's own algorithm."""
    path = save(tmp_path / "md17_ethanol.npz", moving(21_001)[:, :3], NUMBERS[:3])
    data = md17_task(path, length=80 * FS, sizes=(90, 40, 40))
    random = np.random.RandomState(100)
    rest = list(range(1000))
    for part, count in ((data.train, 100), (data.validation, 50), (data.test, 50)):
        drawn = random.choice(rest, size=count, replace=False)
        rest = [i for i in rest if i not in set(drawn)]
        expected = drawn[: len(part)] + 10_000
        np.testing.assert_array_equal(starts(part), expected[np.arange(len(part))])


@pytest.mark.parametrize(
    ("changes", "is_other"),
    [
        ({}, False),
        ({"targets": "last"}, False),
        ({"split": "time"}, True),
        ({"sizes": (50, 20, 10)}, True),
        ({"length": 40 * FS}, True),
    ],
)
def test_a_changed_task_is_not_the_published_one(file, monkeypatch, changes, is_other):
    monkeypatch.setattr(md17, "PUBLISHED_LENGTH", 80 * FS)
    monkeypatch.setattr(md17, "SIZES", (50, 20, 20))
    asked = {"length": 80 * FS, "sizes": (50, 20, 20), "split": "random"} | changes
    assert md17_task(file, **asked).stands_in == is_other


def test_the_published_split_needs_the_published_data(file, tmp_path):
    with pytest.raises(DataError, match=r"Use split random or time"):
        md17_task(file, length=80 * FS)
    path = save(tmp_path / "long.npz", moving(21_001)[:, :3], NUMBERS[:3])
    with pytest.raises(DataError, match=r"leaves 10000 frames for a window, 10001 are needed"):
        md17_task(path, length=10_000 * FS, sizes=(90, 40, 40))


def store(root: Path, chains: int, path: np.ndarray, *, box: bool = False) -> Path:
    """A path in nm, each chain 1 Å higher than the one before."""
    frames = len(path)
    topology = molecule_topology(NUMBERS, ETHANOL / 10)
    system = single_system(topology, "ethanol", ETHANOL / 10)
    writer = StoreWriter(root, new_manifest(system, "generate", SPACING), topology)
    for chain in range(chains):
        positions = (path + np.array([0, 0, chain])) / 10
        writer.append(
            Trajectory(
                positions=positions.astype(np.float32),
                times=SPACING * np.arange(frames),
                box=np.tile(np.eye(3) * 9, (frames, 1, 1)) if box else None,
            ),
            f"chain{chain}",
        )
    return root


def test_a_store_gives_windows_by_time_within_its_chains(tmp_path):
    root = store(tmp_path / "store", 3, moving(200))
    data = md17_task(root, length=0.16, split="random", sizes=(80, 30, 30), past=True)
    assert data.settings["window_frames"] == 80
    assert set(np.round(data.train.positions[:, 0, 2])) == {0, 1, 2}
    begin = starts(data.test)
    end = (begin + 80) ** 2 / 1000
    np.testing.assert_allclose(data.test.future_positions[:, -1, 0, 0], end, atol=SINGLE)
    assert data.test.past_positions is not None
    back = (begin - 70) ** 2 / 1000
    np.testing.assert_allclose(data.test.past_positions[:, 0, 0, 0], back, atol=SINGLE)


def test_ten_chains_are_divided_whole(tmp_path):
    root = store(tmp_path / "store", 10, moving(60))
    data = md17_task(root, length=8 * SPACING, split="time", sizes=(30, 10, 10))
    heights = [
        set(np.round(w.positions[:, 0, 2])) for w in (data.train, data.validation, data.test)
    ]
    assert heights == [{0, 1, 2, 3, 4, 5}, {6, 7}, {8, 9}]


def test_sources_that_do_not_fit_are_named(file, tmp_path):
    with pytest.raises(DataError, match="60 windows were asked for, and 18 start frames"):
        md17_task(
            save(tmp_path / "s.npz", moving(99)), length=80 * FS, split="random", sizes=(20, 20, 20)
        )
    with pytest.raises(DataError, match="too few frames for a"):
        md17_task(file, length=400 * FS, split="time", sizes=(1, 1, 1))
    with pytest.raises(SpecError, match="Give at least one window for each part"):
        md17_task(file, length=8 * FS, split="random", sizes=(5, 0, 5))
    broken = moving(30)
    broken[7, 1] = np.nan
    with pytest.raises(DataError, match="positions of frame 7 hold NaN"):
        md17_task(
            store(tmp_path / "nan", 1, broken), length=8 * SPACING, split="random", sizes=(2, 2, 2)
        )
    with pytest.raises(SpecError, match="split 'mine' is not known"):
        md17_task(file, split="mine")  # type: ignore[arg-type]
    with pytest.raises(WindowMismatch, match="whole number"):
        md17_task(file, length=0.0403, split="random")
    with pytest.raises(DataError, match="has a periodic box|have a periodic box"):
        md17_task(
            store(tmp_path / "box", 1, moving(30), box=True), length=8 * SPACING, split="random"
        )
    apart = moving(30) * [1, 2, 1]
    with pytest.raises(DataError, match=r"heavy atom 2 has no heavy neighbour within 1.6 Å"):
        md17_task(save(tmp_path / "far.npz", apart), length=8 * FS, split="random", sizes=(2, 2, 2))


def test_revised_md17_is_refused():
    with pytest.raises(DataError, match="frames are not contiguous"):
        md17_task(shared("rmd17/rmd17_ethanol.npz"), split="random")


def test_real_ethanol_has_the_edges_of_three_heavy_atoms():
    path = shared("md17/md17_ethanol_first2000.npz")
    data = md17_task(path, length=200 * FS, split="random", sizes=(500, 500, 500))
    assert len(data.task.pairs) == 6
    assert data.settings["rigid_bonds"] == "as published"
    ahead = data.test.future_positions[:, -1] - data.test.positions
    assert np.square(ahead).mean() == pytest.approx(0.0063, abs=0.0005)


@pytest.mark.parametrize(
    "molecule", ["aspirin", "benzene", "malonaldehyde", "naphthalene", "salicylic", "uracil"]
)
def test_the_listed_rigid_bonds_are_bonds_of_their_molecule(tmp_path, molecule):
    arrays = np.load(shared(f"rmd17/rmd17_{molecule}.npz"))
    frame = arrays["coords"][np.argmin(arrays["old_indices"])].astype(float)
    path = save(tmp_path / "m.npz", np.tile(frame, (40, 1, 1)), arrays["nuclear_charges"])
    data = md17_task(path, length=8 * FS, split="random", sizes=(2, 2, 2))
    assert data.settings["rigid_bonds"] == "as published"
