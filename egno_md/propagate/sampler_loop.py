"""The loop of a sampler: draw, lift, look, refine; draw again, or let MD do it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.ports import DrawRefiner, Thermostatted
from egno_md.core.state import Frame, Trajectory
from egno_md.propagate.checks import Checker
from egno_md.propagate.controller import Controller
from egno_md.propagate.drawing import Drawer
from egno_md.propagate.endings import single
from egno_md.propagate.events import Event, Tally
from egno_md.propagate.loop import Replica
from egno_md.propagate.shapes import Shapes

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class _Kept:
    """A window that holds: all atoms at every point, and its last frame where refined."""

    positions: Array
    end: Frame | None
    reason: str


@dataclass(frozen=True, eq=False)
class SamplerLoop:
    """Moves replicas by windows drawn from a sampler.

    Attributes:
        drawer: draws and lifts.
        dynamics: MD that takes a window where no draw holds.
        refiner: makes a state of MD of a window's end; made when first needed.
        shapes: looks at every drawn window.
        checker: measures refined frames.
        controller: judges those; policy `off` looks at nothing.
        friction: 1/ps, of MD in place of a draw.
        refine_every: windows between two refined ends; 0 for never.
        saves_points: whether every time point is kept, or the window's end alone.
        tally: counts and clocks.
    """

    drawer: Drawer
    dynamics: Thermostatted
    refiner: Callable[[], DrawRefiner]
    shapes: Shapes
    checker: Checker
    controller: Controller
    friction: float
    refine_every: int
    saves_points: bool
    tally: Tally = field(default_factory=Tally)

    def advance(
        self, replicas: list[Replica], window: int
    ) -> Iterator[tuple[int, Event, Trajectory]]:
        """Move every running replica by one window.

        Args:
            replicas: changed in place.
            window: its number, from 0.

        Yields:
            Per running replica its index, what happened, and the window's frames.
        """
        is_due = bool(self.refine_every) and (window + 1) % self.refine_every == 0
        waiting = {i: "" for i, r in enumerate(replicas) if not r.stop_reason}
        for attempt in range(self.drawer.draws.redraws + 1):
            if not waiting:
                return
            if attempt:
                self.tally.add("redraws", len(waiting))
            rejected = {}
            for index, found, begun in self._attempt(replicas, waiting, is_due):
                if isinstance(found, str):
                    rejected[index] = found
                else:
                    yield index, *self._keep(index, replicas[index], found, window, begun)
            waiting = rejected
        for index, reason in waiting.items():
            yield index, *self._fall_back(index, replicas[index], reason, window)

    def _attempt(
        self, replicas: list[Replica], waiting: dict[int, str], is_due: bool
    ) -> Iterator[tuple[int, _Kept | str, float]]:
        """One draw for every waiting replica: what came of it, and since when."""
        chosen = list(waiting)
        starts = [replicas[i].frame for i in chosen]
        with self.tally.clock("network"):
            seen = self.drawer.draw(starts, [replicas[i].random for i in chosen])
        with self.tally.clock("lift"):
            windows = self.drawer.lift.positions(None, seen)
        problems: list[str | None] = [None] * len(chosen)
        if self.controller.policy != "off":
            with self.tally.clock("checks"):
                problems = self.shapes.problems(np.stack([f.positions for f in starts]), windows)
        for index, start, positions, problem in zip(chosen, starts, windows, problems, strict=True):
            begun = time.perf_counter()
            before = waiting[index]
            reason = f"drawn again after: {before}" if before else ""
            if problem is None and is_due:
                end = self._refined(start, positions[-1], replicas[index])
                found = end if isinstance(end, str) else _Kept(positions, end, reason)
            else:
                found = problem or _Kept(positions, None, reason)
            yield index, found, begun

    def _refined(self, start: Frame, end: Array, replica: Replica) -> Frame | str:
        """A state of MD near the window's end, or why there is none."""
        try:
            with self.tally.clock("refinement"):
                found = self.refiner().refine(end, replica.random)
        except PotentialError as error:
            return str(error.args[0])
        self.tally.add("refinement_shift", found.displacement)
        if self.controller.policy == "off":
            return found.frame
        with self.tally.clock("checks"):
            bare = replace(start, potential_energy=None)
            problem = self.controller.problem(self.checker.measure(bare, found.frame))
            turned = self.shapes.problems(start.positions[None], found.frame.positions[None, None])[
                0
            ]
        return problem or turned or found.frame

    def _keep(
        self, index: int, replica: Replica, kept: _Kept, window: int, begun: float
    ) -> tuple[Event, Trajectory]:
        times = replica.frame.time + np.array(self.drawer.time_points)
        if kept.end is None:
            last = kept.positions[-1]
            frame = Frame(last, np.zeros_like(last), float(times[-1]))
            trajectory = Trajectory(kept.positions, times)
            if not self.saves_points:
                trajectory = trajectory.slice(len(times) - 1, len(times))
            return self._settle(
                index, replica, frame, trajectory, "accept", kept.reason, window, begun
            )
        frame = replace(kept.end, time=float(times[-1]))
        if self.saves_points:
            positions = kept.positions.copy()
            positions[-1] = frame.positions
            trajectory = Trajectory(positions, times)
        else:
            trajectory = single(frame)
        self._take_temperature(frame)
        return self._settle(index, replica, frame, trajectory, "refine", kept.reason, window, begun)

    def _fall_back(
        self, index: int, replica: Replica, reason: str, window: int
    ) -> tuple[Event, Trajectory]:
        begun = time.perf_counter()
        try:
            with self.tally.clock("fallback"):
                exact = self.dynamics.window(
                    replica.frame, self.drawer.time_points, self.friction, replica.random
                )
        except PotentialError as error:
            replica.stop_reason = str(error.args[0])
            event = Event(index, window, replica.frame.time, "stop", replica.stop_reason, 0.0, None)
            self.tally.count(event)
            return event, Trajectory(np.zeros((0, *replica.frame.positions.shape)), np.zeros(0))
        frame = exact[-1]
        self._take_temperature(frame)
        if self.saves_points:
            exact = Trajectory(exact.positions, exact.times)
        else:
            exact = exact.slice(len(exact) - 1, len(exact))
        return self._settle(index, replica, frame, exact, "fallback", reason, window, begun)

    def _settle(
        self,
        index: int,
        replica: Replica,
        frame: Frame,
        trajectory: Trajectory,
        kind: str,
        reason: str,
        window: int,
        begun: float,
    ) -> tuple[Event, Trajectory]:
        deviation = self.checker.bond_deviation(frame)
        self.tally.largest_bond_deviation = max(self.tally.largest_bond_deviation, deviation)
        replica.frame = frame
        event = Event(index, window, frame.time, kind, reason, time.perf_counter() - begun, None)
        self.tally.count(event)
        return event, trajectory

    def _take_temperature(self, frame: Frame) -> None:
        self.tally.add_temperatures(self.checker.temperatures(frame.velocities))
        if frame.potential_energy is not None:
            self.tally.add("potential_energy", frame.potential_energy)
