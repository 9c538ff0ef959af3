"""`parareal`: exact NVE dynamics in parallel slabs, led by a surrogate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.progress import Progress, Silent
from egno_md.core.state import Frame, Trajectory, join
from egno_md.core.units import format_quantity, whole_multiple
from egno_md.data.output import OutputMode, open_output
from egno_md.data.store import Store, StoreWriter, new_manifest, write_json
from egno_md.md.build import BuiltSystem, build_system, load_system
from egno_md.md.engine import OpenMMEngine
from egno_md.nn.bundle import check_belongs, load_bundle
from egno_md.rollout.parareal import Parareal, Solver
from egno_md.rollout.schedule import Job, Kind, makespan
from egno_md.rollout.surrogate import Surrogate
from egno_md.rollout.workers import PriorityWorkers
from egno_md.spec.files import find_operator
from egno_md.spec.parareal import PararealProtocol
from egno_md.spec.system import SystemSpec
from egno_md.workflows.starts import frame_from_structure, frames_from_store
from egno_md.workflows.support import check_rolls_out, check_supported

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
        mode: see `open_output`; an interrupted run starts again.
        progress: who listens.

    Raises:
        BundleMismatch: the operator moves other atoms.
        WindowMismatch: a slab is no whole number of windows.
        PotentialError: exact dynamics failed.
    """
    progress, out = progress or Silent(), Path(out)
    built = load_system(system)
    bundle = find_operator(system, bundle)
    operator = load_bundle(bundle)
    check_belongs(operator.card, built.system)
    check_supported(built.system)
    check_rolls_out(operator.card)
    whole_multiple(protocol.slab, operator.card.window.length, "the slab", "windows")
    source = None if start is None else Store(Path(start))
    width = protocol.width or max(workers, 2)
    pair = Pair(built, Surrogate(operator, built.system.masses), protocol)
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
    output = open_output(out, "parareal", request, mode, inputs=inputs)
    if output.is_complete:
        progress.note(f"{out} is complete already.")
        return PararealRun(out, output.record["result"])
    run = _Run(protocol, workers, width, progress)
    with _executor(workers, built, bundle, protocol) as executor:
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
        result["verified"] = pair.verify(solution, first)
    write_json(out / RESULT, result)
    output.finish(result=result)
    return PararealRun(out, result)


class Pair:
    """The two propagators of one system, over one slab.

    Both begin with a cold potential, so that their results depend on nothing
    but the frame: a warm electronic density moves ethanol by 2e-9 nm a slab,
    which chaos makes 1e-3 nm within a picosecond.
    """

    def __init__(
        self, built: BuiltSystem, surrogate: Surrogate, protocol: PararealProtocol
    ) -> None:
        self.built, self.surrogate, self.protocol = built, surrogate, protocol
        self.engine = OpenMMEngine(
            built,
            timestep=protocol.timestep,
            kelvin=protocol.temperature,
            friction=5.0,
            seed=0,
            platform=protocol.platform,
        )
        self.frames = round(protocol.slab / protocol.frame_spacing)

    def fine(self, frame: Frame) -> Trajectory:
        """Velocity Verlet over a slab."""
        self.engine.forget()
        return self.engine.window(frame, self._elapsed)

    def coarse(self, frame: Frame) -> Trajectory:
        """Windows over a slab; only its end."""
        self.engine.forget()
        needs_forces = self.surrogate.operator.card.uses_forces
        trajectory = None
        for _ in range(round(self.protocol.slab / self.surrogate.length)):
            frame = self.engine.evaluate(frame) if needs_forces else frame
            trajectory = self.surrogate.advance(frame)
            frame = trajectory[-1]
            if not frame.is_finite:
                raise PotentialError("the surrogate's window is not finite.")
        assert trajectory is not None
        return trajectory.slice(len(trajectory) - 1, len(trajectory))

    @property
    def _elapsed(self) -> list[float]:
        return [self.protocol.frame_spacing * (n + 1) for n in range(self.frames)]

    def start(self, source: Store | None, frame: int | None, seed: int) -> Frame:
        """The first frame, its centre of mass at rest."""
        kelvin = self.protocol.temperature
        if source is not None:
            found = frames_from_store(source, self.built.system, frame, 1, kelvin, seed)[0]
        else:
            engine = OpenMMEngine(
                self.built,
                timestep=self.protocol.timestep,
                kelvin=kelvin,
                friction=5.0,
                seed=seed,
                platform=self.protocol.platform,
            )
            found = frame_from_structure(engine, self.protocol.equilibration)
        masses = self.built.system.masses
        velocities = found.velocities - masses @ found.velocities / masses.sum()
        return Frame(np.array(found.positions), velocities, box=found.box)

    def verify(self, solution: Parareal, start: Frame) -> dict[str, Any]:
        """Beside serial dynamics: the same slabs in turn, and one unbroken run."""
        begun = time.perf_counter()
        serial, frame = [], start
        for _ in solution.slabs:
            serial.append(self.fine(frame))
            frame = serial[-1][-1]
        seconds = time.perf_counter() - begun
        self.engine.forget()
        unbroken, frame = [], start
        for _ in solution.slabs:
            unbroken.append(self.engine.window(frame, self._elapsed))
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
        call = _timed if executor is not None else _Local(pair)
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


class _Local:
    """Both propagators here, with the seconds they take; None where one fails."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def __call__(self, kind: Kind, frame: Frame) -> tuple[Trajectory | None, float]:
        begun = time.perf_counter()
        try:
            found = self.pair.fine(frame) if kind == "fine" else self.pair.coarse(frame)
        except PotentialError:
            found = None
        return found, time.perf_counter() - begun


_here: _Local | None = None
"""A worker process's propagators."""


def _prepare(
    spec: SystemSpec, folder: Path, bundle: Path, protocol: PararealProtocol, threads: int
) -> None:
    global _here
    import torch

    torch.set_num_threads(threads)
    built = build_system(spec, folder)
    surrogate = Surrogate(load_bundle(bundle), built.system.masses)
    _here = _Local(Pair(built, surrogate, protocol))


def _timed(kind: Kind, frame: Frame) -> tuple[Trajectory | None, float]:
    assert _here is not None
    return _here(kind, frame)


def _ready() -> bool:
    return _here is not None


@contextmanager
def _executor(
    workers: int, built: BuiltSystem, bundle: Path, protocol: PararealProtocol
) -> Iterator[Executor | None]:
    """Processes with both propagators loaded; None for one worker, which works here."""
    if workers == 1:
        yield None
        return
    arguments = (built.spec, built.folder, Path(bundle), protocol, 1)
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_prepare, initargs=arguments
    ) as pool:
        for ready in [pool.submit(_ready) for _ in range(workers)]:
            ready.result()
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
