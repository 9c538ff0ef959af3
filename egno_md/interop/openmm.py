"""An OpenMM Simulation that moves by windows; scripts change their constructor only."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# OpenMM's stubs know neither its units nor its own defaults.

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from egno_md.core.errors import DataError, SpecError
from egno_md.core.state import Frame, Trajectory
from egno_md.core.units import SECONDS_PER_DAY
from egno_md.interop.checkpoint import (
    Checkpoint,
    damaged,
    read_checkpoint,
    write_checkpoint,
)
from egno_md.interop.walker import (
    TARGET,
    Statistics,
    Surroundings,
    Walker,
    Watch,
    bind,
    load_window_operator,
    points_that_work,
)
from egno_md.md.barostat import MonteCarloBarostat
from egno_md.md.build import BuiltSystem
from egno_md.md.engine import NVT, OpenMMEngine
from egno_md.md.given import GivenSystem, give_system, read_integrator
from egno_md.md.refine.refiner import OpenMMRefiner
from egno_md.nn.device import resolve_device
from egno_md.nn.operator import WindowOperator
from egno_md.propagate.event import Event
from egno_md.propagate.policy import Policy
from egno_md.spec.propagate import Refinement

ANY_SEED = 2**31 - 2


class SurrogateSimulation(app.Simulation):
    """OpenMM's `Simulation`, its steps taken in windows by an operator.

    Reporters, `step`, `minimizeEnergy`, `runForClockTime`, `saveState`, `loadState`,
    `saveCheckpoint`, `loadCheckpoint`, `context`, `currentStep` are OpenMM's. Steps
    are those of the integrator, whose temperature, friction and timestep are kept:
    `LangevinMiddleIntegrator` and `LangevinIntegrator` mean NVT (Langevin kicks at
    both ends of every window), `VerletIntegrator` means NVE. The System given here
    is what windows are checked against, and what takes over.

    Steps that are left when no whole window fits any more are done by exact MD: no
    step is rounded, none is held over. Constraints, rigid water and periodic boxes are kept,
    and so is the pressure of a `MonteCarloBarostat`: its moves come between windows, about as
    often as it says. A report that falls inside a window shows
    its time point; where there is none, `step` says which intervals work.

    The context is up to date whenever a reporter or the caller sees it, and a
    change of its positions or velocities is taken over at the next `step`.

    A checkpoint holds the surrogate's state and random streams and continues bit
    for bit on the Reference platform, and on CPU with one thread where no cutoff needs a
    neighbour list; where the forces come from Python, only if
    `system` is what `load_system` built, whose warm start is then dropped. A saved
    state is OpenMM's own XML: portable, without streams.

    Args:
        topology: of the atoms.
        system: OpenMM's, or one that `load_system` built.
        integrator: says ensemble and timestep.
        platform: as in OpenMM; its name is used for checks too.
        platformProperties: as in OpenMM, for `context`.
        state: as in OpenMM.
        operator: folder of a bundle, ``SYSTEM/NAME`` of a shipped one, or one that is loaded.
        policy: what to do with a bad window.
        tolerances: when it is bad: keys and values of a protocol's `tolerances`,
            such as ``{"bond": "0.5 angstrom"}``.
        refinement: of policy `refine`, likewise.
        check_every: windows between checks.
        relaxation: of the adaptive thermostat, a time; None for plain kicks.
        device: ``auto``, ``cpu`` or ``gpu``, for the network.

    Attributes:
        seed: of the thermostat: the integrator's, or a drawn one where that is 0.

    Raises:
        BundleMismatch: atoms, elements, masses or bonds are not the operator's.
        SpecError: an integrator or a System that windows do not know.
        WindowMismatch: a time point is no whole number of timesteps.
    """

    def __init__(
        self,
        topology: app.Topology,
        system: openmm.System | BuiltSystem,
        integrator: openmm.Integrator,
        platform: openmm.Platform | None = None,
        platformProperties: dict[str, str] | None = None,
        state: str | None = None,
        *,
        operator: str | Path | WindowOperator,
        policy: Policy = "fallback",
        tolerances: Mapping[str, object] | None = None,
        refinement: Mapping[str, object] | None = None,
        check_every: int = 1,
        relaxation: unit.Quantity | None = 0.3 * unit.picosecond,
        device: str = "auto",
    ) -> None:
        python_force = system.python_force if isinstance(system, BuiltSystem) else None
        if isinstance(system, BuiltSystem):
            system = system.openmm_system
        self._settings = read_integrator(integrator)
        self._given = give_system(topology, system, python_force)
        if self._given.barostat is not None and self._settings.kelvin is None:
            raise SpecError(
                "the System holds a MonteCarloBarostat and the integrator keeps the energy. Use a "
                "LangevinMiddleIntegrator, or remove the barostat."
            )
        if policy == "refine":
            self._given.flexible()  # refuses constraints now and not in the first bad window
        network = load_window_operator(operator).to(resolve_device(device))
        self._operator = bind(network, self._given.system, self._settings.kelvin)
        self._offsets = self._operator.window.offsets(self._settings.timestep)
        self._watch = Watch.of(
            policy,
            tolerances,
            refinement,
            check_every,
            None if relaxation is None else relaxation.value_in_unit(unit.picosecond),
        )
        self.seed = self._settings.seed or int(np.random.SeedSequence().generate_state(1)[0] >> 1)
        super().__init__(topology, system, integrator, platform, platformProperties, state)
        self._engine = self._new_engine(self._given)
        self._walker: Walker | None = None
        self._now: Frame
        self._pending: tuple[Trajectory, int] | None = None
        self._shown: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened to each window, the latest 100,000."""
        return () if self._walker is None else tuple(self._walker.events)

    @property
    def statistics(self) -> Statistics:
        """Counts, temperatures (K), errors (kJ/mol) and net speed so far.

        Raises:
            SpecError: nothing was simulated yet.
        """
        return self._begun.statistics

    @property
    def _begun(self) -> Walker:
        if self._walker is None or not self._walker.steps:
            raise SpecError("nothing was simulated yet. Call step() first.")
        return self._walker

    def speed_up(self, steps: int = 200) -> float:
        """Net speed over that of exact MD on this machine, timed now over `steps` steps."""
        walker = self._begun
        engine = self._new_engine(self._given, "langevin-middle")
        engine.load(walker.frame)
        engine.skip(max(steps // 10, 2), ensemble=NVT)
        begun = time.perf_counter()
        engine.skip(steps, ensemble=NVT)
        per_step = (time.perf_counter() - begun) / steps
        exact = self._settings.timestep * 1e-3 / per_step * SECONDS_PER_DAY
        return walker.statistics.ns_per_day / exact

    def minimizeEnergy(self, *args: Any, **kwargs: Any) -> None:
        """As in OpenMM; the next `step` starts from there."""
        super().minimizeEnergy(*args, **kwargs)
        self._engine.forgive()

    def saveCheckpoint(self, file: Any) -> None:
        """Write everything that is needed to go on bit for bit.

        Args:
            file: a name, or a binary file.
        """
        walker = self._current()
        self._engine.forget()
        write_checkpoint(
            file,
            Checkpoint(
                self._given.system.digest,
                walker.pack(),
                self.context.createCheckpoint(),
                walker.system.positions,
                self._pending,
            ),
        )

    def loadCheckpoint(self, file: Any) -> None:
        """Go on from what `saveCheckpoint` wrote.

        Raises:
            DataError: damaged, or of another system.
        """
        saved = read_checkpoint(file, self._given.system.digest)
        walker = self._new_walker(saved.structure)
        self._engine.forget()
        try:
            walker.unpack(saved.walker)
            self.context.loadCheckpoint(saved.context)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise damaged(file, error) from None
        except openmm.OpenMMException as error:
            raise DataError(f"{file}: of another platform or OpenMM: {error}.") from None
        self._walker, self._pending, self._now = walker, saved.pending, walker.frame
        if self._pending is not None:
            self._now = self._pending[0][self._offsets.index(self._pending[1])]
        self._remember()

    def _simulate(self, endStep: int | None = None, endTime: Any = None) -> None:
        """OpenMM's loop over reports, with windows where it takes steps."""
        end = sys.maxsize if endStep is None else int(endStep)
        if self.currentStep >= end:
            return
        walker = self._current()
        while self.currentStep < end and (
            endTime is None or self._pending is not None or datetime.now() < endTime
        ):
            remaining = end - self.currentStep
            due = [_as_dict(r.describeNextReport(self)) for r in self.reporters]
            steps = min([remaining, *(d["steps"] for d in due if d["steps"] > 0)])
            step_count = self._advance(walker, steps, remaining)
            reports = [
                (r, d) for r, d in zip(self.reporters, due, strict=True) if d["steps"] == step_count
            ]
            if reports:
                self._report(reports)
        self._show()

    def _advance(self, walker: Walker, steps: int, remaining: int) -> int:
        """Move towards the next report; how many steps that were."""
        last = self._offsets[-1]
        if self._pending is None and remaining < last:
            trajectory = walker.exactly(steps)
            self._put(trajectory[-1], self.currentStep + steps)
            return steps
        offset = 0 if self._pending is None else self._pending[1]
        step_count = min(steps, last - offset)
        if offset + step_count not in self._offsets:
            raise SpecError(
                f"a report or the end of the run at step {self.currentStep + step_count} falls "
                f"between the time points of a window of {last} steps. Use an interval of "
                f"{points_that_work(self._offsets)} steps, counted from where windows begin."
            )
        if self._pending is None:
            self._pending = walker.window(), 0
        window = self._pending[0]
        frame = window[self._offsets.index(offset + step_count)]
        is_end = offset + step_count == last
        self._pending = None if is_end else (window, offset + step_count)
        self._put(walker.frame if is_end else frame, self.currentStep + step_count)
        return step_count

    def _put(self, frame: Frame, step: int) -> None:
        """Note where the run is; the context follows when someone looks."""
        self._now = frame
        self.context.setStepCount(step)

    def _report(self, reports: list[tuple[Any, dict[str, Any]]]) -> None:
        self._show()
        uses_box = self._usesPBC
        for wrap in (True, False):
            some = [
                (r, d)
                for r, d in reports
                if (uses_box if d.get("periodic") is None else d["periodic"]) == wrap
            ]
            if some:
                self._generate_reports(some, wrap)

    def _show(self) -> None:
        """Write the present frame into the context, velocities as its integrator has them."""
        frame, lag = self._now, self._settings.velocity_lag
        if frame.box is not None:
            self.context.setPeriodicBoxVectors(*np.asarray(frame.box, dtype=np.float64))
        self.context.setPositions(np.asarray(frame.positions, dtype=np.float64))
        self.context.setVelocities(frame.velocities - lag * self._acceleration(lag))
        self.context.setTime(frame.time)
        self._remember()

    def _acceleration(self, lag: float) -> np.ndarray | float:
        if lag == 0:
            return 0.0
        forces = self.context.getState(forces=True).getForces(asNumpy=True)._value
        return forces / self._given.system.masses[:, None]

    def _remember(self) -> None:
        """What the context holds, to see whether the caller changes it."""
        state = self.context.getState(positions=True, velocities=True)
        self._shown = (
            state.getPositions(asNumpy=True)._value,
            state.getVelocities(asNumpy=True)._value,
        )

    def _current(self) -> Walker:
        """The walker, at what the context holds."""
        state = self.context.getState(positions=True, velocities=True)
        positions = state.getPositions(asNumpy=True)._value
        velocities = state.getVelocities(asNumpy=True)._value
        moment = state.getTime().value_in_unit(unit.picosecond)
        settings = read_integrator(self.integrator)
        if settings != self._settings:
            raise SpecError("the integrator was changed. Make a new SurrogateSimulation for it.")
        if (
            self._walker is not None
            and self._shown is not None
            and np.array_equal(positions, self._shown[0])
            and np.array_equal(velocities, self._shown[1])
        ):
            if self._pending is None:
                self._walker.shift_time(moment)
                self._now = self._walker.frame
            return self._walker
        if not positions.any():
            raise SpecError("no positions yet. Call context.setPositions() first.")
        if self._walker is None:
            self._walker = self._new_walker(self._relaxed(positions))
        velocities = velocities + self._settings.velocity_lag * self._acceleration(
            self._settings.velocity_lag
        )
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if self._usesPBC else None
        self._pending = None
        self._walker.place(Frame(positions, velocities, moment, box=box))
        self._now = self._walker.frame
        self._remember()
        return self._walker

    def _relaxed(self, positions: np.ndarray) -> np.ndarray:
        """The minimum nearby, whose bonds are the reference lengths."""
        return self._new_engine(self._given.at(positions)).start().positions

    def _new_walker(self, structure: np.ndarray) -> Walker:
        given, settings = self._given.at(structure), self._settings
        around = Surroundings(
            timestep=settings.timestep,
            kelvin=settings.kelvin,
            friction=settings.friction,
            seed=self.seed,
            refiner=lambda: self._refiner(given),
            volume=self._volume_moves(given),
        )
        return Walker(given.system, self._operator, self._engine, self._watch, around)

    def _volume_moves(self, given: GivenSystem) -> tuple[MonteCarloBarostat, int] | None:
        """The barostat of the user's System, its moves between windows."""
        barostat, kelvin, box = given.barostat, self._settings.kelvin, given.system.box
        if barostat is None or kelvin is None or box is None:
            return None
        volume = float(abs(np.linalg.det(box)))
        moves = MonteCarloBarostat.of(
            self._engine.evaluate, given.system.molecules, kelvin, barostat.pressure, volume
        )
        return moves, max(round(barostat.every / self._offsets[-1]), 1)

    def _refiner(self, given: GivenSystem) -> OpenMMRefiner:
        kelvin = self._settings.kelvin or self._operator.card.validity.kelvin or TARGET
        settings = self._watch.refine or Refinement()
        return OpenMMRefiner(given, settings, kelvin, self._platform, self.seed)

    def _new_engine(self, given: GivenSystem, thermostat: Any = "langevin") -> OpenMMEngine:
        s = self._settings
        return OpenMMEngine(
            given,
            timestep=s.timestep,
            kelvin=s.kelvin or self._operator.card.validity.kelvin or TARGET,
            friction=s.friction or 1.0,
            seed=self.seed % ANY_SEED,
            platform=self._platform,
            thermostat=thermostat,
        )

    @property
    def _platform(self) -> str:
        return self.context.getPlatform().getName()


def _as_dict(report: Any) -> dict[str, Any]:
    """A reporter's answer in OpenMM's newer form."""
    if not isinstance(report, tuple):
        return report
    names = ("positions", "velocities", "forces", "energy")
    found: dict[str, Any] = {
        "steps": report[0],
        "include": [n for n, wanted in zip(names, report[1:5], strict=True) if wanted],
    }
    if len(report) > 5:
        found["periodic"] = report[5]
    return found
