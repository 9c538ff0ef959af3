"""What README shows, runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from egno_md import api
from egno_md.cli import main
from egno_md.workflows.protocol import protocol

README = Path(__file__).resolve().parents[2] / "README.md"

TINY = {
    "nve-500k": {
        "equilibration": "50 fs",
        "sampling.segments": 10,
        "sampling.segment_length": "20 fs",
        "sampling.decorrelation": "10 fs",
    },
    "nvt-500k": {"equilibration": "50 fs", "sampling.length": "160 fs"},
    "egno-8fs": {
        "network.layers": 1,
        "network.hidden": 8,
        "network.vectors": 3,
        "optimisation.max_time": None,
        "optimisation.max_steps": 20,
        "optimisation.validate_every": 10,
    },
}
TINY_ROLLOUT = {"length": "40 fs", "equilibration": "20 fs", "reference_steps": 10}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(verb, name, changes=None):
        smaller = TINY_ROLLOUT if verb == "propagate" else TINY[name]
        return protocol(verb, name, {**(changes or {}), **smaller})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "protocol", tiny)
    example = next(b for b in blocks("python") if "em.propagate" in b)
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    names: dict = {}
    exec(compile(example, "README", "exec"), names)
    assert (tmp_path / "runs" / "report").is_dir()


def test_the_openmm_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = next(b for b in blocks("python") if "SurrogateSimulation" in b)
    names: dict = {}
    exec(compile(example, "README", "exec"), names)
    assert names["simulation"].statistics["steps"] == 160
    names.clear()
    assert (tmp_path / "ethanol.dcd").stat().st_size > 1000


def test_every_command_in_the_readme_exists_with_its_options() -> None:
    commands = [
        line.strip()
        for block in blocks("bash")
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip().startswith("egno-md")
    ]
    assert commands
    for command in commands:
        _, verb, *rest = shlex.split(command, comments=True)
        assert verb in main.commands, command
        known = {o for p in main.commands[verb].params for o in p.opts}
        for word in rest:
            if word.startswith("--"):
                assert word.split("=")[0] in known, command


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("bash")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
