"""The project's own files agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
CONDA_NAMES = {"tables": "pytables", "tblite": "tblite-python", "matplotlib": "matplotlib-base"}
KNOWN_BAD = {"lightning": {"2.6.2", "2.6.3"}}


def _requirements() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pairs = (re.match(r"([A-Za-z0-9_.-]+)(.*)", line) for line in project["dependencies"])
    return {m[1]: m[2] for m in pairs if m}


def _environment() -> dict[str, str]:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(d["pip"] for d in listed if isinstance(d, dict))
    lines = [d for d in listed if isinstance(d, str)] + [p for p in pip if not p.startswith("-e")]
    pairs = (re.match(r"([A-Za-z0-9_.-]+)(.*)", line) for line in lines)
    return {m[1]: m[2] for m in pairs if m}


def test_environment_is_in_step_with_pyproject() -> None:
    environment = _environment()
    for name, version in _requirements().items():
        assert environment.get(CONDA_NAMES.get(name, name)) == version, name


def test_constraints_pin_every_dependency_exactly() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    known = {name.lower().replace("_", "-") for name in pins}
    for name in _requirements():
        assert name.lower().replace("_", "-") in known, name
    assert pins["torch"] == "2.13.0"


def test_known_bad_releases_are_refused() -> None:
    requirements = _requirements()
    for name, versions in KNOWN_BAD.items():
        for version in versions:
            assert f"!={version}" in requirements[name]
    assert "openff-toolkit" not in (ROOT / "constraints.txt").read_text()


def test_wheel_carries_protocols_systems_and_types(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert "egno_md/systems/ethanol/system.yaml" in names
    assert "egno_md/systems/ethanol/ethanol.pdb" in names
    assert "egno_md/protocols/generate/nve-500k.yaml" in names
    assert "egno_md/constraints.txt" in names
    assert "egno_md/py.typed" in names
    assert {f"egno_md/nn/native/{n}" for n in ("dense.h", "maps.h", "egno.c")} <= {*names}
    assert "egno_md/cli/__init__.py" in names
    for name in ("page.html.j2", "page.css", "page.js", "viewer.js"):
        assert f"egno_md/report/{name}" in names
    assert not [n for n in names if n.startswith("tests/")]
