"""The window loop with an engine whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from egno_md.propagate.checks import Checker
from egno_md.propagate.controller import Controller, RunningTemperature
from egno_md.propagate.loop import Replica, WindowLoop
from egno_md.propagate.recorder import EVENTS, Recorder, load_state
from egno_md.propagate.surrogate import Surrogate

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Accept, Refinement
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.data.store import Store, new_manifest
from egno_md.propagate.thermostat import LangevinKicks
from egno_md.spec.propagate import Policy, Tolerances
from tests.conftest import make_operator

KELVIN = 300.0
STIFFNESS = 2e4


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
        found = {}
        for index, frame in frames.items():
            try:
                found[index] = self.evaluate(frame)
            except PotentialError:
                found[index] = replace(frame, potential_energy=np.nan)
        return found

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


@dataclass
class Healer:
    home: np.ndarray

    def refine(
        self, frame: Frame, kelvin: float, seed: int, sound: Frame | None = None
    ) -> Refinement:
        healed = replace(frame, positions=self.home, potential_energy=0.0)
        return Refinement(healed, 1, 0.0, 0.0, np.zeros(len(self.home)))


def make_loop(
    system: System, policy: Policy, *, seed: int = 0, check_every: int = 1, **tolerances
) -> WindowLoop:
    return WindowLoop(
        surrogate=Surrogate(make_operator(system, seed=seed), system.masses),
        reference=Springs(system.positions, system.masses),
        controller=Controller(policy, Tolerances(**tolerances), KELVIN, KELVIN, 24),
        checker=Checker.of(system, system.positions),
        refiner=lambda: Healer(system.positions),
        thermostat=LangevinKicks.of(system, KELVIN, 5.0, 0.5),
        kelvin=KELVIN,
        check_every=check_every,
    )


def make_replicas(system: System, count: int = 2) -> list[Replica]:
    freedom = {"all": 24.0, "C": 5.0, "O": 2.0, "H": 18.0, "N": 6.0}
    elements = len(set(system.elements))
    replicas = []
    for index in range(count):
        random = np.random.default_rng([1, index])
        frame = Frame(system.positions, 0.5 * random.standard_normal(system.positions.shape))
        replicas.append(Replica(frame, random, RunningTemperature(freedom), np.zeros(elements)))
    return replicas


def run(loop: WindowLoop, replicas: list[Replica], windows: int) -> list[str]:
    return [e.kind for w in range(windows) for _, e, _ in loop.advance(replicas, w)]


def test_generous_tolerances_accept_every_window(ethanol: System) -> None:
    loop = make_loop(
        ethanol, "fallback", energy=1e6, temperature=1e6, force="1e9 kJ/mol/nm", bond="9 nm"
    )
    replicas = make_replicas(ethanol)
    assert set(run(loop, replicas, 5)) == {"accept"}
    assert loop.tally.events["accept"] == 10
    assert all(r.frame.time == pytest.approx(0.04) for r in replicas)
    assert loop.tally.seconds["network"] > 0


def test_impossible_tolerances_give_back_exact_md(ethanol: System) -> None:
    loop = make_loop(ethanol, "fallback", energy=1e-12)
    replicas = make_replicas(ethanol)
    assert set(run(loop, replicas, 5)) == {"fallback"}
    energies = [loop.checker.total_energy(r.frame) for r in replicas]
    assert all(np.isfinite(energies))


def test_nve_fallback_conserves_the_energy_of_the_engine(ethanol: System) -> None:
    loop = replace(make_loop(ethanol, "fallback", energy=1e-12), thermostat=None)
    replicas = make_replicas(ethanol, 1)
    before = loop.checker.total_energy(loop.reference.evaluate(replicas[0].frame))
    run(loop, replicas, 20)
    assert loop.checker.total_energy(replicas[0].frame) == pytest.approx(before, rel=1e-9)


def test_refine_policy_repairs_the_end(ethanol: System) -> None:
    loop = make_loop(ethanol, "refine", energy=1e-12)
    replicas = make_replicas(ethanol, 1)
    assert run(loop, replicas, 1) == ["refine"]
    np.testing.assert_array_equal(replicas[0].frame.positions, ethanol.positions)


def test_every_window_is_refined_when_asked_whatever_its_checks_say(ethanol: System) -> None:
    loose = {"energy": 1e6, "temperature": 1e6, "force": "1e9 kJ/mol/nm", "bond": "9 nm"}
    loop = replace(make_loop(ethanol, "fallback", **loose), refine_every=2)
    replicas = make_replicas(ethanol, 1)
    assert run(loop, replicas, 4) == ["accept", "refine", "accept", "refine"]
    np.testing.assert_array_equal(replicas[0].frame.positions, ethanol.positions)
    assert loop.tally.mean("refinement_blocks") == 1


def test_a_repair_that_leaves_another_molecule_ends_the_rollout(ala2: System) -> None:
    mirrored = ala2.positions * np.array([1.0, 1.0, -1.0])
    loop = replace(make_loop(ala2, "refine", energy=1e-12), refiner=lambda: Healer(mirrored))
    replicas = make_replicas(ala2, 1)
    ((_, event, trajectory),) = loop.advance(replicas, 0)
    assert event.kind == "stop"
    assert (
        event.reason == "after refinement: ALA2 CA turned around (1 in all). Use policy fallback."
    )
    assert len(trajectory) == 0


@dataclass
class Quack:
    """A refiner that cannot help."""

    def refine(self, frame: Frame, kelvin: float, seed: int, sound: Frame | None = None):
        raise PotentialError("too far from any structure")


@pytest.mark.parametrize(("policy", "kind"), [("fallback", "fallback"), ("monitor", "stop")])
def test_what_cannot_be_refined_goes_to_md_or_ends(
    ethanol: System, policy: Policy, kind: str
) -> None:
    loop = replace(make_loop(ethanol, policy), refine_every=1, refiner=Quack)
    ((_, event, trajectory),) = loop.advance(make_replicas(ethanol, 1), 0)
    assert event.kind == kind
    assert event.reason == "too far from any structure"
    assert len(trajectory) == (4 if kind == "fallback" else 0)


class Stuck(Springs):
    """Springs that know their energy but cannot move."""

    def window(self, frame: Frame, elapsed: Sequence[float]) -> Trajectory:
        raise PotentialError("springs are stuck")


def test_what_neither_refinement_nor_md_can_move_ends_without_frames(ethanol: System) -> None:
    loop = make_loop(ethanol, "fallback")
    stuck = Stuck(ethanol.positions, ethanol.masses)
    loop = replace(loop, refine_every=1, refiner=Quack, reference=stuck)
    replicas = make_replicas(ethanol, 1)
    ((_, event, trajectory),) = loop.advance(replicas, 0)
    assert replicas[0].told is event
    assert (event.kind, event.reason) == ("stop", "springs are stuck")
    assert len(trajectory) == 0
    assert replicas[0].stop_reason == "springs are stuck"
    assert list(loop.advance(replicas, 1)) == []


def test_a_refined_end_that_is_still_broken_is_not_kept(ethanol: System) -> None:
    stretched = ethanol.positions * 1.5
    loop = make_loop(ethanol, "fallback")
    loop = replace(loop, refine_every=1, refiner=lambda: Healer(stretched))
    ((_, event, _),) = loop.advance(make_replicas(ethanol, 1), 0)
    assert event.kind == "fallback"
    assert event.reason.startswith("after refinement: bond off by")
    assert event.check is not None


def test_off_never_checks_but_force_channels_are_fed(ethanol: System) -> None:
    loop = make_loop(ethanol, "off", energy=1e-12)
    assert set(run(loop, make_replicas(ethanol, 1), 4)) == {"accept"}
    assert len(loop.reference.calls) == 5


def test_one_force_call_serves_the_check_and_the_next_window(ethanol: System) -> None:
    loop = make_loop(ethanol, "monitor", energy=1e6)
    run(loop, make_replicas(ethanol, 1), 6)
    assert loop.reference.calls == ["evaluate"] * 7


def test_a_failing_potential_stops_with_its_reason_not_an_exception(ethanol: System) -> None:
    loop = make_loop(ethanol, "fallback", energy=1e6)
    replicas = make_replicas(ethanol, 1)
    run(loop, replicas, 1)
    loop.reference.fails = True
    assert run(loop, replicas, 2) == ["stop"]
    assert replicas[0].stop_reason == "springs broke"
    assert loop.tally.events["stop"] == 1


def test_a_stopped_replica_leaves_the_others_running(ethanol: System) -> None:
    loop = make_loop(ethanol, "monitor", energy=1e6, force="1e9 kJ/mol/nm", bond="9 nm")
    replicas = make_replicas(ethanol, 3)
    replicas[1].stop_reason = "earlier"
    indices = [i for i, _, _ in loop.advance(replicas, 0)]
    assert indices == [0, 2]


def test_a_prefix_is_completed_by_md_to_the_window_grid(ethanol: System) -> None:
    loop = make_loop(ethanol, "fallback", energy=1e6, force="1e9 kJ/mol/nm", bond="9 nm")
    replica = make_replicas(ethanol, 1)[0]
    start = loop.reference.evaluate(replica.frame)
    proposal = loop.surrogate.advance(start)
    trajectory, kind, reason = loop._carry_out(Accept(1), 0, start, proposal, proposal[-1], replica)
    assert (kind, reason) == ("prefix", "2 of 4")
    np.testing.assert_allclose(trajectory.times, proposal.times)
    np.testing.assert_array_equal(trajectory.positions[:2], proposal.positions[:2])
    assert loop.reference.calls.count("window 2") == 1


def test_the_operator_may_finish_a_window_after_a_prefix(ethanol: System) -> None:
    generous = {"energy": 1e6, "force": "1e9 kJ/mol/nm", "bond": "9 nm"}
    loop = replace(make_loop(ethanol, "fallback", **generous), retries=True)
    replica = make_replicas(ethanol, 1)[0]
    start = loop.reference.evaluate(replica.frame)
    proposal = loop.surrogate.advance(start)
    trajectory, kind, _ = loop._carry_out(Accept(1), 0, start, proposal, proposal[-1], replica)
    assert kind == "prefix"
    assert not [c for c in loop.reference.calls if c.startswith("window")]
    again = loop.surrogate.advance(loop.reference.evaluate(proposal[1]))
    np.testing.assert_array_equal(trajectory.positions[2:], again.positions[:2])
    np.testing.assert_allclose(trajectory.times, proposal.times)


def test_a_retry_that_fails_leaves_the_rest_to_md(ethanol: System) -> None:
    loop = replace(make_loop(ethanol, "fallback", energy=1e-12), retries=True)
    replica = make_replicas(ethanol, 1)[0]
    start = loop.reference.evaluate(replica.frame)
    proposal = loop.surrogate.advance(start)
    loop._carry_out(Accept(1), 0, start, proposal, proposal[-1], replica)
    assert loop.reference.calls.count("window 2") == 1


def nve(loop: WindowLoop, **changes) -> WindowLoop:
    controller = replace(loop.controller, kelvin=None)
    return replace(loop, thermostat=None, controller=controller, keeps_energy=True, **changes)


def test_nve_windows_of_an_untrained_operator_keep_their_energy(ethanol: System) -> None:
    loop = nve(make_loop(ethanol, "monitor", energy=1e6, force="1e9 kJ/mol/nm", bond="9 nm"))
    replicas = make_replicas(ethanol, 2)
    kinds = run(loop, replicas, 10)
    assert kinds.count("accept") >= 1
    for replica in replicas:
        total = loop.checker.total_energy(loop.reference.evaluate(replica.frame))
        assert total == pytest.approx(replica.energy, rel=1e-9)


def test_energy_beyond_repair_goes_back_to_md(ethanol: System) -> None:
    loop = nve(make_loop(ethanol, "monitor", energy=1e9, force="1e9 kJ/mol/nm", bond="9 nm"))
    replicas = make_replicas(ethanol, 1)
    replicas[0].energy = -1e6
    events = [event for _, event, _ in loop.advance(replicas, 0)]
    assert [(e.kind, e.reason) for e in events] == [("fallback", "energy beyond repair")]


def test_a_resumed_recording_equals_an_unbroken_one(ethanol: System, tmp_path: Path) -> None:
    manifest = new_manifest(ethanol, "propagate", 0.008)

    def record(root: Path, windows: int, flush: int, stop_after: int | None = None) -> None:
        root.mkdir(exist_ok=True)
        saved = load_state(root, {"all": 24.0, "C": 5.0, "O": 2.0, "H": 18.0})
        recorder = Recorder.open(root, ethanol, manifest, save_points=False)
        loop = make_loop(ethanol, "fallback")
        replicas = make_replicas(ethanol)
        first = 0
        if saved is not None:
            loop = replace(loop, tally=saved.tally)
            replicas, first = saved.replicas, saved.windows
        for window in range(first, windows):
            for index, event, trajectory in loop.advance(replicas, window):
                recorder.record(index, event, trajectory)
            if (window + 1) % flush == 0:
                recorder.flush(window + 1, replicas, loop.tally)
            if window == stop_after:
                with (root / EVENTS).open("a") as file:
                    file.write("half a line")
                return
        recorder.writer.finish()

    record(tmp_path / "whole", 12, 4)
    record(tmp_path / "killed", 12, 4, stop_after=6)
    record(tmp_path / "killed", 12, 4)
    whole, killed = Store(tmp_path / "whole"), Store(tmp_path / "killed")
    for ours, theirs in zip(killed, whole, strict=True):
        np.testing.assert_array_equal(ours.positions, theirs.positions)
        np.testing.assert_array_equal(ours.times, theirs.times)
    for name in ("replica-000.xtc", "replica-001.xtc"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    lines = (tmp_path / "killed" / EVENTS).read_text().splitlines()
    assert len(lines) == 24


def test_a_start_that_cannot_be_evaluated_stops_its_replica_alone(ethanol: System) -> None:
    loop = make_loop(ethanol, "off", energy=1e6)
    replicas = make_replicas(ethanol, 2)
    run(loop, replicas, 1)
    replicas[0].frame = replace(replicas[0].frame, potential_energy=None)
    loop.reference.fails = True
    replicas[1].frame = loop.surrogate.advance(replicas[1].frame)[-1]
    assert run(loop, replicas, 1)[0] == "stop"
    assert "no energy" in replicas[0].stop_reason


def test_rejected_windows_do_not_count_towards_the_temperature(ethanol: System) -> None:
    loop = replace(make_loop(ethanol, "fallback", energy=1e-12), thermostat=None)
    replicas = make_replicas(ethanol, 1)
    run(loop, replicas, 1)
    kept = loop.checker.temperature(replicas[0].frame.velocities)
    assert replicas[0].running.values["all"] == pytest.approx(kept)
