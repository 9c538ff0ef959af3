"""The loop over windows: step, record, checkpoint, until the end or until asked to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from egno_md.core.processes import ends_when_asked
from egno_md.propagate.record import Recorder
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.step import Move
from egno_md.propagate.totals import Totals

TOTAL = "total"
"""Clock of the whole loop."""


@dataclass(frozen=True)
class Pace:
    """How often a rollout writes and tells.

    Attributes:
        flush: windows between two checkpoints.
        report: windows between two reports of progress.
    """

    flush: int
    report: int = 1


@dataclass(frozen=True, eq=False)
class Finished:
    """Where a rollout has ended.

    Attributes:
        states: of every replica.
        totals: of all that happened.
        seconds: wall time per clock, and in all under `total`, over resumes.
    """

    states: tuple[ReplicaState, ...]
    totals: Totals
    seconds: dict[str, float]


def run(
    move: Move,
    states: Sequence[ReplicaState],
    recorder: Recorder,
    windows: range,
    pace: Pace,
    *,
    totals: Totals | None = None,
    seconds_before: float = 0.0,
    report: Callable[[int, Sequence[ReplicaState], Totals, float], None] = lambda *_: None,
    forget: Callable[[], None] = lambda: None,
) -> Finished:
    """Step window by window to the end, or until SIGTERM, with all of it on disk.

    Args:
        move: moves the replicas.
        states: where they begin.
        recorder: writes.
        windows: that are left; it stops where the rollout ends.
        pace: how often to write and tell.
        totals: of what happened before; they grow.
        seconds_before: spent before, of a resumed rollout.
        report: is given the windows that are done, the states, the totals and the seconds
            since the call.
        forget: drops what a resumed run would not have.

    Returns:
        Where the replicas are, what happened and how long it took.

    Raises:
        KeyboardInterrupt: it was asked to end; the window is done and saved.
    """
    totals = totals or Totals()
    states = tuple(states)
    begun = time.perf_counter()

    def spent() -> float:
        return time.perf_counter() - begun

    forget()
    with ends_when_asked() as end:
        for window in windows:
            replicas = {s.index: s for s in states}
            for outcome in move.step(states):
                replicas[outcome.state.index] = outcome.state
                totals.take(outcome.event)
                recorder.record(outcome)
            states = tuple(replicas.values())
            done = window + 1
            is_last = done == windows.stop or all(s.stop_reason for s in states)
            is_asked = end.made
            if done % pace.flush == 0 or is_last or is_asked:
                with move.clocks.charge("output"):
                    seconds = {**move.clocks.seconds, TOTAL: seconds_before + spent()}
                    recorder.flush(done, states, totals, seconds)
                    forget()
            if done % pace.report == 0 or is_last:
                report(done, states, totals, spent())
            if is_last:
                break
            if is_asked:
                raise KeyboardInterrupt
    return Finished(states, totals, {**move.clocks.seconds, TOTAL: seconds_before + spent()})
