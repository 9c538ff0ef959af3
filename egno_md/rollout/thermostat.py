"""The thermostat between windows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from egno_md.core.state import Frame
from egno_md.core.units import thermal_speed


@dataclass(frozen=True, eq=False)
class LangevinKicks:
    """Exact Ornstein-Uhlenbeck half-steps on the velocities.

    With a window in the middle this is OBABO (Bussi & Parrinello 2007) whose
    velocity-Verlet step is replaced by the window. The centre of mass is left
    out: its velocity is not touched.

    Attributes:
        kelvin: temperature.
        friction: 1/ps.
        masses: Da.
    """

    kelvin: float
    friction: float
    masses: np.ndarray

    def kick(self, frame: Frame, duration: float, random: np.random.Generator) -> Frame:
        """Friction and noise of half of `duration` ps."""
        keep = np.exp(-0.5 * self.friction * duration)
        noise = random.standard_normal(frame.velocities.shape)
        noise *= (np.sqrt(1 - keep**2) * thermal_speed(self.masses, self.kelvin))[:, None]
        share = self.masses / self.masses.sum()
        drift = share @ frame.velocities
        velocities = keep * (frame.velocities - drift) + noise - share @ noise + drift
        return replace(frame, velocities=velocities)


def maxwell_velocities(
    masses: np.ndarray, kelvin: float, random: np.random.Generator
) -> np.ndarray:
    """Maxwell-Boltzmann velocities without centre-of-mass motion, ``(atoms, 3)`` nm/ps."""
    velocities = random.standard_normal((len(masses), 3)) * thermal_speed(masses, kelvin)[:, None]
    return velocities - (masses / masses.sum()) @ velocities
