"""A replica on its way: its frame, its random stream, and what it remembers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from egno_md.core.state import Frame
from egno_md.propagate.event import Event

Array = np.ndarray

MEMORY_PS = 2.0
"""Relaxation time of the running temperatures, ps."""

DECORRELATION_PS = 0.1
"""Time after which a small molecule's kinetic temperature is new, for its noise."""

NOISE = 4.0
"""Standard errors that a running temperature may be off before it counts."""


@dataclass(frozen=True)
class RunningTemperature:
    """Exponential mean of the temperature, overall and per element.

    Attributes:
        values: mean so far, K, by name: ``all`` and one per element.
        elapsed: ps averaged over.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    elapsed: float = 0.0

    def updated(self, kelvins: Mapping[str, float], duration: float) -> RunningTemperature:
        """With a frame's temperatures, that stand for `duration` ps, taken in."""
        elapsed = self.elapsed + duration
        weight = min(duration / min(elapsed, MEMORY_PS), 1.0)
        values = dict(self.values)
        for name, value in kelvins.items():
            before = values.get(name, value)
            values[name] = before + weight * (value - before)
        return RunningTemperature(values, elapsed)

    def worst(
        self, kelvin: float, tolerance: float, freedom: Mapping[str, float]
    ) -> tuple[str, float] | None:
        """The name and value furthest beyond `tolerance` and noise, or None.

        Args:
            kelvin: target.
            tolerance: largest |T/T₀ - 1|.
            freedom: degrees of freedom per name.
        """
        samples = max(min(self.elapsed, MEMORY_PS) / DECORRELATION_PS, 1.0)
        beyond = {}
        for name, value in self.values.items():
            noise = NOISE * np.sqrt(2 / freedom[name] / samples)
            excess = abs(value / kelvin - 1) - max(tolerance, noise)
            if excess > 0:
                beyond[name] = excess
        if not beyond:
            return None
        name = max(beyond, key=beyond.__getitem__)
        return name, self.values[name]


@dataclass(frozen=True, eq=False)
class ReplicaState:
    """One copy of the system at a window's boundary.

    Attributes:
        index: which replica.
        frame: where it is.
        random: its own stream. A step draws from a copy: the state it was given stays.
        window: windows behind it.
        running: its running temperatures.
        excess_friction: adaptive friction per element, 1/ps.
        energy: total energy to keep in NVE, kJ/mol; of the first evaluated start.
        begun: time of that start, ps.
        volume_moves: trial moves of the volume, and how many of them were accepted.
        stop_reason: empty while it runs.
        last_event: event of the latest window; a resumed rollout has none yet.
    """

    index: int
    frame: Frame
    random: np.random.Generator
    window: int = 0
    running: RunningTemperature = RunningTemperature()
    excess_friction: Float[Array, " elements"] = field(default_factory=lambda: np.zeros(0))
    energy: float | None = None
    begun: float = 0.0
    volume_moves: tuple[int, int] = (0, 0)
    stop_reason: str = ""
    last_event: Event | None = None

    def forked(self) -> ReplicaState:
        """The same with a copy of the random stream, to draw from."""
        return replace(self, random=copy.deepcopy(self.random))
