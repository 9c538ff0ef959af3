"""Fenced blocks of Markdown pages, and how each is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from egno_md import api
from egno_md.cli import main
from egno_md.registry import MODELS, protocol
from egno_md.spec.files import find_protocol
from egno_md.spec.system import SystemSpec

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

RUN = ("bash", "python", "yaml")
SHOWN = ("text", "json", "fish", "zsh")
"""Languages whose blocks show something and are not run."""

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>.*)$")
DIRECTIVE = re.compile(r"^ *<!-- test: (?P<what>skip|slow|note)(?: because)? (?P<why>.+) -->$")
COMMAND = re.compile(r"egno-md [^|><&;()$`]*(?:> (?P<file>[\w./-]+))?")
"""One command of ours, its output to a file perhaps; all else is left to a shell."""


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: relative to the repository.
        line: of its fence.
        language: after the fence.
        title: of the file it shows, if any.
        text: without indentation.
        what: run, slow or skip.
        why: reason of what is not run.
    """

    page: str
    line: int
    language: str
    title: str
    text: str
    what: str
    why: str


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page in order."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    index = 0
    while index < len(lines):
        opening = FENCE.match(lines[index])
        if opening is None:
            index += 1
            continue
        indent, start = opening["indent"], index
        index += 1
        while lines[index] != f"{indent}```":
            index += 1
        body = "\n".join(line.removeprefix(indent) for line in lines[start + 1 : index])
        directive = DIRECTIVE.match(lines[start - 1]) if start else None
        title = re.search(r'title="([^"]+)"', opening["info"])
        found.append(
            Block(
                page.relative_to(ROOT).as_posix(),
                start + 1,
                (opening["info"].split() or [""])[0],
                title[1] if title else "",
                body,
                "run" if directive is None or directive["what"] == "note" else directive["what"],
                "" if directive is None else directive["why"],
            )
        )
        index += 1
    return found


SAMPLING = {
    "nve-segments": {"segments": 10, "segment_length": "20 fs", "decorrelation": "10 fs"},
    "nvt": {"length": "160 fs"},
}
TRAINING = {
    "network.layers": 1,
    "network.hidden": 8,
    "optimisation.max_time": None,
    "optimisation.max_steps": 20,
    "optimisation.validate_every": 10,
}
FIXED: dict[str, dict[str, Any]] = {
    "propagate": {"length": "48 fs", "equilibration": "20 fs", "record.reference_steps": 10},
    "parareal": {"length": "64 fs", "slab": "16 fs", "equilibration": "20 fs"},
    "fit-potential": {
        "network.channels": 8,
        "network.radial": 8,
        "optimisation.max_time": None,
        "optimisation.max_steps": 10,
        "optimisation.validate_every": 5,
    },
}

PROTEIN: dict[tuple[str, str], dict[str, Any]] = {
    ("generate", "protein-300k"): {"equilibration": "40 fs", "sampling.length": "16 ps"},
    ("propagate", "protein-300k"): {"equilibration": "40 fs", "record.reference_steps": 10},
}
"""Windows of a picosecond need frames of some."""


def tiny(verb: str, name: str) -> dict[str, Any]:
    """Changes that make a protocol small, and leave its meaning."""
    content = yaml.safe_load(find_protocol(verb, name).read_text(encoding="utf-8"))
    if (verb, name) in PROTEIN:
        return dict(PROTEIN[verb, name])
    if verb in FIXED:
        return dict(FIXED[verb])
    if verb == "generate":
        kind = content["sampling"]["kind"]
        return {"equilibration": "20 fs"} | {f"sampling.{k}": v for k, v in SAMPLING[kind].items()}
    return TRAINING | ({"network.vectors": 3} if content["network"]["kind"] == "egno" else {})


def tiny_protocol(verb: str, name: str, changes: Mapping[str, object] | None = None):
    """`egno_md.api.protocol`, made small."""
    return protocol(verb, name, {**(changes or {}), **tiny(verb, name)})  # type: ignore[call-overload]


def tiny_command(words: list[str]) -> list[str]:
    """A command whose protocol is made small; others as they are."""
    verb = words[0]
    if verb not in MODELS:
        return words
    if "--workers" in words:
        at = words.index("--workers")
        words = words[:at] + words[at + 2 :]
    defaults = {p.name: p.default for p in main.commands[verb].params}
    name = words[words.index("--protocol") + 1] if "--protocol" in words else None
    changes = tiny(verb, name or str(defaults["protocol"]))
    if verb == "propagate" and "--length" in words:
        at = words.index("--length")
        words = words[:at] + words[at + 2 :]
    extra = [o for k, v in changes.items() for o in ("--set", f"{k}={'null' if v is None else v}")]
    return [*words, *extra]


@dataclass
class Reader:
    """Somebody who copies the blocks of one page, in one folder, one after the other.

    Attributes:
        folder: where.
        names: of the Python session.
        make_small: whether protocols are made small.
    """

    folder: Path
    make_small: bool = True
    names: dict[str, Any] = field(default_factory=dict)

    def follow(self, block: Block) -> None:
        """Do what a block says.

        Raises:
            AssertionError: it does not work.
        """
        doers: dict[str, Callable[[Block], None]] = {
            "bash": self._bash,
            "python": self._python,
            "yaml": self._yaml,
        }
        doers[block.language](block)

    def _bash(self, block: Block) -> None:
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and self.make_small and (match := COMMAND.fullmatch(_bare(line))):
                self._command(words[1 : -2 if match["file"] else None], match["file"], block)
            elif words:
                self._shell(line, block)

    def _command(self, words: list[str], file: str | None, block: Block) -> None:
        """One command of ours in this process, its output to a file if asked for."""
        result = CliRunner().invoke(main, tiny_command(words))
        where = f"{block.page}:{block.line}: {shlex.join(words)}"
        if result.exception and not isinstance(result.exception, SystemExit):
            raise AssertionError(where) from result.exception
        assert result.exit_code == 0, f"{where}\n{result.output}{result.stderr}"
        if file is not None:
            (self.folder / file).write_text(result.stdout, encoding="utf-8")

    def _shell(self, line: str, block: Block) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (
            f"{block.page}:{block.line}: {line}\n{done.stdout}{done.stderr}"
        )

    def _python(self, block: Block) -> None:
        code = "\n" * block.line + block.text
        usual = api.protocol
        if self.make_small:
            api.protocol = tiny_protocol  # type: ignore[assignment]
        try:
            exec(compile(code, block.page, "exec"), self.names)
        finally:
            api.protocol = usual

    def _yaml(self, block: Block) -> None:
        content = yaml.safe_load(block.text)
        assert isinstance(content, dict), f"{block.page}:{block.line}: no keys"
        if block.title:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            if path.name == "system.yaml":
                SystemSpec.model_validate(content)


def _bare(line: str) -> str:
    """A command without its quoted parts and its comment."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", "", line).split(" #")[0].strip()
