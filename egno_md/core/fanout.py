"""Many calls of one function over an executor: lost workers are retried, failures are values."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

RETRIES = 3
"""Times that a call is made again after its worker was lost, as Dask's scheduler does."""

LOST = frozenset({"WorkerLost", "ManagerLost"})
"""Errors of Parsl for a lost worker; Dask's scheduler retries by itself."""

LOOK_SECONDS = 0.5
LOOKING = 0.02
"""Seconds between two progress reports, and the largest share of the time they may take."""

_turn = threading.Lock()


@dataclass(frozen=True)
class Done:
    """A call that ended well.

    Attributes:
        number: of the task.
        value: what the function returned.
    """

    number: int
    value: Any


@dataclass(frozen=True)
class Failed:
    """A call that raised.

    Attributes:
        number: of the task.
        error: class and message, in one line.
        traceback: of the process that raised it.
    """

    number: int
    error: str
    traceback: str


Outcome = Done | Failed


def attempt(number: int, function: Callable[..., Any], *arguments: Any) -> Outcome:
    """Call, and give an exception as a value with its traceback.

    Calls in threads of one process take turns: OpenMM's Reference platform has one
    stream of random numbers a process, and results may not depend on who else runs.
    """
    with _turn:
        try:
            return Done(number, function(*arguments))
        except Exception as error:
            return _failed(number, error)


def run_all(
    executor: Executor | None,
    function: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    *,
    retries: int = RETRIES,
    tell: Callable[[int], None] = lambda _: None,
) -> list[Outcome]:
    """Call a function once for every task.

    Args:
        executor: any of `concurrent.futures`: `LocalProcesses`, Dask's
            ``client.get_executor(pure=False)``, Parsl's ``ParslPoolExecutor``. None calls in
            this process, one after the other.
        function: of a module, so that other processes can import it. It may be called
            again for the same task after its worker was lost, and must then continue.
        tasks: its arguments.
        retries: for every task, after lost workers.
        tell: called now and then, and at the end, with the number of tasks that have ended.

    Returns:
        One outcome a task, in the order of the tasks.
    """
    outcomes: dict[int, Outcome] = {}
    if executor is None:
        for number, task in enumerate(tasks):
            outcomes[number] = attempt(number, function, *task)
            tell(len(outcomes))
        return list(outcomes.values())
    ended: SimpleQueue[tuple[int, Future[Any]]] = SimpleQueue()
    running: dict[int, Future[Any]] = {}
    lost: Counter[int] = Counter()
    looked, look = time.perf_counter(), 0.0

    def submit(number: int) -> None:
        try:
            future = executor.submit(attempt, number, function, *tasks[number])
        except BrokenExecutor as error:  # a pool that puts no new worker in a lost one's place
            outcomes[number] = _failed(number, error)
            return
        running[number] = future
        future.add_done_callback(lambda f: ended.put((number, f)))

    try:
        for number in range(len(tasks)):
            submit(number)
        while running:
            begun = time.perf_counter()
            if (begun - looked) * LOOKING >= look:
                tell(len(outcomes))
                looked = time.perf_counter()
                look = looked - begun
            try:
                number, future = ended.get(timeout=LOOK_SECONDS)
            except Empty:
                continue
            del running[number]
            if _is_lost(future) and lost[number] < retries:
                lost[number] += 1
                submit(number)
                continue
            outcomes[number] = _outcome(number, future)
        tell(len(outcomes))
    finally:
        for future in running.values():
            future.cancel()
    return [outcomes[number] for number in range(len(tasks))]


def _is_lost(future: Future[Any]) -> bool:
    """Whether the worker was lost, rather than the call failed."""
    error = None if future.cancelled() else future.exception()
    return isinstance(error, BrokenExecutor) or type(error).__name__ in LOST


def _outcome(number: int, future: Future[Any]) -> Outcome:
    try:
        return future.result()
    except KeyboardInterrupt:  # reached the worker too, as Ctrl-C does
        raise
    except (Exception, CancelledError) as error:
        return _failed(number, error)


def _failed(number: int, error: BaseException) -> Failed:
    message = " ".join(str(error).split())
    name = type(error).__name__
    message = message if message.startswith(f"{name}: ") else f"{name}: {message}"
    return Failed(number, message, "".join(traceback.format_exception(error)))
