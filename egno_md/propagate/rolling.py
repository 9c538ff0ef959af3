"""What rollouts of every kind share: the request, the loop over windows, MD's own speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel

from egno_md.core.errors import SpecError
from egno_md.core.processes import ends_when_asked
from egno_md.core.state import Frame, Trajectory, is_evenly_spaced
from egno_md.data.store import Store
from egno_md.md.build import BuiltSystem
from egno_md.md.engine import NVT, OpenMMEngine
from egno_md.propagate.events import Event, Tally
from egno_md.propagate.loop import Replica
from egno_md.propagate.recorder import Recorder
from egno_md.spec.propagate import PropagateProtocol


class Loop(Protocol):
    """Moves replicas window by window: `WindowLoop`, `SamplerLoop`."""

    @property
    def tally(self) -> Tally:
        """Counts and clocks."""
        ...

    def advance(
        self, replicas: list[Replica], window: int
    ) -> Iterator[tuple[int, Event, Trajectory]]:
        """Every running replica by one window."""
        ...


@dataclass(frozen=True)
class Pace:
    """How often a rollout writes and tells.

    Attributes:
        flush: windows between two checkpoints.
        tell: windows between two reports of progress.
    """

    flush: int
    tell: int = 1


WINDOWS_PER_FLUSH = 500
REFINED_ATOMS_PER_FLUSH = 50_000
"""Atoms refined between two checkpoints: about a minute of one core for adenylate kinase."""


def choose_pace(atoms: int, refine_every: int | None) -> Pace:
    """How often to write and tell: refined windows of a large system take seconds each.

    Args:
        atoms: of all replicas.
        refine_every: windows between refinements, if any.
    """
    if refine_every is None:
        return Pace(WINDOWS_PER_FLUSH, 20)
    return Pace(min(WINDOWS_PER_FLUSH, max(refine_every * REFINED_ATOMS_PER_FLUSH // atoms, 1)))


def rollout_request(
    built: BuiltSystem,
    card: BaseModel,
    protocol: PropagateProtocol,
    source: Store | None,
    frame: int | Sequence[int] | None,
    seed: int,
) -> dict[str, Any]:
    """All that decides a rollout."""
    return {
        "system": built.spec.model_dump(mode="json"),
        "operator": card.model_dump(mode="json"),
        "protocol": protocol.model_dump(mode="json"),
        "start": None if source is None else source.identity,
        "frame": frame,
        "seed": seed,
    }


def rollout_inputs(bundle: Path, source: Store | None) -> list[Path]:
    """What a rollout reads, and so must not write over."""
    return [bundle, *([] if source is None else [source.root])]


def check_points(protocol: PropagateProtocol, time_points: tuple[float, ...]) -> None:
    """Refuse to store time points that make no even trajectory.

    Raises:
        SpecError: they are uneven.
    """
    if protocol.save == "points" and not is_evenly_spaced(np.array([0.0, *time_points])):
        raise SpecError("save: points needs evenly spaced time points. Use save: windows.")


def roll(
    loop: Loop,
    recorder: Recorder,
    replicas: list[Replica],
    windows: range,
    pace: Pace,
    tell: Callable[[int, float], None],
    forget: Callable[[], None] = lambda: None,
) -> float:
    """Advance window by window to the end, or until SIGTERM, with all of it on disk.

    Args:
        loop: moves the replicas.
        recorder: writes.
        replicas: changed in place.
        windows: that are left; it stops where the rollout ends.
        pace: how often to write and tell.
        tell: is told how many windows are done, and the seconds since the call.
        forget: drops what a resumed run would not have.

    Returns:
        Seconds in all, over resumes.

    Raises:
        KeyboardInterrupt: it was asked to end; the window is done and saved.
    """
    before = loop.tally.seconds.pop("total", 0.0)
    begun = time.perf_counter()

    def spent() -> float:
        return time.perf_counter() - begun

    forget()
    with ends_when_asked() as end:
        for window in windows:
            for index, event, trajectory in loop.advance(replicas, window):
                recorder.record(index, event, trajectory)
            done = window + 1
            is_last = done == windows.stop or all(r.stop_reason for r in replicas)
            ending = end.made
            if done % pace.flush == 0 or is_last or ending:
                with loop.tally.clock("output"):
                    seconds = {**loop.tally.seconds, "total": before + spent()}
                    recorder.flush(done, replicas, replace(loop.tally, seconds=seconds))
                    forget()
            if done % pace.tell == 0 or is_last:
                tell(done, spent())
            if is_last:
                break
            if ending:
                raise KeyboardInterrupt
    return before + spent()


def seconds_per_step(engine: OpenMMEngine, start: Frame, steps: int) -> float:
    """Seconds per step of OpenMM's own dynamics of the system."""
    engine.load(start)
    engine.skip(max(steps // 10, 2), ensemble=NVT)
    begun = time.perf_counter()
    engine.skip(steps, ensemble=NVT)
    return (time.perf_counter() - begun) / steps
