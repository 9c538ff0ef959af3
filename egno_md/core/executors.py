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
from socket import create_connection
from types import TracebackType
from typing import Any

from egno_md.core.errors import SpecError
from egno_md.core.processes import die_with_parent

CONNECT_SECONDS = 5


class LocalProcesses(Executor):
    """Processes of this machine, one call at a time each.

    Every process is a pool of its own behind a thread that waits for it, so that one
    that is lost takes only its own call with it, and a new one stands in its place.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self._threads = Threads(workers, "egno-md-worker")
        self._own = threading.local()
        self._pools: dict[ProcessPoolExecutor, int] = {}
        self._is_ending = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call in the next process that is free."""
        return self._threads.submit(self._call, fn, *args, **kwargs)

    def _call(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        pool = getattr(self._own, "pool", None) or self._begin()
        try:
            return pool.submit(fn, *args, **kwargs).result()
        except BrokenExecutor:
            self._own.pool = None
            self._pools.pop(pool, None)
            raise

    def _begin(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(1, get_context("spawn"), _begin_worker)
        self._pools[pool] = pool.submit(os.getpid).result()
        if self._is_ending:
            pool.shutdown()
        self._own.pool = pool
        return pool

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes, when their calls have ended."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        for pool in list(self._pools):
            pool.shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; after an exception, ask what runs to end too, as SIGTERM does a run."""
        if kind is not None:
            self._is_ending = True
            for process in list(self._pools.values()):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGTERM)
        self.shutdown(cancel_futures=kind is not None)


def _begin_worker() -> None:
    """Ctrl-C reaches the whole terminal; whoever started a worker ends it by SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()


@contextmanager
def open_executor(workers: int, scheduler: str | None = None) -> Iterator[Executor | None]:
    """What `--workers` and `--scheduler` ask for; None for this very process.

    Args:
        workers: processes of this machine, where there is no scheduler.
        scheduler: address of a Dask scheduler, or the file it wrote.

    Raises:
        SpecError: Dask is not installed, or none answers.
    """
    if scheduler is None:
        if workers == 1:
            yield None
            return
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
