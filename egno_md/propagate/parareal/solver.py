"""Parareal: slabs of exact dynamics run at the same time, led by a cheap propagator.

With F exact and G cheap over one slab, the slabs' starts are corrected sweep by
sweep, u_{n+1}^{k+1} = F(u_n^k) + G(u_n^{k+1}) - G(u_n^k) (Lions, Maday & Turinici
2001; Gander & Vandewalle 2007). After k sweeps the first k slabs are the serial
answer to the bit. Sweeps are pipelined (Minion 2010): one starts as soon as the
sweep before it has settled what it will settle. At most `width` slabs behind the
settled front are in flight, since chaos makes guesses farther out worthless.

What is settled is decided by data alone, never by timing: any number of workers
gives the same bits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.state import Frame, Trajectory
from egno_md.propagate.parareal.schedule import Job, Kind

VELOCITY_TIME = 0.01
"""ps that turn a velocity difference into a length: a fast vibration's half period."""

SAFETY = 0.1
"""Share of the tolerance that the forecast deviation may fill: growth differs by slab."""

TINY = 1e-3
"""Smallest growth over a slab that is believed."""

LINEAR = 0.02
"""nm; a correction that grows and is larger than this no longer contracts."""

Run = Callable[[Job, Frame], Awaitable[Trajectory | None]]
"""Runs a job: the frames of one slab, the last of them its end; None where it failed."""


@dataclass(eq=False)
class Cell:
    """One slab in one sweep.

    Attributes:
        start: where the slab begins.
        fine: job of F from there.
        coarse: job of G from there; None for the last slab.
        correction: how far the start moved from the sweep before, nm; None when new.
        results: of both jobs, under way.
    """

    start: Frame
    fine: Job
    coarse: Job | None
    correction: float | None
    results: dict[Kind, asyncio.Task[Trajectory | None]]


@dataclass(frozen=True, eq=False)
class Sweep:
    """What one sweep did.

    Attributes:
        settled: slabs settled after it.
        starts: its slab starts, by slab.
        correction: largest move of a start against the sweep before, nm.
        dropped: first slab whose corrections grew, to be guessed again, or None.
    """

    settled: int
    starts: dict[int, Frame]
    correction: float
    dropped: int | None


@dataclass(frozen=True, eq=False)
class Parareal:
    """A finished solution.

    Attributes:
        slabs: exact dynamics per slab.
        defects: jump at each slab's start, nm and velocities by `VELOCITY_TIME`.
        growths: measured growth of a difference over each slab, 1 where not measured.
        forecast: deviation from serial at the end that defects and growths predict, nm.
        sweeps: in order.
        jobs: every propagation there was, for the cost model.
        serial_from: first slab run serially because parareal did not pay, or None.
    """

    slabs: tuple[Trajectory, ...]
    defects: tuple[float, ...]
    growths: tuple[float, ...]
    forecast: float
    sweeps: tuple[Sweep, ...]
    jobs: tuple[Job, ...]
    serial_from: int | None


def distance(a: Frame, b: Frame) -> float:
    """Largest |Δx| + τ|Δv| of an atom, nm, τ = `VELOCITY_TIME`."""
    moved = np.linalg.norm(a.positions - b.positions, axis=1)
    sped = np.linalg.norm(a.velocities - b.velocities, axis=1)
    return float((moved + VELOCITY_TIME * sped).max())


def correct(fine: Frame, coarse: Frame, before: Frame) -> Frame:
    """F(u^k) + G(u^{k+1}) - G(u^k)."""
    return replace(
        fine,
        positions=fine.positions + (coarse.positions - before.positions),
        velocities=fine.velocities + (coarse.velocities - before.velocities),
        forces=None,
        potential_energy=None,
    )


@dataclass(eq=False)
class _Row:
    """A sweep under way: its cells as they become known, then how far it settled."""

    first: int
    last: int
    begin: frozenset[int]
    cells: dict[int, asyncio.Future[Cell | None]] = field(default_factory=dict)
    front: asyncio.Future[int] = field(default_factory=lambda: _future())
    awaited: set[int] = field(default_factory=set)
    starts: dict[int, Frame] = field(default_factory=dict)
    correction: float = 0.0
    dropped: int | None = None

    def __post_init__(self) -> None:
        self.cells = {n: _future() for n in range(self.first, self.last)}

    async def cell(self, slab: int) -> Cell | None:
        """The cell of a slab, or None where this sweep has none."""
        return await self.cells[slab] if slab in self.cells else None


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False)
class Solver:
    """Solves one problem; `solve` once.

    Attributes:
        slabs: how many.
        width: slabs in flight behind the settled front.
        tolerance: nm, of the deviation from serial over the whole length.
        run: runs a job.
        pays: told the jobs that settled the front, says whether to go on.
    """

    slabs: int
    width: int
    tolerance: float
    run: Run
    pays: Callable[[list[Job], frozenset[int], int], bool] = lambda *_: True

    def __post_init__(self) -> None:
        self.jobs: list[Job] = []
        self.settled: dict[int, Cell] = {}
        self.defects: list[float] = [0.0]
        self.growths: list[float | None] = []
        self.deviation = 0.0
        self._history: dict[int, list[Cell]] = {}

    async def solve(self, start: Frame) -> Parareal:
        """Every slab, as serial F from `start` would give it within the tolerance.

        Raises:
            PotentialError: F fails where its start is settled.
        """
        rows: list[_Row] = []
        tasks: list[asyncio.Task[None]] = []
        first, begin, serial_from = 0, frozenset[int](), None
        try:
            while True:
                row = _Row(first, min(first + self.width, self.slabs), begin)
                before = rows[-1] if rows else None
                rows.append(row)
                tasks.append(asyncio.create_task(self._sweep(len(rows) - 1, row, before, start)))
                await _first_of(row.front, tasks)
                first, begin = row.front.result(), begin | row.awaited
                if first == self.slabs - 1:
                    break
                if not self.pays(self.jobs, begin, first):
                    serial_from = first + 1
                    break
            if serial_from is None:
                await asyncio.gather(*tasks)
            slabs = [await self._fine(self.settled[n]) for n in range(first + 1)]
            sweeps = tuple(Sweep(r.front.result(), r.starts, r.correction, r.dropped) for r in rows)
            slabs += await self._serially(slabs[-1][-1], first + 1)
        finally:
            await self._cancel(tasks)
        return Parareal(
            tuple(slabs),
            tuple(self.defects) + (0.0,) * (self.slabs - len(self.defects)),
            tuple(1.0 if g is None else g for g in self.growths),
            self.deviation,
            sweeps,
            tuple(self.jobs),
            serial_from,
        )

    async def _sweep(self, number: int, row: _Row, before: _Row | None, start: Frame) -> None:
        """Fill a row from left to right."""
        left, left_old = None, None
        for n in range(row.first, row.last):
            old = None if before is None else await before.cell(n)
            if n == row.first:
                cell = old or self._launch(n, number, start, row.begin, None)
                self.settled[n] = cell
            else:
                assert left is not None
                if left is not left_old and not row.front.done():
                    row.front.set_result(n - 1)
                cell = await self._follow(number, n, row, left, left_old, old)
            row.cells[n].set_result(cell)
            if cell is None:
                row.dropped = n
                for rest in range(n + 1, row.last):
                    row.cells[rest].set_result(None)
                break
            row.starts[n] = cell.start
            row.correction = max(row.correction, cell.correction or 0.0)
            left, left_old = cell, old
        if not row.front.done():
            row.front.set_result(max(self.settled))

    async def _follow(
        self, sweep: int, n: int, row: _Row, left: Cell, left_old: Cell | None, old: Cell | None
    ) -> Cell | None:
        """The cell at slab n, from its left neighbour in this sweep and the last one."""
        if left is left_old:
            end = (await self._fine(left))[-1]
            row.awaited.add(left.fine.number)
            cell = await self._settle(n, old, end)
            if cell is None:
                moved = None if old is None else distance(end, old.start)
                cell = self._launch(n, sweep, end, row.begin | {left.fine.number}, moved)
            self.settled[n] = cell
            return cell
        assert left.coarse is not None
        coarse = await left.results["coarse"]
        waits = row.begin | {left.coarse.number}
        if coarse is None:
            return None
        if left_old is None:
            return self._launch(n, sweep, coarse[-1], waits, None)
        assert left_old.coarse is not None
        fine, earlier = await left_old.results["fine"], await left_old.results["coarse"]
        waits |= {left_old.fine.number, left_old.coarse.number}
        if fine is None or earlier is None:
            return None
        start = correct(fine[-1], coarse[-1], earlier[-1])
        moved = None if old is None else distance(start, old.start)
        if not start.is_finite or (
            moved is not None
            and moved > LINEAR
            and old is not None
            and old.correction is not None
            and moved > old.correction
        ):
            return None
        return self._launch(n, sweep, start, waits, moved)

    async def _settle(self, n: int, old: Cell | None, end: Frame) -> Cell | None:
        """The old cell, where the jump from `end` to its start does not matter."""
        self.growths.append(await self._growth(n - 1))
        growth = self.growths[-1]
        carried = self.deviation * (1.0 if growth is None else growth)
        defect = np.inf if old is None else distance(end, old.start)
        known = [np.log(max(g, TINY)) for g in self.growths if g is not None]
        ahead = np.exp(max(np.mean(known), 0.0) * (self.slabs - n)) if known else np.inf
        total = carried + defect
        if total == 0.0 or (known and total * ahead <= SAFETY * self.tolerance):
            self.defects.append(defect)
            self.deviation = total
            return old
        self.defects.append(0.0)
        self.deviation = carried
        return None

    async def _growth(self, n: int) -> float | None:
        """How a difference of starts grew over a slab, from its last two fine runs."""
        runs = self._history[n][-2:]
        ends = [await cell.results["fine"] for cell in runs]
        if len(runs) < 2 or ends[0] is None or ends[1] is None:
            return None
        gap = distance(runs[0].start, runs[1].start)
        return None if gap == 0 else distance(ends[0][-1], ends[1][-1]) / gap

    def _launch(
        self, n: int, sweep: int, start: Frame, after: frozenset[int], moved: float | None
    ) -> Cell:
        """A new cell, its jobs under way."""
        kinds: tuple[Kind, ...] = ("coarse", "fine") if n < self.slabs - 1 else ("fine",)
        made = {}
        results = {}
        for kind in kinds:
            job = Job(len(self.jobs), kind, n, sweep, after)
            self.jobs.append(job)
            made[kind] = job
            results[kind] = asyncio.create_task(self._run(job, start))
        cell = Cell(start, made["fine"], made.get("coarse"), moved, results)
        self._history.setdefault(n, []).append(cell)
        return cell

    async def _run(self, job: Job, start: Frame) -> Trajectory | None:
        return await self.run(job, start)

    async def _fine(self, cell: Cell) -> Trajectory:
        found = await cell.results["fine"]
        if found is None:
            raise PotentialError(
                f"exact dynamics failed in slab {cell.fine.slab}. Use a shorter timestep, or "
                "another start."
            )
        return found

    async def _serially(self, start: Frame, first: int) -> list[Trajectory]:
        """The remaining slabs, one after the other."""
        slabs: list[Trajectory] = []
        for n in range(first, self.slabs):
            after = frozenset({self.jobs[-1].number}) if slabs else frozenset()
            job = Job(len(self.jobs), "fine", n, -1, after)
            self.jobs.append(job)
            found = await self.run(job, start)
            if found is None:
                raise PotentialError(
                    f"exact dynamics failed in slab {n}. Use a shorter timestep, or another start."
                )
            slabs.append(found)
            start = found[-1]
        return slabs

    async def _cancel(self, tasks: list[asyncio.Task[None]]) -> None:
        jobs = [t for cells in self._history.values() for c in cells for t in c.results.values()]
        for task in (*tasks, *jobs):
            task.cancel()
        await asyncio.gather(*tasks, *jobs, return_exceptions=True)


async def _first_of(front: asyncio.Future[int], tasks: list[asyncio.Task[None]]) -> None:
    """Wait for the front; a sweep that failed raises here."""
    waiting: set[asyncio.Future[Any]] = {front, *(t for t in tasks if not t.done())}
    while not front.done():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {front}:
            task.result()
