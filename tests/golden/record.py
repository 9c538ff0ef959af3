"""Records of the golden runs: `python -m tests.golden.record [NAME ...]` writes them."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np

import tests.conftest  # noqa: F401  one thread, before anything is computed
from egno_md.nn import native
from tests.golden.content import Content, kinds
from tests.golden.scenarios import SCENARIOS

RECORDS = Path(__file__).resolve().parent / "records"
PACKAGES = ("openmm", "torch", "numpy", "scipy", "tblite", "mdtraj", "ase")


def fingerprint() -> dict[str, str]:
    """What decides the last bits of a run, as far as it can be asked for."""
    return {
        "processor": processor(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "native": native.described(),
        "compiler": compiler(),
        **{name: version(name) for name in PACKAGES},
    }


def processor() -> str:
    """The CPU's model and what instructions it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    said = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    said = {k.strip(): v.strip() for k, v in said.items()}
    names = ("vendor_id", "cpu family", "model", "model name", "flags")
    return ", ".join(said.get(name, "") for name in names)


def compiler() -> str:
    """The one that builds the networks' loops."""
    try:
        done = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.splitlines()[0]


def write_record(name: str, content: Content) -> None:
    """Two files, JSON and compressed arrays."""
    text = json.dumps({"fingerprint": fingerprint(), **content.text}, indent=1, ensure_ascii=False)
    (RECORDS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    np.savez_compressed(RECORDS / f"{name}.npz", **content.arrays)


def read_record(name: str) -> tuple[dict[str, str], Content]:
    """The fingerprint of where it was written, and what came of it there."""
    text = json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))
    with np.load(RECORDS / f"{name}.npz", allow_pickle=False) as stored:
        arrays = {k: stored[k] for k in stored.files}
    return text.pop("fingerprint"), Content(text, arrays)


def main(names: list[str]) -> None:
    """Run and write; tell what happened in each."""
    RECORDS.mkdir(exist_ok=True)
    for name in names or SCENARIOS:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.process_time()
            content = SCENARIOS[name].run(Path(folder) / "run", "new")
            spent = time.process_time() - begun
        write_record(name, content)
        print(f"{name}: {spent:.1f} s, {dict(Counter(kinds(content)))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
