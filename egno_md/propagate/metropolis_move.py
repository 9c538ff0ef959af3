"""Metropolis moves of torsions that a sampler proposes, each followed by a stretch of MD."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from egno_md.core.errors import PotentialError
from egno_md.core.ports import ThermostattedDynamics
from egno_md.core.state import Frame
from egno_md.core.units import BOLTZMANN, thermal_speed
from egno_md.geometry.rotors import Rotors
from egno_md.geometry.torsions import torsion_angles
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.event import MoveRecord
from egno_md.propagate.metropolis import Kernels, Weighing
from egno_md.propagate.proposal import Halted, Outcome, Settled, by_index, single
from egno_md.propagate.source import SamplerWindows
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.step import Ending, halt
from egno_md.spec.propagate import MetropolisSource

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class _Trial:
    """One proposed move.

    Attributes:
        block: which torsions it changes.
        angles: where they are, radians.
        end: the molecule as it would be.
        weighing: the test, all but the way back.
        rise: U(x') - U(x), kJ/mol.
    """

    block: Int[Array, " block"]
    angles: Float[Array, " block"]
    end: Frame
    weighing: Weighing
    rise: float


@dataclass(frozen=True, eq=False)
class MetropolisMove:
    """Metropolis moves and MD in turn, so that what is visited is the force field's distribution.

    A step is one move (see `metropolis`) and then a stretch of Langevin dynamics. The
    state is positions and velocities: a move turns the velocities of what it turns too,
    which keeps their Maxwell distribution and lets a rejected move cost MD nothing. Of
    the centre of mass MD keeps no velocity; a move is made with one drawn for it, and
    without which kinetic energy would not be kept. A move needs draws from both of its ends,
    so that it cannot be a source under a judge.

    Attributes:
        sampler: draws; its windows are never looked at, nor drawn again.
        rotors: bonds that turn, those whose torsions the sampler draws.
        settings: of the move.
        evaluation: gives potential energies.
        dynamics: MD between moves.
        ending: what happens at a step's end.
        kelvin: of the distribution.
        friction: 1/ps, of MD.
        clocks: where the time goes.
    """

    sampler: SamplerWindows
    rotors: Rotors
    settings: MetropolisSource
    evaluation: Evaluation
    dynamics: ThermostattedDynamics
    ending: Ending
    kelvin: float
    friction: float
    clocks: Clocks
    kind: Literal["sampler"] = "sampler"

    @property
    def duration(self) -> float:
        """MD between two moves, ps."""
        return self.settings.dynamics

    def step(self, states: Sequence[ReplicaState]) -> list[Outcome]:
        """One move and one stretch of MD of every running replica; see `Move.step`."""
        running = {s.index: s.forked() for s in states if not s.stop_reason}
        if not running:
            return []
        drawn = dict.fromkeys(running, 0)
        trials = self._trials(running, drawn)
        records = self._decide(running, trials, drawn)
        return [self._move(s, trials[i], records[i]) for i, s in running.items()]

    def _trials(
        self, running: Mapping[int, ReplicaState], drawn: dict[int, int]
    ) -> dict[int, _Trial]:
        """A proposed move of every replica, with the test it has to pass."""
        frames = by_index(list(running.values()))
        blocks = {i: self._block(s.random) for i, s in running.items()}
        centres = self._centres(running, frames, blocks, drawn)
        here = self.rotors.angles(np.stack([f.positions for f in frames.values()]))
        angles = {i: h[blocks[i]] for i, h in zip(frames, here, strict=True)}
        targets, ends = {}, {}
        for index, state in running.items():
            rotors = self.rotors.subset(blocks[index].tolist())
            targets[index] = self._kernels.draw(centres[index], state.random)
            ends[index] = self._turned(state, rotors, targets[index] - angles[index])
        before, after = self.evaluation(frames), self.evaluation(ends)
        trials = {}
        for index, state in running.items():
            rise = _energy(after[index]) - _energy(before[index])
            forward = self._kernels.log_density(targets[index], centres[index])
            threshold = float(np.log1p(-state.random.random()))
            weighing = Weighing(rise / (BOLTZMANN * self.kelvin), forward, threshold)
            trials[index] = _Trial(blocks[index], angles[index], ends[index], weighing, rise)
        return trials

    def _decide(
        self,
        running: Mapping[int, ReplicaState],
        trials: Mapping[int, _Trial],
        drawn: dict[int, int],
    ) -> dict[int, MoveRecord]:
        """Which moves pass; only for those that still can is the way back drawn."""
        undecided = {
            i: t
            for i, t in trials.items()
            if t.weighing.accepts(self._kernels.log_bound(len(t.block)))
        }
        centres = self._centres(
            running,
            {i: t.end for i, t in undecided.items()},
            {i: t.block for i, t in undecided.items()},
            drawn,
        )
        records = {}
        for index, trial in trials.items():
            is_accepted = index in undecided and trial.weighing.accepts(
                self._kernels.log_density(trial.angles, centres[index])
            )
            records[index] = MoveRecord(index in undecided, is_accepted, drawn[index])
        return records

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
        running: Mapping[int, ReplicaState],
        frames: Mapping[int, Frame],
        blocks: Mapping[int, Int[Array, " block"]],
        drawn: dict[int, int],
    ) -> dict[int, Float[Array, "centres block"]]:
        """Torsions of fresh draws from each frame; one batch for all of them, counted in `drawn`."""
        if not frames:
            return {}
        count = self.settings.draws
        if self.settings.uniform == 1:
            return {i: np.zeros((0, len(b))) for i, b in blocks.items()}
        with self.clocks.charge("network"):
            windows = self.sampler.draw(
                [f for f in frames.values() for _ in range(count)],
                [running[i].random for i in frames for _ in range(count)],
            )
        for index in frames:
            drawn[index] += count
        # every time point is a centre: they cost nothing, and near ones propose near moves
        places = np.searchsorted(self.sampler.operator.atoms, self.rotors.atoms)
        with np.errstate(invalid="ignore", over="ignore"):  # a wild draw has no torsions
            angles = torsion_angles(windows, places).reshape(len(frames), -1, len(places))
        return {i: each[:, blocks[i]] for i, each in zip(frames, angles, strict=True)}

    def _turned(self, state: ReplicaState, rotors: Rotors, by: Float[Array, " block"]) -> Frame:
        """The replica's frame with its torsions changed, and its velocities turned along."""
        frame, masses = state.frame, self.ending.checker.system.masses
        share = masses / masses.sum()
        drift = state.random.standard_normal(3)
        drift *= thermal_speed(masses.sum(keepdims=True), self.kelvin)
        velocities = frame.velocities - share @ frame.velocities + drift
        positions, velocities = rotors.turned(frame.positions, velocities, by)
        return Frame(positions, velocities - share @ velocities, frame.time)

    def _move(self, state: ReplicaState, trial: _Trial, record: MoveRecord) -> Outcome:
        """MD from where the move has led, or from where it has not."""
        begun = time.perf_counter()
        start = trial.end if record.is_accepted else state.frame
        try:
            with self.clocks.charge("dynamics"):
                end = self.dynamics.stretch(start, self.duration, self.friction, state.random)
        except PotentialError as error:
            return halt(state, Halted(str(error.args[0])))
        end = replace(end, time=start.time + self.duration)
        kind = "accept" if record.is_accepted else "stay"
        settled = Settled(single(end), end, kind, f"energy {trial.rise:+.1f} kJ/mol")
        seconds = time.perf_counter() - begun
        return self.ending.settle(state, settled, self.duration, seconds=seconds, move=record)


def _energy(frame: Frame) -> float:
    return np.nan if frame.potential_energy is None else float(frame.potential_energy)
