"""From what a protocol says, a system and an operator to the move of a rollout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from egno_md.core.selection import choose_atoms
from egno_md.core.state import Frame
from egno_md.core.window import Window
from egno_md.geometry.lift import Lift
from egno_md.geometry.stereocentres import Stereochemistry
from egno_md.md.barostat import MonteCarloBarostat
from egno_md.md.build import BuiltSystem
from egno_md.md.engine import OpenMMEngine, ThermostatName
from egno_md.md.generate.chains import replica_seed
from egno_md.md.pool import EnginePool
from egno_md.md.refine.draws import LangevinDynamics, SamplerRefiner
from egno_md.md.refine.refiner import OpenMMRefiner, Restraints
from egno_md.nn.bound import BoundOperator
from egno_md.nn.card import DynamicsCard
from egno_md.nn.sampler import BoundSampler
from egno_md.propagate.assemble import Parts, Rules, assemble
from egno_md.propagate.boundary import ChangeVolume
from egno_md.propagate.check import Checker
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.constraints import Projection
from egno_md.propagate.describe import caveat
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.metropolis_move import MetropolisMove
from egno_md.propagate.observe import find_observers
from egno_md.propagate.requirements import Model, find_moves
from egno_md.propagate.source import (
    ExactWindows,
    FunctionWindows,
    OperatorWindows,
    SamplerWindows,
    ThermostattedWindows,
)
from egno_md.propagate.start import frame_from_structure
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.step import Ending, Move
from egno_md.propagate.summary import Machine
from egno_md.propagate.thermostat import Thermostat, make_thermostat
from egno_md.spec import propagate as spec

MD_FRICTION = 5.0
"""1/ps, of equilibration and timing where the thermostat between windows has no friction."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What computes exactly in a rollout, and measures.

    Attributes:
        built: the system.
        protocol: how it is run.
        seed: of every random stream.
        iterations: of the minimiser that gives bonds their reference lengths.
        clocks: where the time goes.
    """

    built: BuiltSystem
    protocol: spec.PropagateProtocol
    seed: int
    iterations: int
    clocks: Clocks

    def new_engine(
        self,
        seed: int,
        thermostat: ThermostatName = "langevin",
        pressure: float | None = None,
    ) -> OpenMMEngine:
        """OpenMM at the protocol's temperature and timestep."""
        return OpenMMEngine(
            self.built,
            timestep=self.protocol.timestep,
            kelvin=self.protocol.temperature,
            friction=self.friction,
            seed=seed,
            platform=self.protocol.platform,
            thermostat=thermostat,
            pressure=pressure,
        )

    @cached_property
    def engine(self) -> OpenMMEngine:
        """The engine that evaluates, and whose windows replace others."""
        match self.protocol.source:
            case spec.SamplerSource() | spec.MetropolisSource():
                return self.new_engine(self.seed, "langevin-middle")
            case _:
                return self.new_engine(self.seed)

    @cached_property
    def relaxed(self) -> Frame:
        """The minimised start structure, whose bonds are the reference lengths."""
        return self.engine.start(iterations=self.iterations)

    @cached_property
    def pool(self) -> EnginePool | None:
        """Processes that share energies and forces; None of one."""
        if self.protocol.workers == 1:
            return None
        spec, folder = self.built.spec, self.built.folder
        return EnginePool(spec, folder, self.engine.platform, self.protocol.workers)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Energies and forces of all replicas."""
        return Evaluation(self.pool or self.engine, self.clocks)

    @cached_property
    def checker(self) -> Checker:
        """Measures frames."""
        contact = spec.ShapeTolerances().contact
        if not isinstance(self.protocol.judge, spec.NoJudge):
            contact = self.protocol.judge.tolerances.contact
        return Checker.of(self.built.system, self.relaxed.positions, contact, self.clocks)

    @cached_property
    def constraints(self) -> Projection | None:
        """Keeps the system's constraints; None without any."""
        system = self.built.system
        return Projection(self.engine, system.masses) if len(system.constraints) else None

    @property
    def friction(self) -> float:
        """1/ps, of MD."""
        match self.protocol.boundary:
            case spec.Langevin(friction=friction) | spec.AdaptiveLangevin(friction=friction):
                return friction
            case _:
                return MD_FRICTION

    @property
    def pressure(self) -> float | None:
        """Bar; None at constant volume."""
        boundary = self.protocol.boundary
        if isinstance(boundary, spec.NoThermostat) or boundary.barostat is None:
            return None
        return boundary.barostat.pressure

    def start_frames(self) -> list[Frame]:
        """The structure of every replica, equilibrated by itself."""
        protocol = self.protocol
        return [
            frame_from_structure(
                self.new_engine(replica_seed(self.seed, index), pressure=self.pressure),
                protocol.equilibration,
                self.relaxed.positions,
            )
            for index in range(protocol.replicas)
        ]

    def forget(self) -> None:
        """Drop what speeds up the next evaluation, and a resumed run would not have."""
        self.engine.forget()
        if self.pool is not None:
            self.pool.forget()

    def close(self) -> None:
        """End what runs beside."""
        if "pool" in self.__dict__ and self.pool is not None:
            self.pool.close()


@dataclass(frozen=True, eq=False)
class Plan:
    """A rollout that is ready to run.

    Attributes:
        bench: what computes exactly.
        move: moves the replicas.
        points: time points in a window.
        thermostat: between windows; None without one.
        machine: what it runs on.
    """

    bench: Bench
    move: Move
    points: int
    thermostat: Thermostat | None
    machine: Machine

    def states(self, frames: list[Frame] | None) -> list[ReplicaState]:
        """Replicas at their start: at stored frames, or at the structure, equilibrated."""
        if frames is None:
            frames = self.bench.start_frames()
        elif self.bench.constraints is not None and self.move.kind == "dynamics":
            frames = [self.bench.constraints.frame(frame) for frame in frames]
        excess = np.zeros(0) if self.thermostat is None else self.thermostat.no_excess()
        return [
            ReplicaState(
                index,
                frame,
                np.random.default_rng([self.bench.seed, index]),
                excess_friction=excess,
            )
            for index, frame in enumerate(frames)
        ]


def build(
    built: BuiltSystem,
    model: Model | None,
    protocol: spec.PropagateProtocol,
    seed: int,
    iterations: int,
) -> Plan:
    """Put a rollout together; `requirements.extent` has allowed it.

    Args:
        built: the system.
        model: operator or sampler, on its device; None for a source that needs none.
        protocol: how it is run.
        seed: of every random stream.
        iterations: of the minimiser before it.
    """
    bench = Bench(built, protocol, seed, iterations, Clocks())
    match protocol.source, model:
        case spec.OperatorSource(), BoundOperator():
            lift = None if model.card.atoms == "all" else Lift.of(built.system, model.card.atoms)
            source = OperatorWindows(model, built.system.masses, lift, bench.clocks)
            return _windows_of_dynamics(bench, source, model.card)
        case spec.OperatorSource(), FunctionWindows():
            return _windows_of_dynamics(bench, model, None)
        case spec.ExactSource(window=length, points=points), _:
            source = ExactWindows(bench.engine, Window.uniform(length, points), bench.clocks)
            return _windows_of_dynamics(bench, source, None)
        case spec.SamplerSource() as drawn, BoundSampler():
            return _drawn_windows(bench, _sampler(bench, model, drawn.steps, drawn.solver))
        case spec.MetropolisSource() as drawn, BoundSampler():
            sampler = _sampler(bench, model, drawn.steps, drawn.solver)
            return _metropolis_moves(bench, sampler, drawn)
        case source, _:
            raise TypeError(f"source {source.kind} cannot be built with {type(model).__name__}.")


def _windows_of_dynamics(
    bench: Bench,
    source: OperatorWindows | FunctionWindows | ExactWindows,
    card: DynamicsCard | None,
) -> Plan:
    built, protocol, boundary = bench.built, bench.protocol, bench.protocol.boundary
    thermostat = make_thermostat(boundary, built.system, protocol.temperature)
    parts = Parts(
        exact=ExactWindows(bench.engine, source.window),
        evaluation=bench.evaluation,
        checker=bench.checker,
        clocks=bench.clocks,
        refiner=_Refiner(bench, card),
        constraints=bench.constraints,
        thermostat=thermostat,
        volume=_volume_moves(bench),
        observers=find_observers(built),
    )
    keeps_energy = isinstance(boundary, spec.NoThermostat) and boundary.keep_energy
    is_lifted = card is not None and card.atoms != "all"
    is_exact = isinstance(source, ExactWindows)
    accepted = "exact" if is_exact else "accept"
    rules = _rules(protocol, keeps_energy=keeps_energy and not is_exact)
    move = assemble(source, parts, rules, is_lifted=is_lifted, accepted=accepted)
    machine = Machine(reference_platform=bench.engine.platform)
    if isinstance(source, OperatorWindows):
        machine = _machine(bench, source.operator.operator, source.operator.card)
    return Plan(bench, move, source.window.points, thermostat, machine)


def _rules(protocol: spec.PropagateProtocol, *, keeps_energy: bool) -> Rules:
    """The protocol's rules, with the corrector that suits its source where it names none."""
    correct = protocol.correct
    if correct is None:
        match protocol.source:
            case spec.SamplerSource():  # what cannot be refined is drawn again, judged or not
                correct = spec.Redraw(kind="redraw")
            case spec.OperatorSource() if not isinstance(protocol.judge, spec.NoJudge):
                correct = spec.Fallback(kind="fallback")
            case _:
                correct = spec.Monitor(kind="monitor")
    return Rules(protocol.judge, correct, protocol.refine, protocol.temperature, keeps_energy)


def _volume_moves(bench: Bench) -> ChangeVolume | None:
    system, boundary = bench.built.system, bench.protocol.boundary
    if isinstance(boundary, spec.NoThermostat) or boundary.barostat is None or system.box is None:
        return None
    moves = MonteCarloBarostat.of(
        bench.engine.evaluate,
        system.molecules,
        bench.protocol.temperature,
        boundary.barostat.pressure,
        float(abs(np.linalg.det(system.box))),
    )
    return ChangeVolume(moves, boundary.barostat.every, bench.clocks)


class _Refiner:
    """Makes the refiner of windows of dynamics when it is first needed."""

    def __init__(self, bench: Bench, card: DynamicsCard | None) -> None:
        self._bench, self._card = bench, card
        self._made: OpenMMRefiner | None = None

    def __call__(self) -> OpenMMRefiner:
        bench = self._bench
        if self._made is None:
            settings = bench.protocol.refine or spec.Refinement()
            self._made = OpenMMRefiner(
                bench.built,
                settings,
                bench.protocol.temperature,
                bench.protocol.platform,
                bench.seed,
                None if settings.every is None else _restraints(bench.built, self._card),
            )
        return self._made


def _restraints(built: BuiltSystem, card: DynamicsCard | None) -> Restraints:
    """What a refinement of every window must preserve.

    Springs hold the backbone, or the alpha carbons of an operator that knows no
    more; heavy atoms of what is no protein.
    """
    system, stereo = built.system, Stereochemistry.of(built.system)
    if card is not None and card.atoms == "ca":
        atoms = choose_atoms(system.topology, "ca", system.name)
    elif len(stereo.peptides):
        names = {"N", "CA", "C", "O"}
        atoms = np.array(
            [a.index for a in system.topology.atoms if a.name in names and not a.residue.is_water]
        )
    else:
        atoms = np.flatnonzero(system.atomic_numbers > 1)
    return Restraints(atoms, stereo)


def _sampler(bench: Bench, model: BoundSampler, steps: int, solver: spec.Solver) -> SamplerWindows:
    system = bench.built.system
    lift = Lift.relaxed(system, model.atoms, bench.relaxed.positions)
    return SamplerWindows(model, lift, steps, solver, bench.clocks)


def _drawn_windows(bench: Bench, source: SamplerWindows) -> Plan:
    protocol = bench.protocol
    dynamics = LangevinDynamics(bench.engine, protocol.temperature)
    settings = protocol.refine or spec.Refinement()
    made: list[SamplerRefiner] = []

    def refiner() -> SamplerRefiner:
        if not made:
            made.append(SamplerRefiner(bench.built, settings, dynamics, protocol.platform))
        return made[0]

    parts = Parts(
        exact=ThermostattedWindows(dynamics, source.window, bench.friction),
        evaluation=bench.evaluation,
        checker=bench.checker,
        clocks=bench.clocks,
        refiner=refiner,
        observers=find_observers(bench.built),
    )
    move = assemble(source, parts, _rules(protocol, keeps_energy=False))
    return Plan(bench, move, source.window.points, None, _machine(bench, source.operator.operator))


def _metropolis_moves(
    bench: Bench, sampler: SamplerWindows, settings: spec.MetropolisSource
) -> Plan:
    protocol = bench.protocol
    move = MetropolisMove(
        sampler=sampler,
        rotors=find_moves(bench.built.system, sampler.operator.atoms),
        settings=settings,
        evaluation=bench.evaluation,
        dynamics=LangevinDynamics(bench.engine, protocol.temperature),
        ending=Ending(bench.checker, bench.clocks, observers=find_observers(bench.built)),
        kelvin=protocol.temperature,
        friction=bench.friction,
        clocks=bench.clocks,
    )
    return Plan(bench, move, 1, None, _machine(bench, sampler.operator.operator))


def _machine(bench: Bench, network: torch.nn.Module, card: DynamicsCard | None = None) -> Machine:
    return Machine(
        reference_platform=bench.engine.platform,
        network_device=str(next(network.parameters()).device),
        network_threads=torch.get_num_threads(),
        atoms=None if card is None else card.atoms,
        caveat=None if card is None else caveat(card),
    )
