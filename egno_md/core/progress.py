"""Progress of long computations, whoever displays it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Values = Mapping[str, str | float] | str
"""Current figures by name (the unit ends the name or the text), or one sentence."""


class Progress(Protocol):
    """Receives the progress of one long computation."""

    def update(self, done: float, total: float, values: Values = "") -> None:
        """Report `done` of `total`; `values` are current figures."""
        ...

    def note(self, text: str) -> None:
        """Report an event to the user."""
        ...


class Silent:
    """Reports nothing."""

    def update(self, done: float, total: float, values: Values = "") -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""
