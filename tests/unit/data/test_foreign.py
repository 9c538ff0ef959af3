"""Reading trajectory files of other programs, and refusing damaged ones."""

import struct
from itertools import pairwise
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from mdtraj.formats import HDF5TrajectoryFile, TRRTrajectoryFile

from egno_md.core.errors import DataError
from egno_md.core.state import Trajectory
from egno_md.data import foreign
from egno_md.data.foreign import finite_difference, nearest_lattice_vector, open_foreign, unwrap
from egno_md.data.formats import RawFrames

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
FRAMES = 7
TEXT_PRECISION = 1e-3
"""nm that PDB, GRO and XTC files keep."""


def ethylene_glycol() -> mdtraj.Topology:
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for index, symbol in enumerate("OCCO"):
        element = mdtraj.element.Element.getBySymbol(symbol)
        topology.add_atom(f"{symbol}{index}", element, residue)
    for i in range(3):
        topology.add_bond(topology.atom(i), topology.atom(i + 1))
    return topology


def positions() -> np.ndarray:
    random = np.random.default_rng(1)
    chain = np.arange(4)[:, None] * np.array([0.14, 0.02, 0.0])
    return (chain + 0.01 * random.normal(size=(FRAMES, 4, 3))).astype(np.float32)


@pytest.fixture
def top(tmp_path) -> Path:
    path = tmp_path / "top.pdb"
    mdtraj.Trajectory(positions()[:1], ethylene_glycol()).save(str(path))
    return path


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(foreign, "frames_at_once", lambda atoms: 3)


def write(path: Path, spacing: float = 0.002) -> Path:
    times = spacing * np.arange(FRAMES)
    trajectory = mdtraj.Trajectory(positions(), ethylene_glycol(), time=times)
    if path.suffix == ".nc":
        write_netcdf(path, times)
    else:
        trajectory.save(str(path))
    return path


def write_netcdf(path: Path, times: np.ndarray | None) -> None:
    from scipy.io import netcdf_file

    with netcdf_file(str(path), "w") as file:
        file.Conventions, file.ConventionVersion = "AMBER", "1.0"
        for name, size in (("frame", None), ("spatial", 3), ("atom", 4)):
            file.createDimension(name, size)
        x = file.createVariable("coordinates", "f4", ("frame", "atom", "spatial"))
        x[:] = positions() * 10
        if times is not None:
            file.createVariable("time", "f4", ("frame",))[:] = times


def write_trr(path: Path, velocities: np.ndarray | None, forces: np.ndarray | None = None) -> Path:
    with TRRTrajectoryFile(str(path), "w") as file:
        file._write(
            positions(),
            0.5 * np.arange(FRAMES, dtype=np.float32),
            np.arange(FRAMES, dtype=np.int32),
            np.zeros((FRAMES, 3, 3), np.float32),
            np.zeros(FRAMES, np.float32),
            velocities,
            forces,
        )
    return path


def whole(parts) -> Trajectory:
    return foreign.join(list(parts))


@pytest.mark.parametrize("suffix", ["xtc", "trr", "h5", "nc", "gro"])
@pytest.mark.usefixtures("small_parts")
def test_formats_with_times_give_their_spacing(tmp_path, top, suffix):
    file = open_foreign(write(tmp_path / f"a.{suffix}"), top)
    trajectory = whole(file)
    assert file.spacing == pytest.approx(0.002)
    np.testing.assert_allclose(trajectory.times, 0.002 * np.arange(FRAMES), atol=1e-12)
    np.testing.assert_allclose(trajectory.positions, positions(), atol=TEXT_PRECISION)
    assert trajectory.velocities is None
    assert file.topology.n_bonds == 3 or suffix == "gro"


@pytest.mark.parametrize("suffix", ["dcd", "pdb", "xyz"])
@pytest.mark.usefixtures("small_parts")
def test_formats_without_times_need_a_spacing(tmp_path, top, suffix):
    path = write(tmp_path / f"a.{suffix}")
    with pytest.raises(DataError, match=r"no meaningful times.*--spacing"):
        open_foreign(path, top)
    trajectory = whole(open_foreign(path, top, spacing=0.01))
    np.testing.assert_allclose(trajectory.times, 0.01 * np.arange(FRAMES))
    np.testing.assert_allclose(trajectory.positions, positions(), atol=TEXT_PRECISION)


def test_single_precision_times_become_exact(tmp_path, top):
    """2 fs at 1 ns is below what single precision tells apart evenly."""
    times = (1000 + 0.002 * np.arange(FRAMES)).astype(np.float32)
    path = tmp_path / "late.xtc"
    mdtraj.Trajectory(positions(), ethylene_glycol(), time=times).save(str(path))
    file = open_foreign(path, top)
    assert file.spacing == pytest.approx(0.002, rel=0.01)
    assert np.ptp(np.diff(whole(file).times)) < 1e-9


def test_uneven_times_have_no_spacing(tmp_path, top):
    path = tmp_path / "uneven.xtc"
    times = np.array([0, 1, 2, 3, 7, 8, 9.0])
    mdtraj.Trajectory(positions(), ethylene_glycol(), time=times).save(str(path))
    file = open_foreign(path, top)
    assert file.spacing is None
    np.testing.assert_allclose(whole(file).times, times)
    with pytest.raises(DataError, match="evenly spaced"):
        list(finite_difference(file))


def test_times_that_do_not_increase_are_refused(tmp_path, top):
    path = tmp_path / "back.xtc"
    times = np.array([0, 1, 2, 2, 3, 4, 5.0])
    mdtraj.Trajectory(positions(), ethylene_glycol(), time=times).save(str(path))
    with pytest.raises(DataError, match="frame 3 is not later"):
        open_foreign(path, top)


@pytest.mark.parametrize("suffix", ["h5", "nc"])
def test_times_left_out_of_a_file_are_not_made_up(tmp_path, top, suffix):
    path = tmp_path / f"untimed.{suffix}"
    if suffix == "nc":
        write_netcdf(path, None)
    else:
        with HDF5TrajectoryFile(str(path), "w") as file:
            file.topology = ethylene_glycol()
            file.write(positions())
    with pytest.raises(DataError, match="no meaningful times"):
        open_foreign(path, top)
    assert len(whole(open_foreign(path, top, spacing=1.0))) == FRAMES


@pytest.mark.usefixtures("small_parts")
def test_trr_velocities_and_forces_are_read(tmp_path, top):
    v, f = 2 * positions(), 3 * positions()
    file = open_foreign(write_trr(tmp_path / "v.trr", v, f), top)
    trajectory = whole(file)
    assert file.contents.has_velocities
    np.testing.assert_array_equal(trajectory.velocities, v)
    np.testing.assert_array_equal(trajectory.forces, f)


def test_velocities_in_some_trr_frames_only_are_left_out(tmp_path, top):
    """MDTraj returns uninitialised memory for the other frames."""
    one = write_trr(tmp_path / "one.trr", 2 * positions()).read_bytes()
    two = write_trr(tmp_path / "two.trr", None).read_bytes()
    path = tmp_path / "mixed.trr"
    path.write_bytes(one + two)
    file = open_foreign(path, top, spacing=0.5)
    assert not file.contents.has_velocities
    assert "only 7 of 14 frames hold velocities" in file.contents.remarks[0]
    assert whole(file).velocities is None


@pytest.mark.usefixtures("small_parts")
def test_hdf5_velocities_are_read(tmp_path):
    path = tmp_path / "v.h5"
    with HDF5TrajectoryFile(str(path), "w") as file:
        file.topology = ethylene_glycol()
        file.write(positions(), time=0.5 * np.arange(FRAMES), velocities=2 * positions())
    trajectory = whole(open_foreign(path))
    np.testing.assert_array_equal(trajectory.velocities, 2 * positions())


def test_selection_keeps_atoms_and_their_bonds(tmp_path, top):
    file = open_foreign(write(tmp_path / "a.xtc"), top, selection="element C")
    assert [a.name for a in file.topology.atoms] == ["C1", "C2"]
    assert file.topology.n_bonds == 1
    np.testing.assert_allclose(whole(file).positions, positions()[:, 1:3], atol=TEXT_PRECISION)


@pytest.mark.parametrize(
    ("selection", "says"),
    [("name ==", "not in MDTraj's language"), ("foo bar", "language"), ("name XX", "none of 4")],
)
def test_bad_selection_is_named(tmp_path, top, selection, says):
    path = write(tmp_path / "a.xtc")
    with pytest.raises(DataError, match=says) as caught:
        open_foreign(path, top, selection=selection)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr", "h5", "nc", "pdb", "gro"])
def test_truncated_file_is_one_line(tmp_path, top, suffix):
    content = write(tmp_path / f"a.{suffix}").read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(content[: int(0.6 * len(content))])
    with pytest.raises(DataError, match=rf"cut.{suffix}: truncated") as caught:
        list(open_foreign(path, top, spacing=1.0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a trajectory\n" * 20])
@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr", "h5", "nc", "pdb", "gro", "xyz"])
def test_other_content_is_one_line(tmp_path, top, suffix, content, capfd):
    path = tmp_path / f"junk.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"junk.{suffix}: (truncated|holds)") as caught:
        list(open_foreign(path, top, spacing=1.0))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_dcd_reader_prints_nothing(tmp_path, top, capfd):
    whole(open_foreign(write(tmp_path / "a.dcd"), top, spacing=1.0))
    assert capfd.readouterr() == ("", "")


def test_dcd_shorter_than_its_header_is_remarked(tmp_path, top):
    content = bytearray(write(tmp_path / "a.dcd").read_bytes())
    content[8:12] = struct.pack("<i", 500)
    path = tmp_path / "short.dcd"
    path.write_bytes(content)
    file = open_foreign(path, top, spacing=1.0)
    assert "promises 500 frames, there are 7" in file.contents.remarks[0]


@pytest.mark.parametrize("suffix", ["dcd", "xtc", "trr", "nc", "xyz", "h5", "pdb", "gro"])
def test_atom_counts_must_agree(tmp_path, suffix):
    other = ethylene_glycol().subset([0, 1, 2])
    top = tmp_path / "other.pdb"
    mdtraj.Trajectory(positions()[:1, :3], other).save(str(top))
    path = write(tmp_path / f"a.{suffix}")
    with pytest.raises(DataError, match=r"4 atoms a frame, the topology has 3"):
        list(open_foreign(path, top, spacing=1.0))


def test_what_is_missing_is_named(tmp_path, top):
    path = write(tmp_path / "a.dcd")
    with pytest.raises(DataError, match=r"nowhere.xtc: no such file"):
        open_foreign(tmp_path / "nowhere.xtc", top)
    with pytest.raises(DataError, match="--topology FILE"):
        open_foreign(path)
    with pytest.raises(DataError, match=r"nowhere.pdb: no such topology"):
        open_foreign(path, tmp_path / "nowhere.pdb")
    with pytest.raises(DataError, match="not a topology"):
        open_foreign(path, path)
    with pytest.raises(DataError, match="Give a positive one"):
        open_foreign(path, top, spacing=0.0)
    path.rename(tmp_path / "a.odd")
    with pytest.raises(DataError, match=r"a.odd"):
        list(open_foreign(tmp_path / "a.odd", top, spacing=1.0))


def test_not_a_number_is_refused(tmp_path, top):
    x = positions()
    x[4, 2] = np.nan
    path = tmp_path / "nan.dcd"
    mdtraj.Trajectory(x, ethylene_glycol()).save(str(path))
    with pytest.raises(DataError, match="positions of frame 4 hold NaN"):
        list(open_foreign(path, top, spacing=1.0))


BOXES = {
    "cubic": np.diag([1.0, 1.0, 1.0]),
    "triclinic": np.array([[1.2, 0, 0], [0.3, 1.1, 0], [-0.2, 0.4, 1.0]]),
}


@pytest.mark.parametrize("shape", BOXES)
def test_wrapped_molecule_is_unwrapped(shape):
    box = BOXES[shape]
    path = np.linspace(0, 1, 40)[:, None, None] * np.array([2.5, -1.8, 3.0])
    truth = np.tile(positions()[:1], (40, 1, 1)) + path
    fractions = truth @ np.linalg.inv(box)
    wrapped = ((fractions - np.floor(fractions)) @ box).astype(np.float32)
    boxes = np.tile(box, (40, 1, 1))
    pieces = [RawFrames(wrapped[a:b], None, boxes[a:b]) for a, b in ((0, 15), (15, 40))]
    found = np.concatenate([p.positions for p in unwrap(pieces, ethylene_glycol())])
    np.testing.assert_allclose(found - found[:1, :1], truth - truth[:1, :1], atol=1e-5)


def test_unbonded_atoms_are_unwrapped_one_by_one():
    topology = mdtraj.Topology()
    residue = topology.add_residue("AR", topology.add_chain())
    for name in ("A", "B"):
        topology.add_atom(name, mdtraj.element.argon, residue)
    truth = np.linspace(0, 1, 20)[:, None, None] * np.array([[3.0, 0, 0], [0, -3.0, 0]])
    piece = RawFrames((truth % 1.0).astype(np.float32), None, np.tile(np.eye(3), (20, 1, 1)))
    (found,) = unwrap([piece], topology)
    np.testing.assert_allclose(found.positions, truth, atol=1e-5)


def test_nearest_lattice_vector_is_a_lattice_vector():
    box = BOXES["triclinic"]
    whole_numbers = np.array([[1, -2, 3], [0, 0, 0], [-4, 1, 0]])
    nudge = np.array([0.1, -0.1, 0.1])
    found = nearest_lattice_vector(whole_numbers @ box + nudge, box)
    np.testing.assert_allclose(found, whole_numbers @ box, atol=1e-12)


def oscillation(spacing: float, frames: int) -> Trajectory:
    times = spacing * np.arange(frames)
    x = np.sin(times)[:, None, None] * np.ones((1, 2, 3))
    return Trajectory(positions=x, times=times)


def test_central_differences_do_not_depend_on_parts():
    trajectory = oscillation(0.1, 20)
    cuts = [0, 1, 2, 9, 20]
    parts = [trajectory.slice(a, b) for a, b in pairwise(cuts)]
    found = whole(finite_difference(parts))
    at_once = whole(finite_difference([trajectory]))
    np.testing.assert_array_equal(found.times, trajectory.times[1:-1])
    np.testing.assert_array_equal(found.positions, trajectory.positions[1:-1])
    np.testing.assert_array_equal(found.velocities, at_once.velocities)


def test_error_of_central_differences_grows_as_the_square():
    def error(spacing: float) -> float:
        found = whole(finite_difference([oscillation(spacing, 50)]))
        return float(np.abs(found.velocities - np.cos(found.times)[:, None, None]).max())

    assert error(0.02) / error(0.01) == pytest.approx(4, rel=0.01)


def test_central_differences_need_three_frames():
    with pytest.raises(DataError, match="need three frames, there are 2"):
        list(finite_difference([oscillation(0.1, 2)]))


def test_adk_path_loads_with_a_given_spacing():
    path, top = SHARED / "adk" / "adk_dims.dcd", SHARED / "adk" / "adk.psf"
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not part of the project")
    file = open_foreign(path, top, spacing=1.0, selection="name CA")
    trajectory = whole(file)
    assert trajectory.positions.shape == (98, 214, 3)
    assert file.spacing == 1.0
    assert "there are 98" in file.contents.remarks[0]
