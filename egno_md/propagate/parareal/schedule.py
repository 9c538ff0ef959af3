"""What a parareal run costs on any number of workers: its jobs, scheduled again."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["coarse", "fine"]


@dataclass(frozen=True)
class Job:
    """One propagation of one slab.

    Attributes:
        number: counted from 0.
        kind: by the cheap or the exact propagator.
        slab: which.
        sweep: that asked for it; -1 for the serial rest.
        after: numbers of the jobs it waits for.
    """

    number: int
    kind: Kind
    slab: int
    sweep: int
    after: frozenset[int]

    @property
    def priority(self) -> tuple[int, int, bool]:
        """Early slabs first: they settle the front. Cheap before exact."""
        return self.slab, self.sweep, self.kind == "fine"


def makespan(
    jobs: Sequence[Job],
    seconds: Mapping[Kind, float],
    workers: int,
    until: Collection[int] | None = None,
) -> float:
    """Seconds from the first job to the last, on `workers` that are never idle by choice.

    Args:
        jobs: numbered as in their order.
        seconds: per kind.
        workers: how many run at the same time.
        until: numbers of the jobs to wait for; all by default.
    """
    missing = {j.number: len(j.after) for j in jobs}
    waiting: dict[int, list[Job]] = {}
    for job in jobs:
        for number in job.after:
            waiting.setdefault(number, []).append(job)
    ready = [(j.priority, j.number, j) for j in jobs if not j.after]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    ends: dict[int, float] = {}
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, number, job = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[job.kind], number))
        now, number = heapq.heappop(running)
        ends[number] = now
        for job in waiting.get(number, ()):
            missing[job.number] -= 1
            if missing[job.number] == 0:
                heapq.heappush(ready, (job.priority, job.number, job))
    wanted = ends.keys() if until is None else until
    return max((ends[n] for n in wanted), default=0.0)
