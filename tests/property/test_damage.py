"""Bytes that nobody meant for a reader: read, or refused in one line."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from egno_md.core.errors import DataError
from egno_md.data.foreign import open_foreign
from egno_md.data.hdf5 import read_hdf5
from egno_md.data.md17 import read_md17
from egno_md.data.store import MANIFEST, Store
from egno_md.paper.datasets.acclaim import read_amc, read_asf
from egno_md.paper.datasets.mocap_trials import SUBJECTS, read_trials
from egno_md.paper.datasets.psf import read_charges
from tests.property.lines import fine_or_one_line
from tests.property.test_formats import FEWER, PRECISION, written


def npz(members: dict[str, bytes], packing: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as file:
        for name, member in members.items():
            file.writestr(f"{name}.npy", member)
    return stream.getvalue()


def npy(header: bytes, body: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


HEADERS = st.lists(
    st.sampled_from(["{", "}", "'descr': ", "'<f8'", ", ", "'fortran_order': False, ", "'shape': ",
                     "(", ")", "3", "5L", "9" * 30, "-1,", "\n", "  ", "'", "|O", "\0", "["]),
    max_size=12,
).map(lambda parts: "".join(parts).encode())  # fmt: skip
SOUND = npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 3)}\n", bytes(24))
SKELETON = """:units
  angle deg
:root
  order TX TY TZ RX RY RZ
:bonedata
  begin
    name a
    direction 1 0 0
    length 2
    axis 0 0 90 XYZ
    dof rx
  end
:hierarchy
  begin
    root a
  end
"""
MOTION = "1\nroot 1 2 3 0 0 0\na 4\n2\nroot 1 2 3 0 0 0\na 5\n"
WORDS = st.sampled_from(["²", "9" * 5000, "nan", "inf", "-1", "\n", ":", "root", "a", "1e999", "#"])


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes changed, cut or put in between; a few places at most."""
    result = content
    for _ in range(draw(st.integers(0, 3))):
        where = draw(st.integers(0, len(result)))
        put = draw(st.one_of(st.binary(max_size=8), WORDS.map(str.encode)))
        result = result[:where] + put + result[where + draw(st.integers(0, 8)) :]
    return result if draw(st.booleans()) else result[: draw(st.integers(0, len(result)))]


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    packing = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
    member = draw(st.one_of(st.just(SOUND), HEADERS.map(lambda head: npy(head, bytes(8)))))
    whole = npz(dict.fromkeys(draw(st.sampled_from(["zREF", "z"])), member), packing)
    if draw(st.booleans()):  # says that it is encrypted
        whole = whole.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01")
        whole = whole.replace(b"\x14\x03\x14\x00\x00", b"\x14\x03\x14\x00\x01")
    return draw(damaged(whole))


def _motion(path: Path) -> object:
    skeleton = path.with_suffix(".asf")
    skeleton.write_text(SKELETON)
    return read_amc(path, read_asf(skeleton))


READERS: dict[str, tuple[Callable[[Path], object], st.SearchStrategy[bytes]]] = {
    "MD17": (read_md17, archives()),
    "motion capture arrays": (lambda p: read_trials(p, SUBJECTS["run"]), archives()),
    "skeleton": (read_asf, damaged(SKELETON.encode())),
    "motion": (_motion, damaged(MOTION.encode())),
    "PSF": (
        read_charges,
        damaged(b"PSF\n\n 2 !NATOM\n 1 A 1 X C CT 0.5 12\n 2 A 1 X O OT -1 16\n"),
    ),
    "HDF5": (read_hdf5, st.binary(max_size=300)),
}


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_any_bytes_are_read_or_refused_in_one_line(name: str, data: st.DataObject) -> None:
    read, contents = READERS[name]
    content = data.draw(contents)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bytes"
        path.write_bytes(content)
        with fine_or_one_line():
            read(path)


FOUND = [
    ("motion", MOTION.replace("1\n", "²\n").encode()),
    ("motion", MOTION.replace("1\n", "9" * 5000 + "\n").encode()),
    ("skeleton", SKELETON.replace("0 0 90", "0 0 inf").encode()),
    ("PSF", b"-3 !NATOM\n"),
    ("MD17", npz({"z": npy(b"{'descr': (", b"")}, zipfile.ZIP_STORED)),
    ("MD17", npz(dict.fromkeys("zREF", npy(b"{'descr': (", b"")), zipfile.ZIP_STORED)),
]
"""What once ended otherwise."""


@pytest.mark.parametrize(("name", "content"), FOUND)
def test_bytes_that_once_ended_otherwise_are_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / "bytes").write_bytes(content)
    with pytest.raises(DataError):
        READERS[name][0](tmp_path / "bytes")


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3),
              st.sampled_from([10**400, "a" * 300, "\0", "..", "/", "shards/a.h5"])),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


SHARD = {"file": "shards/a.h5", "chain": "a", "frames": 1, "start": 0.0, "stop": 0.0}
STORE: dict[str, object] = {
    "format": "egno-md trajectory store 1", "source": "load", "system": "x", "digest": "",
    "spacing": 1.0, "masses": [1.0], "degrees_of_freedom": 3, "provenance": {},
    "is_complete": True,
}  # fmt: skip


@given(st.sampled_from([*STORE, *SHARD]), VALUES)
@example("frames", float("inf"))
@example("spacing", 10**400)
@example("file", "\0")
@example("file", "a" * 300)
@example("provenance", [])
def test_a_manifest_of_anything_is_read_or_refused_in_one_line(key: str, value: object) -> None:
    shard, manifest = ({**old, key: value} if key in old else old for old in (SHARD, STORE))
    manifest = {**manifest, "shards": [shard]}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_text(json.dumps(manifest))
        with fine_or_one_line():
            store = Store(Path(folder))
            assert store.identity["frames"] == store.manifest.frames
            assert len(store.stretches) == len(store.chains)
            store.system()
            raise AssertionError("there is no shard")


@pytest.fixture(scope="module")
def sound() -> dict[str, bytes]:
    """A file of each format, and one that holds its atoms."""
    x = np.random.default_rng(0).normal(size=(3, 12, 3)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        files = {s: written(Path(folder), s, x, np.arange(3.0))[0].read_bytes() for s in PRECISION}
        return files | {"top": (Path(folder) / "top.pdb").read_bytes()}


@pytest.mark.parametrize("suffix", PRECISION)
@FEWER
@given(data=st.data())
def test_damaged_trajectories_are_read_or_refused_in_one_line(
    sound: dict[str, bytes], suffix: str, data: st.DataObject
) -> None:
    content = data.draw(st.one_of(damaged(sound[suffix]), st.binary(max_size=100)))
    with tempfile.TemporaryDirectory() as folder:
        path, top = Path(folder) / f"a.{suffix}", Path(folder) / "top.pdb"
        path.write_bytes(content)
        top.write_bytes(sound["top"])
        with fine_or_one_line():
            for part in open_foreign(path, top, spacing=1.0):
                assert np.isfinite(part.positions).all()
