"""Interfaces of the exact computations: energies, dynamics, volume moves, refinement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from egno_md.core.state import Frame, Trajectory
from egno_md.core.system import System


class Evaluator(Protocol):
    """Exact energies and forces of one system."""

    def evaluate_all(self, frames: Mapping[int, Frame]) -> dict[int, Frame]:
        """Frames by replica, with forces and potential energy filled in.

        The energy is NaN where the potential gives none.
        """
        ...


class Reference(Evaluator, Protocol):
    """Exact energies and forces of one system, and its exact dynamics."""

    def window(self, frame: Frame, elapsed: Sequence[float]) -> Trajectory:
        """Exact NVE dynamics, recorded after the times `elapsed`."""
        ...

    def project(self, frame: Frame) -> Frame | None:
        """The nearest frame that keeps the constraints; None where that fails."""
        ...


class ThermostattedDynamics(Protocol):
    """Exact thermostatted dynamics."""

    def window(
        self,
        frame: Frame,
        elapsed: Sequence[float],
        friction: float,
        random: np.random.Generator,
    ) -> Trajectory:
        """From the frame's positions with fresh velocities, recorded after the times `elapsed`."""
        ...

    def stretch(
        self, frame: Frame, duration: float, friction: float, random: np.random.Generator
    ) -> Frame:
        """The frame, with its velocities, `duration` ps later."""
        ...


class VolumeMoves(Protocol):
    """Changes a frame's volume so that its pressure is kept."""

    def attempt(self, frame: Frame, random: np.random.Generator) -> tuple[Frame, bool]:
        """The frame after one trial move, and whether it was accepted."""
        ...


class Refiner(Protocol):
    """Turns a frame into a state of MD, with the stereochemistry of its start."""

    @property
    def system(self) -> System:
        """The system of the frames."""
        ...

    def refine(self, end: Frame, start: Frame, random: np.random.Generator) -> Refinement:
        """A frame near `end` with bounded forces and thermal velocities.

        Args:
            end: to refine.
            start: of its window; has the stereochemistry to keep.
            random: of velocities and noise.

        Raises:
            PotentialError: beyond repair.
        """
        ...


@dataclass(frozen=True, eq=False)
class Refinement:
    """Result of a refinement.

    Attributes:
        frame: the refined frame.
        blocks: minimisation blocks used.
        displacement: root-mean-square move of the atoms, nm.
        max_force: largest force component norm after minimisation, kJ/mol/nm.
        moves: displacement of each atom, nm.
    """

    frame: Frame
    blocks: int
    displacement: float
    max_force: float
    moves: np.ndarray
