"""Every feature of a step with every way to move: it works, or one line says why it cannot.

The features once worked in some loops and not in others. Cells that are refused stand in
`REFUSED` with the words of the refusal; every other cell must work.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import pytest
from openmm import unit

from egno_md import api as em
from egno_md.core.errors import EgnoMDError
from egno_md.core.state import Frame
from egno_md.interop.openmm import SurrogateSimulation
from egno_md.md.build import BuiltSystem, load_system
from egno_md.nn.bundle import save_bundle
from egno_md.nn.operator import Operator
from egno_md.propagate.build import Plan, build
from egno_md.propagate.proposal import Outcome
from egno_md.propagate.record import State, pack_state, unpack_state
from egno_md.propagate.requirements import extent
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.totals import Totals
from egno_md.spec.files import validate
from egno_md.spec.propagate import PropagateProtocol
from tests.conftest import make_operator, make_sampler

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
WATER = GOLDEN / "systems" / "waterbox-rigid"
MOVES = ("exact", "operator", "sampler", "metropolis")
ADAPTORS = ("SurrogateSimulation", "ASE")
KINDS = (*MOVES, *ADAPTORS)

CONSTRAINED_NM = 1e-5
"""Largest error of a constrained distance."""

SOURCES: dict[str, dict[str, Any]] = {
    "exact": {"kind": "exact", "window": "8 fs", "points": 4},
    "operator": {"kind": "operator"},
    "sampler": {"kind": "sampler", "steps": 2},
    "metropolis": {"kind": "metropolis", "steps": 2, "draws": 1, "dynamics": "20 fs"},
}
LOOSE = {"bond": "9 nm", "contact": "1e-6 nm", "force": "1e12 kJ/mol/nm", "atom": 1e9}
JUDGES: dict[str, dict[str, Any]] = {
    "exact": {"kind": "energy"},
    "operator": {"kind": "energy", "tolerances": LOOSE | {"energy": 1e6, "temperature": 1e6}},
    "sampler": {"kind": "shape", "tolerances": LOOSE},
    "metropolis": {"kind": "none"},
}


@pytest.fixture(scope="module")
def ala2_built() -> BuiltSystem:
    return load_system("ala2/hmr")


@pytest.fixture(scope="module")
def models(ala2_built: BuiltSystem) -> dict[str, Any]:
    sampler = make_sampler(ala2_built.system)
    return {
        "exact": None,
        "operator": make_operator(ala2_built.system),
        "sampler": sampler,
        "metropolis": sampler,
    }


def protocol(kind: str, **changes: Any) -> PropagateProtocol:
    is_drawn = kind in ("sampler", "metropolis")
    lengths = {"sampler": "80 ps", "metropolis": "40 fs"}
    content: dict[str, Any] = {
        "length": lengths.get(kind, "16 fs"),
        "temperature": "300 K",
        "timestep": "2 fs",
        "source": SOURCES[kind],
        "judge": JUDGES[kind],
        "boundary": {"kind": "langevin", "friction": "1 /ps"}
        if is_drawn
        else {"kind": "adaptive-langevin", "friction": "5 /ps"},
        "equilibration": "0 fs",
        "platform": "Reference",
    }
    if kind == "sampler":
        content["refine"] = {"every": 1, "dynamics": "20 fs", "max_blocks": 200}
    return validate({**content, **changes}, PropagateProtocol, "matrix")


@dataclass(frozen=True)
class Given:
    """What a cell of the matrix may use."""

    built: BuiltSystem
    models: dict[str, Any]
    tmp: Path

    def plan(self, kind: str, built: BuiltSystem | None = None, **changes: Any) -> Plan:
        """A rollout on alanine dipeptide, or on another system, requirements checked."""
        model, spec = self.models[kind], protocol(kind, **changes)
        if built is not None and kind == "operator":
            model = Operator.load(GOLDEN / "bundles" / "waterbox-rigid")
        subject = built or self.built
        bound = None if model is None else model.bind(subject.system)
        extent(spec, subject, bound)
        return build(subject, bound, spec, seed=3, iterations=20)

    def simulation(self, **options: Any) -> SurrogateSimulation:
        """A script on alanine dipeptide with constraints."""
        save_bundle(self.tmp / "operator", self.models["operator"])
        integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.002)
        integrator.setRandomNumberSeed(4)
        made = em.SurrogateSimulation(
            self.built.topology, self.built, integrator,
            openmm.Platform.getPlatformByName("Reference"), operator=self.tmp / "operator", **options,
        )  # fmt: skip
        made.context.setPositions(self.built.system.positions)
        made.context.setVelocitiesToTemperature(300, 1)
        return made

    def dynamics(self, **options: Any) -> Any:
        """Atoms of ethanol on springs under ASE."""
        pytest.importorskip("ase", reason="ASE is an optional extra")
        ethanol = load_system("ethanol").system
        save_bundle(self.tmp / "ethanol", make_operator(ethanol))
        return em.WindowDynamics(
            on_springs(ethanol.elements, ethanol.positions), self.tmp / "ethanol",
            temperature_K=300, tolerances=LOOSE | {"energy": 1e9, "temperature": 1e9}, **options,
        )  # fmt: skip


@pytest.fixture
def given(ala2_built: BuiltSystem, models: dict[str, Any], tmp_path: Path) -> Given:
    return Given(ala2_built, models, tmp_path)


def on_springs(elements: Any, positions: np.ndarray, **options: Any) -> Any:
    from ase import Atoms
    from ase.calculators.calculator import Calculator, all_changes

    home = positions * 10

    class Springs(Calculator):
        implemented_properties = ["energy", "forces"]  # noqa: RUF012

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
            super().calculate(atoms, properties, system_changes)
            moved = self.atoms.positions - home
            self.results = {"energy": float((moved**2).sum()), "forces": -2 * moved}

    return Atoms(elements, home, calculator=Springs(), **options)


def steps(plan: Plan, states: list[ReplicaState], count: int) -> tuple[list[ReplicaState], list]:
    outcomes: list[Outcome] = []
    for _ in range(count):
        made = plan.move.step(states)
        outcomes += made
        states = [o.state for o in made]
        assert not [o.event.reason for o in made if o.event.kind == "stop"]
    return states, outcomes


class Extent:
    """An observer of one number."""

    def measure(self, frame: Frame) -> dict[str, float]:
        return {"extent": float(np.ptp(frame.positions))}


def observers(kind: str, given: Given) -> None:
    """The end of every window is measured, and the event carries it."""
    if kind == "SurrogateSimulation":
        made, seen = given.simulation(), []
        made.reporters.append(_Reporter(4, seen))
        made.step(8)
        assert len(seen) == 2
        return
    if kind == "ASE":
        dynamics, seen = given.dynamics(), []
        dynamics.attach(lambda: seen.append(dynamics.nsteps), interval=1)
        dynamics.run(2)
        assert seen[-2:] == [1, 2]
        return
    plan = given.plan(kind)
    ending = replace(plan.move.ending, observers=(Extent(),))
    move = replace(plan.move, ending=ending)
    (outcome,) = move.step(plan.states(None))
    assert outcome.event.observed == {"extent": float(np.ptp(outcome.state.frame.positions))}


def checks(kind: str, given: Given) -> None:
    """Events carry what was measured."""
    if kind == "SurrogateSimulation":
        made = given.simulation(tolerances=LOOSE)
        made.step(8)
        assert all(event.check is not None for event in made.events)
        return
    if kind == "ASE":
        dynamics = given.dynamics()
        dynamics.run(2)
        assert all(event.check is not None for event in dynamics.events)
        return
    plan = given.plan(kind, **({"judge": {"kind": "shape"}} if kind == "metropolis" else {}))
    (outcome,) = plan.move.step(plan.states(None))
    assert outcome.event.check is not None
    assert outcome.event.check.is_finite


def adaptation(kind: str, given: Given) -> None:
    """Running temperatures and the adaptive friction follow every window."""
    adaptive = {"kind": "adaptive-langevin", "friction": "5 /ps"}
    if kind == "SurrogateSimulation":
        made = given.simulation()
        made.step(4 + 3)  # one window, and a remainder of exact steps
        state = made._walker.state  # what a user sees of it is the mean temperature
        assert state.running.elapsed == pytest.approx(7 * 0.002)
        assert np.abs(state.excess_friction).min() > 0
        return
    if kind == "ASE":
        dynamics = given.dynamics()
        dynamics.run(2)
        state = dynamics._walker.state
        assert state.running.elapsed == pytest.approx(2 * dynamics._walker.length)
        assert np.abs(state.excess_friction).min() > 0
        return
    plan = given.plan(kind, boundary=adaptive)
    states, _ = steps(plan, plan.states(None), 2)
    assert states[0].running.elapsed == pytest.approx(2 * plan.move.duration)
    assert np.abs(states[0].excess_friction).min() > 0


def workers(kind: str, given: Given) -> None:
    """Energies from processes give the bits of one process."""
    if kind in ADAPTORS:
        make = given.simulation if kind == "SurrogateSimulation" else given.dynamics
        make(workers=2)
        return
    ends = []
    for count in (1, 2):
        plan = given.plan(kind, workers=count)
        try:
            states, _ = steps(plan, plan.states(None), 2)
        finally:
            plan.bench.close()
        ends.append(states[0].frame.positions)
    np.testing.assert_array_equal(*ends)


def resume(kind: str, given: Given) -> None:
    """Interrupted, it goes on to the bit."""
    if kind == "SurrogateSimulation":
        whole, file = given.simulation(), io.BytesIO()
        whole.step(6)
        whole.saveCheckpoint(file)
        whole.step(6)
        file.seek(0)
        again = given.simulation()
        again.loadCheckpoint(file)
        again.step(6)
        ends = [
            s.context.getState(positions=True).getPositions(asNumpy=True) for s in (whole, again)
        ]
        np.testing.assert_array_equal(*(e.value_in_unit(unit.nanometer) for e in ends))
        return
    if kind == "ASE":
        whole, again = given.dynamics(seed=5), given.dynamics(seed=5)
        whole.run(2)
        whole.save_checkpoint(given.tmp / "checkpoint")
        whole.run(2)
        again.load_checkpoint(given.tmp / "checkpoint")
        again.run(2)
        np.testing.assert_array_equal(again.atoms.positions, whole.atoms.positions)
        np.testing.assert_array_equal(again.atoms.get_momenta(), whole.atoms.get_momenta())
        assert again.nsteps == whole.nsteps == 4
        return
    plan = given.plan(kind)
    middle, _ = steps(plan, plan.states(None), 1)
    packed = pack_state(State(1, tuple(middle), Totals(), {}, {}))
    plan.bench.forget()
    whole, _ = steps(plan, middle, 2)
    fresh = given.plan(kind)
    again, _ = steps(fresh, list(unpack_state(io.BytesIO(packed)).replicas), 2)
    np.testing.assert_array_equal(again[0].frame.positions, whole[0].frame.positions)
    np.testing.assert_array_equal(again[0].frame.velocities, whole[0].frame.velocities)
    assert again[0].random.bit_generator.state == whole[0].random.bit_generator.state


def constraints(kind: str, given: Given) -> None:
    """Constrained distances hold at the end of every window."""
    if kind == "ASE":
        from ase.constraints import FixBondLength

        atoms = on_springs(["H", "O"], np.array([[0, 0, 0], [0.1, 0, 0]]))
        atoms.set_constraint(FixBondLength(0, 1))
        ethanol = load_system("ethanol").system
        save_bundle(given.tmp / "ethanol", make_operator(ethanol))
        em.WindowDynamics(atoms, given.tmp / "ethanol")
        return
    if kind == "SurrogateSimulation":
        made = given.simulation(tolerances=LOOSE)
        made.step(8)
        positions = made.context.getState(positions=True).getPositions(asNumpy=True)
        ends = [positions.value_in_unit(unit.nanometer)]
    else:
        plan = given.plan(kind)
        _, outcomes = steps(plan, plan.states(None), 2)
        ends = [o.state.frame.positions for o in outcomes]
    system = given.built.openmm_system
    fixed = [system.getConstraintParameters(i) for i in range(system.getNumConstraints())]
    assert fixed
    for positions in ends:
        for a, b, distance in fixed:
            length = np.linalg.norm(positions[a] - positions[b])
            off = abs(length - distance.value_in_unit(unit.nanometer))
            assert off < CONSTRAINED_NM


def box(kind: str, given: Given) -> None:
    """Windows go on in a periodic box."""
    water = load_system(str(WATER))
    if kind == "SurrogateSimulation":
        _water_simulation(water).step(8)
        return
    if kind == "ASE":
        pytest.importorskip("ase", reason="ASE is an optional extra")
        flexible = load_system("waterbox").system
        atoms = on_springs(flexible.elements, flexible.positions, cell=flexible.box * 10, pbc=True)
        atoms.set_masses(flexible.masses)
        loose = LOOSE | {"energy": 1e9, "temperature": 1e9}
        made = em.WindowDynamics(atoms, GOLDEN / "bundles" / "waterbox", tolerances=loose)
        made.run(1)
        np.testing.assert_allclose(made._walker.frame.box, flexible.box)
        return
    plan = given.plan(kind, water, timestep="1 fs", source=_short(kind), length="4 fs")
    states, _ = steps(plan, plan.states(None), 1)
    np.testing.assert_array_equal(states[0].frame.box, water.system.box)


def barostat(kind: str, given: Given) -> None:
    """The volume changes between windows."""
    water = load_system(str(WATER))
    pressure = {"pressure": "1 bar", "every": 1}
    if kind == "SurrogateSimulation":
        system = openmm.XmlSerializer.clone(water.openmm_system)
        system.addForce(openmm.MonteCarloBarostat(1.0, 300.0, 4))
        made = _water_simulation(replace(water, openmm_system=system))
        made.step(8)
        assert made._walker.state.volume_moves[0] == 2
        return
    if kind == "ASE":
        given.dynamics(pressure=1.0)
        return
    boundary = {"kind": "langevin", "friction": "5 /ps", "barostat": pressure}
    changes = {"timestep": "1 fs", "source": _short(kind), "length": "8 fs", "boundary": boundary}
    built = None if kind in ("sampler", "metropolis") else water
    plan = given.plan(kind, built, **changes)
    states, _ = steps(plan, plan.states(None), 2)
    assert states[0].volume_moves[0] == 2


def replicas(kind: str, given: Given) -> None:
    """Replicas have streams of their own, and none matters to another."""
    if kind in ADAPTORS:
        make = given.simulation if kind == "SurrogateSimulation" else given.dynamics
        make(replicas=2)
        return
    plan = given.plan(kind, replicas=2)
    start = plan.states([plan.bench.relaxed] * 2)
    both, _ = steps(plan, start, 1)
    assert not np.array_equal(both[0].frame.positions, both[1].frame.positions)
    plan.bench.forget()
    (alone,), _ = steps(plan, start[1:], 1)
    np.testing.assert_allclose(alone.frame.positions, both[1].frame.positions, atol=1e-5)


FEATURES: dict[str, Callable[[str, Given], None]] = {
    f.__name__: f
    for f in (
        observers, checks, adaptation, workers, resume, constraints, box, barostat, replicas,
    )
}  # fmt: skip

REFUSED = {
    ("checks", "metropolis"): "judge.kind: shape would pick among windows by their looks",
    ("adaptation", "sampler"): "boundary.kind: adaptive-langevin acts between windows of dynamics",
    ("adaptation", "metropolis"): "boundary.kind: adaptive-langevin acts between windows of dyn",
    ("workers", "sampler"): "workers: 2: a sampler's windows ask for no energies",
    ("workers", "SurrogateSimulation"): "workers",
    ("workers", "ASE"): "workers",
    ("constraints", "ASE"): "FixBondLengths? constraint",
    ("box", "sampler"): "(is periodic, and samplers know no box|Use a sampler trained on)",
    ("box", "metropolis"): "(is periodic, and samplers know no box|Use a sampler trained on)",
    ("barostat", "sampler"): "boundary.barostat: samplers know no box",
    ("barostat", "metropolis"): "boundary.barostat: samplers know no box",
    ("barostat", "ASE"): "pressure",
    ("replicas", "SurrogateSimulation"): "replicas",
    ("replicas", "ASE"): "replicas",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("feature", FEATURES)
def test_every_cell_works_or_says_why_not(feature: str, kind: str, given: Given) -> None:
    reason = REFUSED.get((feature, kind))
    if reason is None:
        FEATURES[feature](kind, given)
        return
    with pytest.raises((EgnoMDError, TypeError), match=reason) as refusal:
        FEATURES[feature](kind, given)
    assert "\n" not in str(refusal.value)


class _Reporter:
    def __init__(self, interval: int, seen: list[int]) -> None:
        self.interval, self.seen = interval, seen

    def describeNextReport(self, simulation: Any) -> dict[str, Any]:
        left = self.interval - simulation.currentStep % self.interval
        return {"steps": left, "periodic": False, "include": ["positions"]}

    def report(self, simulation: Any, state: Any) -> None:
        self.seen.append(simulation.currentStep)


def _short(kind: str) -> dict[str, Any]:
    """A source for the water of the golden runs, whose windows are 4 fs."""
    return {"kind": "exact", "window": "4 fs"} if kind == "exact" else SOURCES[kind]


def _water_simulation(water: BuiltSystem) -> SurrogateSimulation:
    made = em.SurrogateSimulation(
        water.topology, water, openmm.LangevinMiddleIntegrator(300, 5, 0.001),
        openmm.Platform.getPlatformByName("Reference"),
        operator=GOLDEN / "bundles" / "waterbox-rigid",
        tolerances=LOOSE | {"energy": 1e6, "temperature": 1e6},
    )  # fmt: skip
    made.context.setPositions(water.system.positions)
    made.context.setVelocitiesToTemperature(300, 1)
    return made
