"""The window loop: propose, judge, then accept, repair or fall back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.ports import (
    Accept,
    Barostat,
    Evaluator,
    Fallback,
    Reference,
    Refine,
    Refiner,
    Stop,
    Verdict,
)
from egno_md.core.state import Frame, Trajectory, join
from egno_md.propagate.checks import Check, Checker
from egno_md.propagate.conservation import restore_energy
from egno_md.propagate.constraints import FAILED, Projection
from egno_md.propagate.controller import Controller, RunningTemperature
from egno_md.propagate.endings import bare, with_end
from egno_md.propagate.events import Event, Tally
from egno_md.propagate.observe import Observer
from egno_md.propagate.repair import Repair
from egno_md.propagate.surrogate import Surrogate
from egno_md.propagate.thermostat import Thermostat


@dataclass
class Replica:
    """One copy of the system on its way.

    Attributes:
        frame: where it is, at a window's boundary.
        random: its own stream.
        running: its running temperatures.
        excess: adaptive friction per element, 1/ps.
        energy: total energy to keep in NVE, kJ/mol; taken from the first
            evaluated start.
        begun: time of that start, ps.
        stop_reason: empty while it runs.
        told: what came of its last window; a resumed rollout has none yet.
    """

    frame: Frame
    random: np.random.Generator
    running: RunningTemperature
    excess: np.ndarray
    energy: float | None = None
    begun: float = 0.0
    stop_reason: str = ""
    told: Event | None = None


@dataclass(frozen=True, eq=False)
class WindowLoop:
    """Moves replicas by whole windows.

    Attributes:
        surrogate: proposes.
        reference: the engine that falls back.
        controller: judges.
        checker: measures.
        refiner: repairs; made when first needed.
        thermostat: between windows, or None in NVE.
        kelvin: temperature of refined velocities.
        check_every: windows between checks.
        evaluator: gives energies and forces; the reference by default.
        keeps_energy: whether NVE windows are given their energy back.
        retries: whether the operator may finish a window after a prefix.
        constraints: keeps windows and kicks on them; None without constraints.
        barostat: changes the volume after windows, or None at fixed volume.
        barostat_every: windows between its trial moves.
        refine_every: windows between refinements whatever the checks say; None for
            bad windows alone.
        observer: of a protein, at every window's end.
        tally: counts and clocks.
    """

    surrogate: Surrogate
    reference: Reference
    controller: Controller
    checker: Checker
    refiner: Callable[[], Refiner]
    thermostat: Thermostat | None
    kelvin: float
    check_every: int
    evaluator: Evaluator | None = None
    keeps_energy: bool = False
    retries: bool = False
    constraints: Projection | None = None
    barostat: Barostat | None = None
    barostat_every: int = 1
    refine_every: int | None = None
    observer: Observer | None = None
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
        is_refined = self.refine_every is not None and (window + 1) % self.refine_every == 0
        is_checked = self.controller.policy != "off" and (window + 1) % self.check_every == 0
        # what is only carried along is no state of the force field until it is refined
        is_checked = is_checked and not is_refined and self.surrogate.lift is None
        running = {i: r for i, r in enumerate(replicas) if not r.stop_reason}
        starts = self._starts(running, is_checked)
        for index in [i for i in running if i not in starts]:
            yield index, *self._give_up(index, running[index], window)
        if not starts:
            return
        with self.tally.clock("network"):
            predicted = self.surrogate.predict(list(starts.values()))
        with self.tally.clock("lift"):
            proposals = self.surrogate.complete(list(starts.values()), predicted)
        if is_refined:
            for (index, start), proposal in zip(starts.items(), proposals, strict=True):
                yield index, *self._refined(index, replicas[index], start, proposal, window)
            return
        raw = dict(zip(starts, proposals, strict=True))
        begun = time.perf_counter()
        windows = {i: self._constrained(starts[i], proposal) for i, proposal in raw.items()}
        ends = {index: proposal[-1] for index, proposal in windows.items()}
        if is_checked or self.needs_forces:
            ends = self._evaluate(ends)
        shared = (time.perf_counter() - begun) / len(windows)
        for index, proposal in windows.items():
            parts = (starts[index], raw[index], proposal, ends[index])
            yield index, *self._settle(index, replicas[index], *parts, window, is_checked, shared)

    def _starts(self, running: dict[int, Replica], is_checked: bool) -> dict[int, Frame]:
        """Kicked frames of the replicas that have one to start from."""
        frames = {index: replica.frame for index, replica in running.items()}
        if is_checked or self.needs_forces:
            unknown = {i: f for i, f in frames.items() if f.potential_energy is None}
            frames |= self._evaluate(unknown)
        starts = {}
        for index, frame in frames.items():
            if frame.potential_energy is not None and not np.isfinite(frame.potential_energy):
                continue
            replica = running[index]
            if replica.energy is None and frame.potential_energy is not None:
                replica.energy = self.checker.total_energy(frame)
                replica.begun = frame.time
            with suppress(PotentialError):
                starts[index] = self._kick(frame, self.surrogate.length, replica)
        return starts

    def _give_up(self, index: int, replica: Replica, window: int) -> tuple[Event, Trajectory]:
        replica.stop_reason = "the reference gives no energy for the window's start"
        event = Event(index, window, replica.frame.time, "stop", replica.stop_reason, 0.0, None)
        self.tally.count(event)
        return event, Trajectory(np.zeros((0, *replica.frame.positions.shape)), np.zeros(0))

    def _settle(
        self,
        index: int,
        replica: Replica,
        start: Frame,
        raw: Trajectory,
        proposal: Trajectory,
        end: Frame,
        window: int,
        is_checked: bool,
        shared: float,
    ) -> tuple[Event, Trajectory]:
        begun = time.perf_counter() - shared
        check, verdict = None, Accept(len(proposal) - 1)
        if end.potential_energy is not None:
            with self.tally.clock("checks"):
                check = self._measure(start, raw[-1], end)
        if is_checked and check is not None:
            verdict = self._judge(index, replica, start, raw, proposal, check)
        elif not end.is_finite:
            verdict = Stop(FAILED if raw[-1].is_finite else "not finite")
        if isinstance(verdict, Refine) and not end.is_finite:
            end = raw[-1]
        if verdict == Accept(len(proposal) - 1) and self._is_energy_kept(end):
            restored = self._restore(replica, end)
            verdict = Fallback("energy beyond repair") if restored is None else verdict
            end = restored or end
        try:
            trajectory, kind, reason = self._carry_out(
                verdict, index, start, proposal, end, replica
            )
            if kind != "stop":
                self._finish(replica, trajectory, window)
        except PotentialError as error:
            trajectory, kind, reason = proposal.slice(0, 0), "stop", str(error.args[0])
        seconds = time.perf_counter() - begun
        event = Event(index, window, replica.frame.time, kind, reason, seconds, check)
        return self._told(event, replica), trajectory

    def _told(self, event: Event, replica: Replica) -> Event:
        """Count an event, with what is observed at its end."""
        if event.kind == "stop":
            replica.stop_reason = event.reason
        elif self.observer is not None:
            with self.tally.clock("observables"):
                observed = self.observer.measure(replica.frame)
                for name, value in observed.items():
                    self.tally.add(f"observed.{name}", value)
                event = replace(event, observed=observed)
        replica.told = event
        self.tally.count(event)
        return event

    def _refined(
        self, index: int, replica: Replica, start: Frame, proposal: Trajectory, window: int
    ) -> tuple[Event, Trajectory]:
        """A window whose end is refined before it is looked at."""
        begun = time.perf_counter()
        repair = Repair(self.refiner, self.constraints, self.kelvin, self.tally)
        check, told, kind, reason = None, None, "refine", "every window"
        try:
            end, told = repair(proposal[-1], start, replica.random)
            end = self._evaluate({index: end})[index]
            with self.tally.clock("checks"):
                # a minimised start or end says nothing of energy conservation
                check = self.checker.measure(replace(start, potential_energy=None), end)
            problem = self.controller.problem(check)
            if problem is not None and self.controller.policy != "off":
                raise PotentialError(f"after refinement: {problem}")
            trajectory = with_end(proposal, replace(end, time=proposal[-1].time))
        except PotentialError as error:
            verdict: Verdict = Stop(str(error.args[0]))
            if self.controller.policy in ("fallback", "strict"):
                verdict = Fallback(verdict.reason)
            trajectory, kind, reason = self._replaced(verdict, index, start, proposal, replica)
        if kind != "stop":
            self._finish(replica, trajectory, window)
        seconds = time.perf_counter() - begun
        event = Event(index, window, replica.frame.time, kind, reason, seconds, check, told)
        return self._told(event, replica), trajectory

    def _replaced(
        self, verdict: Verdict, index: int, start: Frame, proposal: Trajectory, replica: Replica
    ) -> tuple[Trajectory, str, str]:
        """MD in place of a window beyond repair, or the end."""
        try:
            return self._carry_out(verdict, index, start, proposal, proposal[-1], replica)
        except PotentialError as error:
            return proposal.slice(0, 0), "stop", str(error.args[0])

    def _is_energy_kept(self, end: Frame) -> bool:
        return self.keeps_energy and self.thermostat is None and end.potential_energy is not None

    def _restore(self, replica: Replica, end: Frame) -> Frame | None:
        assert replica.energy is not None
        return restore_energy(end, replica.energy, self.checker.system.masses)

    def _evaluate(self, frames: dict[int, Frame]) -> dict[int, Frame]:
        """Energies and forces; what has none gets the energy NaN."""
        lost = {
            i: replace(f, potential_energy=np.nan) for i, f in frames.items() if not f.is_finite
        }
        known = {i: f for i, f in frames.items() if i not in lost}
        with self.tally.clock("checks"):
            return {**lost, **(self.evaluator or self.reference).evaluate_all(known)}

    def _constrained(self, start: Frame, proposal: Trajectory) -> Trajectory:
        if self.constraints is None or self.surrogate.lift is not None:
            return proposal
        with self.tally.clock("constraints"):
            return self.constraints.window(start, proposal)

    def _measure(self, start: Frame, raw: Frame, end: Frame) -> Check:
        """Measure an end; bonds as they were before any projection mended them."""
        check = self.checker.measure(start, end)
        if self.constraints is None:
            return check
        return replace(
            check,
            bond_deviation=max(check.bond_deviation, self.checker.bond_deviation(raw)),
            keeps_constraints=end.is_finite or not raw.is_finite,
        )

    def _judge(
        self,
        index: int,
        replica: Replica,
        start: Frame,
        raw: Trajectory,
        proposal: Trajectory,
        check: Check,
    ) -> Verdict:
        tentative = replica.running.copy()
        if check.is_finite:
            kelvins = {"all": check.temperature, **check.temperature_by_element}
            tentative.update(kelvins, self.surrogate.length)

        def earlier() -> Iterator[tuple[int, Check]]:
            for upto in range(len(proposal) - 2, -1, -1):
                frame = self._evaluate({index: proposal[upto]})[index]
                yield upto, self._measure(start, raw[upto], frame)

        return self.controller.judge(check, tentative, len(proposal), earlier)

    def _refuse_other_molecule(self, start: Frame, refined: Frame) -> None:
        """Minimisation mends no hand: what it starts from inverted, it ends inverted."""
        check = self.checker.measure(replace(start, potential_energy=None), refined)
        if check.turned or check.inverted_centres:
            raise PotentialError(
                f"after refinement: {self.controller.problem(check)}. Use policy fallback."
            )

    def _carry_out(
        self,
        verdict: Verdict,
        index: int,
        start: Frame,
        proposal: Trajectory,
        end: Frame,
        replica: Replica,
    ) -> tuple[Trajectory, str, str]:
        match verdict:
            case Accept(upto) if upto == len(proposal) - 1:
                return with_end(proposal, end), "accept", ""
            case Accept(upto):
                kept = proposal.slice(0, upto + 1)
                rest = self._complete(index, kept[-1], upto)
                return join([bare(kept), bare(rest)]), "prefix", f"{upto + 1} of {len(proposal)}"
            case Refine(reason):
                repair = Repair(self.refiner, self.constraints, self.kelvin, self.tally)
                refined, _ = repair(end, start, replica.random)
                self._refuse_other_molecule(start, refined)
                return with_end(proposal, replace(refined, time=end.time)), "refine", reason
            case Fallback(reason):
                with self.tally.clock("fallback"):
                    exact = self.reference.window(start, self._points.tolist())
                return replace(exact, times=proposal.times), "fallback", reason
            case Stop(reason):
                return proposal.slice(0, 0), "stop", reason

    def _complete(self, index: int, frame: Frame, upto: int) -> Trajectory:
        """From time point `upto` to the window's end: by the operator if it may, else by MD."""
        elapsed = self._points[upto + 1 :] - self._points[upto]
        if self.retries and np.allclose(elapsed, self._points[: len(elapsed)]):
            start = self._evaluate({index: frame})[index]
            with self.tally.clock("network"):
                raw = self.surrogate.propose([start])[0].slice(0, len(elapsed))
            proposal = self._constrained(start, raw)
            end = self._evaluate({index: proposal[-1]})[index]
            if self.controller.problem(self._measure(start, raw[-1], end)) is None:
                return with_end(proposal, end)
        with self.tally.clock("fallback"):
            return self.reference.window(frame, elapsed.tolist())

    def _finish(self, replica: Replica, trajectory: Trajectory, window: int) -> None:
        frame = trajectory[-1]
        kelvins = self.checker.temperatures(frame.velocities)
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
        self._change_volume(replica, window)
        self.tally.add_temperatures(self.checker.temperatures(replica.frame.velocities))

    def _change_volume(self, replica: Replica, window: int) -> None:
        if self.barostat is not None and (window + 1) % self.barostat_every == 0:
            with self.tally.clock("barostat"):
                replica.frame, accepted = self.barostat.attempt(replica.frame, replica.random)
            self.tally.add("barostat_accepted", float(accepted))
        if replica.frame.box is not None:
            self.tally.add("volume", float(abs(np.linalg.det(replica.frame.box))))

    def _kick(self, frame: Frame, duration: float, replica: Replica) -> Frame:
        if self.thermostat is None:
            return frame
        with self.tally.clock("thermostat"):
            frame = self.thermostat.kick(frame, duration, replica.random, replica.excess)
        if self.constraints is None:
            return frame
        with self.tally.clock("constraints"):
            return self.constraints.velocities(frame)
