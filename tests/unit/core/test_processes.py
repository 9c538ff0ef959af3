from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from egno_md.core.processes import die_with_parent, ends_when_asked, rank, terminable, world

PARENT = """
import multiprocessing, sys, time
from concurrent.futures import ProcessPoolExecutor
from egno_md.core.processes import die_with_parent
import os
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), die_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 60)
    time.sleep(60)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_worker_ends_when_its_parent_is_killed(tmp_path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _is_running(worker):
        time.sleep(0.05)
    assert not _is_running(worker)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().split(")")[1].split()[0] != "Z"


def test_a_request_to_end_is_noted_inside_and_interrupts_outside() -> None:
    with ends_when_asked() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.made
    with pytest.raises(KeyboardInterrupt), terminable():
        signal.raise_signal(signal.SIGTERM)


class Parent:
    """A parent process that ends when it is told to."""

    def __init__(self) -> None:
        self.is_gone = threading.Event()

    def join(self) -> None:
        self.is_gone.wait(10)


def test_a_worker_watches_its_parent_beside_its_work_and_fails_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parent, codes = Parent(), []
    monkeypatch.setattr("multiprocessing.parent_process", lambda: parent)
    monkeypatch.setattr("os._exit", codes.append)
    die_with_parent()
    (watch,) = [t for t in threading.enumerate() if t.name == "die-with-parent"]
    assert watch.daemon, "a worker must end without waiting for its parent"
    assert codes == []
    parent.is_gone.set()
    watch.join(10)
    assert codes == [1]


def test_without_a_parent_nothing_is_watched() -> None:
    before = threading.active_count()
    die_with_parent()
    assert threading.active_count() == before


VARIABLES = ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (1, 1, 0)),
        ({"WORLD_SIZE": "4", "RANK": "3"}, (1, 1, 0)),  # of something else, not torchrun
        ({"LOCAL_WORLD_SIZE": "2"}, (1, 1, 0)),
        ({"LOCAL_WORLD_SIZE": "1", "RANK": "3"}, (1, 1, 0)),
        ({"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2", "RANK": "1"}, (2, 1, 1)),
        ({"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6", "RANK": "5"}, (6, 3, 5)),
        ({"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "4"}, (4, 1, 0)),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "3", "RANK": "2"}, (3, 3, 2)),
        ({"TORCHELASTIC_RUN_ID": "x"}, (1, 1, 0)),
    ],
)
def test_processes_and_nodes_are_counted_as_the_launcher_says(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: tuple[int, int, int]
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert (*world(), rank()) == expected
