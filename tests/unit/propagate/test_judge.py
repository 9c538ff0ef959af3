"""Which windows are believed, by measurements whose figures are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.core.units import BOLTZMANN
from egno_md.propagate.check import Check, Checker
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.constraints import FAILED
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.judge import EnergyJudge, Limits, ShapeJudge, Unjudged
from egno_md.propagate.proposal import Accept, Proposal, Reject, Stop, Verdict
from egno_md.propagate.shapes import Shapes
from egno_md.propagate.state import ReplicaState, RunningTemperature
from egno_md.spec.propagate import ShapeTolerances, Tolerances

GOOD = Check(0.5, 3e3, 0.01, 300.0, {"H": 300.0, "C": 300.0}, is_finite=True)
POINTS = 4
SCALE = BOLTZMANN * 300.0 * 24
LIMITS = Tolerances()


@dataclass
class Known:
    """A checker of which the measurements are known, by the time of the frame."""

    checks: Mapping[int, Check]
    clocks: Clocks = field(default_factory=Clocks)
    system: Any = field(
        default_factory=lambda: SimpleNamespace(freedom={"all": 24.0, "H": 18.0, "C": 5.0})
    )
    energies: list[float | None] = field(default_factory=list)

    def measure(self, start: Frame, end: Frame) -> Check:
        self.energies.append(start.potential_energy)
        return self.checks[round(end.time)]

    def bond_deviation(self, frame: Frame) -> float:
        return 0.0


class Zero:
    """An evaluator to which every frame has the energy zero."""

    def evaluate_all(self, frames: Mapping[int, Frame]) -> dict[int, Frame]:
        return {i: replace(f, potential_energy=0.0) for i, f in frames.items()}


def limits(*, strict: bool = False, kelvin: float = 300.0) -> Limits:
    return Limits.of(LIMITS, kelvin, 24, strict=strict)


def make_judge(*earlier: Check, last: Check, strict: bool = False, **changes: Any) -> EnergyJudge:
    """A judge of windows with these measurements, the latest of the earlier points first."""
    checks = {POINTS: last} | {POINTS - 1 - n: check for n, check in enumerate(earlier)}
    known: Any = Known(checks)
    judge = EnergyJudge(
        known, limits(strict=strict), Evaluation(Zero(), known.clocks), 0.008, kelvin=300.0
    )
    return replace(judge, **changes)


def make_start(running: RunningTemperature | None = None, **changes: Any) -> ReplicaState:
    frame = Frame(np.zeros((2, 3)), np.zeros((2, 3)), potential_energy=0.0)
    state = ReplicaState(0, frame, np.random.default_rng(0))
    return replace(state, running=running or RunningTemperature(), **changes)


def make_proposal() -> Proposal:
    """A window at 1, 2, 3 and 4 ps whose end is evaluated."""
    still = np.zeros((POINTS, 2, 3))
    window = Trajectory(still, np.arange(1.0, POINTS + 1), velocities=still)
    proposal = Proposal.of(window)
    return replace(proposal, end=replace(proposal.end, potential_energy=0.0))


def verdict(judge: EnergyJudge, running: RunningTemperature | None = None) -> Verdict:
    (judgement,) = judge.judge([make_start(running)], [make_proposal()])
    assert judgement.check is not None
    return judgement.verdict


@pytest.mark.parametrize("strict", [False, True])
def test_a_good_window_is_believed(strict: bool) -> None:
    assert verdict(make_judge(last=GOOD, strict=strict)) == Accept()


BAD = {
    "energy": replace(GOOD, energy_error=0.3 * SCALE),
    "cold energy": replace(GOOD, energy_error=-0.3 * SCALE),
    "force": replace(GOOD, max_force=3e4),
    "bond": replace(GOOD, bond_deviation=0.06),
    "finite": replace(GOOD, is_finite=False),
    "chirality": replace(GOOD, inverted_centres=1),
    "hot atom": replace(GOOD, hottest_atom=31 * BOLTZMANN * 300.0),
    "contact": replace(GOOD, closest_contact=0.09),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_window_is_not_believed_and_may_have_a_prefix(name: str) -> None:
    found = verdict(make_judge(last=BAD[name]))
    assert isinstance(found, Reject)
    assert found.reason == limits().problem(BAD[name])
    assert found.has_prefix
    assert not found.is_refined


def test_strict_halves_every_tolerance() -> None:
    doubtful = replace(GOOD, energy_error=0.15 * SCALE)
    assert limits().problem(doubtful) is None
    assert limits(strict=True).problem(doubtful) is not None


def test_a_hot_element_is_not_believed_but_noise_is() -> None:
    hot = replace(GOOD, temperature_by_element={"H": 480.0, "C": 300.0})
    kelvins = {"all": 300.0, "H": 480.0, "C": 300.0}
    running = RunningTemperature()
    judge = make_judge(last=hot)
    assert verdict(judge, running) == Accept()
    for _ in range(500):
        running = running.updated(kelvins, 0.008)
    found = verdict(judge, running)
    assert isinstance(found, Reject)
    assert "temperature of H 480 K" in found.reason


def test_the_window_itself_counts_towards_the_temperature_it_is_judged_by() -> None:
    """Half of two ps of memory is new: 300 K before and 500 K of the window are 400 K."""
    judge = quiet(make_judge(last=replace(GOOD, temperature=500.0), duration=1.0))
    before = RunningTemperature({"all": 300.0}, 10.0)
    assert verdict(judge, before) == Reject("temperature of all 400 K", has_prefix=False)


AT_THE_LIMIT = {
    "bond": {"bond_deviation": LIMITS.bond},
    "atom": {"hottest_atom": LIMITS.atom * BOLTZMANN * 300.0},
    "force": {"max_force": LIMITS.force},
    "heat": {"energy_error": LIMITS.energy * SCALE},
    "cold": {"energy_error": -LIMITS.energy * SCALE},
}
"""A measure that just reaches its tolerance."""


@pytest.mark.parametrize("name", AT_THE_LIMIT)
def test_each_measure_is_held_against_its_tolerance(name: str) -> None:
    ((measure, value),) = AT_THE_LIMIT[name].items()
    loose, strict = limits(), limits(strict=True)
    assert loose.problem(replace(GOOD, **{measure: 0.999 * value})) is None
    assert loose.problem(replace(GOOD, **{measure: 1.001 * value})) is not None
    assert strict.problem(replace(GOOD, **{measure: 0.499 * value})) is None
    assert strict.problem(replace(GOOD, **{measure: 0.501 * value})) is not None


def test_contacts_may_not_be_closer_than_their_tolerance() -> None:
    """Strict or not: twice the distance would make contacts of hydrogen bonds."""
    nearest = LIMITS.contact
    for strict in (False, True):
        chosen = limits(strict=strict)
        assert chosen.problem(replace(GOOD, closest_contact=nearest)) is None
        assert chosen.problem(replace(GOOD, closest_contact=0.999 * nearest)) is not None


def test_what_only_just_reaches_a_tolerance_is_believed() -> None:
    for changes in (AT_THE_LIMIT["bond"], AT_THE_LIMIT["force"], AT_THE_LIMIT["atom"]):
        assert limits().problem(replace(GOOD, **changes)) is None


def test_tolerances_of_shapes_hold_neither_energies_nor_temperatures() -> None:
    shapes = Limits.of(ShapeTolerances(), 300.0, 24, strict=True)
    assert shapes.problem(replace(GOOD, energy_error=1e9)) is None
    assert shapes.temperature == np.inf
    assert shapes.problem(BAD["force"]) is not None


REASONS: dict[str, dict[str, Any]] = {
    FAILED: {"keeps_constraints": False},
    "not finite": {"is_finite": False},
    "bond off by 0.60 Å": {"bond_deviation": 0.06},
    "an atom with a kinetic energy of 80 kJ/mol": {"hottest_atom": 80.0},
    "ALA2 CA turned around (2 in all)": {"turned": ("ALA2 CA", "THR3 CB")},
    "2 centres inverted": {"inverted_centres": 2},
    "contact of 0.90 Å": {"closest_contact": 0.09},
    "force 3e+04 kJ/mol/nm": {"max_force": 3e4},
    "energy error -20 kJ/mol": {"energy_error": -20.0},
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_names_the_measure_with_its_value(reason: str) -> None:
    bad = replace(GOOD, **REASONS[reason])
    assert limits().problem(bad) == reason


def test_a_window_whose_start_was_not_evaluated_has_no_energy_error() -> None:
    assert limits().problem(replace(GOOD, energy_error=None)) is None


BROKEN = {
    "bond": (3 * LIMITS.bond, "bond_deviation"),
    "force": (10 * LIMITS.force, "max_force"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_only_what_is_beyond_repair_is_broken(name: str) -> None:
    limit, measure = BROKEN[name]
    for factor, is_broken in ((1.0, False), (1.001, True)):
        found = verdict(make_judge(last=replace(GOOD, **{measure: factor * limit})))
        assert isinstance(found, Reject)
        assert found.is_broken is is_broken


def test_what_became_another_molecule_or_is_not_finite_is_broken() -> None:
    for changes in ({"inverted_centres": 1}, {"turned": ("ALA2 CA",)}, {"is_finite": False}):
        assert limits().is_broken(replace(GOOD, **changes))
    near = replace(GOOD, closest_contact=0.05)
    assert not limits().is_broken(near)
    assert limits().problem(near) is not None


def long_at(**kelvins: float) -> RunningTemperature:
    """Long since at these temperatures."""
    return RunningTemperature(kelvins, 10.0)


def quiet(judge: EnergyJudge) -> EnergyJudge:
    """With hardly any noise."""
    system: Any = judge.checker.system
    system.freedom = {"all": 1e8, "H": 1e8, "C": 1e8}
    return judge


def test_a_wrong_temperature_has_no_prefix_and_counts_for_nothing_in_nve() -> None:
    wrong, brief = long_at(all=300.0, H=480.0), {"duration": 1e-9}
    found = Reject("temperature of H 480 K", has_prefix=False)
    for strict in (False, True):
        judge = quiet(make_judge(GOOD, last=GOOD, strict=strict, **brief))
        assert verdict(judge, wrong) == found, "a shorter prefix would be as hot"
    nve = quiet(make_judge(last=GOOD, kelvin=None, **brief))
    assert verdict(nve, wrong) == Accept()


def test_strict_halves_the_tolerance_of_temperatures_too() -> None:
    between = long_at(all=300.0 * (1 + 0.75 * LIMITS.temperature))
    loose, strict = (
        quiet(make_judge(last=GOOD, strict=strict, duration=1e-9)) for strict in (False, True)
    )
    assert verdict(loose, between) == Accept()
    assert isinstance(verdict(strict, between), Reject)


def test_a_prefix_holds_where_its_end_has_no_problem() -> None:
    judge = make_judge(BAD["energy"], GOOD, BAD["bond"], last=BAD["energy"])
    start, proposal = make_start(), make_proposal()
    assert [judge.holds(start, proposal, upto) for upto in (0, 1, 2)] == [False, True, False]


def test_only_every_nth_window_is_judged_and_asks_for_energies() -> None:
    judge = make_judge(last=BAD["energy"], every=3)
    assert [judge.needs_energies(w) for w in range(6)] == [False, False, True] * 2
    for window, kind in enumerate((Accept, Accept, Reject)):
        (judgement,) = judge.judge([make_start(window=window)], [make_proposal()])
        assert isinstance(judgement.verdict, kind)
        assert judgement.check == BAD["energy"], "measured wherever the energy is known"
    never = make_judge(last=BAD["energy"], every=None)
    assert not any(never.needs_energies(w) for w in range(6))
    assert verdict(never) == Accept()


def test_a_refined_end_is_not_held_against_the_energy_of_its_start() -> None:
    judge = make_judge(last=BAD["bond"])
    end = replace(make_start().frame, time=float(POINTS))
    assert judge.judge_refined(make_start().frame, end) == (BAD["bond"], "bond off by 0.60 Å")
    assert judge.checker.energies == [None]  # type: ignore[attr-defined]


def test_without_a_judge_all_is_believed_but_what_is_not_finite() -> None:
    known: Any = Known({POINTS: BAD["bond"]})
    judge = Unjudged(known)
    assert not judge.needs_energies(0)
    good = make_proposal()
    lost = np.full((POINTS, 2, 3), np.nan)
    broken = Proposal.of(Trajectory(lost, np.arange(1.0, 5.0), velocities=lost))
    mended = replace(broken, unprojected=good.window)
    found = judge.judge([make_start()] * 3, [good, broken, mended])
    assert [j.verdict for j in found] == [Accept(), Stop("not finite"), Stop(FAILED)]
    assert [j.check for j in found] == [BAD["bond"], None, None], "measured where it is evaluated"
    assert judge.holds(make_start(), broken, 0)
    end = replace(make_start().frame, time=float(POINTS))
    assert judge.judge_refined(make_start().frame, end) == (BAD["bond"], None)


def make_shape_judge(system: System, *, strict: bool = False) -> ShapeJudge:
    tolerances = ShapeTolerances()
    checker = Checker.of(system, system.positions)
    return ShapeJudge(
        checker,
        Limits.of(tolerances, 300.0, system.degrees_of_freedom, strict=strict),
        Shapes.of(system, checker.bond_lengths, tolerances),
    )


def test_shapes_are_judged_at_every_point_without_energies(ala2: System) -> None:
    judge, still = make_shape_judge(ala2), np.zeros_like(ala2.positions)
    assert judge.precedes_refinement
    assert not judge.needs_energies(0)
    x = np.repeat(ala2.positions[None], POINTS, 0)
    bad = x.copy()
    bad[2] *= [1, 1, -1]
    windows = [Proposal.of(Trajectory(p, np.arange(1.0, 5.0))) for p in (x, bad)]
    state = replace(make_start(), frame=Frame(ala2.positions, still))
    good, wrong = judge.judge([state, state], windows)
    assert (good.verdict, good.check) == (Accept(), None)
    assert wrong.verdict == Reject("1 centres inverted", is_broken=True)
    assert judge.checker.clocks.seconds["checks"] > 0
    assert [judge.holds(state, windows[1], upto) for upto in range(3)] == [True, True, False]


@pytest.mark.parametrize("strict", [False, True])
def test_refined_ends_are_judged_by_shape_forces_and_atoms(ala2: System, strict: bool) -> None:
    judge, still = make_shape_judge(ala2, strict=strict), np.zeros_like(ala2.positions)
    start = Frame(ala2.positions, still, potential_energy=5.0)
    end = replace(start, potential_energy=1e9, forces=still)
    check, problem = judge.judge_refined(start, end)
    assert (check.energy_error, problem) == (None, None)
    strong = replace(end, forces=np.tile([1.5e4, 0, 0], (len(still), 1)))
    wanted = "force 1.5e+04 kJ/mol/nm" if strict else None
    assert judge.judge_refined(start, strong)[1] == wanted
    mirrored = replace(end, positions=ala2.positions * [1, 1, -1])
    assert judge.judge_refined(start, mirrored)[1] == "ALA2 CA turned around (1 in all)"
