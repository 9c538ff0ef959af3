"""Files made to do harm: refused in one line, with nothing read from or written elsewhere."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tables

from egno_md.core.system import System
from egno_md.data.store import Store
from tests.fuzz.harness import check
from tests.fuzz.seeds import BUNDLE, LOAD, OUT, Seed, plant

Poison = Callable[[Path], None]
BIG = 10**9


class Bomb:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("pwned"),)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory, harmonic_store: Store, ethanol: System) -> Path:
    return plant(tmp_path_factory.mktemp("seeds") / "here", harmonic_store, ethanol)


def _npz(**changes: object) -> Poison:
    def poison(here: Path) -> None:
        with np.load(here / "md17.npz") as file:
            arrays = dict(file)
        np.savez(here / "md17.npz", **(arrays | changes), allow_pickle=True)

    return poison


def _header(shape: tuple[int, ...], kind: str = "<f8") -> Poison:
    """R's header promises another shape than there is."""

    def poison(here: Path) -> None:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": kind, "fortran_order": False, "shape": shape}
        )
        _rezip(here / "md17.npz", {"R.npy": head.getvalue() + bytes(64)})

    return poison


def _rezip(path: Path, changes: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path) as old:
        parts = {n: old.read(n) for n in old.namelist()} | changes
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(name, content)


def _zip_bomb(here: Path) -> None:
    head = io.BytesIO()
    shape = (6 * BIG // 216, 9, 3)
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(here / "md17.npz", "a", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("R2.npy", head.getvalue() + bytes(2**26))
    data = (here / "md17.npz").read_bytes()
    (here / "md17.npz").write_bytes(data.replace(b"R.npy", b"Q.npy").replace(b"R2.npy", b"R.npy\0"))


def _json(name: str, **changes: object) -> Poison:
    def poison(here: Path) -> None:
        content = json.loads((here / name).read_text())
        content.update(changes)
        (here / name).write_text(json.dumps(content))

    return poison


def _shard(**changes: object) -> Poison:
    def poison(here: Path) -> None:
        path = here / "store" / "manifest.json"
        content = json.loads(path.read_text())
        for shard in content["shards"]:
            shard.update(changes)
        path.write_text(json.dumps(content))

    return poison


def _text(name: str, content: str | bytes) -> Poison:
    def poison(here: Path) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        (here / name).write_bytes(data)

    return poison


def _one_system(**changes: object) -> Poison:
    def poison(here: Path) -> None:
        path = here / "bundle" / "card.json"
        content = json.loads(path.read_text())
        content["validity"]["system"].update(changes)
        path.write_text(json.dumps(content))

    return poison


def _network(**changes: object) -> Poison:
    def poison(here: Path) -> None:
        path = here / "bundle" / "card.json"
        content = json.loads(path.read_text())
        content["network"].update(changes)
        path.write_text(json.dumps(content))

    return poison


def _safetensors(length: int, header: dict | None = None) -> Poison:
    def poison(here: Path) -> None:
        path = here / "bundle" / "model.safetensors"
        text = json.dumps(header).encode() if header is not None else path.read_bytes()[8:]
        path.write_bytes(struct.pack("<Q", length or len(text)) + text)

    return poison


def _bad_weights(here: Path) -> None:
    path = here / "bundle" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-4:] = struct.pack("<f", float("nan"))
    path.write_bytes(bytes(data))


def _shard_file(here: Path) -> Path:
    return next(iter(sorted((here / "store" / "shards").iterdir())))


def _cut_shard(here: Path) -> None:
    path = _shard_file(here)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _wrong_dtype(here: Path) -> None:
    with tables.open_file(str(_shard_file(here)), "a") as file:
        count = len(file.root.coordinates)
        file.remove_node("/velocities")
        file.create_array("/", "velocities", np.array([b"fast"] * count))


def _wrong_shape(here: Path) -> None:
    with tables.open_file(str(_shard_file(here)), "a") as file:
        file.remove_node("/coordinates")
        file.create_array("/", "coordinates", np.zeros((2, 2)))


def _nan_shard(here: Path) -> None:
    for path in (here / "store" / "shards").iterdir():  # a part that is not read does no harm
        with tables.open_file(str(path), "a") as file:
            file.root.coordinates[:] = np.nan


def _pickled_topology(here: Path) -> None:
    with tables.open_file(str(_shard_file(here)), "a") as file:
        file.remove_node("/topology")
        file.create_array("/", "topology", [pickle.dumps(Bomb())])


def _link(name: str, target: str) -> Poison:
    def poison(here: Path) -> None:
        (here / name).unlink()
        os.symlink(target, here / name)

    return poison


def _dcd_atoms(here: Path) -> None:
    path = here / "frames.dcd"
    data = bytearray(path.read_bytes())
    at = 4 + 84 + 4
    (title,) = struct.unpack_from("<i", data, at)
    struct.pack_into("<i", data, at + 4 + title + 4 + 4, 2**31 - 1)
    path.write_bytes(bytes(data))


DEEP = "[" * 100_000
LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
ENTITY = '<!DOCTYPE S [<!ENTITY x SYSTEM "file:///etc/passwd">]><System type="System">&x;</System>'
XML_BOMB = (
    "<!DOCTYPE S [<!ENTITY a0 'x'>"
    + "".join(f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 12))
    + "]><System>&a11;</System>"
)
MD17 = Seed("md17.npz", (*LOAD, *OUT))
OPERATOR = Seed("bundle/card.json", BUNDLE)
STORE = Seed("store/manifest.json", BUNDLE)
PDB = Seed("frames.pdb", (*LOAD, "--spacing", "1 fs", *OUT))
DCD = Seed("frames.dcd", (*LOAD, "--topology", "{here}/frames.pdb", "--spacing", "1 fs", *OUT))
PROTOCOL = Seed(
    "generate.yaml", ("generate", "ethanol", "--protocol", "{file}", "--out", "{here}/taken")
)
OWN = Seed("system/system.yaml", ("generate", "{here}/system", "--out", "{here}/taken"))
XML = "name: x\nstructure: ethanol.pdb\npotential: {kind: openmm-xml, file: s.xml}\n"
CASES: dict[str, tuple[Seed, Poison]] = {
    "npz of pickles": (MD17, _npz(R=np.array([Bomb()], dtype=object))),
    "npz with pickled charges": (MD17, _npz(z=np.array([Bomb()] * 9, dtype=object))),
    "npz that is a pickle": (MD17, _text("md17.npz", pickle.dumps(Bomb()))),
    "npz of NaN": (MD17, _npz(R=np.full((6, 9, 3), np.nan))),
    "npz of words": (MD17, _npz(R=np.full((6, 9, 3), "far"))),
    "npz of a void type": (MD17, _npz(R=np.zeros((6, 9, 3), dtype="V8"))),
    "npz of complex numbers": (MD17, _npz(R=np.zeros((6, 9, 3), dtype=complex))),
    "npz of negative charges": (MD17, _npz(z=-np.arange(9))),
    "npz of huge charges": (MD17, _npz(z=np.full(9, 2**62))),
    "npz with a huge shape": (MD17, _header((BIG, 9, 3))),
    "npz with an overflowing shape": (MD17, _header((2**62, 9, 3))),
    "npz with a negative shape": (MD17, _header((-1, 9, 3))),
    "npz bomb": (MD17, _zip_bomb),
    "npz with a path": (MD17, lambda h: _rezip(h / "md17.npz", {"../../evil.npy": b"x"})),
    "npz that is a link to a device": (MD17, _link("md17.npz", "/dev/zero")),
    "manifest that climbs": (STORE, _shard(file="../../../../../etc/passwd")),
    "manifest with an absolute path": (STORE, _shard(file="/etc/passwd")),
    "manifest with a device": (STORE, _shard(file="/dev/zero")),
    "manifest with NaN masses": (STORE, _json("store/manifest.json", masses=[float("nan")] * 9)),
    "manifest with huge shards": (STORE, _shard(frames=10**18)),
    "manifest with negative frames": (STORE, _shard(frames=-5)),
    "manifest that is deep": (STORE, _text("store/manifest.json", DEEP)),
    "manifest that is a list": (STORE, _text("store/manifest.json", "[]")),
    "manifest with spacing zero": (STORE, _json("store/manifest.json", spacing=0.0)),
    "manifest with spacing NaN": (STORE, _json("store/manifest.json", spacing=float("nan"))),
    "shard cut in half": (STORE, _cut_shard),
    "shard of words": (STORE, _wrong_dtype),
    "shard of another shape": (STORE, _wrong_shape),
    "shard of NaN": (STORE, _nan_shard),
    "shard with a pickled topology": (STORE, _pickled_topology),
    "card with a huge network": (OPERATOR, _network(hidden=BIG)),
    "card with many layers": (OPERATOR, _network(layers=BIG)),
    "card with many vectors": (OPERATOR, _network(vectors=BIG)),
    "card that is deep": (OPERATOR, _text("bundle/card.json", DEEP)),
    "card with NaN scales": (
        OPERATOR,
        _text("bundle/card.json", '{"scales": {"length": NaN}, "time_points": [NaN]}'),
    ),
    "card with far bonds": (OPERATOR, _one_system(bonds=[[0, 10**9]])),
    "card with negative bonds": (OPERATOR, _one_system(bonds=[[-1, -2]])),
    "weights with a huge header": (OPERATOR, _safetensors(2**63)),
    "weights beyond the file": (
        OPERATOR,
        _safetensors(0, {"w": {"dtype": "F32", "shape": [BIG], "data_offsets": [0, 4 * BIG]}}),
    ),
    "weights of NaN": (OPERATOR, _bad_weights),
    "weights that are a pickle": (
        OPERATOR,
        _text("bundle/model.safetensors", pickle.dumps(Bomb())),
    ),
    "yaml that runs code": (
        PROTOCOL,
        _text("generate.yaml", "!!python/object/apply:os.system ['touch pwned']"),
    ),
    "yaml of a billion laughs": (PROTOCOL, _text("generate.yaml", LAUGHS)),
    "yaml that is deep": (PROTOCOL, _text("generate.yaml", "[" * 20_000)),
    "yaml of bytes": (PROTOCOL, _text("generate.yaml", bytes(range(256)))),
    "yaml with huge quantities": (
        PROTOCOL,
        _text("generate.yaml", "temperature: '1e999 K'\ntimestep: 9e999 fs\n"),
    ),
    "yaml with an expression for a quantity": (
        PROTOCOL,
        _text("generate.yaml", "temperature: '9**9**9**9 K'\ntimestep: '1 fs'\n"),
    ),
    "structure that climbs": (
        OWN,
        _text("system/system.yaml", "name: x\nstructure: ../../../../etc/passwd\n"
              "potential: {kind: xtb}\n"),
    ),
    "xml that reads files": (
        OWN,
        lambda h: (_text("system/system.yaml", XML)(h), _text("system/s.xml", ENTITY)(h)),
    ),
    "xml bomb": (
        OWN,
        lambda h: (_text("system/system.yaml", XML)(h), _text("system/s.xml", XML_BOMB)(h)),
    ),
    "pdb of bytes": (PDB, _text("frames.pdb", bytes(range(256)) * 50)),
    "pdb without atoms": (PDB, _text("frames.pdb", "MODEL        1\nENDMDL\nEND\n")),
    "pdb of one long line": (PDB, _text("frames.pdb", "ATOM" + "9" * 2_000_000)),
    "dcd of billions of atoms": (DCD, _dcd_atoms),
    "dcd cut short": (
        DCD,
        lambda h: (h / "frames.dcd").write_bytes((h / "frames.dcd").read_bytes()[:150]),
    ),
}  # fmt: skip
HARMLESS = ("npz with a path",)
"""Members are read by name and never unpacked."""

QUICK = ("npz of pickles", "manifest that climbs", "yaml that runs code", "weights beyond the file")


def _is_refused(name: str, seeds: Path, tmp_path: Path) -> None:
    seed, poison = CASES[name]
    here, work = tmp_path / "here", tmp_path / "work"
    shutil.copytree(seeds, here)
    poison(here)
    work.mkdir()
    outcome = check(name, lambda out: seed.words(here, out), work)
    if name in HARMLESS:
        return
    assert outcome.code == 2, f"{name} is taken: {outcome}"
    lines = [line for line in outcome.text.splitlines() if line.strip()]
    assert ": " in lines[-1], f"{name}: {lines[-1]}"
    assert "root:" not in outcome.text, f"{name}: quotes what it must not read"
    assert not (work / "pwned").exists(), f"{name}: ran code"


@pytest.mark.parametrize("name", QUICK)
def test_files_made_to_do_harm_are_refused(name: str, seeds: Path, tmp_path: Path) -> None:
    _is_refused(name, seeds, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in CASES if n not in QUICK])
def test_every_file_made_to_do_harm_is_refused(name: str, seeds: Path, tmp_path: Path) -> None:
    _is_refused(name, seeds, tmp_path)
