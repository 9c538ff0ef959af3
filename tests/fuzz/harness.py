"""Runs the command line on bad files, each in a process of its own, and sees what becomes of it."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

# imported once, before the forks
from egno_md.cli import main
from egno_md.compare import run as compare
from egno_md.md import load
from egno_md.md.generate import run as generate
from egno_md.report import run as report
from egno_md.train import evaluate
from egno_md.train import run as train

VERBS = (compare, evaluate, generate, load, report, train)

SECONDS = 60
"""Longer is a hang; a machine under load takes its time."""

MEMORY = 6 * 2**30
"""Bytes of addresses a case may use."""


@dataclass(frozen=True)
class Outcome:
    """What became of one command.

    Attributes:
        code: exit code; negative for the signal that ended it.
        text: what it said on stderr.
        trace: traceback of an exception that reached the user; empty for none.
    """

    code: int
    text: str
    trace: str

    @property
    def problem(self) -> str:
        """What is wrong with it, or nothing."""
        if self.code == -signal.SIGKILL:
            return f"hangs for more than {SECONDS} s"
        if self.code < 0:
            return f"dies of signal {-self.code}"
        if self.trace or "Traceback" in self.text:
            return self.trace or self.text
        if self.code not in (0, 2):
            return f"exit code {self.code}: {self.text}"
        if self.code == 2 and not self.text.strip():
            return "says nothing"
        return ""


def run(arguments: list[object], work: Path) -> Outcome:
    """Run one command in a fork of this process, within `SECONDS` and `MEMORY`."""
    answer = work / "answer.json"
    child = os.fork()
    if child == 0:
        _run_and_exit(arguments, work, answer)
    deadline = time.monotonic() + SECONDS
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Outcome(-signal.SIGKILL, "", "")
        time.sleep(0.005)
    if os.WIFSIGNALED(status) or not answer.is_file():
        return Outcome(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else -1, "", "")
    found = Outcome(**json.loads(answer.read_text()))
    answer.unlink()
    return found


def _run_and_exit(arguments: list[object], work: Path, answer: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.chdir(work)
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    trace = ""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        trace = "".join(traceback.format_exception(*result.exc_info))
    answer.write_text(json.dumps({"code": result.exit_code, "text": result.stderr, "trace": trace}))
    os._exit(0)


def snapshot(root: Path, leave_out: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file under `root`, but for a run's own folder."""
    return {
        str(p): (p.lstat().st_size, p.lstat().st_mtime_ns)
        for p in root.rglob("*")
        if not p.is_relative_to(leave_out) and not p.is_dir()
    }


def check(name: str, arguments: Callable[[Path], list[object]], work: Path) -> Outcome:
    """Run a command whose results go to ``work/out``, and find nothing wrong with it."""
    out = work / "out"
    before = snapshot(work.parent, out)
    outcome = run(arguments(out), work)
    assert not outcome.problem, f"{name}: {outcome.problem}"
    assert snapshot(work.parent, out) == before, f"{name}: wrote outside {out}"
    return outcome
