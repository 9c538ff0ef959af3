"""What a rollout needs of its system, its operator and its protocol; refused before it is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from egno_md.core.errors import BundleMismatch, DataError, SpecError
from egno_md.core.state import Frame, is_evenly_spaced
from egno_md.core.system import System
from egno_md.core.units import format_quantity, whole_multiple
from egno_md.geometry.rotors import Rotors, find_rotors
from egno_md.md.build import BuiltSystem
from egno_md.nn.bound import BoundOperator
from egno_md.nn.card import DynamicsCard
from egno_md.nn.sampler import BoundSampler
from egno_md.nn.sampler_card import SamplerCard
from egno_md.propagate.source import FunctionWindows
from egno_md.spec import propagate as spec
from egno_md.spec.network import predicts_velocities

FLEXIBLE_TIMESTEP = 1.0e-3
"""ps: longer steps need constraints on bonds to hydrogen."""

SAME_TEMPERATURE = 0.02
"""A sampler is of one temperature; a share by which another is let pass."""

Model = BoundOperator | BoundSampler | FunctionWindows
"""What proposes windows of one system: an operator or a sampler bound to it, or a function."""


@dataclass(frozen=True)
class Extent:
    """How far a rollout goes.

    Attributes:
        windows: of every replica.
        window_ps: what a window counts for.
    """

    windows: int
    window_ps: float


def extent(protocol: spec.PropagateProtocol, built: BuiltSystem, model: Model | None) -> Extent:
    """How far a rollout goes, once it is known that it can be run.

    Args:
        protocol: how far, and how.
        built: the system.
        model: operator, sampler or function; None for a source that needs none.

    Raises:
        BundleMismatch: the operator cannot roll out.
        WindowMismatch: the length is no whole number of windows.
        SpecError: the protocol asks for what system, operator or source do not have.
    """
    _check_agreement(protocol)
    match protocol.source, model:
        case spec.OperatorSource(), BoundOperator(card=card):
            _check_operator(protocol, built, card)
            duration, points = card.window.length, card.time_points
        case ((spec.SamplerSource() | spec.MetropolisSource()), BoundSampler(card=card)):
            _check_sampler(protocol, built, card)
            points, duration = card.time_points, card.window.length
            if isinstance(protocol.source, spec.MetropolisSource):
                duration = protocol.source.dynamics
                _check_rotors(built.system, model.atoms)
            else:
                _check_draws(protocol)
        case spec.ExactSource(window=duration, points=count), _:
            whole_multiple(duration, count * protocol.timestep, "source.window", "time points")
            points = tuple(duration * (p + 1) / count for p in range(count))
            _check_boundary(protocol, built.system)
        case spec.OperatorSource(), FunctionWindows(window=window, kind="dynamics"):
            duration, points = window.length, window.time_points
            _check_boundary(protocol, built.system)
        case spec.OperatorSource(), _:
            raise SpecError(
                "source.kind: operator, and the bundle holds a sampler. Use a protocol for "
                "samplers, such as sampler-300k (source.kind: sampler)."
            )
        case source, _:
            raise SpecError(
                f"source.kind: {source.kind} draws windows, and the operator is deterministic: it "
                "draws nothing. Use source.kind: operator, or train network.kind: sampler."
            )
    if protocol.record.save == "points" and not is_evenly_spaced(np.array([0.0, *points])):
        raise SpecError("record.save: points needs evenly spaced time points. Use save: windows.")
    return Extent(whole_multiple(protocol.length, duration, "the length", "windows"), duration)


def _check_agreement(protocol: spec.PropagateProtocol) -> None:
    """Refuse members that would have nothing to do beside the others, or would spoil them."""
    if isinstance(protocol.source, spec.MetropolisSource):
        _check_metropolis(protocol, protocol.source)
    if isinstance(protocol.judge, spec.NoJudge) and protocol.correct is not None:
        raise SpecError(
            "correct: nothing is judged (judge.kind: none), so that no window is bad. Leave out "
            "correct, or set judge.kind: energy."
        )
    refines_bad = isinstance(protocol.correct, spec.Repair)
    if protocol.refine is not None and protocol.refine.every is None and not refines_bad:
        raise SpecError(
            "refine.every: null refines bad windows alone, which correct does not ask for. Set "
            "refine.every: 1, or correct.kind: refine."
        )
    draws = isinstance(protocol.source, spec.SamplerSource)
    if isinstance(protocol.correct, spec.Redraw) and not draws:
        raise SpecError(
            f"correct.kind: redraw, and source.kind: {protocol.source.kind} proposes the same window "
            "again. Leave out correct, for what suits the source."
        )


def _check_boundary(protocol: spec.PropagateProtocol, system: System) -> None:
    boundary = protocol.boundary
    has_barostat = not isinstance(boundary, spec.NoThermostat) and boundary.barostat is not None
    if has_barostat and system.box is None:
        raise SpecError(
            f"boundary.barostat: {system.name} has no periodic box, so it has no volume. "
            "Leave out barostat."
        )


def _check_operator(
    protocol: spec.PropagateProtocol, built: BuiltSystem, card: DynamicsCard
) -> None:
    _check_boundary(protocol, built.system)
    check_rolls_out(card)
    card.window.offsets(protocol.timestep)
    if card.atoms == "all":
        return
    is_refined = protocol.refine is not None and protocol.refine.every is not None
    if not is_refined and not isinstance(protocol.judge, spec.NoJudge):
        raise SpecError(
            f"the operator of {card.subject} knows its atoms: {card.atoms} alone; the others are "
            "carried along and clash until they are refined. Add --refine every=1, or judge.kind: "
            "none (--policy off) to go without."
        )
    if protocol.record.save == "points":
        raise SpecError(
            f"record.save: points would keep frames whose atoms besides {card.atoms} are only "
            "carried along. Use save: windows."
        )


def _check_sampler(protocol: spec.PropagateProtocol, built: BuiltSystem, card: SamplerCard) -> None:
    system = built.system
    if not isinstance(protocol.boundary, spec.Langevin):
        raise SpecError(
            f"boundary.kind: {protocol.boundary.kind} acts between windows of dynamics, and a "
            "sampler has none. Set kind: langevin, for the MD that refines and takes over."
        )
    if protocol.boundary.barostat is not None:
        raise SpecError("boundary.barostat: samplers know no box. Leave out barostat.")
    learned = card.validity.kelvin
    if learned is not None and abs(protocol.temperature / learned - 1) > SAME_TEMPERATURE:
        raise SpecError(
            f"temperature: {protocol.temperature:g} K, and the sampler of {card.subject} learned the "
            f"distribution at {learned:g} K. Set temperature: {learned:g} K, or train one "
            "on MD at yours."
        )
    if protocol.timestep > FLEXIBLE_TIMESTEP and not len(system.constraints):
        raise SpecError(
            f"timestep: {format_quantity(protocol.timestep, 'time')} is too long for {system.name} "
            "without constraints. Use a system with constraints: h-bonds (such as ala2/hmr), or "
            "timestep: 0.5 fs."
        )


def _check_draws(protocol: spec.PropagateProtocol) -> None:
    """Refuse what only windows of dynamics could use."""
    if isinstance(protocol.judge, spec.EnergyJudge):
        raise SpecError(
            "judge.kind: energy: a draw has no velocities, and so no energy to keep. Set judge.kind: "
            "shape."
        )
    if protocol.correct is not None and not isinstance(protocol.correct, spec.Redraw):
        raise SpecError(
            f"correct.kind: {protocol.correct.kind} mends windows of dynamics. Set correct.kind: "
            "redraw, after which MD takes over."
        )
    if protocol.workers > 1:
        raise SpecError(
            f"workers: {protocol.workers}: a sampler's windows ask for no energies that processes "
            "could share. Leave it out, and share batches of replicas instead (--batch, --workers)."
        )


def _check_rotors(system: System, atoms: Int[np.ndarray, " seen"]) -> None:
    """Refuse Metropolis moves where no torsion can move."""
    if not len(find_moves(system, atoms)):
        raise SpecError(
            f"source.kind: metropolis: {system.name} has no rotatable bond among the atoms that the "
            "sampler draws, so there is nothing to move. Set source.kind: sampler."
        )


def _check_metropolis(protocol: spec.PropagateProtocol, source: spec.MetropolisSource) -> None:
    """Refuse what would make Metropolis moves inexact."""
    if protocol.refine is not None:
        raise SpecError(
            "refine: a refined end is no state of the chain, and would spoil it. Leave out refine "
            "(--refine never)."
        )
    if not isinstance(protocol.judge, spec.NoJudge):
        raise SpecError(
            f"judge.kind: {protocol.judge.kind} would pick among windows by their looks, and the "
            "moves would not be exact. Set judge.kind: none and no correct (--policy off)."
        )
    if protocol.record.save == "points":
        raise SpecError(
            "record.save: points: a Metropolis move has no time points. Set save: windows."
        )
    whole_multiple(source.dynamics, protocol.timestep, "source.dynamics", "timesteps")


def find_moves(system: System, atoms: Int[np.ndarray, " seen"]) -> Rotors:
    """The rotatable bonds whose torsions a sampler draws."""
    rotors = find_rotors(system)
    return rotors.subset(np.flatnonzero(np.isin(rotors.atoms, atoms).all(axis=1)).tolist())


def check_rolls_out(card: DynamicsCard) -> None:
    """Refuse an operator without velocities, or whose velocities were never trained.

    Raises:
        BundleMismatch: it cannot start a second window.
    """
    if not predicts_velocities(card.network):
        raise BundleMismatch(
            f"the operator of {card.subject} is of kind: {card.network.kind}, which predicts "
            "positions alone, so its windows cannot follow each other. Train kind: egno."
        )
    protocol = card.training.get("protocol", {})
    if protocol and not protocol.get("supervise_velocities", 1.0):
        raise BundleMismatch(
            f"the operator of {card.subject} was trained without velocities, so its windows cannot "
            "follow each other. Train with supervise_velocities: 1.0."
        )


def check_whole(card: DynamicsCard, what: str) -> None:
    """Refuse an operator of some atoms where nothing carries the others.

    Raises:
        BundleMismatch: naming the atoms.
    """
    if card.atoms != "all":
        raise BundleMismatch(
            f"the operator of {card.subject} knows its atoms: {card.atoms} alone, and {what} moves "
            "all of them. Use 'egno-md propagate --refine every=1', or train with atoms: all."
        )


def check_free(system: System, what: str) -> None:
    """Refuse a box or constraints where only `egno-md propagate` keeps them.

    Raises:
        SpecError: the system has either.
    """
    if system.box is not None:
        kept, remedy = "periodic boundaries", "a system without a box"
    elif len(system.constraints):
        kept, remedy = "constraints", "constraints: none"
    else:
        return
    raise SpecError(
        f"{system.name} has {kept}, which {what} does not keep. Use 'egno-md propagate', or {remedy}."
    )


def check_boxes(frames: Sequence[Frame], system: System, source: str) -> None:
    """Refuse start frames without a box for a periodic system, or with one for another.

    Raises:
        DataError: naming where they come from.
    """
    if system.box is not None and any(f.box is None for f in frames):
        raise DataError(
            f"{source}: its frames have no box vectors and {system.name} is periodic. "
            "Start from frames that were stored with their box."
        )
    if system.box is None and any(f.box is not None for f in frames):
        raise DataError(
            f"{source}: its frames have a periodic box and {system.name} has none. "
            "Load them again with '--system'."
        )
