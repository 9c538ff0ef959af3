"""Thermostats between windows.

A new one is a class with the methods of `Thermostat`, the spec that a protocol says, and a line
that registers how one is made of the other: `make_thermostat.register`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Protocol

import numpy as np
from jaxtyping import Float

from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.core.thermal import group_temperatures, ornstein_uhlenbeck
from egno_md.core.units import BOLTZMANN, kinetic_energy
from egno_md.spec import propagate as spec

Array = np.ndarray


class Thermostat(Protocol):
    """Half-steps on the velocities at both ends of every window.

    Attributes:
        elements: names of what it adapts a friction to; may be empty.
    """

    @property
    def elements(self) -> tuple[str, ...]:
        """One per excess friction."""
        ...

    def no_excess(self) -> Float[Array, " elements"]:
        """The excess friction a rollout starts with, 1/ps."""
        ...

    def kick(
        self, frame: Frame, duration: float, random: np.random.Generator, excess: Array
    ) -> Frame:
        """Half of `duration` ps."""
        ...

    def adapt(self, frame: Frame, duration: float, excess: Array) -> Float[Array, " elements"]:
        """The excess friction after `duration` ps at the frame's temperatures."""
        ...


@dataclass(frozen=True, eq=False)
class LangevinKicks:
    """Langevin dynamics with a window in the middle.

    An exact Ornstein-Uhlenbeck half-step: with a window in the middle this is
    OBABO (Bussi & Parrinello 2007) whose velocity-Verlet step is replaced by the
    window. The centre of mass is left out: its velocity is not touched.

    With a `relaxation` it is the adaptive Langevin thermostat (Jones &
    Leimkuhler 2011; Leimkuhler & Shang 2016), made for forces with errors of
    unknown size: each element carries an excess friction ξ with
    dξ/dt = (T_element/T - 1)/relaxation², which grows until it takes out the
    heat that the windows' errors put in. Its mean says how much that is.

    Attributes:
        kelvin: temperature.
        friction: 1/ps.
        masses: Da.
        elements: names, one per excess friction.
        group: index into `elements` per atom.
        relaxation: ps; None for plain Langevin.
        freedom: degrees of freedom per atom; without constraints if None.
    """

    kelvin: float
    friction: float
    masses: Float[Array, " atoms"]
    elements: tuple[str, ...]
    group: Array
    relaxation: float | None
    freedom: Float[Array, " atoms"] | None = None

    @classmethod
    def of(
        cls, system: System, kelvin: float, friction: float, relaxation: float | None = None
    ) -> LangevinKicks:
        """The thermostat of a system."""
        names = tuple(dict.fromkeys(system.elements))
        group = np.array([names.index(e) for e in system.elements])
        masses, freedom = system.masses, system.atom_freedom
        return cls(kelvin, friction, masses, names, group, relaxation, freedom)

    def no_excess(self) -> Float[Array, " elements"]:
        """The excess friction a rollout starts with, 1/ps."""
        return np.zeros(len(self.elements))

    def kick(
        self, frame: Frame, duration: float, random: np.random.Generator, excess: Array
    ) -> Frame:
        """Friction and noise of half of `duration` ps."""
        damping = np.exp(-0.5 * duration * excess)[self.group, None]
        velocities = ornstein_uhlenbeck(
            frame.velocities,
            self.masses,
            self.kelvin,
            self.friction,
            0.5 * duration,
            random,
            damping,
        )
        return replace(frame, velocities=velocities)

    def adapt(self, frame: Frame, duration: float, excess: Array) -> Float[Array, " elements"]:
        """The excess friction after `duration` ps at the frame's temperatures."""
        if self.relaxation is None:
            return excess
        found = group_temperatures(frame.velocities, self.masses, self.group, self.freedom)
        return excess + duration * (found / self.kelvin - 1) / self.relaxation**2


@dataclass(frozen=True, eq=False)
class VelocityRescaling:
    """Stochastic velocity rescaling (Bussi, Donadio & Parrinello 2007, Eq. A7).

    One factor for all atoms takes the kinetic energy through its exact
    canonical process: the distribution is right, the directions of the
    velocities are left alone, so dynamics is disturbed less than by Langevin
    noise. It cannot mend equipartition between elements.

    Attributes:
        kelvin: temperature.
        relaxation: τ, ps.
        masses: Da.
        degrees_of_freedom: of the system.
    """

    kelvin: float
    relaxation: float
    masses: Float[Array, " atoms"]
    degrees_of_freedom: int
    elements: tuple[str, ...] = ()

    def no_excess(self) -> Float[Array, " elements"]:
        """Nothing to adapt."""
        return np.zeros(0)

    def kick(
        self, frame: Frame, duration: float, random: np.random.Generator, excess: Array
    ) -> Frame:
        """The exact process over half of `duration` ps."""
        drift = (self.masses / self.masses.sum()) @ frame.velocities
        internal = frame.velocities - drift
        has = float(kinetic_energy(internal, self.masses))
        if not has > 0:
            return frame
        keep = np.exp(-0.5 * duration / self.relaxation)
        freedom = self.degrees_of_freedom
        share = 0.5 * BOLTZMANN * self.kelvin * (1 - keep) / has
        one = random.standard_normal()
        rest = random.chisquare(freedom - 1)
        factor = keep + share * (one**2 + rest) + 2 * one * np.sqrt(keep * share)
        sign = 1.0 if one + np.sqrt(keep / share) > 0 else -1.0
        return replace(frame, velocities=drift + sign * np.sqrt(factor) * internal)

    def adapt(self, frame: Frame, duration: float, excess: Array) -> Float[Array, " elements"]:
        """Nothing to adapt."""
        return excess


@singledispatch
def make_thermostat(boundary: object, system: System, kelvin: float) -> Thermostat | None:
    """The thermostat that a protocol's boundary stands for; None in NVE.

    Args:
        boundary: what the protocol says.
        system: whose velocities it acts on.
        kelvin: temperature.

    Raises:
        TypeError: none is registered for such a boundary.
    """
    del system, kelvin
    raise TypeError(f"no thermostat is registered for {type(boundary).__name__}.")


@make_thermostat.register
def _(boundary: spec.NoThermostat, system: System, kelvin: float) -> None:
    del boundary, system, kelvin


@make_thermostat.register
def _(boundary: spec.Langevin, system: System, kelvin: float) -> Thermostat:
    return LangevinKicks.of(system, kelvin, boundary.friction)


@make_thermostat.register
def _(boundary: spec.AdaptiveLangevin, system: System, kelvin: float) -> Thermostat:
    return LangevinKicks.of(system, kelvin, boundary.friction, boundary.relaxation)


@make_thermostat.register
def _(boundary: spec.VelocityRescaling, system: System, kelvin: float) -> Thermostat:
    freedom = system.degrees_of_freedom
    return VelocityRescaling(kelvin, boundary.relaxation, system.masses, freedom)
