"""What windows get once they are judged: each corrector in its way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import mdtraj
import numpy as np
import pytest

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Refinement
from egno_md.core.state import Frame
from egno_md.core.system import System, element_masses
from egno_md.propagate.check import Check
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.correct import (
    Correction,
    Corrector,
    Fallback,
    Monitor,
    Redraw,
    Refining,
    Repair,
    Replacement,
)
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.event import RefinementRecord, residue_moves
from egno_md.propagate.proposal import (
    Accept,
    Again,
    Halted,
    Judgement,
    Proposal,
    Reject,
    Settled,
    Stop,
    Verdict,
)
from egno_md.propagate.source import ExactWindows, OperatorWindows
from egno_md.propagate.state import ReplicaState
from tests.conftest import make_operator
from tests.unit.propagate.springs import Healer, Quack, Springs, make_states
from tests.unit.propagate.test_judge import BAD, BROKEN, GOOD, verdict
from tests.unit.propagate.test_judge import make_judge as make_known_judge


@dataclass
class Upto:
    """A judge to whom windows hold up to some time point, and proposals of the rest or not."""

    last: int
    rest_holds: bool = True
    whole: int = 4
    refined: Check = GOOD
    problem: str | None = None

    def holds(self, state: ReplicaState, proposal: Proposal, upto: int) -> bool:
        return self.rest_holds if len(proposal.window) < self.whole else upto <= self.last

    def judge_refined(self, start: Frame, end: Frame) -> tuple[Check, str | None]:
        return self.refined, self.problem


@dataclass(frozen=True)
class Scene:
    """A start, a proposed window with an evaluated end, and what may replace it."""

    springs: Springs
    source: OperatorWindows
    start: ReplicaState
    proposal: Proposal
    clocks: Clocks

    @classmethod
    def of(cls, system: System) -> Scene:
        springs, clocks = Springs(system.positions, system.masses), Clocks()
        source = OperatorWindows(make_operator(system).bind(system), system.masses)
        (start,) = make_states(system, 1)
        start = replace(start, frame=replace(springs.evaluate(start.frame), time=5.0))
        (proposal,) = source.propose([start])
        proposal = replace(proposal, end=springs.evaluate(proposal.end))
        springs.calls.clear()
        return cls(springs, source, start, proposal, clocks)

    @property
    def replacement(self) -> Replacement:
        return Replacement(ExactWindows(self.springs, self.source.window), self.clocks)

    def fallback(self, judge: Any, *, retries: bool = False) -> Fallback:
        evaluation = Evaluation(self.springs, self.clocks)
        return Fallback(self.replacement, judge, evaluation, self.source if retries else None)

    def correct(
        self,
        corrector: Corrector,
        said: Verdict,
        *,
        attempt: int = 0,
        check: Check | None = GOOD,
        proposal: Proposal | None = None,
    ) -> Correction:
        judgement = Judgement(said, check)
        return corrector.correct(self.start, proposal or self.proposal, judgement, attempt)


@pytest.fixture
def scene(ethanol: System) -> Scene:
    return Scene.of(ethanol)


def said_of(found: Correction) -> tuple[str, Check | None]:
    """Why a rollout ends."""
    assert isinstance(found, Halted)
    return found.reason, found.check


def refining(system: System, refiner: Any = None) -> Refining:
    return Refining(lambda: refiner or Healer(system, system.positions), None, Clocks())


def correctors(scene: Scene, system: System) -> dict[str, Corrector]:
    judge: Any = Upto(-1)
    return {
        "monitor": Monitor(),
        "refine": Repair(refining(system), judge),
        "fallback": scene.fallback(judge),
        "redraw": Redraw(scene.replacement, 1),
    }


@pytest.mark.parametrize("name", ["monitor", "refine", "fallback", "redraw"])
def test_a_believed_window_is_kept_whole(name: str, scene: Scene, ethanol: System) -> None:
    found = scene.correct(correctors(scene, ethanol)[name], Accept())
    assert isinstance(found, Settled)
    assert (found.kind, found.reason, found.check) == ("accept", "", GOOD)
    assert found.end is scene.proposal.end
    np.testing.assert_array_equal(found.window.positions, scene.proposal.window.positions)
    assert found.window.potential_energy is not None
    assert found.window.potential_energy[-1] == scene.proposal.end.potential_energy


@pytest.mark.parametrize("name", BAD)
def test_a_bad_window_is_met_as_its_corrector_says(
    name: str, scene: Scene, ethanol: System
) -> None:
    said = verdict(make_known_judge(last=BAD[name]))
    assert isinstance(said, Reject)
    each = correctors(scene, ethanol)
    repaired = scene.correct(each["refine"], said, check=BAD[name])
    assert isinstance(repaired, Settled)
    assert (repaired.kind, repaired.reason, repaired.check) == ("refine", said.reason, BAD[name])
    assert repaired.end.time == scene.proposal.end.time
    np.testing.assert_array_equal(repaired.window.positions[-1], ethanol.positions)
    assert repaired.refined == RefinementRecord(1, 0.25, 4.0, {})
    replaced = scene.correct(each["fallback"], said, check=BAD[name])
    assert isinstance(replaced, Settled)
    assert (replaced.kind, replaced.reason, replaced.check) == ("fallback", said.reason, BAD[name])
    assert scene.correct(each["redraw"], said) == Again(said.reason)
    drawn = scene.correct(each["redraw"], said, attempt=1)
    assert isinstance(drawn, Settled)
    assert (drawn.kind, drawn.reason) == ("fallback", said.reason)


def test_the_longest_prefix_that_holds_is_kept(scene: Scene) -> None:
    judge: Any = Upto(1)
    found = scene.correct(scene.fallback(judge), Reject("bad"))
    assert isinstance(found, Settled)
    assert (found.kind, found.reason) == ("prefix", "2 of 4")


def test_monitor_goes_on_when_doubtful_and_halts_when_broken(scene: Scene) -> None:
    def settle(check: Check) -> Correction:
        return scene.correct(Monitor(), verdict(make_known_judge(last=check)), check=check)

    for limit, measure in BROKEN.values():
        kept = settle(replace(GOOD, **{measure: limit}))
        assert isinstance(kept, Settled)
        assert kept.kind == "accept"
        assert isinstance(settle(replace(GOOD, **{measure: 1.001 * limit})), Halted)
    assert isinstance(settle(replace(GOOD, bond_deviation=0.2)), Halted)
    halted = settle(BAD["finite"])
    assert said_of(halted) == ("not finite", BAD["finite"])
    for changes in ({"inverted_centres": 1}, {"turned": ("ALA2 CA",)}):
        assert isinstance(settle(replace(GOOD, **changes)), Halted)
    assert isinstance(settle(replace(GOOD, closest_contact=0.05)), Settled)


def test_correctors_meet_a_wrong_temperature_each_in_its_way(scene: Scene, ethanol: System) -> None:
    wrong, each = Reject("temperature of H 480 K", has_prefix=False), correctors(scene, ethanol)
    judge: Any = Upto(3)
    found = {
        "fallback": scene.correct(scene.fallback(judge), wrong),
        "refine": scene.correct(each["refine"], wrong),
        "monitor": scene.correct(each["monitor"], wrong),
    }
    assert {name: (s.kind, s.reason) for name, s in found.items() if isinstance(s, Settled)} == {
        "fallback": ("fallback", wrong.reason),  # a shorter prefix would be as hot
        "refine": ("refine", wrong.reason),
        "monitor": ("accept", ""),
    }


@pytest.mark.parametrize("name", ["monitor", "refine", "fallback", "redraw"])
def test_what_is_stopped_is_halted_by_all(name: str, scene: Scene, ethanol: System) -> None:
    found = scene.correct(correctors(scene, ethanol)[name], Stop("not finite"))
    assert said_of(found) == ("not finite", GOOD)


def test_a_prefix_is_completed_by_md_to_the_window_grid(scene: Scene) -> None:
    judge: Any = Upto(1)
    found = scene.correct(scene.fallback(judge), Reject("bad"))
    assert isinstance(found, Settled)
    proposed = scene.proposal.window
    np.testing.assert_allclose(found.window.times, proposed.times)
    np.testing.assert_array_equal(found.window.positions[:2], proposed.positions[:2])
    assert scene.springs.calls.count("window 2") == 1
    np.testing.assert_array_equal(found.end.positions, found.window.positions[-1])
    assert scene.clocks.seconds["fallback"] > 0


def test_the_operator_may_finish_a_window_after_a_prefix(scene: Scene) -> None:
    judge: Any = Upto(1)
    found = scene.correct(scene.fallback(judge, retries=True), Reject("bad"))
    assert isinstance(found, Settled)
    assert found.kind == "prefix"
    assert not [c for c in scene.springs.calls if c.startswith("window")]
    proposed = scene.proposal.window
    middle = replace(scene.start, frame=scene.springs.evaluate(proposed[1]))
    (again,) = scene.source.propose([middle])
    np.testing.assert_array_equal(found.window.positions[2:], again.window.positions[:2])
    np.testing.assert_allclose(found.window.times, proposed.times)


def test_a_retry_that_fails_leaves_the_rest_to_md(scene: Scene) -> None:
    judge: Any = Upto(1, rest_holds=False)
    found = scene.correct(scene.fallback(judge, retries=True), Reject("bad"))
    assert isinstance(found, Settled)
    assert found.kind == "prefix"
    assert scene.springs.calls.count("window 2") == 1


def test_md_in_place_of_a_window_is_recorded_at_its_points(scene: Scene) -> None:
    found = scene.replacement.whole(scene.start, "bad", GOOD)
    np.testing.assert_array_equal(found.window.times, scene.proposal.window.times)
    exact = scene.springs.window(scene.start.frame, list(scene.source.window.time_points))
    np.testing.assert_array_equal(found.window.positions, exact.positions)
    assert found.end.time == found.window.times[-1]


@pytest.mark.parametrize("changes", [{"turned": ("ALA2 CA",)}, {"inverted_centres": 2}])
def test_a_repair_that_leaves_another_molecule_is_refused(
    changes: dict, scene: Scene, ethanol: System
) -> None:
    judge: Any = Upto(0, refined=replace(GOOD, **changes), problem="another molecule")
    with pytest.raises(PotentialError, match=r"after refinement: another molecule\. Use policy"):
        scene.correct(Repair(refining(ethanol), judge), Reject("bad"))


def test_an_end_that_is_still_strained_is_kept_by_a_repair(scene: Scene, ethanol: System) -> None:
    judge: Any = Upto(0, refined=replace(GOOD, bond_deviation=0.06), problem="bond off")
    found = scene.correct(Repair(refining(ethanol), judge), Reject("bad"))
    assert isinstance(found, Settled)
    assert found.kind == "refine"


def test_nothing_is_refined_twice(scene: Scene, ethanol: System) -> None:
    judge: Any = Upto(0)
    said = Reject("after refinement: bond off", is_refined=True)
    found = scene.correct(Repair(refining(ethanol, Quack(ethanol)), judge), said)
    assert said_of(found) == (said.reason, GOOD)


def test_what_projection_has_lost_is_refined_from_before_it(scene: Scene, ethanol: System) -> None:
    lost = replace(scene.proposal.end, positions=np.full((9, 3), np.nan))
    mover = Mover(ethanol, np.zeros(9))
    judge: Any = Upto(0)
    proposal = replace(scene.proposal, end=lost)
    scene.correct(Repair(refining(ethanol, mover), judge), Reject("bad"), proposal=proposal)
    np.testing.assert_array_equal(mover.asked[0][0].positions, scene.proposal.window.positions[-1])


def chain_of(residues: int, chains: int = 1, water: bool = False) -> System:
    """Two carbons a residue, numbered from 1 in each chain."""
    topology = mdtraj.Topology()
    for _ in range(chains):
        chain = topology.add_chain()
        for number in range(residues):
            residue = topology.add_residue("ALA", chain, resSeq=number + 1)
            for name in ("CA", "CB"):
                topology.add_atom(name, mdtraj.element.carbon, residue)
    if water:
        topology.add_atom("O", mdtraj.element.oxygen, topology.add_residue("HOH", chain))
    masses = element_masses(topology)
    return System("beads", topology, masses, np.zeros((len(masses), 3)), 3 * len(masses))


@dataclass
class Mover:
    """Says that it has moved atoms so much, and moves none."""

    system: System
    moves: np.ndarray
    asked: list[tuple[Frame, Frame, np.random.Generator]] = field(default_factory=list)

    def refine(self, end: Frame, start: Frame, random: np.random.Generator) -> Refinement:
        self.asked.append((end, start, random))
        return Refinement(end, 3, 0.012345678, 987.65432, self.moves)


def refine(system: System, moves: np.ndarray, constraints: Any = None) -> tuple[Any, ...]:
    mover, clocks = Mover(system, moves), Clocks()
    end, start = (Frame(system.positions, system.positions, t) for t in (1.0, 0.0))
    random = np.random.default_rng(3)
    frame, record = Refining(lambda: mover, constraints, clocks)(end, start, random)
    assert clocks.seconds["refinement"] > 0
    assert mover.asked == [(end, start, random)]
    return frame, record


def test_a_refinement_is_recorded_and_told_in_round_figures() -> None:
    _, record = refine(chain_of(1), np.full(2, 0.2))
    assert record == RefinementRecord(3, 0.012345678, 987.65432, {})
    assert record.to_json() == {"blocks": 3, "displacement": 0.012346, "max_force": 987.654}


def test_the_five_most_moved_residues_are_named_from_two_residues_on() -> None:
    system = chain_of(7)
    moves = np.repeat([0.01, 0.07, 0.02, 0.05, 0.06, 0.03, 0.04], 2) + 1e-9
    _, record = refine(system, moves)
    told = record.to_json()
    assert list(told["residues"].items()) == [
        ("ALA2", 0.07), ("ALA5", 0.06), ("ALA4", 0.05), ("ALA7", 0.04), ("ALA6", 0.03),
    ]  # fmt: skip
    assert told["residues_moved"] == 3
    assert record.by_residue["ALA3"] == pytest.approx(0.02)
    two = refine(chain_of(2), np.full(4, 0.01))[1].to_json()
    assert two["residues"] == {"ALA1": 0.01, "ALA2": 0.01}


def test_a_move_is_the_root_mean_square_over_a_residues_atoms_without_water() -> None:
    found = residue_moves(chain_of(2, water=True), np.array([0.3, 0.4, 0.0, 0.1, 9.0]))
    assert list(found) == ["ALA1", "ALA2"]
    assert found["ALA1"] == pytest.approx(np.sqrt(0.125))
    assert found["ALA2"] == pytest.approx(0.1 / np.sqrt(2))


def test_residues_of_several_chains_have_the_chain_in_their_names() -> None:
    found = residue_moves(chain_of(1, chains=2), np.array([0.1, 0.1, 0.2, 0.2]))
    assert found == {"ALA1-0": pytest.approx(0.1), "ALA1-1": pytest.approx(0.2)}


class Pinned:
    """Constraints that hold every atom one nanometre further."""

    def frame(self, frame: Frame) -> Frame:
        return Frame(frame.positions + 1, frame.velocities, frame.time)


def test_a_refined_frame_is_put_back_on_its_constraints() -> None:
    frame, _ = refine(chain_of(1), np.zeros(2), constraints=Pinned())
    assert (frame.positions == 1).all()
