"""The adenylate kinase benchmark: backbone, charges, cutoffs, velocities, splits."""

from pathlib import Path

import mdtraj
import numpy as np
import pytest

from egno_md.core.errors import DataError, SpecError
from egno_md.paper.datasets import adk
from egno_md.paper.datasets.adk import adk_offsets, adk_task, fetch_adk
from egno_md.paper.datasets.psf import read_charges
from egno_md.paper.task import Task
from tests.unit.paper.datasets.task_checks import parameters, predicted, shared

ATOMS = (
    ("N", -0.47, 14.007),
    ("HN", 0.31, 1.008),
    ("CA", 0.07, 12.011),
    ("CB", -0.27, 12.011),
    ("C", 0.51, 12.011),
    ("O", -0.51, 15.999),
)
RESIDUES = 3
SINGLE = 1e-4
"""Å: rounding of single precision through nm."""


def psf(path: Path, *, charge: float = 1.0) -> Path:
    """Three alanines, the last ending in OT1 and OT2 as CHARMM writes them."""
    lines, bonds = [], []
    for residue in range(RESIDUES):
        atoms = list(ATOMS)
        if residue == RESIDUES - 1:
            atoms[-1:] = [("OT1", -0.67, 15.999), ("OT2", -0.67, 15.999)]
        first = len(lines) + 1
        for atom, q, mass in atoms:
            lines.append(
                f"{len(lines) + 1:8d} PROT {residue + 1:<4d} ALA  {atom:<4s} 1 "
                f"{q * charge:10.6f} {mass:10.4f} 0"
            )
        bonds += [(first, first + k) for k in (1, 2)] + [(first + 2, first + k) for k in (3, 4)]
        bonds += [(first + 4, first + k) for k in range(5, len(atoms))]
        if residue:
            bonds.append((first - len(ATOMS) + 4, first))
    flat = [f"{i:8d}{j:8d}" for i, j in bonds]
    path.write_text(
        "PSF\n\n       1 !NTITLE\n REMARKS three residues\n\n"
        f"{len(lines):8d} !NATOM\n" + "\n".join(lines) + "\n\n"
        f"{len(bonds):8d} !NBOND: bonds\n" + "\n".join(flat) + "\n\n"
    )
    return path


def dcd(path: Path, frames: int, atoms: int = 19) -> Path:
    """Atoms 1 Å apart in y; frame t at x = t² Å / 10."""
    positions = np.zeros((frames, atoms, 3), dtype=np.float32)
    positions[:, :, 1] = np.arange(atoms)
    positions[:, :, 0] = (np.arange(frames) ** 2 / 10)[:, None]
    with mdtraj.formats.DCDTrajectoryFile(str(path), "w") as file:
        file.write(positions)
    return path


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    return psf(tmp_path / "a.psf"), dcd(tmp_path / "a.dcd", 116)


def starts(windows) -> np.ndarray:
    return np.round(np.sqrt(windows.positions[:, 0, 0] * 10)).astype(int)


def test_the_backbone_is_taken_by_charmms_own_names(files):
    names, charges = read_charges(files[0])
    assert names[-2:] == ["OT1", "OT2"]
    assert charges[0] == -0.47
    data = adk_task(*files)
    # N, CA, C and O of each residue, but the last has no O
    assert data.task.atoms == 4 * RESIDUES - 1
    assert data.train.positions[0, :, 1].tolist() == [0, 2, 4, 5, 6, 8, 10, 11, 12, 14, 16]
    assert len(data.task.bonds) == 4 * RESIDUES - 2
    share = np.array([-0.47, 0.07, 0.51, -0.51]) / 0.51
    np.testing.assert_allclose(data.train.features[0, :4, 0], share, rtol=1e-6)


def test_windows_are_divided_in_time_order(files):
    data = adk_task(*files)
    train, validation, test = (starts(w) for w in (data.train, data.validation, data.test))
    # 116 frames, 15 ahead and one more for the velocity: 100 starts
    np.testing.assert_array_equal(np.concatenate([train, validation, test]), np.arange(100))
    assert (len(train), len(validation), len(test)) == (60, 20, 20)
    ahead = np.sqrt(data.test.future_positions[0, :, 0, 0] * 10) - test[0]
    np.testing.assert_allclose(ahead, [3, 7, 11, 15], atol=0.01)


def test_split_by_time_shares_no_frame(files):
    data = adk_task(*files, split="time")
    assert starts(data.train).max() + 16 < starts(data.validation).min()
    assert starts(data.validation).max() + 16 < starts(data.test).min()


def test_the_published_frames_give_these_sizes():
    """4,187 frames: 60, 20 and 20% of 4,171 starts."""
    cut = adk.Cut((3, 7, 11, 15))
    positions = np.zeros((4187, 1, 3), dtype=np.float32)
    parts = adk._parts(Path("a.dcd"), cut, positions, np.zeros((1, 1)), "published")
    assert [len(part) for part in parts] == [2502, 834, 835]


@pytest.mark.parametrize(("velocity", "sign"), [("forward", 1), ("backward", -1)])
def test_the_velocity_looks_where_it_is_told_to(files, velocity, sign):
    data = adk_task(*files, velocity=velocity)
    expected = (2 * starts(data.train) + sign) / 10
    np.testing.assert_allclose(data.train.velocities[:, 0, 0], expected, atol=1e-3)
    assert data.settings["velocity"] == velocity
    assert ("looks one frame ahead" in data.source) == (velocity == "forward")
    assert starts(data.train)[0] == (velocity == "backward")


def test_the_past_is_spaced_like_the_future(files):
    data = adk_task(*files, past=True)
    assert data.train.past_positions is not None
    past = np.sqrt(data.train.past_positions[5, :, 0, 0] * 10) - starts(data.train)[5]
    np.testing.assert_allclose(past, [-12, -8, -4, 0], atol=0.01)


def test_the_published_network_has_the_published_size(files):
    data = adk_task(*files)
    assert data.task.cutoff == 8.0
    assert data.task.distances
    assert parameters(data.task, layers=4, hidden=128) == 796_616
    assert predicted(data).positions.shape == (2, 4, 11, 3)


def test_the_transition_path_has_855_backbone_atoms():
    data = adk_task(shared("adk/adk.psf"), shared("adk/adk_dims.dcd"), cutoff=3.0)
    assert data.task.atoms == 855
    assert len(data.task.bonds) == 854
    assert [len(w) for w in (data.train, data.validation, data.test)] == [49, 16, 17]
    assert "not the published equilibrium trajectory" in data.source
    lengths = (
        data.test.positions[:, data.task.bonds[:, 0]]
        - data.test.positions[:, data.task.bonds[:, 1]]
    )
    assert np.linalg.norm(lengths, axis=-1).max() < 1.8
    assert predicted(data).positions.shape == (2, 4, 855, 3)


def test_the_published_trajectory_is_known_by_its_sum(files, monkeypatch):
    monkeypatch.setitem(adk.SUMS, adk.TRAJECTORY[1], adk.file_sum(files[1]))
    data = adk_task(*files)
    assert data.source.startswith("adenylate kinase in equilibrium (Seyler & Beckstein 2017)")
    assert data.settings["frame_spacing_ps"] == 240


@pytest.mark.parametrize(
    ("changes", "is_other"),
    [
        ({}, False),
        ({"offsets": (15,)}, False),
        ({"offsets": (12, 13, 14, 15)}, False),
        ({"offsets": (3, 7, 11)}, True),
        ({"offsets": (5, 15)}, True),
        ({"cutoff": 10.0}, True),
        ({"velocity": "backward"}, True),
        ({"split": "time"}, True),
    ],
)
def test_a_changed_task_is_not_the_published_one(files, monkeypatch, changes, is_other):
    monkeypatch.setitem(adk.SUMS, adk.TRAJECTORY[1], adk.file_sum(files[1]))
    assert adk_task(*files, **changes).stands_in == is_other


def test_files_that_do_not_fit_are_named(files, tmp_path):
    with pytest.raises(DataError, match="has no section !NATOM"):
        adk_task(files[1], files[1])
    text = files[0].read_text()
    (tmp_path / "cut.psf").write_text(text[: len(text) // 3])
    with pytest.raises(DataError, match="has no section !NATOM"):
        read_charges(tmp_path / "cut.psf")
    with pytest.raises(DataError, match="no such file. Give the path of a PSF"):
        read_charges(tmp_path / "none.psf")
    with pytest.raises(DataError, match="has 11 backbone atoms.*positive charge"):
        adk_task(psf(tmp_path / "q.psf", charge=0), files[1])
    bare = tmp_path / "bare.psf"
    for atom in ("N", "CA", "C", "O"):
        text = text.replace(f"ALA  {atom:<4s}", "ALA  X   ")
    bare.write_text(text)
    with pytest.raises(DataError, match="has 0 backbone atoms"):
        adk_task(bare, files[1])
    with pytest.raises(DataError, match="holds 5 atoms a frame, the topology has 19"):
        adk_task(files[0], dcd(tmp_path / "five.dcd", 30, atoms=5))
    with pytest.raises(DataError, match="18 frames give 2 start frames"):
        adk_task(files[0], dcd(tmp_path / "short.dcd", 18))


def test_offsets_of_a_row_are_those_given_or_the_last_ones():
    assert adk_offsets((3, 7, 11, 15), 4, "uniform") == (3, 7, 11, 15)
    assert adk_offsets((3, 7, 11, 15), 4, "last") == (12, 13, 14, 15)
    with pytest.raises(SpecError, match="8 time points and 4 offsets"):
        adk_offsets((3, 7, 11, 15), 8, "uniform")


def test_options_that_do_not_exist_are_named(files):
    with pytest.raises(SpecError, match="split 'random' is not known"):
        adk_task(*files, split="random")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="velocity 'central' is not known"):
        adk_task(*files, velocity="central")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="a cutoff of 0"):
        adk_task(*files, cutoff=0)


def test_both_files_are_fetched_under_their_own_names_with_known_sums(monkeypatch, tmp_path):
    asked = []

    def fetch(url, folder, *, name, sha256, progress):
        asked.append((url, sha256))
        return folder / name

    monkeypatch.setattr(adk, "fetch", fetch)
    found = fetch_adk(tmp_path)
    assert [path.name for path in found] == ["adk4AKE.psf", "1ake_007-nowater-core-dt240ps.dcd"]
    assert all(url.startswith("https://") for url, _ in asked)
    assert all(len(sha256) == 64 for _, sha256 in asked)


def test_the_task_takes_edges_within_the_cutoff(files):
    task = adk_task(*files, cutoff=2.5).task
    assert isinstance(task, Task)
    assert task.width == 1
    assert len(task.pairs) == 0
