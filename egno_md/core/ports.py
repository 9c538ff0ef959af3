"""The interfaces between the parts: who moves a frame, and who judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from egno_md.core.state import Frame, Trajectory


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


class Barostat(Protocol):
    """Changes a frame's volume so that its pressure is kept."""

    def attempt(self, frame: Frame, random: np.random.Generator) -> tuple[Frame, bool]:
        """The frame after one trial move, and whether it was accepted."""
        ...


class Refiner(Protocol):
    """Repairs a frame without changing what it represents."""

    def refine(
        self, frame: Frame, kelvin: float, seed: int, sound: Frame | None = None
    ) -> Refinement:
        """A frame with bounded forces and Maxwell velocities at `kelvin`.

        Stereocentres and peptide bonds stay as they are in `sound`.
        """
        ...


class DrawRefiner(Protocol):
    """Makes a state of MD out of a sampler's draw."""

    def refine(self, positions: np.ndarray, random: np.random.Generator) -> Refinement:
        """A frame near `positions` (nm) with thermal bonds, angles and velocities."""
        ...


class Thermostatted(Protocol):
    """Exact thermostatted dynamics, for windows that no draw fills."""

    def window(
        self,
        frame: Frame,
        elapsed: tuple[float, ...],
        friction: float,
        random: np.random.Generator,
    ) -> Trajectory:
        """From the frame's positions with fresh velocities, recorded after the times `elapsed`."""
        ...


class Stretches(Protocol):
    """Exact thermostatted dynamics, a stretch at a time."""

    def stretch(
        self, frame: Frame, duration: float, friction: float, random: np.random.Generator
    ) -> Frame:
        """Where a frame, with its velocities, goes in `duration` ps."""
        ...


@dataclass(frozen=True, eq=False)
class Refinement:
    """What a refinement did.

    Attributes:
        frame: the repaired frame.
        blocks: minimisation blocks used.
        displacement: root-mean-square move of the atoms, nm.
        max_force: largest force component norm after minimisation, kJ/mol/nm.
        moves: of each atom, nm.
    """

    frame: Frame
    blocks: int
    displacement: float
    max_force: float
    moves: np.ndarray


@dataclass(frozen=True)
class Accept:
    """Continue from time point `upto` (an index into the window)."""

    upto: int


@dataclass(frozen=True)
class Refine:
    """Repair the end of the window, then continue from it."""

    reason: str


@dataclass(frozen=True)
class Fallback:
    """Discard the window and let the reference move the start frame instead."""

    reason: str


@dataclass(frozen=True)
class Stop:
    """End the rollout here."""

    reason: str


Verdict = Accept | Refine | Fallback | Stop
