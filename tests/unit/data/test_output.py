"""The output directory of a verb: one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from egno_md.core.errors import OutputError
from egno_md.core.progress import Silent
from egno_md.data.output import LOCK, hold, run_folder

HOLDER = """
import sys
from pathlib import Path
from egno_md.data.output import run_folder
with run_folder(Path(sys.argv[1]), "train", {}, "new"):
    print("held", flush=True)
    sys.stdin.read()
"""


def is_locked(root: Path) -> bool:
    """Whether someone else would be refused now, by a lock object of its own."""
    lock = FileLock(root / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


class Notes(Silent):
    """Keeps what a user is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(root)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for mode in ("resume", "overwrite"):
            with (
                pytest.raises(OutputError, match="another egno-md is writing"),
                run_folder(root, "train", {}, mode),
            ):
                pass
        assert (root / "run.json").is_file()
        holder.kill()
    with run_folder(root, "train", {}, "resume") as run:
        assert run.record["status"] == "running"


def test_the_same_process_may_go_on_after_an_error(tmp_path: Path) -> None:
    root = tmp_path / "run"
    with pytest.raises(KeyError), run_folder(root, "train", {}, "new") as first:
        raise KeyError
    with run_folder(root, "train", {}, "resume") as again:
        assert again.record == first.record
    with run_folder(root, "train", {}, "overwrite") as run:
        assert run.record["status"] == "running"


def test_a_finished_run_gives_its_lock_back(tmp_path: Path) -> None:
    root = tmp_path / "run"
    with run_folder(root, "train", {}, "new") as run:
        assert is_locked(root)
        run.finish()
    assert not is_locked(root)


def test_a_run_that_raises_gives_its_lock_back_and_is_resumed(tmp_path: Path) -> None:
    root = tmp_path / "run"
    with pytest.raises(KeyError), run_folder(root, "train", {}, "new") as run:
        raise KeyError
    assert not is_locked(root)
    with run_folder(root, "train", {}, "resume") as again:
        assert not again.is_complete
        assert again.record == run.record


def test_a_complete_run_is_noted_and_keeps_its_results(tmp_path: Path) -> None:
    root, notes = tmp_path / "run", Notes()
    for _ in range(2):
        with run_folder(root, "train", {}, "resume", progress=notes) as run:
            if not run.is_complete:
                run.finish(summary={"loss": 1.0})
    assert run.record["summary"] == {"loss": 1.0}
    assert notes.texts == [f"{root} is complete already."]


def test_a_lock_held_in_a_block_is_free_after_it(tmp_path: Path) -> None:
    with hold(tmp_path) as lock:
        assert lock.is_locked
    assert not lock.is_locked
