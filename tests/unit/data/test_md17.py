"""Reading MD17 files in both layouts, and refusing damaged ones."""

from pathlib import Path

import numpy as np
import pytest

from egno_md.core.errors import DataError
from egno_md.core.state import is_evenly_spaced
from egno_md.data.md17 import read_md17

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
SINGLE = 1e-6
"""Relative rounding of data stored in single precision."""


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not part of the project")
    return path


def water(frames: int = 5) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    still = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    return {
        "z": np.array([8, 1, 1], dtype=np.uint8),
        "R": still + 0.01 * random.normal(size=(frames, 3, 3)),
        "E": random.normal(size=(frames, 1)) - 100,
        "F": random.normal(size=(frames, 3, 3)),
    }


def revised_water(old_indices: list[int]) -> dict[str, np.ndarray]:
    old = water(len(old_indices))
    return {
        "nuclear_charges": old["z"],
        "coords": old["R"],
        "energies": old["E"][:, 0],
        "forces": old["F"],
        "old_indices": np.array(old_indices),
    }


def save(path: Path, arrays: dict) -> Path:
    np.savez(path, **arrays)
    return path


def test_original_units_are_converted_once(tmp_path):
    arrays = water()
    trajectory, topology = read_md17(save(tmp_path / "w.npz", arrays))
    np.testing.assert_allclose(trajectory.positions, arrays["R"] / 10)
    np.testing.assert_allclose(trajectory.potential_energy, arrays["E"][:, 0] * 4.184)
    np.testing.assert_allclose(trajectory.forces, arrays["F"] * 41.84)
    assert trajectory.velocities is None
    assert trajectory.spacing == pytest.approx(0.0005)
    assert [a.name for a in topology.atoms] == ["O1", "H1", "H2"]
    assert [(a.index, b.index) for a, b in topology.bonds] == [(0, 1), (0, 2)]


def test_given_spacing_is_used(tmp_path):
    trajectory, _ = read_md17(save(tmp_path / "w.npz", water()), spacing=0.00015)
    assert trajectory.spacing == pytest.approx(0.00015)


def test_flat_energies_read_like_a_column(tmp_path):
    arrays = water()
    arrays["E"] = arrays["E"][:, 0]
    trajectory, _ = read_md17(save(tmp_path / "w.npz", arrays))
    assert trajectory.potential_energy is not None
    assert trajectory.potential_energy.shape == (5,)


def test_revised_frames_are_sorted_and_not_contiguous(tmp_path):
    arrays = revised_water([70, 3, 12])
    trajectory, _ = read_md17(save(tmp_path / "w.npz", arrays))
    np.testing.assert_allclose(trajectory.times, [0.0015, 0.006, 0.035])
    np.testing.assert_allclose(trajectory.positions, arrays["coords"][[1, 2, 0]] / 10)
    np.testing.assert_allclose(trajectory.potential_energy, arrays["energies"][[1, 2, 0]] * 4.184)
    assert not is_evenly_spaced(trajectory.times)


def without(key: str) -> dict:
    return {k: v for k, v in water().items() if k != key}


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (without("F"), "has no F"),
        (water() | {"R": np.zeros((5, 3))}, r"R has shape \(5, 3\)"),
        (water() | {"z": np.array([8, 1])}, "3 atoms a frame, z has 2"),
        (water() | {"E": np.zeros((4, 1))}, r"E has shape \(4, 1\)"),
        (water() | {"F": np.zeros((5, 2, 3))}, r"F has shape \(5, 2, 3\)"),
        (water() | {"R": np.full((5, 3, 3), np.nan)}, "R of frame 0 holds NaN"),
        (water() | {"z": np.array([8, 1, 0])}, "0 is not an atomic number|no covalent radius"),
        (water() | {"z": np.array([8, 1, 92])}, "no covalent radius for U"),
        (water() | {"z": np.array([8.0, 1.0, 1.0])}, "z holds float64"),
        (water() | {"R": np.array([{"a": 1}], dtype=object)}, "pickled objects"),
        (revised_water([4, 4, 5]), "old_indices names frame 4 twice"),
        (revised_water([4, 5]) | {"old_indices": np.array([0.5, 1.0])}, "old_indices has shape"),
    ],
)
def test_wrong_content_is_named(tmp_path, arrays, says):
    path = save(tmp_path / "w.npz", arrays)
    with pytest.raises(DataError, match=says):
        read_md17(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.98])
def test_truncated_file_is_refused(tmp_path, share):
    whole = save(tmp_path / "w.npz", water()).read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"cut.npz: truncated"):
        read_md17(path)


def test_flipped_bytes_are_refused(tmp_path):
    content = bytearray(save(tmp_path / "w.npz", water()).read_bytes())
    content[400:420] = bytes(20)
    path = tmp_path / "flipped.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"flipped.npz"):
        read_md17(path)


def test_single_array_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(DataError, match="single array"):
        read_md17(tmp_path / "a.npz")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.npz: no such file"):
        read_md17(tmp_path / "nowhere.npz")


def test_md17_ethanol_is_contiguous():
    trajectory, topology = read_md17(shared("md17/md17_ethanol_first2000.npz"))
    assert len(trajectory) == 2000
    assert trajectory.spacing == pytest.approx(0.0005)
    assert is_evenly_spaced(trajectory.times)
    assert trajectory.potential_energy is not None
    assert trajectory.potential_energy.mean() / 4.184 == pytest.approx(-97200, abs=50)
    assert topology.n_bonds == 8


def test_forces_point_down_the_energy():
    """The work of the forces along a trajectory is the energy it loses."""
    trajectory, _ = read_md17(shared("md17/md17_ethanol_first2000.npz"))
    assert trajectory.forces is not None
    assert trajectory.potential_energy is not None
    steps = np.diff(trajectory.positions, axis=0)
    mean_forces = (trajectory.forces[1:] + trajectory.forces[:-1]) / 2
    work = np.einsum("fax,fax->f", mean_forces, steps)
    lost = -np.diff(trajectory.potential_energy)
    assert np.corrcoef(work, lost)[0, 1] > 0.999
    assert np.polyfit(work, lost, 1)[0] == pytest.approx(1, abs=0.01)


def test_revised_ethanol_is_scattered():
    trajectory, topology = read_md17(shared("rmd17/rmd17_ethanol.npz"))
    assert len(trajectory) == 9633
    assert np.all(np.diff(trajectory.times) > 0)
    assert not is_evenly_spaced(trajectory.times)
    assert trajectory.times[0] == pytest.approx(39 * 0.0005, rel=SINGLE)
    assert topology.n_bonds == 8
