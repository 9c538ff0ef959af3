"""One replica moved window by window, for programs that keep their own time and files."""

from __future__ import annotations

import io
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from egno_md.core.errors import PotentialError, SpecError
from egno_md.core.ports import Reference, Refiner, VolumeMoves
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.core.units import SECONDS_PER_DAY
from egno_md.core.window import Window
from egno_md.nn.bound import BoundOperator
from egno_md.nn.operator import WindowOperator
from egno_md.propagate.assemble import Parts, Rules, assemble
from egno_md.propagate.boundary import ChangeVolume
from egno_md.propagate.check import Checker
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.constraints import Projection
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.event import Event
from egno_md.propagate.policy import POLICIES, Policy, policy_members
from egno_md.propagate.record import State, pack_state, unpack_state
from egno_md.propagate.requirements import check_rolls_out, check_whole
from egno_md.propagate.rollout import WARM
from egno_md.propagate.source import ExactWindows, OperatorWindows
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.step import WindowMove
from egno_md.propagate.thermostat import LangevinKicks
from egno_md.propagate.totals import Totals
from egno_md.spec import propagate as spec
from egno_md.spec.files import find_named_operator, validate

EVENTS_KEPT = 100_000
"""Latest events in memory; the totals count all."""

MASS_TOLERANCE = 2e-3
"""Da; packages round atomic weights differently."""

TARGET = 300.0
"""K, of tolerances in NVE where the operator does not say what it was trained at."""


@dataclass(frozen=True)
class Watch:
    """How windows are judged and corrected; as in a `propagate` protocol.

    Attributes:
        judge: when a window is bad.
        correct: what a bad window gets.
        refine: how it is refined, by policy `refine`.
        relaxation: ps, of the adaptive thermostat; None for plain Langevin kicks.
    """

    judge: spec.Judge
    correct: spec.Correct | None
    refine: spec.Refinement | None = None
    relaxation: float | None = 0.3

    @classmethod
    def of(
        cls,
        policy: Policy,
        tolerances: Mapping[str, object] | None,
        refinement: Mapping[str, object] | None,
        check_every: int,
        relaxation: float | None,
    ) -> Watch:
        """From a policy, and keys and values as a protocol has them.

        Raises:
            SpecError: an unknown policy or key, or a value without its unit.
        """
        if policy not in POLICIES:
            raise SpecError(f"policy {policy!r} is not one of: {', '.join(POLICIES)}.")
        if int(check_every) != check_every or check_every < 1:
            raise SpecError(f"check_every {check_every!r}: give a whole number from 1.")
        limits = validate({**(tolerances or {})}, spec.Tolerances, "tolerances")
        judge = spec.EnergyJudge(kind="energy", every=int(check_every), tolerances=limits)
        judged, correct = policy_members(policy, judge, None)
        refine = validate({**(refinement or {})}, spec.Refinement, "refinement")
        return cls(judged, correct, refine if policy == "refine" else None, relaxation)


@dataclass(frozen=True)
class Statistics:
    """What was moved so far.

    Attributes:
        steps: of the reference's timestep.
        simulated_ps: in all.
        windows: and stretches of exact steps.
        events: how many of each kind.
        temperature: mean, K.
        temperature_by_element: likewise.
        energy_error_mean: of checked windows, kJ/mol.
        energy_error_std: likewise.
        largest_bond_deviation: nm.
        seconds: wall time per clock, and `total`.
        ns_per_day: net of every check and repair.
    """

    steps: int
    simulated_ps: float
    windows: int
    events: dict[str, int]
    temperature: float | None
    temperature_by_element: dict[str, float | None]
    energy_error_mean: float | None
    energy_error_std: float | None
    largest_bond_deviation: float
    seconds: dict[str, float]
    ns_per_day: float


def bind(operator: WindowOperator, system: System, kelvin: float | None) -> BoundOperator:
    """The operator on a program's system; warns where it is asked for more than it saw.

    Raises:
        BundleMismatch: the system lies outside what it was trained on.
    """
    card = operator.card
    check_whole(card, "this interface")
    bound = operator.bind(system, mass_tolerance=MASS_TOLERANCE)
    check_rolls_out(card)
    learned = card.validity.kelvin
    if kelvin is not None and learned is not None and kelvin > WARM * learned:
        warnings.warn(
            f"the operator was trained at {learned:g} K and is asked for {kelvin:g} K: "
            "expect more fallbacks.",
            stacklevel=3,
        )
    return bound


def load_window_operator(operator: str | Path | WindowOperator) -> WindowOperator:
    """A folder of a bundle, ``SYSTEM/NAME`` of a shipped one, or an operator that is loaded.

    Raises:
        DataError: the bundle is missing or damaged.
        BundleMismatch: it holds a sampler.
    """
    if isinstance(operator, WindowOperator):
        return operator
    return WindowOperator.load(find_named_operator(str(operator)))


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a program gives a walker besides its atoms.

    Attributes:
        timestep: ps, of the reference.
        kelvin: temperature; None in NVE, where windows get their energy back.
        friction: 1/ps; None in NVE.
        seed: of the thermostat.
        refiner: repairs, for policy `refine`.
        volume: moves of the volume, and windows between them; None at constant volume.
    """

    timestep: float
    kelvin: float | None
    friction: float | None
    seed: int
    refiner: Callable[[], Refiner]
    volume: tuple[VolumeMoves, int] | None = None


class Walker:
    """Moves one frame by windows, or exactly, by the same step as a rollout.

    Args:
        system: what moves; its start structure is the reference of the bonds.
        operator: bound to the system, on the device where it runs.
        reference: checks, takes over, and keeps the constraints.
        watch: how windows are judged and corrected.
        around: timestep, ensemble, seed.
    """

    def __init__(
        self,
        system: System,
        operator: BoundOperator,
        reference: Reference,
        watch: Watch,
        around: Surroundings,
    ) -> None:
        self.system, self.reference, self.timestep = system, reference, around.timestep
        self.card = operator.card
        self.offsets = operator.card.window.offsets(around.timestep)
        thermostat = None
        if around.kelvin is not None and around.friction is not None:
            thermostat = LangevinKicks.of(system, around.kelvin, around.friction, watch.relaxation)
        self._no_excess = np.zeros(0) if thermostat is None else thermostat.no_excess()
        self.clocks = Clocks()
        contact = spec.ShapeTolerances().contact
        if not isinstance(watch.judge, spec.NoJudge):
            contact = watch.judge.tolerances.contact
        volume = None
        if around.volume is not None:
            volume = ChangeVolume(*around.volume, self.clocks)
        self._parts = Parts(
            exact=ExactWindows(reference, operator.card.window),
            evaluation=Evaluation(reference, self.clocks),
            checker=Checker.of(system, system.positions, contact, self.clocks),
            clocks=self.clocks,
            refiner=around.refiner,
            constraints=Projection(reference, system.masses) if len(system.constraints) else None,
            thermostat=thermostat,
            volume=volume,
        )
        kelvin = around.kelvin or operator.card.validity.kelvin or TARGET
        self._rules = Rules(
            watch.judge, watch.correct, watch.refine, kelvin, keeps_energy=thermostat is None
        )
        source = OperatorWindows(operator, system.masses, None, self.clocks)
        self._windows = assemble(source, self._parts, self._rules)
        self.random = np.random.default_rng([around.seed, 0])
        self.state: ReplicaState | None = None
        self.totals = Totals()
        self.steps = 0
        self.seconds = 0.0
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)

    @property
    def length(self) -> float:
        """ΔT of the operator's windows, ps."""
        return self.card.window.length

    def place(self, frame: Frame) -> None:
        """Go on from another frame; streams and counts go on too.

        Raises:
            PotentialError: the frame cannot be brought onto the constraints.
        """
        if self._parts.constraints is not None:
            frame = self._parts.constraints.frame(frame)
        before = self.state
        if before is None:
            self.state = ReplicaState(0, frame, self.random, excess_friction=self._no_excess)
            return
        self.state = ReplicaState(
            0,
            frame,
            before.random,
            window=before.window,
            excess_friction=before.excess_friction,
            volume_moves=before.volume_moves,
        )

    def shift_time(self, moment: float) -> None:
        """The same state at another time, ps."""
        assert self.state is not None
        self.state = replace(self.state, frame=replace(self.state.frame, time=moment))

    @property
    def windows(self) -> int:
        """Windows and stretches of exact steps behind it."""
        return 0 if self.state is None else self.state.window

    @property
    def frame(self) -> Frame:
        """Where it is, at the end of the last window."""
        assert self.state is not None
        return self.state.frame

    def window(self) -> Trajectory:
        """Move by one window: the frames at its time points, the last one after its kick.

        Raises:
            PotentialError: the window is beyond repair under this policy.
        """
        return self._step(self._windows, self.offsets[-1])

    def exactly(self, steps: int) -> Trajectory:
        """Move by fewer steps than a window has, by the reference alone.

        Raises:
            PotentialError: its dynamics failed.
        """
        window = Window((steps * self.timestep,))
        exact = ExactWindows(self.reference, window, self.clocks)
        rules = replace(
            self._rules,
            judge=spec.NoJudge(kind="none"),
            correct=None,
            refine=None,
            keeps_energy=False,
        )
        parts = replace(self._parts, exact=exact)
        return self._step(assemble(exact, parts, rules, accepted="exact"), steps)

    def _step(self, move: WindowMove, steps: int) -> Trajectory:
        assert self.state is not None
        begun = time.perf_counter()
        (outcome,) = move.step([self.state])
        self.state = outcome.state
        self.totals.take(outcome.event)
        self.events.append(outcome.event)
        self.seconds += time.perf_counter() - begun
        if reason := self.state.stop_reason:
            self.state = replace(self.state, stop_reason="")
            raise PotentialError(
                f"stopped at {self.frame.time:g} ps: {reason}. Use policy 'fallback', or start "
                "from another frame."
            )
        self.steps += steps
        velocities = np.array(outcome.window.velocities)
        velocities[-1] = self.frame.velocities
        return replace(outcome.window, velocities=velocities)

    @property
    def statistics(self) -> Statistics:
        """Counts, means and the speed of what was moved so far."""
        totals, simulated = self.totals, self.steps * self.timestep
        by_element = totals.temperature_by_element
        elements = dict.fromkeys(self.system.elements)
        spent = {k: v for k, v in self.clocks.seconds.items() if v} | {"total": self.seconds}
        return Statistics(
            steps=self.steps,
            simulated_ps=round(simulated, 9),
            windows=self.windows,
            events=dict(totals.events),
            temperature=totals.temperature.mean,
            temperature_by_element={
                e: by_element[e].mean if e in by_element else None for e in elements
            },
            energy_error_mean=totals.energy_error.mean,
            energy_error_std=totals.energy_error.deviation,
            largest_bond_deviation=totals.largest_bond_deviation,
            seconds=spent,
            ns_per_day=simulated * 1e-3 / self.seconds * SECONDS_PER_DAY if self.seconds else 0.0,
        )

    def pack(self) -> bytes:
        """Everything it needs to go on bit for bit."""
        assert self.state is not None
        sizes: dict[str, Any] = {"steps": self.steps}
        seconds = {**self.clocks.seconds, "total": self.seconds}
        state = State(self.state.window, (self.state,), self.totals, seconds, sizes)
        return pack_state(state)

    def unpack(self, content: bytes) -> None:
        """Go on from what `pack` gave; numpy's exceptions where it is damaged."""
        saved = unpack_state(io.BytesIO(content))
        seconds = dict(saved.seconds)
        self.state, self.totals = saved.replicas[0], saved.totals
        self.steps, self.seconds = saved.sizes["steps"], seconds.pop("total")
        self.clocks.restore(seconds)
        earlier = [e for e in self.events if e.window < self.state.window]
        self.events = deque(earlier, EVENTS_KEPT)


def points_that_work(offsets: Sequence[int]) -> str:
    """Which report intervals a window can serve, in words."""
    last = offsets[-1]
    fits = [n for n in range(1, last + 1) if set(range(n, last + 1, n)) <= {*offsets}]
    fits = [n for n in fits if last % n == 0]
    return ", ".join(map(str, fits)) + f" or a multiple of {last}"
