"""The loop of a corrected sampler: a Metropolis move of torsions, then MD, and again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from egno_md.core.errors import PotentialError
from egno_md.core.ports import Evaluator, Stretches
from egno_md.core.state import Frame, Trajectory
from egno_md.core.units import BOLTZMANN, thermal_speed
from egno_md.geometry.rotors import Rotors
from egno_md.geometry.torsions import torsion_angles
from egno_md.propagate.checks import Checker
from egno_md.propagate.drawing import Drawer
from egno_md.propagate.endings import single
from egno_md.propagate.events import Event, Tally
from egno_md.propagate.loop import Replica
from egno_md.propagate.metropolis import Kernels, Weighing
from egno_md.spec.propagate import Metropolis

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class _Try:
    """One proposed move.

    Attributes:
        block: which torsions it changes.
        angles: where they are, radians.
        moved: the molecule as it would be.
        weighing: the test, all but the way back.
        rise: U(x') - U(x), kJ/mol.
    """

    block: Int[Array, " block"]
    angles: Float[Array, " block"]
    moved: Frame
    weighing: Weighing
    rise: float


@dataclass(frozen=True, eq=False)
class MetropolisLoop:
    """Moves replicas by Metropolis moves and MD, so that what they visit is the force field's.

    A window is one move (see `metropolis`) and then a stretch of Langevin dynamics. The
    state is positions and velocities: a move turns the velocities of what it turns too,
    which keeps their Maxwell distribution and lets a rejected move cost MD nothing. Of
    the centre of mass MD keeps no velocity; a move is made with one drawn for it, and
    without which kinetic energy would not be kept.

    Attributes:
        drawer: draws; its windows are never looked at, nor drawn again.
        rotors: bonds that turn, those whose torsions the sampler draws.
        settings: of the move.
        evaluator: gives potential energies.
        dynamics: MD between moves.
        checker: measures temperatures.
        kelvin: of the distribution.
        friction: 1/ps, of MD.
        tally: counts and clocks.
    """

    drawer: Drawer
    rotors: Rotors
    settings: Metropolis
    evaluator: Evaluator
    dynamics: Stretches
    checker: Checker
    kelvin: float
    friction: float
    tally: Tally = field(default_factory=Tally)

    def advance(
        self, replicas: list[Replica], window: int
    ) -> Iterator[tuple[int, Event, Trajectory]]:
        """One move and one stretch of MD for every running replica.

        Args:
            replicas: changed in place.
            window: its number, from 0.

        Yields:
            Per running replica its index, what happened, and the window's last frame.
        """
        running = {i: r for i, r in enumerate(replicas) if not r.stop_reason}
        if not running:
            return
        tries = self._tries(running)
        accepted = self._accepted(running, tries)
        for index, replica in running.items():
            yield index, *self._finish(index, replica, tries[index], accepted[index], window)

    def _tries(self, running: Mapping[int, Replica]) -> dict[int, _Try]:
        """A proposed move of every replica, with the test it has to pass."""
        frames = {i: r.frame for i, r in running.items()}
        blocks = {i: self._block(r.random) for i, r in running.items()}
        centres = self._centres(running, frames, blocks)
        here = self.rotors.angles(np.stack([f.positions for f in frames.values()]))
        angles = {i: h[blocks[i]] for i, h in zip(frames, here, strict=True)}
        targets, moved = {}, {}
        for index, replica in running.items():
            rotors = self.rotors.subset(blocks[index].tolist())
            targets[index] = self._kernels.draw(centres[index], replica.random)
            moved[index] = self._turned(replica, rotors, targets[index] - angles[index])
        with self.tally.clock("checks"):
            before = self.evaluator.evaluate_all(frames)
            after = self.evaluator.evaluate_all(moved)
        tries = {}
        for index, replica in running.items():
            rise = _energy(after[index]) - _energy(before[index])
            forward = self._kernels.log_density(targets[index], centres[index])
            threshold = float(np.log1p(-replica.random.random()))
            weighing = Weighing(rise / (BOLTZMANN * self.kelvin), forward, threshold)
            tries[index] = _Try(blocks[index], angles[index], moved[index], weighing, rise)
        return tries

    def _accepted(
        self, running: Mapping[int, Replica], tries: Mapping[int, _Try]
    ) -> dict[int, bool]:
        """Which moves pass; only for those that still can is the way back drawn."""
        undecided = {
            i: t
            for i, t in tries.items()
            if t.weighing.accepts(self._kernels.log_bound(len(t.block)))
        }
        centres = self._centres(
            running,
            {i: t.moved for i, t in undecided.items()},
            {i: t.block for i, t in undecided.items()},
        )
        passed = dict.fromkeys(tries, False)
        for index, found in undecided.items():
            backward = self._kernels.log_density(found.angles, centres[index])
            passed[index] = found.weighing.accepts(backward)
        for index in tries:
            self.tally.add("moves_weighed", float(index in undecided))
            self.tally.add("moves_accepted", float(passed[index]))
        return passed

    @property
    def _kernels(self) -> Kernels:
        return Kernels(self.settings.concentration, self.settings.uniform)

    def _block(self, random: np.random.Generator) -> Int[Array, " block"]:
        """The torsions of a move, chosen without a look at the state."""
        every, most = len(self.rotors), self.settings.torsions
        if most is None or most >= every:
            return np.arange(every)
        return (random.integers(every) + np.arange(most)) % every

    def _centres(
        self,
        replicas: Mapping[int, Replica],
        frames: Mapping[int, Frame],
        blocks: Mapping[int, Int[Array, " block"]],
    ) -> dict[int, Float[Array, "centres block"]]:
        """Torsions of fresh draws from each frame; one batch for all of them."""
        if not frames:
            return {}
        count = self.settings.draws
        if self.settings.uniform == 1:
            return {i: np.zeros((0, len(b))) for i, b in blocks.items()}
        with self.tally.clock("network"):
            windows = self.drawer.draw(
                [f for f in frames.values() for _ in range(count)],
                [replicas[i].random for i in frames for _ in range(count)],
            )
        self.tally.add("windows_drawn", len(windows))
        # every time point is a centre: they cost nothing, and near ones propose near moves
        places = np.searchsorted(self.drawer.seen.atoms, self.rotors.atoms)
        with np.errstate(invalid="ignore", over="ignore"):  # a wild draw has no torsions
            angles = torsion_angles(windows, places).reshape(len(frames), -1, len(places))
        return {i: found[:, blocks[i]] for i, found in zip(frames, angles, strict=True)}

    def _turned(self, replica: Replica, rotors: Rotors, by: Float[Array, " block"]) -> Frame:
        """The replica's frame with its torsions changed, and its velocities turned along."""
        frame, masses = replica.frame, self.checker.system.masses
        share = masses / masses.sum()
        drift = replica.random.standard_normal(3)
        drift *= thermal_speed(masses.sum(keepdims=True), self.kelvin)
        velocities = frame.velocities - share @ frame.velocities + drift
        positions, velocities = rotors.turned(frame.positions, velocities, by)
        return Frame(positions, velocities - share @ velocities, frame.time)

    def _finish(
        self, index: int, replica: Replica, found: _Try, accepted: bool, window: int
    ) -> tuple[Event, Trajectory]:
        """MD from where the move has led, or from where it has not."""
        begun = time.perf_counter()
        start = found.moved if accepted else replica.frame
        duration, reason = self.settings.dynamics, f"energy {found.rise:+.1f} kJ/mol"
        try:
            with self.tally.clock("dynamics"):
                frame = self.dynamics.stretch(start, duration, self.friction, replica.random)
        except PotentialError as error:
            replica.stop_reason = str(error.args[0])
            event = Event(index, window, replica.frame.time, "stop", replica.stop_reason, 0.0, None)
            self.tally.count(event)
            return event, Trajectory(np.zeros((0, *start.positions.shape)), np.zeros(0))
        frame = replace(frame, time=start.time + duration)
        replica.frame = frame
        self.tally.add_temperatures(self.checker.temperatures(frame.velocities))
        self.tally.add("potential_energy", _energy(frame))
        deviation = self.checker.bond_deviation(frame)
        self.tally.largest_bond_deviation = max(self.tally.largest_bond_deviation, deviation)
        kind = "accept" if accepted else "stay"
        event = Event(index, window, frame.time, kind, reason, time.perf_counter() - begun, None)
        self.tally.count(event)
        return event, single(frame)


def _energy(frame: Frame) -> float:
    return np.nan if frame.potential_energy is None else float(frame.potential_energy)
