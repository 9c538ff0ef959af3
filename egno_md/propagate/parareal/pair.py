"""The two propagators of parareal over one slab, here or in worker processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.executors import LocalProcesses
from egno_md.core.state import Frame, Trajectory
from egno_md.data.store import Store
from egno_md.md.build import BuiltSystem, build_system
from egno_md.md.engine import OpenMMEngine
from egno_md.nn.operator import WindowOperator
from egno_md.propagate.check import Checker
from egno_md.propagate.correct import Monitor
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.judge import Unjudged
from egno_md.propagate.parareal.schedule import Kind
from egno_md.propagate.source import OperatorWindows
from egno_md.propagate.start import frame_from_structure, frames_from_store
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.step import Ending, WindowMove
from egno_md.spec.parareal import PararealProtocol
from egno_md.spec.system import SystemSpec


class Pair:
    """The two propagators of one system, over one slab.

    Both begin with a cold potential, so that their results depend on nothing
    but the frame: a warm electronic density moves ethanol by 2e-9 nm a slab,
    which chaos makes 1e-3 nm within a picosecond.
    """

    def __init__(
        self, built: BuiltSystem, surrogate: OperatorWindows, protocol: PararealProtocol
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
        self.move = _unjudged_windows(built, surrogate, self.engine)

    def fine(self, frame: Frame) -> Trajectory:
        """Velocity Verlet over a slab."""
        self.engine.forget()
        return self.engine.window(frame, self.elapsed)

    def coarse(self, frame: Frame) -> Trajectory:
        """Windows over a slab; only its end."""
        self.engine.forget()
        cold = replace(frame, forces=None, potential_energy=None)
        state = ReplicaState(0, cold, np.random.default_rng(0))
        end = None
        for _ in range(round(self.protocol.slab / self.move.duration)):
            (outcome,) = self.move.step([state])
            state, end = outcome.state, outcome.end
            if state.stop_reason:
                raise PotentialError(f"the surrogate's window: {state.stop_reason}.")
        assert end is not None
        return end

    @property
    def elapsed(self) -> list[float]:
        """Times of a slab's frames after its start, ps."""
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


def _unjudged_windows(
    built: BuiltSystem, source: OperatorWindows, engine: OpenMMEngine
) -> WindowMove:
    """NVE windows that are believed, their ends evaluated only where another window begins."""
    checker = Checker.of(built.system, built.system.positions)
    return WindowMove(
        source=source,
        judge=Unjudged(checker),
        corrector=Monitor(),
        ending=Ending(checker, source.clocks),
        evaluation=Evaluation(engine, source.clocks),
        clocks=source.clocks,
        evaluates_ends=False,
    )


class Timed:
    """Both propagators here, with the seconds they take; None where one fails."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def __call__(self, kind: Kind, frame: Frame) -> tuple[Trajectory | None, float]:
        """One slab."""
        begun = time.perf_counter()
        try:
            found = self.pair.fine(frame) if kind == "fine" else self.pair.coarse(frame)
        except PotentialError:
            found = None
        return found, time.perf_counter() - begun


_here: Timed | None = None
"""A worker process's propagators."""


def _prepare(spec: SystemSpec, folder: Path, bundle: Path, protocol: PararealProtocol) -> None:
    global _here
    import torch

    torch.set_num_threads(1)
    built = build_system(spec, folder)
    surrogate = OperatorWindows(WindowOperator.load(bundle).bind(built.system), built.system.masses)
    _here = Timed(Pair(built, surrogate, protocol))


def run_in_worker(kind: Kind, frame: Frame) -> tuple[Trajectory | None, float]:
    """One slab, in a process of `worker_processes`."""
    assert _here is not None
    return _here(kind, frame)


@contextmanager
def worker_processes(
    workers: int, built: BuiltSystem, bundle: Path, protocol: PararealProtocol
) -> Iterator[Executor | None]:
    """Processes with both propagators loaded; None for one worker, which works here."""
    if workers == 1:
        yield None
        return
    arguments = (built.spec, built.folder, Path(bundle), protocol)
    with LocalProcesses(workers, _prepare, arguments) as processes:
        for loaded in [processes.submit_to(k, os.getpid) for k in range(workers)]:
            loaded.result()
        yield processes
