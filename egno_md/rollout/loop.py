"""The window loop: propose, judge, then accept, repair or fall back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Accept, Fallback, Reference, Refine, Refiner, Stop, Verdict
from egno_md.core.state import Frame, Trajectory, join
from egno_md.rollout.checks import Check, Checker, temperature_by_element
from egno_md.rollout.controller import Controller, RunningTemperature
from egno_md.rollout.events import Event, Tally
from egno_md.rollout.surrogate import Surrogate
from egno_md.rollout.thermostat import LangevinKicks


@dataclass
class Replica:
    """One copy of the system on its way.

    Attributes:
        frame: where it is, at a window's boundary.
        random: its own stream.
        running: its running temperatures.
        excess: adaptive friction per element, 1/ps.
        stop_reason: empty while it runs.
    """

    frame: Frame
    random: np.random.Generator
    running: RunningTemperature
    excess: np.ndarray
    stop_reason: str = ""


@dataclass(frozen=True, eq=False)
class WindowLoop:
    """Moves replicas by whole windows.

    Attributes:
        surrogate: proposes.
        reference: the engine that checks and falls back.
        controller: judges.
        checker: measures.
        refiner: repairs; made when first needed.
        thermostat: between windows, or None in NVE.
        kelvin: temperature of refined velocities.
        check_every: windows between checks.
        tally: counts and clocks.
    """

    surrogate: Surrogate
    reference: Reference
    controller: Controller
    checker: Checker
    refiner: Callable[[], Refiner]
    thermostat: LangevinKicks | None
    kelvin: float
    check_every: int
    tally: Tally = field(default_factory=Tally)

    @property
    def _points(self) -> np.ndarray:
        return np.array(self.surrogate.operator.card.time_points)

    @property
    def needs_forces(self) -> bool:
        """Whether every window's start must be evaluated."""
        return self.surrogate.operator.card.uses_forces

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
        is_checked = self.controller.policy != "off" and (window + 1) % self.check_every == 0
        starts: dict[int, Frame] = {}
        for index, replica in enumerate(replicas):
            if replica.stop_reason:
                continue
            try:
                starts[index] = self._start(replica, is_checked)
            except PotentialError as error:
                yield index, *self._give_up(index, replica, window, str(error.args[0]))
        with self.clock("network"):
            proposals = self.surrogate.propose(list(starts.values())) if starts else []
        for (index, start), proposal in zip(starts.items(), proposals, strict=True):
            replica = replicas[index]
            yield index, *self._settle(index, replica, start, proposal, window, is_checked)

    def _give_up(
        self, index: int, replica: Replica, window: int, reason: str
    ) -> tuple[Event, Trajectory]:
        replica.stop_reason = reason
        event = Event(index, window, replica.frame.time, "stop", reason, 0.0, None)
        self.tally.count(event)
        return event, Trajectory(np.zeros((0, *replica.frame.positions.shape)), np.zeros(0))

    def _start(self, replica: Replica, is_checked: bool) -> Frame:
        frame = replica.frame
        if (self.needs_forces or is_checked) and frame.potential_energy is None:
            with self.clock("checks"):
                frame = self.reference.evaluate(frame)
        return self._kick(frame, self.surrogate.length, replica)

    def _settle(
        self,
        index: int,
        replica: Replica,
        start: Frame,
        proposal: Trajectory,
        window: int,
        is_checked: bool,
    ) -> tuple[Event, Trajectory]:
        begun = time.perf_counter()
        check, verdict = None, Accept(len(proposal) - 1)
        try:
            end = proposal[-1]
            if is_checked or (self.needs_forces and end.is_finite):
                with self.clock("checks"):
                    end = self._evaluate(end)
                    check = self.checker.measure(start, end)
            if is_checked and check is not None:
                verdict = self._judge(replica, start, proposal, check)
            elif not end.is_finite:
                verdict = Stop("not finite")
            trajectory, kind, reason = self._carry_out(verdict, start, proposal, end, replica)
        except PotentialError as error:
            trajectory, kind, reason = proposal.slice(0, 0), "stop", str(error.args[0])
        if kind == "stop":
            replica.stop_reason = reason
        else:
            self._finish(replica, trajectory)
        seconds = time.perf_counter() - begun
        event = Event(index, window, replica.frame.time, kind, reason, seconds, check)
        self.tally.count(event)
        return event, trajectory

    def _evaluate(self, frame: Frame) -> Frame:
        """Energy and forces; what has none counts as not finite."""
        if not frame.is_finite:
            return replace(frame, potential_energy=np.nan)
        try:
            return self.reference.evaluate(frame)
        except PotentialError:
            return replace(frame, potential_energy=np.nan)

    def _judge(self, replica: Replica, start: Frame, proposal: Trajectory, check: Check) -> Verdict:
        tentative = replica.running.copy()
        if check.is_finite:
            kelvins = {"all": check.temperature, **check.temperature_by_element}
            tentative.update(kelvins, self.surrogate.length)

        def earlier() -> Iterator[tuple[int, Check]]:
            for upto in range(len(proposal) - 2, -1, -1):
                with self.clock("checks"):
                    yield upto, self.checker.measure(start, self._evaluate(proposal[upto]))

        return self.controller.judge(check, tentative, len(proposal), earlier)

    def _carry_out(
        self, verdict: Verdict, start: Frame, proposal: Trajectory, end: Frame, replica: Replica
    ) -> tuple[Trajectory, str, str]:
        match verdict:
            case Accept(upto) if upto == len(proposal) - 1:
                return _with_end(proposal, end), "accept", ""
            case Accept(upto):
                kept = proposal.slice(0, upto + 1)
                rest = self._points[upto + 1 :] - self._points[upto]
                with self.clock("fallback"):
                    exact = self.reference.window(kept[-1], rest.tolist())
                return join([_bare(kept), _bare(exact)]), "prefix", f"{upto + 1} of {len(proposal)}"
            case Refine(reason):
                with self.clock("refinement"):
                    seed = int(replica.random.integers(2**31 - 2))
                    refined = self.refiner().refine(end, self.kelvin, seed).frame
                return _with_end(proposal, replace(refined, time=end.time)), "refine", reason
            case Fallback(reason):
                with self.clock("fallback"):
                    exact = self.reference.window(start, self._points.tolist())
                return replace(exact, times=proposal.times), "fallback", reason
            case Stop(reason):
                return proposal.slice(0, 0), "stop", reason

    def _finish(self, replica: Replica, trajectory: Trajectory) -> None:
        frame = trajectory[-1]
        velocities = frame.velocities
        kelvins = {
            "all": self.checker.temperature(velocities),
            **temperature_by_element(self.checker.system, velocities),
        }
        if np.isfinite(kelvins["all"]):
            replica.running.update(kelvins, self.surrogate.length)
        if frame.potential_energy is not None and not np.isfinite(frame.potential_energy):
            frame = replace(frame, potential_energy=None, forces=None)
        deviation = self.checker.bond_deviation(frame)
        self.tally.largest_bond_deviation = max(self.tally.largest_bond_deviation, deviation)
        replica.frame = self._kick(frame, self.surrogate.length, replica)
        if self.thermostat is not None:
            length = self.surrogate.length
            replica.excess = self.thermostat.adapt(replica.frame, length, replica.excess)
            for name, friction in zip(self.thermostat.elements, replica.excess, strict=True):
                self.tally.add(f"excess_friction.{name}", friction)
        velocities = replica.frame.velocities
        self.tally.add("temperature", self.checker.temperature(velocities))
        for name, kelvin in temperature_by_element(self.checker.system, velocities).items():
            self.tally.add(f"temperature.{name}", kelvin)

    def _kick(self, frame: Frame, duration: float, replica: Replica) -> Frame:
        if self.thermostat is None:
            return frame
        with self.clock("thermostat"):
            return self.thermostat.kick(frame, duration, replica.random, replica.excess)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Charge what happens inside to one of the tally's clocks."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.tally.seconds[name] += time.perf_counter() - begun


def _with_end(window: Trajectory, end: Frame) -> Trajectory:
    """The window with its last frame replaced; energies known only there."""
    count = len(window)
    energies, forces = None, None
    if end.potential_energy is not None:
        energies = np.full(count, np.nan)
        energies[-1] = end.potential_energy
    if end.forces is not None:
        forces = np.full(window.positions.shape, np.nan)
        forces[-1] = end.forces
    positions, velocities = window.positions.copy(), np.array(window.velocities)
    positions[-1], velocities[-1] = end.positions, end.velocities
    return replace(
        window,
        positions=positions,
        velocities=velocities,
        forces=forces,
        potential_energy=energies,
    )


def _bare(window: Trajectory) -> Trajectory:
    """Without energies and forces before the last exact frame: parts can be joined."""
    if window.potential_energy is not None:
        return window
    count = len(window)
    return replace(
        window,
        potential_energy=np.full(count, np.nan),
        forces=np.full(window.positions.shape, np.nan),
    )
