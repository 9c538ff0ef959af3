"""The two propagators of parareal over one slab, here or in worker processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.executors import LocalProcesses
from egno_md.core.state import Frame, Trajectory
from egno_md.data.store import Store
from egno_md.md.build import BuiltSystem, build_system
from egno_md.md.engine import OpenMMEngine
from egno_md.nn.bundle import load_bundle
from egno_md.propagate.parareal.schedule import Kind
from egno_md.propagate.starts import frame_from_structure, frames_from_store
from egno_md.propagate.surrogate import Surrogate
from egno_md.spec.parareal import PararealProtocol
from egno_md.spec.system import SystemSpec


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
        return self.engine.window(frame, self.elapsed)

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
    surrogate = Surrogate(load_bundle(bundle), built.system.masses)
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
