"""What is measured on a window's end before it is believed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.core.thermal import group_temperatures
from egno_md.core.units import kinetic_energy, temperature
from egno_md.geometry.contacts import Contacts
from egno_md.geometry.stereocentres import Stereochemistry
from egno_md.propagate.clocks import Clocks


@dataclass(frozen=True)
class Check:
    """Measurements on one proposed frame.

    Attributes:
        energy_error: change of total energy over the window, kJ/mol; None
            where the start was not evaluated.
        max_force: largest force on an atom, kJ/mol/nm.
        bond_deviation: largest |length - reference| of a bond, nm.
        temperature: kinetic, K.
        temperature_by_element: kinetic per element, K.
        is_finite: whether every number is one.
        inverted_centres: how many stereocentres are inverted.
        closest_contact: smallest distance of atoms far apart in bonds, nm;
            may be infinite beyond the checker's `contact`.
        hottest_atom: largest kinetic energy of one atom, kJ/mol: in a large
            system one may go wrong long before the total energy shows it.
        keeps_constraints: whether the projection onto them converged.
        turned: names of inverted stereocentres and of peptide bonds turned around.
    """

    energy_error: float | None
    max_force: float
    bond_deviation: float
    temperature: float
    temperature_by_element: dict[str, float]
    is_finite: bool
    inverted_centres: int = 0
    closest_contact: float = float("inf")
    hottest_atom: float = 0.0
    keeps_constraints: bool = True
    turned: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Checker:
    """Measures frames of one system.

    Attributes:
        system: what is measured.
        bond_lengths: reference length per bond, nm.
        contacts: which atoms may be close.
        stereo: its stereocentres and peptide bonds.
        contact: distance up to which contacts are looked for, nm.
        clocks: charged for checks.
    """

    system: System
    bond_lengths: np.ndarray
    contacts: Contacts
    stereo: Stereochemistry
    contact: float = 0.1
    clocks: Clocks = field(default_factory=Clocks)

    @classmethod
    def of(
        cls,
        system: System,
        structure: np.ndarray,
        contact: float = 0.1,
        clocks: Clocks | None = None,
    ) -> Checker:
        """Reference bonds from a relaxed structure ``(atoms, 3)``."""
        lengths = bond_lengths(structure, system.bonds)
        contacts, stereo = Contacts.of(system), Stereochemistry.of(system)
        return cls(system, lengths, contacts, stereo, contact, clocks or Clocks())

    def measure(self, start: Frame, end: Frame) -> Check:
        """Measure an evaluated `end` against the `start` of its window."""
        by_element = temperature_by_element(self.system, end.velocities)
        error = None
        if start.potential_energy is not None and end.potential_energy is not None:
            error = self.total_energy(end) - self.total_energy(start)
        force = 0.0 if end.forces is None else float(np.linalg.norm(end.forces, axis=1).max())
        changed = self.stereo.changed(start.positions, end.positions)
        return Check(
            energy_error=error,
            max_force=force,
            bond_deviation=self.bond_deviation(end),
            temperature=self.temperature(end.velocities),
            temperature_by_element=by_element,
            is_finite=end.is_finite
            and np.isfinite(force)
            and (error is None or np.isfinite(error)),
            inverted_centres=int(changed[: len(self.stereo.centres)].sum()),
            hottest_atom=self.hottest_atom(end.velocities),
            turned=self.stereo.named(changed),
            closest_contact=self.contacts.closest(end.positions, self.contact, end.box),
        )

    def total_energy(self, frame: Frame) -> float:
        """Kinetic plus potential, kJ/mol."""
        assert frame.potential_energy is not None
        return float(kinetic_energy(frame.velocities, self.system.masses)) + frame.potential_energy

    def hottest_atom(self, velocities: np.ndarray) -> float:
        """Largest kinetic energy of one atom, kJ/mol."""
        squared = np.einsum("ax,ax->a", velocities, velocities)
        return float((0.5 * self.system.masses * squared).max())

    def bond_deviation(self, frame: Frame) -> float:
        """Largest departure of a bond from its reference, nm."""
        if len(self.bond_lengths) == 0:
            return 0.0
        lengths = bond_lengths(frame.positions, self.system.bonds)
        return float(np.abs(lengths - self.bond_lengths).max())

    def temperature(self, velocities: np.ndarray) -> float:
        """Kinetic temperature without centre-of-mass motion, K."""
        masses = self.system.masses
        internal = velocities - (masses / masses.sum()) @ velocities
        kinetic = float(kinetic_energy(internal, masses))
        return float(temperature(kinetic, self.system.degrees_of_freedom))

    def temperatures(self, velocities: np.ndarray) -> dict[str, float]:
        """That of the whole under the name `all`, and that of each element, K."""
        by_element = temperature_by_element(self.system, velocities)
        return {"all": self.temperature(velocities), **by_element}


def bond_lengths(positions: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """Length of each bond, nm."""
    return np.linalg.norm(positions[bonds[:, 0]] - positions[bonds[:, 1]], axis=1)


def temperature_by_element(system: System, velocities: np.ndarray) -> dict[str, float]:
    """Kinetic temperature of each element's atoms, K; see `group_temperatures`."""
    names = tuple(dict.fromkeys(system.elements))
    group = np.array([names.index(e) for e in system.elements])
    kelvin = group_temperatures(velocities, system.masses, group, system.atom_freedom)
    return dict(zip(names, kelvin.tolist(), strict=True))
