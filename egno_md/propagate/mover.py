"""One replica moved window by window, for programs that keep their own time and files."""

from __future__ import annotations

import io
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from egno_md.core.errors import BundleMismatch, PotentialError, SpecError
from egno_md.core.ports import Reference, Refiner
from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System
from egno_md.nn.bundle import check_belongs
from egno_md.nn.card import OperatorCard
from egno_md.nn.operator import WindowOperator
from egno_md.propagate.checks import Checker
from egno_md.propagate.controller import Controller, RunningTemperature
from egno_md.propagate.events import Event
from egno_md.propagate.loop import Replica, WindowLoop
from egno_md.propagate.recorder import State, pack_state, unpack_state
from egno_md.propagate.rollout_summary import SECONDS_PER_DAY
from egno_md.propagate.support import check_free, check_rolls_out, check_whole
from egno_md.propagate.surrogate import Surrogate
from egno_md.propagate.thermostat import LangevinKicks
from egno_md.spec.files import validate
from egno_md.spec.propagate import Policy, Refinement, Tolerances

EVENTS_KEPT = 100_000
"""Latest events in memory; the tally counts all."""

WARM = 1.1
"""Times the training temperature up to which an operator is not asked too much."""

MASS_TOLERANCE = 2e-3
"""Da; packages round atomic weights differently."""


@dataclass(frozen=True)
class Watch:
    """How windows are judged and repaired; as in a `propagate` protocol.

    Attributes:
        policy: what to do with a bad window.
        tolerances: when it is bad.
        refinement: of policy `refine`.
        check_every: windows between checks.
        relaxation: ps, of the adaptive thermostat; None for plain Langevin kicks.
    """

    policy: Policy = "fallback"
    tolerances: Tolerances = field(default_factory=Tolerances)
    refinement: Refinement = field(default_factory=Refinement)
    check_every: int = 1
    relaxation: float | None = 0.3

    def __post_init__(self) -> None:
        known = Policy.__args__  # type: ignore[attr-defined]
        if self.policy not in known:
            raise SpecError(f"policy {self.policy!r} is not one of: {', '.join(known)}.")
        if int(self.check_every) != self.check_every or self.check_every < 1:
            raise SpecError(f"check_every {self.check_every!r}: give a whole number from 1.")

    @classmethod
    def of(
        cls,
        policy: Policy,
        tolerances: Mapping[str, object] | None,
        refinement: Mapping[str, object] | None,
        check_every: int,
        relaxation: float | None,
    ) -> Watch:
        """From keys and values as a protocol has them.

        Raises:
            SpecError: an unknown key, or a value without its unit.
        """
        return cls(
            policy,
            validate({**(tolerances or {})}, Tolerances, "tolerances"),
            validate({**(refinement or {})}, Refinement, "refinement"),
            check_every,
            relaxation,
        )


def check_fits(card: OperatorCard, system: System, kelvin: float | None) -> None:
    """Refuse an operator of another system; warn where it is asked for more than it saw.

    Raises:
        BundleMismatch: naming the first difference.
        SpecError: the system is of a kind that windows do not know.
    """
    if len(card.masses) == system.n_atoms:
        off = np.abs(np.array(card.masses) - system.masses)
        same = tuple(system.atomic_numbers.tolist()) == card.atomic_numbers
        if same and off.max() > MASS_TOLERANCE:
            worst = int(off.argmax())
            raise BundleMismatch(
                f"atom {worst} weighs {system.masses[worst]:.4g} Da, in the operator "
                f"({card.system}) {card.masses[worst]:.4g} Da. Use the same masses; hydrogen mass "
                "repartitioning needs an operator of its own."
            )
        bonds = {(int(a), int(b)) for a, b in system.bonds}
        different = bonds ^ {(min(b), max(b)) for b in card.bonds}
        if same and different:
            a, b = min(different)
            where = "only in the system" if (a, b) in bonds else f"only in {card.system}"
            raise BundleMismatch(
                f"the bond between atoms {a} and {b} is {where}. Give the topology the bonds "
                "that the operator was trained with."
            )
    if off_only_by_rounding(card, system):
        system = replace(system, masses=np.array(card.masses))
    check_whole(card, "this interface")
    check_belongs(card, system)
    check_free(system, "this interface")
    check_rolls_out(card)
    if kelvin is not None and card.kelvin is not None and kelvin > WARM * card.kelvin:
        warnings.warn(
            f"the operator was trained at {card.kelvin:g} K and is asked for {kelvin:g} K: "
            "expect more fallbacks.",
            stacklevel=3,
        )


def off_only_by_rounding(card: OperatorCard, system: System) -> bool:
    """Whether the masses agree within `MASS_TOLERANCE`."""
    return len(card.masses) == system.n_atoms and bool(
        np.abs(np.array(card.masses) - system.masses).max() <= MASS_TOLERANCE
    )


class WindowMover:
    """Moves one frame by windows, or exactly, under one controller.

    Args:
        system: what moves; its start structure is the reference of the bonds.
        operator: proposes windows, on the device where it runs.
        reference: checks, and takes over.
        timestep: ps, of the reference.
        kelvin: temperature; None in NVE, where windows get their energy back.
        friction: 1/ps; None in NVE.
        watch: how windows are judged.
        seed: of the thermostat.
        refiner: repairs, for policy `refine`.
    """

    def __init__(
        self,
        system: System,
        operator: WindowOperator,
        reference: Reference,
        *,
        timestep: float,
        kelvin: float | None,
        friction: float | None,
        watch: Watch,
        seed: int,
        refiner: Callable[[], Refiner],
    ) -> None:
        self.system, self.watch, self.timestep = system, watch, timestep
        self.offsets = operator.card.window.offsets(timestep)
        self.freedom = _freedom(system)
        kicks = None
        if kelvin is not None and friction is not None:
            kicks = LangevinKicks.of(system, kelvin, friction, watch.relaxation)
        target = kelvin or operator.card.kelvin or 300.0
        self._no_excess = np.zeros(0) if kicks is None else kicks.no_excess()
        self.loop = WindowLoop(
            surrogate=Surrogate(operator, system.masses),
            reference=reference,
            controller=Controller(
                watch.policy, watch.tolerances, kelvin, target, system.degrees_of_freedom
            ),
            checker=Checker.of(system, system.positions, watch.tolerances.contact),
            refiner=refiner,
            thermostat=kicks,
            kelvin=target,
            check_every=watch.check_every,
            keeps_energy=kicks is None,
        )
        self.random = np.random.default_rng([seed, 0])
        self.replica: Replica | None = None
        self.windows = 0
        self.steps = 0
        self.seconds = 0.0
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)

    def place(self, frame: Frame) -> None:
        """Go on from another frame; streams and counts go on too."""
        excess = self._no_excess if self.replica is None else self.replica.excess
        running = RunningTemperature(self.freedom)
        self.replica = Replica(frame, self.random, running, excess)

    @property
    def frame(self) -> Frame:
        """Where it is, at the end of the last window."""
        assert self.replica is not None
        return self.replica.frame

    def window(self) -> Trajectory:
        """Move by one window: the frames at its time points, the last one after its kick.

        Raises:
            PotentialError: the window is beyond repair under this policy.
        """
        assert self.replica is not None
        begun = time.perf_counter()
        _, event, trajectory = next(iter(self.loop.advance([self.replica], self.windows)))
        self._take(event, self.offsets[-1], begun)
        return _ending_with(trajectory, self.frame)

    def exactly(self, steps: int) -> Trajectory:
        """Move by fewer steps than a window has, by the reference alone.

        Raises:
            PotentialError: its dynamics failed.
        """
        assert self.replica is not None
        begun, replica = time.perf_counter(), self.replica
        duration, kicks = steps * self.timestep, self.loop.thermostat
        frame = replica.frame
        if kicks is not None:
            frame = kicks.kick(frame, duration, replica.random, replica.excess)
        with self.loop.tally.clock("fallback"):
            trajectory = self.loop.reference.window(frame, [duration])
        end = trajectory[-1]
        if kicks is not None:
            end = kicks.kick(end, duration, replica.random, replica.excess)
        replica.frame = end
        reason = f"{steps} steps are no whole window of {self.offsets[-1]}"
        spent = time.perf_counter() - begun
        event = Event(0, self.windows, end.time, "fallback", reason, spent, None)
        self.loop.tally.count(event)
        self._take(event, steps, begun)
        return _ending_with(trajectory, end)

    def _take(self, event: Event, steps: int, begun: float) -> None:
        assert self.replica is not None
        self.seconds += time.perf_counter() - begun
        self.events.append(event)
        self.windows += 1
        if self.replica.stop_reason:
            reason, self.replica.stop_reason = self.replica.stop_reason, ""
            raise PotentialError(
                f"stopped at {self.frame.time:g} ps: {reason}. Use policy 'fallback', or start "
                "from another frame."
            )
        self.steps += steps

    @property
    def statistics(self) -> dict[str, Any]:
        """Counts, means and the speed of what was moved so far."""
        tally = self.loop.tally
        simulated = self.steps * self.timestep
        elements = dict.fromkeys(self.system.elements)
        return {
            "steps": self.steps,
            "simulated_ps": round(simulated, 9),
            "windows": self.windows,
            "events": dict(tally.events),
            "temperature": tally.mean("temperature"),
            "temperature_by_element": {e: tally.mean(f"temperature.{e}") for e in elements},
            "energy_error_mean": tally.mean("energy_error"),
            "energy_error_std": tally.deviation("energy_error"),
            "largest_bond_deviation": tally.largest_bond_deviation,
            "seconds": {k: v for k, v in tally.seconds.items() if v} | {"total": self.seconds},
            "ns_per_day": simulated * 1e-3 / self.seconds * SECONDS_PER_DAY
            if self.seconds
            else 0.0,
        }

    def pack(self) -> bytes:
        """Everything it needs to go on bit for bit."""
        assert self.replica is not None
        sizes = {"steps": self.steps, "seconds": self.seconds}
        return pack_state(State(self.windows, [self.replica], self.loop.tally, sizes))

    def unpack(self, content: bytes) -> None:
        """Go on from what `pack` gave; numpy's exceptions where it is damaged."""
        state = unpack_state(io.BytesIO(content), self.freedom)
        self.replica, self.windows = state.replicas[0], state.windows
        self.random = self.replica.random
        self.loop = replace(self.loop, tally=state.tally)
        self.steps, self.seconds = state.sizes["steps"], state.sizes["seconds"]
        earlier = [e for e in self.events if e.window < self.windows]
        self.events = deque(earlier, EVENTS_KEPT)


def _ending_with(window: Trajectory, end: Frame) -> Trajectory:
    """The window whose last frame is `end`, velocities after the thermostat."""
    velocities = np.array(window.velocities)
    if len(window):
        velocities[-1] = end.velocities
    return replace(window, velocities=velocities)


def _freedom(system: System) -> dict[str, float]:
    """Degrees of freedom of all atoms and of each element's."""
    share = 1 - system.masses / system.masses.sum()
    elements = np.array(system.elements)
    by_element = {str(e): float(3 * share[elements == e].sum()) for e in np.unique(elements)}
    return {"all": float(system.degrees_of_freedom), **by_element}


def points_that_work(offsets: Sequence[int]) -> str:
    """Which report intervals a window can serve, in words."""
    last = offsets[-1]
    fits = [n for n in range(1, last + 1) if set(range(n, last + 1, n)) <= {*offsets}]
    fits = [n for n in fits if last % n == 0]
    return ", ".join(map(str, fits)) + f" or a multiple of {last}"
