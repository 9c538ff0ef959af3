"""Running totals of a rollout: they grow with windows in numbers, not in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from egno_md.propagate.event import Event


@dataclass
class Moments:
    """Count, sum and sum of squares of a quantity.

    Attributes:
        count: samples.
        total: their sum.
        squares: sum of their squares.
    """

    count: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take one sample in; what is not finite is left out."""
        if np.isfinite(value):
            self.count += 1
            self.total += value
            self.squares += value * value

    @property
    def mean(self) -> float | None:
        """Mean, or None without samples."""
        return self.total / self.count if self.count else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation, or None without samples."""
        if not self.count:
            return None
        variance = self.squares / self.count - (self.total / self.count) ** 2
        return float(np.sqrt(max(variance, 0.0)))

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.count + other.count, self.total + other.total, self.squares + other.squares
        )


ByName = dict[str, Moments]
"""Of quantities that have names of their own, such as elements and residues."""


@dataclass
class Totals:
    """What the events of a rollout come to.

    Attributes:
        events: count per kind.
        temperature: at windows' ends, K.
        temperature_by_element: likewise.
        energy_error: of checked windows, kJ/mol.
        kept_energy_error: of those of them that were kept whole.
        potential_energy: where windows' ends have one, kJ/mol.
        volume: nm³.
        excess_friction: per element, 1/ps.
        observed: by observers, per quantity.
        refined: move of each residue's atoms by refinement, nm.
        refinement_blocks: minimisation blocks of a refinement.
        refinement_displacement: root-mean-square move of all atoms, nm.
        redraws: draws that did not hold.
        moves_weighed: Metropolis moves for which the way back was drawn.
        moves_accepted: that were made.
        windows_drawn: for Metropolis moves.
        largest_bond_deviation: nm.
    """

    events: Counter[str] = field(default_factory=Counter)
    temperature: Moments = field(default_factory=Moments)
    temperature_by_element: ByName = field(default_factory=dict)
    energy_error: Moments = field(default_factory=Moments)
    kept_energy_error: Moments = field(default_factory=Moments)
    potential_energy: Moments = field(default_factory=Moments)
    volume: Moments = field(default_factory=Moments)
    excess_friction: ByName = field(default_factory=dict)
    observed: ByName = field(default_factory=dict)
    refined: ByName = field(default_factory=dict)
    refinement_blocks: Moments = field(default_factory=Moments)
    refinement_displacement: Moments = field(default_factory=Moments)
    redraws: int = 0
    moves_weighed: Moments = field(default_factory=Moments)
    moves_accepted: Moments = field(default_factory=Moments)
    windows_drawn: int = 0
    largest_bond_deviation: float = 0.0

    def take(self, event: Event) -> None:
        """Take an event in."""
        self.events[event.kind] += 1
        self.redraws += event.redraws
        if event.check is not None and event.check.energy_error is not None:
            self.energy_error.add(event.check.energy_error)
            # a rejected proposal's error never enters the trajectory
            if event.kind in ("accept", "exact"):
                self.kept_energy_error.add(event.check.energy_error)
        if event.refined is not None:
            self.refinement_blocks.add(event.refined.blocks)
            self.refinement_displacement.add(event.refined.displacement)
            _add(self.refined, event.refined.by_residue)
        if event.move is not None:
            self.moves_weighed.add(event.move.is_weighed)
            self.moves_accepted.add(event.move.is_accepted)
            self.windows_drawn += event.move.windows_drawn
        _add(self.observed, event.observed or {})
        if (end := event.end) is None:
            return
        self.largest_bond_deviation = max(self.largest_bond_deviation, end.bond_deviation)
        for name, kelvin in (end.temperatures or {}).items():
            if name == "all":
                self.temperature.add(kelvin)
            else:
                self.temperature_by_element.setdefault(name, Moments()).add(kelvin)
        if end.potential_energy is not None:
            self.potential_energy.add(end.potential_energy)
        if end.volume is not None:
            self.volume.add(end.volume)
        _add(self.excess_friction, end.excess_friction)

    def __add__(self, other: Totals) -> Totals:
        """Both rollouts as one."""
        joined = Totals()
        for name, ours in vars(self).items():
            theirs = getattr(other, name)
            if type(ours) is dict:
                both = {**ours, **theirs}
                names = {k: ours.get(k, Moments()) + theirs.get(k, Moments()) for k in both}
                setattr(joined, name, names)
            else:
                setattr(joined, name, ours + theirs)
        joined.largest_bond_deviation = max(
            self.largest_bond_deviation, other.largest_bond_deviation
        )
        return joined

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return _ADAPTER.dump_python(self, mode="json")

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Totals:
        """From a checkpoint."""
        return _ADAPTER.validate_python(content)


def _add(moments: dict[str, Moments], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        moments.setdefault(name, Moments()).add(value)


_ADAPTER = TypeAdapter(Totals)
