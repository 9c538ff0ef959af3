"""What happened in a rollout, window by window, and what it cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from egno_md.propagate.checks import Check

KINDS = ("accept", "stay", "prefix", "refine", "fallback", "stop")
CLOCKS = (
    "network",
    "lift",
    "checks",
    "refinement",
    "fallback",
    "dynamics",
    "thermostat",
    "constraints",
    "barostat",
    "observables",
    "output",
)


@dataclass(frozen=True)
class Event:
    """One window's outcome.

    Attributes:
        replica: which.
        window: counted from 0.
        time: ps, at the window's end.
        kind: accept, stay (a Metropolis move not made), prefix, refine, fallback or stop.
        reason: why not simply accepted.
        seconds: spent on checks and repair of this window.
        check: what was measured on the proposal, where it was checked; after a
            refinement of every window, on the refined frame.
        refined: what a refinement did, and to which residues.
        observed: of a protein at the window's end.
    """

    replica: int
    window: int
    time: float
    kind: str
    reason: str
    seconds: float
    check: Check | None
    refined: dict[str, Any] | None = None
    observed: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """One flat record; what is not finite becomes null."""
        record: dict[str, Any] = {
            "replica": self.replica,
            "window": self.window,
            "time": round(self.time, 9),
            "kind": self.kind,
            "reason": self.reason,
            "seconds": round(self.seconds, 6),
        }
        names = (
            "energy_error",
            "max_force",
            "bond_deviation",
            "closest_contact",
            "temperature",
        )
        measured = {} if self.check is None else asdict(self.check)
        for name in names:
            record[name] = _finite(measured.get(name))
        record["temperature_by_element"] = {
            k: _finite(v) for k, v in measured.get("temperature_by_element", {}).items()
        }
        if self.refined is not None:
            record["refined"] = self.refined
        if self.observed is not None:
            record["observed"] = {k: _finite(v) for k, v in self.observed.items()}
        return record


@dataclass
class Tally:
    """Running totals of a rollout; grows with windows only in numbers, not in memory.

    Attributes:
        events: count per kind.
        seconds: per clock.
        moments: per quantity: count, sum and sum of squares.
        largest_bond_deviation: nm.
    """

    events: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(CLOCKS, 0.0))
    moments: dict[str, list[float]] = field(default_factory=dict)
    largest_bond_deviation: float = 0.0

    def count(self, event: Event) -> None:
        """Take an event in."""
        self.events[event.kind] += 1
        if event.check is not None and event.check.energy_error is not None:
            self.add("energy_error", event.check.energy_error)
            # a rejected proposal's error never enters the trajectory
            if event.kind == "accept":
                self.add("kept_energy_error", event.check.energy_error)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Charge what happens inside to one of the clocks."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begun

    def add_temperatures(self, kelvins: Mapping[str, float]) -> None:
        """Take a frame's temperatures in, as `Checker.temperatures` gives them."""
        for name, kelvin in kelvins.items():
            self.add("temperature" if name == "all" else f"temperature.{name}", kelvin)

    def add(self, name: str, value: float) -> None:
        """Take one sample of a quantity in; what is not finite is left out."""
        if not np.isfinite(value):
            return
        moments = self.moments.setdefault(name, [0.0, 0.0, 0.0])
        moments[0] += 1
        moments[1] += value
        moments[2] += value * value

    def mean(self, name: str) -> float | None:
        """Mean of a quantity, or None without samples."""
        count, total, _ = self.moments.get(name, (0.0, 0.0, 0.0))
        return total / count if count else None

    def deviation(self, name: str) -> float | None:
        """Standard deviation of a quantity, or None without samples."""
        count, total, squares = self.moments.get(name, (0.0, 0.0, 0.0))
        return float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0))) if count else None

    def __add__(self, other: Tally) -> Tally:
        """Both rollouts as one."""
        moments = {
            name: [
                a + b
                for a, b in zip(
                    self.moments.get(name, [0.0] * 3),
                    other.moments.get(name, [0.0] * 3),
                    strict=True,
                )
            ]
            for name in {**self.moments, **other.moments}
        }
        seconds = {
            k: self.seconds.get(k, 0.0) + other.seconds.get(k, 0.0)
            for k in {**self.seconds, **other.seconds}
        }
        return Tally(
            self.events + other.events,
            seconds,
            moments,
            max(self.largest_bond_deviation, other.largest_bond_deviation),
        )

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "events": dict(self.events),
            "seconds": self.seconds,
            "moments": self.moments,
            "largest_bond_deviation": self.largest_bond_deviation,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Tally:
        """From a checkpoint."""
        return cls(
            Counter(content["events"]),
            dict.fromkeys(CLOCKS, 0.0) | content["seconds"],
            content["moments"],
            content["largest_bond_deviation"],
        )


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")
