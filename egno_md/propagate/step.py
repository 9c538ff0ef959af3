"""One step of a window: propose, judge, correct, and what acts between windows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.state import Trajectory
from egno_md.propagate.boundary import Boundary
from egno_md.propagate.check import Checker
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.correct import Corrector
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.event import EndState, Event, EventKind, MoveRecord
from egno_md.propagate.judge import Judge
from egno_md.propagate.observe import Observer
from egno_md.propagate.proposal import (
    Accept,
    Again,
    Halted,
    Judgement,
    Outcome,
    Proposal,
    Settled,
    no_frames,
    single,
)
from egno_md.propagate.source import WindowSource
from egno_md.propagate.state import ReplicaState

NO_ENERGY = "the reference gives no energy for the window's start"


class Move(Protocol):
    """Moves replicas by one window at a time."""

    @property
    def duration(self) -> float:
        """Ps that a step counts for."""
        ...

    @property
    def kind(self) -> Literal["dynamics", "sampler"]:
        """Whether its time is true time."""
        ...

    @property
    def clocks(self) -> Clocks:
        """Where its time goes."""
        ...

    def step(self, states: Sequence[ReplicaState]) -> list[Outcome]:
        """One window of every replica that has not stopped, in the order of their numbers.

        The states that are given stay as they are.
        """
        ...


@dataclass(frozen=True, eq=False)
class Ending:
    """Makes outcomes of settled windows: boundary, observers, measurements.

    Attributes:
        checker: measures temperatures and bonds.
        clocks: charged for observables.
        after: acts on the ends of windows.
        observers: measure the end of every window.
        elements: names of the excess frictions.
    """

    checker: Checker
    clocks: Clocks
    after: Sequence[Boundary] = ()
    observers: Sequence[Observer] = ()
    elements: tuple[str, ...] = ()

    def settle(
        self,
        start: ReplicaState,
        settled: Settled,
        duration: float,
        *,
        seconds: float = 0.0,
        redraws: int = 0,
        move: MoveRecord | None = None,
    ) -> Outcome:
        """The outcome of a window.

        Raises:
            PotentialError: the boundary leads to no state.
        """
        state, temperatures = self._behind_boundary(start, settled, duration)
        volume = None
        if state.frame.box is not None:
            volume = float(abs(np.linalg.det(state.frame.box)))
        observed = None
        if self.observers:
            with self.clocks.charge("observables"):
                measured = [observer.measure(state.frame) for observer in self.observers]
            observed = {name: value for each in measured for name, value in each.items()}
        friction = dict(zip(self.elements, state.excess_friction.tolist(), strict=True))
        event = Event(
            replica=start.index,
            window=start.window,
            time=state.frame.time,
            kind=settled.kind,
            reason=settled.reason,
            seconds=seconds,
            check=settled.check,
            refined=settled.refined,
            observed=observed,
            end=EndState(
                temperatures=temperatures,
                bond_deviation=self.checker.bond_deviation(settled.end),
                potential_energy=state.frame.potential_energy,
                volume=volume,
                excess_friction=friction,
            ),
            redraws=redraws,
            move=move,
        )
        state = replace(state, window=start.window + 1, last_event=event)
        end = single(settled.end, has_velocities=settled.has_velocities)
        return Outcome(state, event, settled.window, end)

    def _behind_boundary(
        self, start: ReplicaState, settled: Settled, duration: float
    ) -> tuple[ReplicaState, dict[str, float] | None]:
        """The state after the boundary, and its temperatures where velocities were made."""
        end = settled.end
        if end.potential_energy is not None and not np.isfinite(end.potential_energy):
            end = replace(end, potential_energy=None, forces=None)
        state = replace(start, frame=end)
        if not settled.has_velocities:
            return state, None
        kelvins = self.checker.temperatures(end.velocities)
        if np.isfinite(kelvins["all"]):
            state = replace(state, running=start.running.updated(kelvins, duration))
        for boundary in self.after:
            state = boundary.apply(state, duration)
        return state, self.checker.temperatures(state.frame.velocities)


def halt(before: ReplicaState, halted: Halted, seconds: float = 0.0) -> Outcome:
    """The outcome of a replica that can go no further; it stays where it was."""
    event = Event(
        replica=before.index,
        window=before.window,
        time=before.frame.time,
        kind="stop",
        reason=halted.reason,
        seconds=seconds,
        check=halted.check,
        refined=halted.refined,
    )
    state = replace(before, window=before.window + 1, stop_reason=halted.reason, last_event=event)
    return Outcome(state, event, no_frames(before.frame), no_frames(before.frame))


@dataclass(frozen=True, eq=False)
class WindowMove:
    """Windows that a source proposes, a judge judges and a corrector settles.

    The one function that does so is `step`.

    Attributes:
        source: proposes.
        judge: says which windows are believed.
        corrector: settles them.
        ending: what happens at windows' ends.
        evaluation: of starts and ends.
        clocks: where the time goes.
        before: acts on the starts of windows.
        refine_every: windows between ends that are refined whatever they look like; None for
            never. The corrector refines them.
        accepted: kind of the events of believed windows; `exact` where MD proposes.
        evaluates_ends: whether ends are evaluated for the record too, and not only where the
            judge asks for it or the next window begins with it.
    """

    source: WindowSource
    judge: Judge
    corrector: Corrector
    ending: Ending
    evaluation: Evaluation
    clocks: Clocks
    before: Sequence[Boundary] = ()
    refine_every: int | None = None
    accepted: EventKind = "accept"
    evaluates_ends: bool = True

    @property
    def duration(self) -> float:
        """ΔT, ps."""
        return self.source.window.length

    @property
    def kind(self) -> Literal["dynamics", "sampler"]:
        """That of the source."""
        return self.source.kind

    def step(self, states: Sequence[ReplicaState]) -> list[Outcome]:
        """One window of every replica that has not stopped; see `Move.step`."""
        running = {s.index: s.forked() for s in states if not s.stop_reason}
        if not running:
            return []
        window = next(iter(running.values())).window
        is_refined = self.refine_every is not None and (window + 1) % self.refine_every == 0
        is_judged = self.judge.needs_energies(window) and not is_refined
        outcomes: dict[int, Outcome] = {}
        starts: dict[int, ReplicaState] = {}
        for index, start in self._begin(running, is_judged or self.source.needs_forces).items():
            if isinstance(start, Halted):
                outcomes[index] = halt(running[index], start)
            else:
                starts[index] = start
        waiting, reasons = dict(starts), dict.fromkeys(starts, "")
        attempt = 0
        while waiting:
            begun = time.perf_counter()
            proposals = self._propose(list(waiting.values()))
            if is_judged or (self.source.needs_forces and self.evaluates_ends and not is_refined):
                proposals = self._with_evaluated_ends(proposals)
            judgements = self._judge(waiting, proposals, is_refined=is_refined)
            shared = (time.perf_counter() - begun) / len(waiting)
            again = {}
            for index, start in waiting.items():
                begun = time.perf_counter() - shared
                try:
                    correction = self._correct(start, proposals[index], judgements[index], attempt)
                    if isinstance(correction, Settled):
                        outcomes[index] = self._settle(
                            start, correction, reasons[index], attempt, begun
                        )
                        continue
                except PotentialError as error:
                    correction = Halted(str(error.args[0]), judgements[index].check)
                if isinstance(correction, Again):
                    again[index], reasons[index] = start, correction.reason
                else:
                    before = replace(running[index], random=start.random)
                    seconds = time.perf_counter() - begun
                    outcomes[index] = halt(before, correction, seconds)
            waiting, attempt = again, attempt + 1
        return [outcomes[index] for index in running]

    def _begin(
        self, running: dict[int, ReplicaState], needs_energies: bool
    ) -> dict[int, ReplicaState | Halted]:
        """Starts behind the boundary, with energies where they are needed."""
        frames = {i: s.frame for i, s in running.items()}
        if needs_energies:
            unknown = {i: f for i, f in frames.items() if f.potential_energy is None}
            frames |= self.evaluation(unknown)
        starts: dict[int, ReplicaState | Halted] = {}
        for index, frame in frames.items():
            state, energy = running[index], frame.potential_energy
            if energy is not None and not np.isfinite(energy):
                starts[index] = Halted(NO_ENERGY)
                continue
            state = replace(state, frame=frame)
            if state.energy is None and energy is not None:
                total = self.ending.checker.total_energy(frame)
                state = replace(state, energy=total, begun=frame.time)
            try:
                for boundary in self.before:
                    state = boundary.apply(state, self.duration)
                starts[index] = state
            except PotentialError as error:
                starts[index] = Halted(str(error.args[0]))
        return starts

    def _propose(self, starts: Sequence[ReplicaState]) -> dict[int, Proposal]:
        proposals = self.source.propose(starts)
        return {s.index: p for s, p in zip(starts, proposals, strict=True)}

    def _with_evaluated_ends(self, proposals: dict[int, Proposal]) -> dict[int, Proposal]:
        ends = {
            i: p.end
            for i, p in proposals.items()
            if not p.problem and p.end.potential_energy is None
        }
        evaluated = self.evaluation(ends)
        return {
            i: replace(p, end=evaluated[i]) if i in evaluated else p for i, p in proposals.items()
        }

    def _judge(
        self,
        starts: dict[int, ReplicaState],
        proposals: dict[int, Proposal],
        *,
        is_refined: bool,
    ) -> dict[int, Judgement]:
        """Judgements of all proposals; of those whose end is refined anyway where the judge can."""
        proposed = [i for i, p in proposals.items() if not p.problem]
        judgements = {i: Judgement(Accept()) for i in proposals}
        if proposed and (not is_refined or self.judge.precedes_refinement):
            judged = self.judge.judge(
                [starts[i] for i in proposed], [proposals[i] for i in proposed]
            )
            judgements |= dict(zip(proposed, judged, strict=True))
        return judgements

    def _correct(
        self, start: ReplicaState, proposal: Proposal, judgement: Judgement, attempt: int
    ) -> Settled | Again | Halted:
        if proposal.problem:
            return Halted(proposal.problem)
        return self.corrector.correct(start, proposal, judgement, attempt)

    def _settle(
        self, start: ReplicaState, settled: Settled, rejected: str, attempt: int, begun: float
    ) -> Outcome:
        if settled.kind == "accept":
            settled = replace(settled, kind=self.accepted)
        if rejected and settled.kind != "fallback":
            settled = replace(settled, reason=f"drawn again after: {rejected}")
        if self.kind == "sampler":  # its windows have no velocities, whoever made this one
            window = Trajectory(settled.window.positions, settled.window.times)
            settled = replace(settled, window=window)
        seconds = time.perf_counter() - begun
        return self.ending.settle(start, settled, self.duration, seconds=seconds, redraws=attempt)
