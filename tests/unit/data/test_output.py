"""The output directory of a verb: one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from egno_md.core.errors import OutputError
from egno_md.data.output import open_output

HOLDER = """
import sys
from pathlib import Path
from egno_md.data.output import open_output
output = open_output(Path(sys.argv[1]), "train", {}, "new")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    root = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(root)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for mode in ("resume", "overwrite"):
            with pytest.raises(OutputError, match="another egno-md is writing"):
                open_output(root, "train", {}, mode)
        assert (root / "run.json").is_file()
        holder.kill()
    assert open_output(root, "train", {}, "resume").record["status"] == "running"


def test_the_same_process_may_go_on_after_an_error(tmp_path: Path) -> None:
    root = tmp_path / "run"
    first = open_output(root, "train", {}, "new")
    again = open_output(root, "train", {}, "resume")
    assert again.record == first.record
    assert open_output(root, "train", {}, "overwrite").record["status"] == "running"


def test_a_finished_run_gives_its_lock_back(tmp_path: Path) -> None:
    root = tmp_path / "run"
    output = open_output(root, "train", {}, "new")
    assert output.lock.is_locked
    output.finish()
    assert not output.lock.is_locked
