"""Where the time of a rollout goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

Clock = Literal[
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
]


@dataclass(frozen=True)
class Clocks:
    """Seconds of wall time by what they were spent on.

    Attributes:
        seconds: per clock.
    """

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(map(str, get_args(Clock)), 0.0)
    )

    @contextmanager
    def charge(self, name: Clock) -> Iterator[None]:
        """Charge what happens inside to one of the clocks."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begun

    def restore(self, seconds: Mapping[str, float]) -> None:
        """Go on from seconds of an earlier run."""
        self.seconds.update(seconds)
