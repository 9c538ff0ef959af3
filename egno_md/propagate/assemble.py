"""Puts the move of a rollout together from its parts; for rollouts and for other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from egno_md.core.ports import Refiner
from egno_md.propagate.boundary import AdaptFriction, Boundary, ChangeVolume, Kick
from egno_md.propagate.check import Checker
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.constraints import Projection
from egno_md.propagate.correct import (
    ConserveEnergy,
    Corrector,
    Fallback,
    Monitor,
    Redraw,
    RefineEvery,
    Refining,
    Repair,
    Replacement,
)
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.event import EventKind
from egno_md.propagate.judge import EnergyJudge, Judge, Limits, ShapeJudge, Unjudged
from egno_md.propagate.observe import Observer
from egno_md.propagate.shapes import Shapes
from egno_md.propagate.source import ExactSource, ProjectedWindows, WindowSource
from egno_md.propagate.step import Ending, WindowMove
from egno_md.propagate.thermostat import Thermostat
from egno_md.spec import propagate as spec


@dataclass(frozen=True, eq=False)
class Parts:
    """What computes and measures in a rollout.

    Attributes:
        exact: MD over the time points of the source's windows.
        evaluation: energies and forces.
        checker: measures frames.
        clocks: where the time goes.
        refiner: made when first needed.
        constraints: keeps the system's constraints; None without any.
        thermostat: between windows; None without one.
        volume: moves of the volume after windows; None at constant volume.
        observers: measure windows' ends.
    """

    exact: ExactSource
    evaluation: Evaluation
    checker: Checker
    clocks: Clocks
    refiner: Callable[[], Refiner]
    constraints: Projection | None = None
    thermostat: Thermostat | None = None
    volume: ChangeVolume | None = None
    observers: Sequence[Observer] = ()


@dataclass(frozen=True)
class Rules:
    """When a window is bad, and what it gets.

    Attributes:
        judge: as a protocol says it.
        correct: likewise; None for what suits the source.
        refine: likewise.
        kelvin: temperature that sets the scale of tolerances.
        keeps_energy: whether windows of NVE get their energy back.
    """

    judge: spec.Judge
    correct: spec.Correct | None
    refine: spec.Refinement | None
    kelvin: float
    keeps_energy: bool = False


def assemble(
    source: WindowSource,
    parts: Parts,
    rules: Rules,
    *,
    is_lifted: bool = False,
    accepted: EventKind = "accept",
) -> WindowMove:
    """The move of windows that `source` proposes.

    Args:
        source: proposes.
        parts: what computes and measures.
        rules: when a window is bad, and what it gets.
        is_lifted: whether atoms are carried along that the source does not predict. They are
            unphysical before refinement: constraints and energies come after it.
        accepted: kind of the events of believed windows.
    """
    clocks, is_dynamics = parts.clocks, source.kind == "dynamics"
    if parts.constraints is not None and is_dynamics and not is_lifted:
        source = ProjectedWindows(source, parts.constraints, clocks)
    judge = _judge(source, parts, rules, is_lifted=is_lifted)
    replacement = Replacement(parts.exact, clocks)
    # a sampler's refiner ends with MD of the system itself: on its constraints, of known energy
    refining = Refining(parts.refiner, parts.constraints if is_dynamics else None, clocks)
    corrector = _corrector(source, parts, rules, judge, replacement, refining)
    every = None if rules.refine is None else rules.refine.every
    if every is not None:
        evaluation = parts.evaluation if is_dynamics else None
        corrector = RefineEvery(corrector, every, refining, judge, evaluation)
    if rules.keeps_energy:
        corrector = ConserveEnergy(corrector, replacement, parts.checker.system.masses)
    before: list[Boundary] = []
    after: list[Boundary] = []
    if parts.thermostat is not None:
        kick = Kick(parts.thermostat, parts.constraints, clocks)
        before, after = [kick], [kick, AdaptFriction(parts.thermostat)]
    if parts.volume is not None:
        after.append(parts.volume)
    elements = () if parts.thermostat is None else parts.thermostat.elements
    return WindowMove(
        source=source,
        judge=judge,
        corrector=corrector,
        ending=Ending(parts.checker, clocks, after, parts.observers, elements),
        evaluation=parts.evaluation,
        clocks=clocks,
        before=before,
        refine_every=every,
        accepted=accepted,
    )


def _judge(source: WindowSource, parts: Parts, rules: Rules, *, is_lifted: bool) -> Judge:
    checker, freedom = parts.checker, parts.checker.system.degrees_of_freedom
    match rules.judge:
        case spec.NoJudge():
            return Unjudged(checker)
        case spec.ShapeJudge(tolerances=tolerances, strict=strict):
            limits = Limits.of(tolerances, rules.kelvin, freedom, strict=strict)
            shapes = Shapes.of(checker.system, checker.bond_lengths, tolerances)
            return ShapeJudge(checker, limits, shapes)
        case spec.EnergyJudge(tolerances=tolerances, strict=strict, every=every):
            return EnergyJudge(
                checker,
                Limits.of(tolerances, rules.kelvin, freedom, strict=strict),
                parts.evaluation,
                source.window.length,
                None if parts.thermostat is None else rules.kelvin,
                None if is_lifted else every,
            )


def _corrector(
    source: WindowSource,
    parts: Parts,
    rules: Rules,
    judge: Judge,
    replacement: Replacement,
    refining: Refining,
) -> Corrector:
    match rules.correct:
        case spec.Repair():
            return Repair(refining, judge)
        case spec.Redraw(redraws=redraws):
            return Redraw(replacement, redraws)
        case spec.Fallback(retry_prefix=retries):
            return Fallback(replacement, judge, parts.evaluation, source if retries else None)
        case spec.Monitor() | None:
            return Monitor()
