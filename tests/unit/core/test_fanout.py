"""Lost workers are retried, failures are values: on processes, and on a Dask cluster."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from egno_md.core.errors import DataError, SpecError
from egno_md.core.executors import LocalProcesses, open_executor
from egno_md.core.fanout import Done, Failed, run_all

PROMPT = 10.0
"""Seconds in which a wrong address is said to be wrong, on a busy machine."""


def half(number: int) -> float:
    if number % 2:
        raise DataError(f"{number} is odd")
    return number / 2


def killed_at_first(marker: Path, number: int) -> int:
    if number == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def killed(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def nap(seconds: float) -> None:
    time.sleep(seconds)


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with LocalProcesses(2) as executor:
        yield executor


def test_an_exception_is_a_value_with_its_traceback(processes: Executor) -> None:
    for executor in (None, processes):
        outcomes = run_all(executor, half, [(n,) for n in range(4)])
        assert [o.number for o in outcomes] == [0, 1, 2, 3]
        assert outcomes[0] == Done(0, 0.0)
        assert outcomes[2] == Done(2, 1.0)
        failed = outcomes[3]
        assert isinstance(failed, Failed)
        assert failed.error == "DataError: 3 is odd"
        assert "in half" in failed.traceback


def test_a_killed_process_takes_only_its_own_call_which_is_made_again(
    processes: Executor, tmp_path: Path
) -> None:
    told: list[int] = []
    tasks = [(tmp_path / "killed", n) for n in range(4)]
    outcomes = run_all(processes, killed_at_first, tasks, retries=1, tell=told.append)
    assert (tmp_path / "killed").exists()
    assert outcomes == [Done(n, n) for n in range(4)]
    assert told == sorted(told)
    assert told[-1] == 4


def test_what_kills_every_worker_is_given_up_after_the_retries(processes: Executor) -> None:
    outcomes = run_all(processes, killed, [(0,)], retries=1)
    assert isinstance(outcomes[0], Failed)
    assert "BrokenProcessPool" in outcomes[0].error
    assert run_all(processes, half, [(4,)]) == [Done(0, 2.0)]


def test_an_interrupted_ensemble_ends_its_processes() -> None:
    begun = time.monotonic()
    busy: list[Future] = []

    def interrupted() -> None:
        with LocalProcesses(1) as executor:
            executor.submit(half, 2).result()
            busy.append(executor.submit(nap, 60.0))
            while not busy[0].running():
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - begun < 30
    assert isinstance(busy[0].exception(), BrokenExecutor)


def test_a_pool_that_cannot_recover_loses_its_calls_and_says_so() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        outcomes = run_all(pool, killed, [(0,), (1,)])
    assert all(isinstance(o, Failed) and "BrokenProcessPool" in o.error for o in outcomes)


class Parsl(Executor):
    """Loses its first call as Parsl does."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, fn, /, *args, **kwargs) -> Future:
        self.calls += 1
        future: Future = Future()
        if self.calls == 1:
            future.set_exception(type("WorkerLost", (Exception,), {})("node gone"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_an_executor_of_another_library_fits_the_slot() -> None:
    executor = Parsl()
    assert run_all(executor, half, [(2,), (4,)]) == [Done(0, 1.0), Done(1, 2.0)]
    assert executor.calls == 3


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "tcp://", "tcp://127.0.0.1:x"])
def test_a_wrong_address_is_met_with_one_line(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("egno_md.core.executors.CONNECT_SECONDS", 1)
    begun = time.monotonic()
    with pytest.raises(SpecError, match="no Dask scheduler answers") as caught:
        open_executor(1, address).__enter__()
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begun < PROMPT


def test_without_dask_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SpecError, match=r"pip install 'egno-md\[dask\]'"):
        open_executor(1, "tcp://127.0.0.1:8786").__enter__()
