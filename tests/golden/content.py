"""What a golden run is: numbers and words that do not depend on how long anything took."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from egno_md.core.state import Trajectory
from egno_md.data.store import Store

TIMED = {
    "seconds",
    "rollout_ns_per_day",
    "reference_ns_per_day",
    "speed_up",
    "ns_per_day",
    "wall_seconds",
    "serial_seconds",
    "cost",
    "modelled_speed_up",
    "measured_speed_up",
}
"""Keys whose values are, or follow from, a clock."""

PLACES = {"reference_platform", "network_device", "network_threads"}
"""Keys that say where something ran."""


@dataclass(frozen=True, eq=False)
class Content:
    """What came of a run.

    Attributes:
        text: what is JSON: events, summary or statistics, result.
        arrays: frames.
    """

    text: dict[str, Any]
    arrays: dict[str, np.ndarray]


def untimed(value: Any) -> Any:
    """JSON without clocks and places, as it is after a file."""
    if isinstance(value, Mapping):
        return {str(k): untimed(v) for k, v in value.items() if k not in TIMED | PLACES}
    if isinstance(value, (list, tuple)):
        return [untimed(v) for v in value]
    return value


def frames(chain: str, trajectory: Trajectory) -> dict[str, np.ndarray]:
    """All that a stored trajectory holds, by `chain.field`."""
    names = ("positions", "velocities", "times", "potential_energy", "forces", "box")
    known = {n: getattr(trajectory, n) for n in names}
    return {f"{chain}.{n}": np.asarray(a) for n, a in known.items() if a is not None}


def of_store(store: Store) -> dict[str, np.ndarray]:
    """Every chain of a store."""
    return {k: a for name in store.chains for k, a in frames(name, store.chain(name)).items()}


def of_rollout(out: Path, store: Store) -> Content:
    """What `propagate` left in a folder."""
    lines = sorted(out.glob("batch-*/events.jsonl")) or [out / "events.jsonl"]
    text = {
        "events": {
            str(path.relative_to(out)): [
                untimed(json.loads(line)) for line in path.read_text().splitlines()
            ]
            for path in lines
        },
        "summary": untimed(json.loads((out / "summary.json").read_text())),
        "files": {
            str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted([*out.rglob("*.xtc"), *out.rglob("observables.csv")])
        },
    }
    return Content(text, of_store(store))


def of_events(events: Iterable[Any]) -> list[dict[str, Any]]:
    """Events of a program that keeps them in memory."""
    return [untimed(event.to_json()) for event in events]


def kinds(content: Content) -> list[str]:
    """What happened to every window, in order."""
    found = content.text.get("events", [])
    groups = found.values() if isinstance(found, dict) else [found]
    return [event["kind"] for group in groups for event in group]
