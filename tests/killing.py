"""An executor that loses a worker in the middle of its work; imports little, for workers do."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

FLUSH = 2
"""Windows between two checkpoints, where a kill is to fall between them."""


def killed_once(marker: Path, call: Callable[..., Any], number: int, *arguments: Any) -> Any:
    """In a worker: task 1 is killed as it writes its third shard, the first time."""
    from egno_md.data.store import StoreWriter

    rollout = sys.modules.get("egno_md.propagate.rollout")
    if rollout is not None:  # what a worker is to run is imported with its call
        rollout.WINDOWS_PER_FLUSH = FLUSH
    write, written = StoreWriter._write, []

    def dying(self: StoreWriter, *args: Any, **more: Any) -> Any:
        written.append(self)
        if len(written) == 3 and number == 1 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return write(self, *args, **more)

    StoreWriter._write = dying
    try:
        return call(number, *arguments)
    finally:
        StoreWriter._write = write


class Murderous(Executor):
    """Another executor, one of whose workers is killed in the middle of its work."""

    def __init__(self, inner: Executor, marker: Path) -> None:
        self.inner, self.marker = inner, marker

    def submit(self, fn, /, *args, **kwargs) -> Future:
        return self.inner.submit(killed_once, self.marker, fn, *args, **kwargs)
