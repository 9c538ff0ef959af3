"""A corrected chain whose exact distribution is known: torsions of a molecule on a given surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from egno_md.core.seen import SeenAtoms
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.core.units import BOLTZMANN
from egno_md.geometry.rotors import Rotors, find_rotors
from egno_md.propagate.check import Checker
from egno_md.propagate.clocks import Clocks
from egno_md.propagate.evaluation import Evaluation
from egno_md.propagate.metropolis_move import MetropolisMove
from egno_md.propagate.observe import Observer
from egno_md.propagate.state import ReplicaState
from egno_md.propagate.step import Ending
from egno_md.propagate.totals import Totals
from egno_md.spec.propagate import MetropolisSource

KELVIN = 300.0
SHARE = 0.8
FAR = np.array([-1.2, 2.0])


@dataclass
class Surface:
    """Energies that depend on two torsions alone: two basins of unequal depth."""

    rotors: Rotors

    def energy(self, angles: np.ndarray) -> np.ndarray:
        """kJ/mol."""
        first, second = angles[..., 0], angles[..., 1]
        reduced = 1.5 * np.cos(2 * first) + np.sin(first) - 0.8 * np.cos(second - first)
        return reduced * BOLTZMANN * KELVIN

    def evaluate_all(self, frames: Mapping[int, Frame]) -> dict[int, Frame]:
        return {
            i: replace(f, potential_energy=float(self.energy(self.rotors.angles(f.positions))))
            for i, f in frames.items()
        }


@dataclass
class Biased:
    """Draws that lean away from the surface, and differently from every state.

    Most of a window's draws stand near a place that depends on where the start is; the
    rest lie mostly in the wrong basin. Only the atoms of the two torsions are right.
    """

    atoms: np.ndarray
    rotors: Rotors

    @property
    def operator(self) -> Biased:
        """What knows which atoms are drawn."""
        return self

    def draw(self, frames, random) -> np.ndarray:
        noise = np.array([[r.random(), *r.standard_normal(2)] for r in random])
        here = self.rotors.angles(np.stack([f.positions for f in frames]))
        lean = np.stack([0.7 + 0 * here[:, 0], 0.3 + 0.5 * np.cos(here[:, 0])], axis=1)
        near, far = here + lean + 0.4 * noise[:, 1:], FAR + 0.8 * noise[:, 1:]
        targets = np.where(noise[:, :1] < SHARE, near, far)
        windows = np.zeros((len(frames), 1, len(self.atoms), 3))
        atoms = np.searchsorted(self.atoms, [*self.rotors.atoms[0], self.rotors.atoms[1, 3]])
        windows[:, 0, atoms] = _chain(targets)
        return windows


def _chain(torsions: np.ndarray) -> np.ndarray:
    """``(chains, 5, 3)`` points at right angles, with these two torsions."""
    first, second = torsions.T
    zero = np.zeros_like(first)
    start = np.stack([np.cos(first), np.sin(first), zero], axis=1)
    # the second bond along z, the third along x, the fourth about x
    points = np.array([[0, 0, 0], [0, 0, 1.0], [1.0, 0, 1.0]])
    end = np.stack([zero, np.sin(second), -np.cos(second)], axis=1)
    middle = np.broadcast_to(points, (len(first), 3, 3))
    return np.concatenate(
        [np.stack([start[:, 0], -start[:, 1], zero], 1)[:, None], middle,
         (points[2] + end)[:, None]], axis=1)  # fmt: skip


class Still:
    """MD that does not move, so that the moves alone decide what is visited."""

    def stretch(self, frame, duration, friction, random) -> Frame:
        return frame


def make_chain(
    system: System,
    *,
    surface: Surface | None = None,
    md: Still | None = None,
    observers: Sequence[Observer] = (),
    **settings: object,
) -> MetropolisMove:
    """Moves of φ and ψ on the surface."""
    rotors, clocks = find_rotors(system), Clocks()
    chosen = {"kind": "metropolis", "draws": 4, "concentration": 4.0, "uniform": 0.1}
    sampler: Any = Biased(SeenAtoms.of(system, "heavy").atoms, rotors)
    dynamics: Any = md or Still()
    checker = Checker.of(system, system.positions)
    return MetropolisMove(
        sampler=sampler,
        rotors=rotors,
        settings=MetropolisSource.model_validate(chosen | settings),
        evaluation=Evaluation(surface or Surface(rotors), clocks),
        dynamics=dynamics,
        ending=Ending(checker, clocks, observers=observers),
        kelvin=KELVIN,
        friction=1.0,
        clocks=clocks,
    )


def make_states(system: System, count: int) -> list[ReplicaState]:
    """Copies of the start structure, each with its own stream."""
    frame = Frame(system.positions, np.zeros_like(system.positions))
    return [ReplicaState(i, frame, np.random.default_rng([7, i])) for i in range(count)]


@dataclass(frozen=True)
class Visited:
    """Where a chain has been.

    Attributes:
        angles: ``(frames, 2)`` torsions, radians.
        states: at its end.
        totals: of all that happened.
    """

    angles: np.ndarray
    states: list[ReplicaState]
    totals: Totals


def visit(move: MetropolisMove, states: list[ReplicaState], windows: int, burn: int = 0) -> Visited:
    """Run a chain; the first `burn` windows are not looked at."""
    angles, totals = [], Totals()
    for window in range(windows):
        outcomes = move.step(states)
        states = [o.state for o in outcomes]
        for outcome in outcomes:
            totals.take(outcome.event)
            if window >= burn:
                angles.append(move.rotors.angles(outcome.window.positions[0]))
    return Visited(np.array(angles), states, totals)


def exact_map(surface: Surface, bins: int) -> np.ndarray:
    """Boltzmann probabilities of the cells of a map, by quadrature."""
    fine = 8
    grid = (np.arange(bins * fine) + 0.5) / (bins * fine) * 2 * np.pi - np.pi
    angles = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1)
    weight = np.exp(-surface.energy(angles) / (BOLTZMANN * KELVIN))
    cells = weight.reshape(bins, fine, bins, fine).sum((1, 3))
    return (cells / cells.sum()).ravel()
