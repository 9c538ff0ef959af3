"""Runs of `benchmark`, as its tests need them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from egno_md.cli import main


def write_protocol(folder: Path, content: dict[str, Any]) -> Path:
    """A protocol file."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def run_table(name: str, protocol: Path, out: Path, *options: str) -> Result:
    """`egno-md benchmark NAME`, quietly."""
    words = ["benchmark", name, "--protocol", str(protocol), "--out", str(out), "--quiet"]
    return CliRunner().invoke(main, [*words, *options])


def results(out: Path) -> dict[str, Any]:
    """What `results.json` says."""
    return json.loads((out / "results.json").read_text(encoding="utf-8"))
