"""How processes end: workers with their parent, runs on SIGTERM."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


def die_with_parent() -> None:
    """End this worker process as soon as its parent has ended for any reason.

    A worker of a killed run would go on writing beside the run that resumes it.
    Its files must therefore stay valid when it is killed at any moment.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="die-with-parent").start()


def world() -> tuple[int, int]:
    """Processes and nodes of distributed training, as torchrun or SLURM started them."""
    if "TORCHELASTIC_RUN_ID" in os.environ or "LOCAL_WORLD_SIZE" in os.environ:
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        return processes, max(processes // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)
    return 1, 1


def rank() -> int:
    """Rank of this process in distributed training."""
    return int(os.environ.get("RANK", "0")) if world()[0] > 1 else 0


@dataclass
class Request:
    """Whether a run has been asked to end."""

    made: bool = False


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM interrupt the block, as Ctrl-C does.

    Schedulers send it before they kill.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with _on_termination(interrupt):
        yield


@contextmanager
def ends_when_asked() -> Iterator[Request]:
    """Note SIGTERM, so that a loop in the block can end where it is safe."""
    request = Request()

    def note(*_: object) -> None:
        request.made = True

    with _on_termination(note):
        yield request


@contextmanager
def _on_termination(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
