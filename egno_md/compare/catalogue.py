"""The observables that `compare` measures: definition, unit, source, and when each applies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

Group = Literal["structure", "thermodynamics", "kinetics", "integrity"]
Kind = Literal["scalar", "profile", "distribution", "check", "efficiency"]


@dataclass(frozen=True)
class Entry:
    """One observable.

    Attributes:
        name: as in tables; one that ends in ``*`` stands for one per member.
        topic: the module of `egno_md.compare.observables` that measures it.
        kind: scalar (one number), profile (one number per member), distribution (a
            histogram and its distance), check (of one side) or efficiency.
        group: structure, thermodynamics, kinetics or integrity.
        unit: of its values; of the coordinate for a distribution.
        definition: how it is computed, in a sentence.
        source: where the definition comes from.
        applies: systems and data for which it is defined.
        negligible: real differences below this are called negligible; in `unit`
            (for distributions: of their distance) or, with a %, of the
            reference's value. Empty where no difference is.
    """

    name: str
    topic: str
    kind: Kind
    group: Group
    unit: str
    definition: str
    source: str
    applies: str
    negligible: str

    def threshold(self, reference: float) -> float:
        """The largest negligible difference from this value, in the unit; 0 where none is."""
        if self.negligible.endswith("%"):
            return abs(reference) * float(self.negligible[:-1]) / 100
        return float(self.negligible or 0.0)


@cache
def catalogue() -> tuple[Entry, ...]:
    """Every observable, in the order of tables."""
    text = files("egno_md.compare").joinpath("catalogue.yaml").read_text(encoding="utf-8")
    items: list[dict[str, Any]] = yaml.safe_load(text)
    return tuple(_entry(**item) for item in items)


def _entry(negligible: str | float, **rest: Any) -> Entry:
    text = negligible if isinstance(negligible, str) else f"{negligible:g}"
    return Entry(negligible=text, **rest)


@cache
def entry(name: str) -> Entry:
    """The entry of an observable by its name, members included.

    Raises:
        KeyError: no such observable, which is a bug.
    """
    for item in catalogue():
        if item.name == name:
            return item
    for item in catalogue():
        if item.name.endswith("*") and name.startswith(item.name[:-1]):
            return item
    raise KeyError(name)
