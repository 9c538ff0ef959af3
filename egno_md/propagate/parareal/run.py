"""`parareal`: exact NVE dynamics in parallel slabs, led by a surrogate."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from egno_md.core.progress import Progress, Silent
from egno_md.core.state import Frame, Trajectory, join
from egno_md.core.units import format_quantity, whole_multiple
from egno_md.data.output import OutputMode, run_folder
from egno_md.data.store import Store, StoreWriter, new_manifest, write_json
from egno_md.md.build import load_system
from egno_md.nn.operator import WindowOperator
from egno_md.propagate.parareal.pair import Pair, Timed, run_in_worker, worker_processes
from egno_md.propagate.parareal.schedule import Job, Kind, makespan
from egno_md.propagate.parareal.solver import Parareal, Solver
from egno_md.propagate.parareal.workers import PriorityWorkers
from egno_md.propagate.requirements import check_free, check_rolls_out, check_whole
from egno_md.propagate.source import OperatorWindows
from egno_md.spec.files import find_operator
from egno_md.spec.parareal import PararealProtocol

TRIAL_SWEEPS = 4
"""Sweeps before parareal is given up as not paying."""

RESULT = "parareal.json"


@dataclass(frozen=True, eq=False)
class PararealRun:
    """A finished parareal run.

    Attributes:
        out: its folder, a store.
        result: what `parareal.json` says.
    """

    out: Path
    result: dict[str, Any]

    @property
    def store(self) -> Store:
        """Its frames."""
        return Store(self.out)


def run_parareal(
    system: str,
    bundle: Path | str | None,
    protocol: PararealProtocol,
    out: Path | str,
    *,
    start: Path | str | None = None,
    frame: int | None = None,
    workers: int = 1,
    verify: bool = False,
    seed: int = 0,
    mode: OutputMode = "new",
    progress: Progress | None = None,
) -> PararealRun:
    """Exact NVE dynamics, parallel in time.

    Args:
        system: shipped name or folder.
        bundle: of the operator that leads; a name or None for one shipped.
        protocol: how far, in which slabs, how exactly.
        out: for the frames and `parareal.json`.
        start: a store to start from; else the structure, equilibrated.
        frame: which of its frames; the last by default.
        workers: processes; each runs both propagators.
        verify: run it serially too, and measure the deviation.
        seed: of the start.
        mode: see `run_folder`; an interrupted run starts again.
        progress: receives progress and notes.

    Raises:
        BundleMismatch: the operator moves other atoms.
        WindowMismatch: a slab is no whole number of windows.
        PotentialError: exact dynamics failed.
    """
    progress, out = progress or Silent(), Path(out)
    built = load_system(system)
    bundle = find_operator(system, bundle)
    operator = WindowOperator.load(bundle)
    check_whole(operator.card, "parareal")
    bound = operator.bind(built.system)
    check_free(built.system, "parareal")
    check_rolls_out(operator.card)
    whole_multiple(protocol.slab, operator.card.window.length, "the slab", "windows")
    source = None if start is None else Store(Path(start))
    width = protocol.width or max(workers, 2)
    pair = Pair(built, OperatorWindows(bound, built.system.masses), protocol)
    first = pair.start(source, frame, seed)
    request = {
        "system": built.spec.model_dump(mode="json"),
        "operator": operator.card.model_dump(mode="json"),
        "protocol": protocol.model_dump(mode="json"),
        "start": None if source is None else source.identity,
        "frame": frame,
        "width": width,
        "verify": verify,
        "seed": seed,
    }
    inputs = [bundle, *([] if source is None else [source.root])]
    with run_folder(out, "parareal", request, mode, inputs, progress) as output:
        if output.is_complete:
            return PararealRun(out, output.record["result"])
        run = _Run(protocol, workers, width, progress)
        with worker_processes(workers, built, bundle, protocol) as executor:
            solution = run.solve(pair, executor, first)
        manifest = new_manifest(
            built.system,
            "parareal",
            protocol.frame_spacing,
            spec=built.spec.model_dump(mode="json"),
            protocol=protocol.model_dump(mode="json"),
            seed=seed,
            mode="dynamics",
        )
        writer = StoreWriter(out, manifest, built.system.topology)
        trajectory = join(list(solution.slabs))
        times = first.time + protocol.frame_spacing * np.arange(1, len(trajectory) + 1)
        writer.append(replace(trajectory, times=times), "parareal")
        writer.finish()
        result = {"system": built.system.name, **run.describe(solution)}
        if verify:
            progress.note("Running it serially too.")
            result["verified"] = _verify(pair, solution, first)
        write_json(out / RESULT, result)
        output.finish(result=result)
    return PararealRun(out, result)


@dataclass(eq=False)
class _Run:
    """One solution under way: its clocks, and whether it pays."""

    protocol: PararealProtocol
    workers: int
    width: int
    progress: Progress
    seconds: dict[Kind, list[float]] = field(default_factory=lambda: {"coarse": [], "fine": []})
    wall: float = 0.0

    @property
    def slabs(self) -> int:
        return round(self.protocol.length / self.protocol.slab)

    @property
    def costs(self) -> dict[Kind, float]:
        """Median seconds of a job by kind."""
        return {kind: float(np.median(v)) if v else 0.0 for kind, v in self.seconds.items()}

    def solve(self, pair: Pair, executor: Executor | None, start: Frame) -> Parareal:
        """Run it."""
        call = run_in_worker if executor is not None else Timed(pair)
        queue = PriorityWorkers(call, self.workers, executor)

        async def run(job: Job, frame: Frame) -> Trajectory | None:
            found, seconds = await queue(job.priority, job.kind, frame)
            self.seconds[job.kind].append(seconds)
            return found

        solver = Solver(self.slabs, self.width, self.protocol.tolerance, run, self._pays)
        begun = time.perf_counter()
        solution = asyncio.run(solver.solve(start))
        self.wall = time.perf_counter() - begun
        return solution

    def _pays(self, jobs: list[Job], settling: frozenset[int], settled: int) -> bool:
        sweeps = 1 + max(j.sweep for j in jobs)
        reached = format_quantity(round(settled * self.protocol.slab, 9), "time")
        self.progress.update(settled + 1, self.slabs, f"{reached} settled in {sweeps} sweeps")
        if self.protocol.when_it_does_not_pay == "continue" or sweeps <= TRIAL_SWEEPS:
            return True
        spent = makespan(jobs, self.costs, self.workers, settling)
        if settled * self.costs["fine"] > spent:
            return True
        self.progress.note(
            f"Parareal does not pay on {self.workers} workers: the first {settled} slabs took "
            f"{sweeps} sweeps. The rest runs serially."
        )
        return False

    def describe(self, solution: Parareal) -> dict[str, Any]:
        """The content of `parareal.json`."""
        costs, jobs, p = self.costs, solution.jobs, self.protocol
        serial = self.slabs * costs["fine"]
        counts = sorted({2**k for k in range(20) if 2**k < self.slabs} | {self.slabs})
        sweeps = [
            {
                "settled_slabs": s.settled + 1,
                "largest_correction_nm": s.correction,
                "slabs": [min(s.starts), max(s.starts)],
                "dropped_from": s.dropped,
            }
            for s in solution.sweeps
        ]
        return {
            "length_ps": p.length,
            "slab_ps": p.slab,
            "slabs": self.slabs,
            "width": self.width,
            "tolerance_nm": p.tolerance,
            "iterations": len(sweeps) - 1,
            "serial_from_slab": solution.serial_from,
            "fine_calls": sum(j.kind == "fine" for j in jobs),
            "coarse_calls": sum(j.kind == "coarse" for j in jobs),
            "largest_defect_nm": max(solution.defects),
            "forecast_deviation_nm": solution.forecast,
            "growth_per_slab": list(solution.growths),
            "sweeps": sweeps,
            "cost": {
                "fine_seconds": costs["fine"],
                "coarse_seconds": costs["coarse"],
                "coarse_over_fine": costs["coarse"] / costs["fine"],
            },
            "modelled_speed_up": {str(w): serial / makespan(jobs, costs, w) for w in counts},
            "workers": self.workers,
            "seconds": round(self.wall, 4),
            "measured_speed_up": serial / self.wall,
        }


def _verify(pair: Pair, solution: Parareal, start: Frame) -> dict[str, Any]:
    """Beside serial dynamics: the same slabs in turn, and one unbroken run."""
    begun = time.perf_counter()
    serial, frame = [], start
    for _ in solution.slabs:
        serial.append(pair.fine(frame))
        frame = serial[-1][-1]
    seconds = time.perf_counter() - begun
    pair.engine.forget()
    unbroken, frame = [], start
    for _ in solution.slabs:
        unbroken.append(pair.engine.window(frame, pair.elapsed))
        frame = unbroken[-1][-1]
    exact = [start, *(slab[-1] for slab in serial)]
    sweeps = [
        max(_moved(f.positions, exact[n].positions) for n, f in sweep.starts.items())
        for sweep in solution.sweeps
    ]
    deviations = [
        _moved(a.positions, b.positions) for a, b in zip(solution.slabs, serial, strict=True)
    ]
    return {
        "deviation_nm": max(deviations),
        "deviation_by_slab_nm": deviations,
        "slab_starts_deviation_by_sweep_nm": sweeps,
        "warm_potential_deviation_nm": max(
            _moved(a.positions, b.positions) for a, b in zip(unbroken, serial, strict=True)
        ),
        "serial_seconds": round(seconds, 4),
    }


def _moved(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b, axis=-1).max())
