"""How a long computation tells what it is doing, without knowing who listens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Values = Mapping[str, str | float] | str
"""Figures of the moment by name (the unit in the name's or the text's end), or one sentence."""


class Progress(Protocol):
    """A listener to one long computation."""

    def update(self, done: float, total: float, values: Values = "") -> None:
        """`done` of `total` is behind us; `values` are the figures of the moment."""
        ...

    def note(self, text: str) -> None:
        """Something happened that a user should see."""
        ...


class Silent:
    """Listens and says nothing."""

    def update(self, done: float, total: float, values: Values = "") -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""
