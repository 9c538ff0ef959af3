"""Lost workers are retried, failures are values: on processes, and on a Dask cluster."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from multiprocessing import get_context
from pathlib import Path

import pytest

from egno_md.core.errors import DataError, SpecError
from egno_md.core.executors import CONNECT_SECONDS, LocalProcesses, open_executor
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


def surroundings() -> tuple[bool, list[str]]:
    is_deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    return is_deaf, [thread.name for thread in threading.enumerate()]


remembered = 0


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
        assert failed.traceback.startswith("Traceback (most recent call last):\n  File")


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


def test_a_worker_leaves_ctrl_c_to_its_parent_and_ends_with_it(processes: Executor) -> None:
    is_deaf, threads = processes.submit(surroundings).result()
    assert is_deaf
    assert "die-with-parent" in threads


def remember(value: int) -> None:
    global remembered
    remembered = value


def recall(_: float = 0.0) -> tuple[int, int]:
    return os.getpid(), remembered


def test_sticky_calls_go_to_one_process_which_is_set_up_again_when_it_is_lost() -> None:
    with LocalProcesses(2, remember, (7,)) as executor:
        zero, one, zero_again = (executor.submit_to(k, recall).result() for k in (0, 1, 0))
        assert zero == zero_again
        assert zero[0] != one[0]
        assert isinstance(executor.submit_to(0, killed, 0).exception(), BrokenExecutor)
        replaced = executor.submit_to(0, recall).result()
        assert replaced[0] not in (zero[0], one[0])
        assert replaced[1] == 7
        assert executor.submit_to(1, recall).result() == one


def test_sticky_calls_and_free_ones_share_the_processes() -> None:
    with LocalProcesses(2, remember, (7,)) as executor:
        busy = executor.submit_to(0, nap, 0.3)
        free = [executor.submit(recall) for _ in range(4)]
        own = [executor.submit_to(k, recall) for k in (0, 1)]
        assert busy.result() is None
        numbers = [future.result()[0] for future in own]
        assert {future.result()[0] for future in free} <= set(numbers)


def test_calls_one_after_another_need_one_process() -> None:
    with LocalProcesses(3) as executor:
        assert len({executor.submit(os.getpid).result() for _ in range(3)}) == 1


def test_a_given_executor_is_used_and_left_open() -> None:
    given = Parsl()
    with open_executor(5, executor=given) as executor:
        assert executor is given


def test_what_was_asked_for_is_done_before_the_processes_end() -> None:
    with LocalProcesses(1) as executor:
        asked = [executor.submit(os.getpid) for _ in range(3)]
    assert [future.done() for future in asked] == [True] * 3
    assert len({future.result() for future in asked}) == 1, "one worker is one process"


def test_whoever_does_not_wait_leaves_at_once_and_calls_still_end() -> None:
    executor = LocalProcesses(1)
    executor.submit(half, 2).result()
    call = executor.submit(nap, 0.8)
    while not call.running():
        time.sleep(0.01)
    time.sleep(0.1)
    begun = time.monotonic()
    executor.shutdown(wait=False)
    assert time.monotonic() - begun < 0.5
    assert call.result(10) is None


def test_whoever_cancels_waits_for_what_runs_alone() -> None:
    executor = LocalProcesses(1)
    executor.submit(half, 2).result()
    running, *waiting = (executor.submit(nap, 0.2) for _ in range(3))
    while not running.running():
        time.sleep(0.01)
    time.sleep(0.05)
    executor.shutdown(cancel_futures=True)
    assert [f.cancelled() for f in (running, *waiting)] == [False, True, True]
    assert running.result() is None


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


class Losing(Executor):
    """Loses every call, and remembers which."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def submit(self, fn, /, number, *args, **kwargs) -> Future:
        self.calls.append(number)
        future: Future = Future()
        future.set_exception(BrokenExecutor("gone"))
        return future


def test_every_task_has_its_own_retries() -> None:
    executor = Losing()
    outcomes = run_all(executor, half, [(2,), (4,)], retries=2)
    assert sorted(executor.calls) == [0, 0, 0, 1, 1, 1]
    assert [o.number for o in outcomes] == [0, 1]
    assert all(isinstance(o, Failed) and o.error == "BrokenExecutor: gone" for o in outcomes)


def refuse(message: str) -> None:
    raise ValueError(message)


def test_an_error_is_one_line_that_begins_with_its_class() -> None:
    outcomes = run_all(None, refuse, [("two\n  lines",), ("ValueError: named",)])
    assert [o.error for o in outcomes] == ["ValueError: two lines", "ValueError: named"]  # type: ignore[union-attr]


def test_calls_made_right_here_are_told_one_by_one() -> None:
    told: list[int] = []
    run_all(None, half, [(2,), (4,), (6,)], tell=told.append)
    assert told == [1, 2, 3]


def test_while_calls_run_it_is_asked_again_and_again_how_far_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("egno_md.core.fanout.LOOK_SECONDS", 0.01)
    told: list[int] = []
    with monkeypatch.context() as eager, ThreadPoolExecutor(1) as pool:
        eager.setattr("egno_md.core.fanout.LOOKING", 1.0)
        run_all(pool, nap, [(0.3,)], tell=told.append)
    assert told.count(0) > 4
    assert told[-1] == 1
    slow: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        run_all(pool, nap, [(0.3,)], tell=lambda n: (time.sleep(0.1), slow.append(n))[1])
    assert slow == [0, 1], "looking that takes long is done seldom"


class Halting(Executor):
    """Its first call ends as it is told; the others never begin."""

    def __init__(self, ending: BaseException | None) -> None:
        self.ending = ending
        self.futures: list[Future] = []

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future: Future = Future()
        if self.ending is None:
            future.cancel()
            future.set_running_or_notify_cancel()
        elif not self.futures:
            future.set_exception(self.ending)
        self.futures.append(future)
        return future


def test_a_cancelled_call_has_failed() -> None:
    (outcome,) = run_all(Halting(None), half, [(2,)])
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith(CancelledError.__name__)


def test_an_interrupt_that_reached_a_worker_ends_all_and_cancels_the_rest() -> None:
    executor = Halting(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_all(executor, half, [(2,), (4,), (6,)])
    assert [f.cancelled() for f in executor.futures] == [False, True, True]


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
    with pytest.raises(SpecError, match=r"Run: pip install 'egno-md\[dask\]'\.$"):
        open_executor(1, "tcp://127.0.0.1:8786").__enter__()


class FakeClient:
    """Notes how a Dask client is asked for."""

    made: list[FakeClient]

    def __init__(self, *address: object, **options: object) -> None:
        self.asked, self.is_closed = (address, options), False
        self.made.append(self)

    def get_executor(self, **options: object) -> object:
        return options

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[FakeClient]:
    pytest.importorskip("distributed", reason="needs Dask")
    monkeypatch.setattr("distributed.Client", FakeClient)
    FakeClient.made = []
    return FakeClient.made


def test_a_cluster_is_found_by_its_address_or_its_file(
    clients: list[FakeClient], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        file = tmp_path / "scheduler.json"
        file.write_text(json.dumps({"type": "Scheduler", "address": address}), encoding="utf-8")
        for scheduler in (address, str(file)):
            with open_executor(7, scheduler) as executor:
                assert executor == {"pure": False}, "a random call must be made anew"
                assert not clients[-1].is_closed
            assert clients[-1].is_closed
    expected = {"timeout": CONNECT_SECONDS, "set_as_default": False}
    assert [c.asked for c in clients] == [((address,), expected)] * 2


def test_a_client_is_closed_after_an_error_and_not_made_where_nobody_listens(
    clients: list[FakeClient],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(KeyError), open_executor(1, f"tcp://127.0.0.1:{port}"):
            raise KeyError
    assert clients.pop().is_closed
    for kind in ("tcp", "tls"):
        with pytest.raises(SpecError, match="no Dask scheduler answers"):
            open_executor(1, f"{kind}://127.0.0.1:{port}").__enter__()
    assert clients == []


def test_one_worker_is_this_very_process() -> None:
    with open_executor(1) as executor:
        assert executor is None
