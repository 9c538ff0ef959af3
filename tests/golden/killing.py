"""Where a golden run is interrupted: the only names of today's internals are in this file."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any

import pytest

from egno_md.core.errors import EnsembleError
from egno_md.rollout.recorder import Recorder

RECORDER, RECORD = Recorder, "record"
"""Takes in one window of one replica."""

FLUSHES = (
    "egno_md.workflows.rolling.WINDOWS_PER_FLUSH",
    "egno_md.workflows.propagate_sampler.WINDOWS_PER_FLUSH",
)
"""Windows between two checkpoints."""


class Killed(Exception):
    """Stands for SIGKILL: raised where it hurts."""


class Here(Executor):
    """Calls in this very process, where what is patched is patched."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def flush_every(patch: pytest.MonkeyPatch, windows: int) -> None:
    """Checkpoints after every so many windows."""
    for target in FLUSHES:
        patch.setattr(target, windows)


def run_killed(patch: pytest.MonkeyPatch, run: Callable[[], object], call: int) -> None:
    """Run until window number `call`, counted from 1 over all replicas, is to be taken in."""
    record, calls = getattr(RECORDER, RECORD), 0

    def dying(self: Any, *args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        record(self, *args)

    with patch.context() as inner:
        inner.setattr(RECORDER, RECORD, dying)
        with suppress(EnsembleError), pytest.raises(Killed):
            run()
    assert calls >= call, "the run ended before it was killed"
