"""Trajectory formats: round trips through MDTraj to their precision."""

from __future__ import annotations

import struct
import tempfile
import warnings
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from egno_md.core.errors import DataError
from egno_md.core.state import join
from egno_md.data.foreign import open_foreign
from egno_md.data.md17 import molecule_topology

SINGLE = 4 * float(np.finfo(np.float32).eps)
"""Relative rounding of single precision and of a change of units."""

PRECISION = {
    "h5": 0.0, "trr": 0.0, "dcd": 0.0, "nc": 0.0, "xtc": 5e-4, "gro": 5e-4, "pdb": 5e-5,
    "pdb.gz": 5e-5, "xyz": 5e-5, "xyz.gz": 5e-5,
}  # fmt: skip
"""nm, on top of single precision: half of the last digit that a format keeps."""

TIMED = ("h5", "trr", "xtc", "gro", "nc")
FEWER = settings(max_examples=max(settings.default.max_examples // 5, 1))
"""For each of ten formats."""


def topology(atoms: int) -> mdtraj.Topology:
    """Carbon atoms, too far apart for bonds."""
    apart = np.arange(atoms)[:, None] * np.array([[1.0, 0, 0]])
    return molecule_topology(np.full(atoms, 6), apart)


def written(
    folder: Path, suffix: str, positions: np.ndarray, times: np.ndarray
) -> tuple[Path, Path]:
    trajectory = mdtraj.Trajectory(positions, topology(positions.shape[1]), time=times)
    path, top = folder / f"a.{suffix}", folder / "top.pdb"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MDTraj's writers have remarks
        trajectory.save(str(path))
        trajectory[0].save(str(top))
    return path, top


@pytest.mark.parametrize("suffix", PRECISION)
@FEWER
@given(data=st.data())
def test_frames_come_back_to_the_precision_of_the_format(suffix: str, data: st.DataObject) -> None:
    frames, atoms = data.draw(st.integers(2, 6)), data.draw(st.integers(1, 12))
    coordinates = st.floats(-80, 80, width=32)
    positions = data.draw(arrays.arrays(np.float32, (frames, atoms, 3), elements=coordinates))
    spacing = data.draw(st.sampled_from([0.002, 0.5, 1.0, 10.0]))
    times = spacing * np.arange(frames)
    with tempfile.TemporaryDirectory() as folder:
        path, top = written(Path(folder), suffix, positions, times)
        file = open_foreign(path, top, spacing=None if suffix in TIMED else spacing)
        read = join(list(file))
        assert file.topology.n_atoms == atoms
    slack = PRECISION[suffix] + SINGLE * np.abs(positions)
    assert (np.abs(read.positions - positions) <= slack).all()
    np.testing.assert_allclose(read.times, times, rtol=1e-6)
    assert file.spacing == pytest.approx(spacing, rel=1e-6)


XTC_FIELDS = {"magic": 0, "atoms": 4, "atoms again": 52, "place in a table": 84, "bytes": 88}
"""Bytes before each in the header of a frame of more than nine atoms."""


@pytest.mark.parametrize("field", XTC_FIELDS)
@FEWER
@given(value=st.integers(-(2**31), 2**31 - 1).filter(lambda n: n < 0 or n > 1000) | st.just(0))
def test_an_xtc_header_that_lies_never_reaches_the_library(field: str, value: int) -> None:
    """It crashes the process on some of them."""
    x = np.zeros((2, 12, 3), np.float32) + np.arange(12)[:, None]
    with tempfile.TemporaryDirectory() as folder:
        path, top = written(Path(folder), "xtc", x, np.arange(2.0))
        content, at = path.read_bytes(), XTC_FIELDS[field]
        if content[at : at + 4] == struct.pack(">i", value):
            return
        path.write_bytes(content[:at] + struct.pack(">i", value) + content[at + 4 :])
        with pytest.raises(DataError, match=r"a\.xtc: truncated"):
            open_foreign(path, top, spacing=1.0)
