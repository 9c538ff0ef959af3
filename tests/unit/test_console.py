from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from egno_md.console import Console

PROGRAM = """
import time
from egno_md.console import Console
console = Console()
console.stage("propagate")
values = {"temperature": "501 K", "speed": "27.5 ns/day", "accept": 12.0}
for done in range(4):
    console.update(done, 3, values)
    time.sleep(0.1)
console.note("a [note]")
console.result({}, "the result")
"""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def on_a_terminal() -> tuple[str, str]:
    """What a pseudo-terminal on stderr and a pipe on stdout receive."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=theirs, text=True,
        env=environment, cwd=ROOT,
    ) as process:  # fmt: skip
        os.close(theirs)
        screen = b""
        while select.select([ours], [], [], 20)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            screen += part
        assert process.stdout is not None
        out = process.stdout.read()
    os.close(ours)
    return screen.decode(), out


def test_a_terminal_shows_a_panel_with_named_values(on_a_terminal):
    screen = ESCAPES.sub("", on_a_terminal[0])
    for words in ("╭─ propagate", "temperature  501 K", "speed  27.5 ns/day", "accept  12", "left"):
        assert words in screen
    assert "100%" in screen


def test_the_panel_is_taken_away_and_results_go_to_stdout(on_a_terminal):
    screen, out = on_a_terminal
    assert out == "the result\n"
    assert "\x1b[2K" in screen  # lines of the panel are erased
    assert "a [note]" in screen


def test_a_pipe_gets_plain_lines():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "\x1b" not in done.stderr + done.stdout
    assert "propagate: 100%, temperature 501 K, speed 27.5 ns/day, accept 12, 0 s left" in (
        done.stderr.splitlines()
    )


def test_quiet_says_nothing_and_json_is_one_object(capsys):
    console = Console(quiet=True, as_json=True)
    console.stage("train")
    console.update(1, 2, {"loss": 0.5})
    console.note("no")
    console.result({"a": 1}, "text")
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out == '{"a": 1}\n'


def test_a_sentence_is_shown_as_it_is(capsys):
    console = Console()
    console.stage("load")
    console.update(1, 1, "12 frames")
    assert capsys.readouterr().err == "load: 100%, 12 frames, 0 s left\n"
