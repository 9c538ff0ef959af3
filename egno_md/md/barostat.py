"""Constant pressure between windows: Monte Carlo moves of the box volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from egno_md.core.state import Frame
from egno_md.core.units import BOLTZMANN
from egno_md.geometry.images import molecule_centres

Array = np.ndarray

BAR = 0.06022140762
"""1 bar in kJ/mol/nm³ (exact)."""

COMPRESSIBILITY = 4.5e-5
"""1/bar, of water: only sets the size of trial moves."""

REACH = 2.0
"""Largest trial move in standard deviations of the volume: about half are accepted."""


@dataclass(frozen=True, eq=False)
class MonteCarloBarostat:
    """Isotropic volume moves that sample the isothermal-isobaric ensemble.

    A move draws ΔV evenly from a fixed symmetric range and scales the centres
    of whole molecules with the box (Chow & Ferguson 1995; Åqvist et al. 2004;
    OpenMM's own rule). It is accepted with the probability
    min(1, exp(-(ΔU + PΔV)/k_B T) (V'/V)^N) for N molecules. Molecules are
    neither deformed, turned nor wrapped: constraints hold, velocities are kept
    and coordinates stay continuous. Every image of a molecule stays an image
    of it, so that one that has crossed many boxes moves by as many boxes' change.

    Attributes:
        evaluate: fills in the energy and forces of a frame.
        molecule: number of the molecule per atom.
        kelvin: temperature.
        pressure: bar.
        largest: nm³, of |ΔV|.
    """

    evaluate: Callable[[Frame], Frame]
    molecule: Int[Array, " atoms"]
    kelvin: float
    pressure: float
    largest: float

    @classmethod
    def of(
        cls,
        evaluate: Callable[[Frame], Frame],
        molecule: Int[Array, " atoms"],
        kelvin: float,
        pressure: float,
        volume: float,
    ) -> MonteCarloBarostat:
        """Moves as large as water's volume fluctuates in a box of `volume` nm³.

        The range is fixed, not adapted on the way: adapting would break
        detailed balance.
        """
        variance = BOLTZMANN * kelvin / BAR * COMPRESSIBILITY * volume
        return cls(evaluate, molecule, kelvin, pressure, REACH * float(np.sqrt(variance)))

    def attempt(self, frame: Frame, random: np.random.Generator) -> tuple[Frame, bool]:
        """One trial move: the frame afterwards, with its energy, and whether it changed.

        Raises:
            PotentialError: the potential gives no energy.
        """
        assert frame.box is not None
        if frame.potential_energy is None:
            frame = self.evaluate(frame)
        volume = float(np.linalg.det(frame.box))
        change = random.uniform(-self.largest, self.largest)
        threshold = np.log(random.random())
        if volume + change <= 0:
            return frame, False
        trial = self.evaluate(scaled(frame, ((volume + change) / volume) ** (1 / 3), self.molecule))
        assert frame.potential_energy is not None
        assert trial.potential_energy is not None
        work = trial.potential_energy - frame.potential_energy + self.pressure * BAR * change
        molecules = int(self.molecule.max()) + 1
        log_ratio = -work / (BOLTZMANN * self.kelvin) + molecules * np.log1p(change / volume)
        accepted = bool(threshold < log_ratio)
        return (trial if accepted else frame), accepted


def scaled(frame: Frame, factor: float, molecule: Int[Array, " atoms"]) -> Frame:
    """The frame in a box `factor` times as wide, molecules undeformed."""
    assert frame.box is not None
    positions = np.asarray(frame.positions, dtype=np.float64)
    shift = (factor - 1) * molecule_centres(positions, molecule)
    return replace(
        frame,
        positions=positions + shift[molecule],
        box=frame.box * factor,
        forces=None,
        potential_energy=None,
    )
