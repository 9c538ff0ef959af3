"""Where calls run: processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from concurrent.futures import ThreadPoolExecutor as Threads
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from queue import LifoQueue
from socket import create_connection
from types import TracebackType
from typing import Any

from egno_md.core.errors import SpecError
from egno_md.core.processes import die_with_parent

CONNECT_SECONDS = 5


class LocalProcesses(Executor):
    """Processes of this machine, one call at a time each, started when first needed.

    A lost process fails only its own call, and a new one replaces it. They end with
    the process that started them, and leave Ctrl-C to it.

    Args:
        workers: how many.
        initializer: called in every process before its first call; of a module.
        initargs: its arguments.
    """

    def __init__(
        self,
        workers: int,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        self._processes = [_Process(initializer, initargs) for _ in range(workers)]
        self._idle: LifoQueue[_Process] = LifoQueue()  # prefers processes already started
        for process in self._processes:
            self._idle.put(process)
        self._shared = Threads(workers, "egno-md-worker")
        self._own = [Threads(1, "egno-md-worker") for _ in range(workers)]

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call in the next process that is free."""
        return self._shared.submit(self._call_idle, fn, *args, **kwargs)

    def submit_to(
        self, worker: int, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """Call in process `worker`, after the calls submitted to it before."""
        return self._own[worker].submit(self._processes[worker].call, fn, *args, **kwargs)

    def _call_idle(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        process = self._idle.get()
        try:
            return process.call(fn, *args, **kwargs)
        finally:
            self._idle.put(process)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes, when their calls have ended."""
        for threads in (self._shared, *self._own):
            threads.shutdown(wait, cancel_futures=cancel_futures)
        for process in self._processes:
            process.shutdown(wait, cancel_futures)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; after an exception, send SIGTERM to running calls."""
        if kind is not None:
            for process in self._processes:
                process.interrupt()
        self.shutdown(cancel_futures=kind is not None)


class _Process:
    """One process, started when it is needed and again after it was lost.

    It is a pool of one worker, behind the threads that wait for it.
    """

    def __init__(
        self, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
    ) -> None:
        self._arguments = (initializer, initargs)
        self._turn = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._number: int | None = None
        self._is_ending = False

    def call(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """The result of a call, after those before it."""
        with self._turn:
            try:
                pool = self._pool or self._begin()
                return pool.submit(fn, *args, **kwargs).result()
            except BrokenExecutor:
                self._pool = self._number = None
                raise

    def _begin(self) -> ProcessPoolExecutor:
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _begin_worker, self._arguments)
        self._number = self._pool.submit(os.getpid).result()
        if self._is_ending:
            self._pool.shutdown()
        return self._pool

    def interrupt(self) -> None:
        """Ask the running call to end, and start no other."""
        self._is_ending = True
        if (number := self._number) is not None:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGTERM)

    def shutdown(self, wait: bool, cancel_futures: bool) -> None:
        """End it, when its call has ended."""
        if (pool := self._pool) is not None:
            pool.shutdown(wait, cancel_futures=cancel_futures)


def _begin_worker(initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """Ignore Ctrl-C, which reaches the whole terminal: the parent ends workers by SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    if initializer is not None:
        initializer(*initargs)


@contextmanager
def open_executor(
    workers: int, scheduler: str | None = None, executor: Executor | None = None
) -> Iterator[Executor | None]:
    """The executor of `--workers` and `--scheduler`; None for this process.

    Args:
        workers: processes of this machine, where there is no scheduler.
        scheduler: address of a Dask scheduler, or the file it wrote.
        executor: used instead, and left open.

    Raises:
        SpecError: Dask is not installed, or no scheduler answers.
    """
    if executor is not None or (scheduler is None and workers == 1):
        yield executor
        return
    if scheduler is None:
        with LocalProcesses(workers) as processes:
            yield processes
        return
    client = _connect(scheduler)
    try:
        yield client.get_executor(pure=False)
    finally:
        client.close()


def _connect(scheduler: str) -> Any:
    try:
        from distributed import Client
        from distributed.comm.addressing import parse_address, parse_host_port
    except ImportError:
        raise SpecError(
            f"--scheduler {scheduler}: needs Dask, which is not installed. Run: "
            "pip install 'egno-md[dask]'."
        ) from None
    try:
        address = scheduler
        if Path(scheduler).is_file():
            address = str(json.loads(Path(scheduler).read_text(encoding="utf-8"))["address"])
        kind, place = parse_address(address)
        if kind in ("tcp", "tls"):  # a client starts threads before it looks
            create_connection(parse_host_port(place), CONNECT_SECONDS).close()
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, KeyError):  # a TimeoutError is an OSError
        raise SpecError(
            f"--scheduler {scheduler}: no Dask scheduler answers there within {CONNECT_SECONDS} s. "
            "Start one with 'dask scheduler', and give the address it prints, such as "
            "tcp://10.0.0.1:8786, or its --scheduler-file."
        ) from None
