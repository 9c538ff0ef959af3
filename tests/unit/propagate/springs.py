"""Moves of windows with an exact engine whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Refinement
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.propagate.assemble import Parts, Rules, assemble
from egno_md.propagate.check import Checker
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.constraints import Projection
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.event import EventKind
from egno_md.propagate.observe import Observer
from egno_md.propagate.proposal import Outcome
from egno_md.propagate.source import ExactWindows, OperatorWindows, WindowSource
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.step import Move, WindowMove
from egno_md.propagate.thermostat import LangevinKicks, Thermostat
from egno_md.propagate.totals import Totals
from egno_md.spec import propagate as spec
from tests.conftest import make_operator

KELVIN = 300.0
STIFFNESS = 2e4
LOOSE: dict[str, Any] = {
    "energy": 1e6, "temperature": 1e6, "force": "1e9 kJ/mol/nm", "bond": "9 nm", "atom": 1e9,
}  # fmt: skip
"""Tolerances that nothing exceeds but what is not finite or another molecule."""

Correct = spec.Monitor | spec.Repair | spec.Fallback | spec.Redraw
MONITOR = spec.Monitor(kind="monitor")
REPAIR = spec.Repair(kind="refine")
FALLBACK = spec.Fallback(kind="fallback")
RETRY = spec.Fallback(kind="fallback", retry_prefix=True)
UNJUDGED = spec.NoJudge(kind="none")


@dataclass
class Springs:
    """Every atom tied to its place: an exact engine that costs nothing."""

    home: np.ndarray
    masses: np.ndarray
    calls: list[str] = field(default_factory=list)
    fails: bool = False

    def evaluate(self, frame: Frame) -> Frame:
        self.calls.append("evaluate")
        if self.fails:
            raise PotentialError("springs broke")
        moved = frame.positions - self.home
        energy = 0.5 * STIFFNESS * float((moved**2).sum())
        return replace(frame, forces=-STIFFNESS * moved, potential_energy=energy)

    def evaluate_all(self, frames: Mapping[int, Frame]) -> dict[int, Frame]:
        evaluated = {}
        for index, frame in frames.items():
            try:
                evaluated[index] = self.evaluate(frame)
            except PotentialError:
                evaluated[index] = replace(frame, potential_energy=np.nan)
        return evaluated

    def window(self, frame: Frame, elapsed: Sequence[float]) -> Trajectory:
        self.calls.append(f"window {len(elapsed)}")
        times = frame.time + np.array(elapsed)
        omega = np.sqrt(STIFFNESS / self.masses)[:, None]
        moved = frame.positions - self.home
        angle = omega * (times - frame.time)[:, None, None]
        x = self.home + moved * np.cos(angle) + frame.velocities / omega * np.sin(angle)
        v = frame.velocities * np.cos(angle) - moved * omega * np.sin(angle)
        frames = [self.evaluate(Frame(a, b)) for a, b in zip(x, v, strict=True)]
        energies = np.array([f.potential_energy for f in frames])
        return Trajectory(x, times, v, np.stack([f.forces for f in frames]), energies)

    def project(self, frame: Frame) -> Frame | None:
        return frame


@dataclass
class Healer:
    """A refiner that puts every atom where it is told to."""

    system: System
    home: np.ndarray

    def refine(self, end: Frame, start: Frame, random: np.random.Generator) -> Refinement:
        del start, random
        healed = replace(end, positions=self.home, potential_energy=0.0)
        return Refinement(healed, 1, 0.25, 4.0, np.zeros(len(self.home)))


@dataclass
class Quack:
    """A refiner that cannot help."""

    system: System

    def refine(self, end: Frame, start: Frame, random: np.random.Generator) -> Refinement:
        raise PotentialError("too far from any structure")


def make_move(
    system: System,
    correct: Correct | None = FALLBACK,
    *,
    judge: spec.Judge | None = None,
    springs: Springs | None = None,
    source: WindowSource | None = None,
    refiner: Callable[[], Any] | None = None,
    every: int | None = None,
    thermostat: Thermostat | str | None = "langevin",
    keeps_energy: bool = False,
    is_constrained: bool = False,
    observers: Sequence[Observer] = (),
    accepted: EventKind = "accept",
    is_lifted: bool = False,
    **tolerances: Any,
) -> WindowMove:
    """Windows of an untrained operator, or of another source, under springs."""
    springs = springs or Springs(system.positions, system.masses)
    clocks = Clocks()
    source = source or OperatorWindows(
        make_operator(system).bind(system), system.masses, clocks=clocks
    )
    if judge is None:
        judge = spec.EnergyJudge(kind="energy", tolerances=spec.Tolerances(**tolerances))
    if thermostat == "langevin":
        thermostat = LangevinKicks.of(system, KELVIN, 5.0, 0.5)
    assert not isinstance(thermostat, str)
    parts = Parts(
        exact=ExactWindows(springs, source.window),
        evaluation=Evaluation(springs, clocks),
        checker=Checker.of(system, system.positions, clocks=clocks),
        clocks=clocks,
        refiner=refiner or (lambda: Healer(system, system.positions)),
        constraints=Projection(springs, system.masses) if is_constrained else None,
        thermostat=thermostat,
        observers=observers,
    )
    refine = None if every is None else spec.Refinement(every=every)
    rules = Rules(judge, correct, refine, KELVIN, keeps_energy)
    return assemble(source, parts, rules, is_lifted=is_lifted, accepted=accepted)


def springs_of(move: WindowMove) -> Springs:
    """The engine of a move."""
    springs = move.evaluation.evaluator
    assert isinstance(springs, Springs)
    return springs


def make_states(system: System, count: int = 2, **changes: Any) -> list[ReplicaState]:
    """Replicas at the structure, each with velocities of its own."""
    states = []
    for index in range(count):
        random = np.random.default_rng([1, index])
        frame = Frame(system.positions, 0.5 * random.standard_normal(system.positions.shape))
        elements = len(dict.fromkeys(system.elements))
        friction = np.zeros(elements)
        state = ReplicaState(index, frame, random, excess_friction=friction)
        states.append(replace(state, **changes))
    return states


def advance(
    move: Move, states: Sequence[ReplicaState], windows: int = 1, totals: Totals | None = None
) -> tuple[list[ReplicaState], list[Outcome]]:
    """Where so many steps lead, and what came of every one."""
    moved, outcomes = {s.index: s for s in states}, []
    for _ in range(windows):
        for outcome in move.step(list(moved.values())):
            moved[outcome.state.index] = outcome.state
            outcomes.append(outcome)
            if totals is not None:
                totals.take(outcome.event)
    return list(moved.values()), outcomes


def kinds(outcomes: Sequence[Outcome]) -> list[str]:
    """Of their events."""
    return [o.event.kind for o in outcomes]
