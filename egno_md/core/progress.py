"""How a long computation tells what it is doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener to one long computation."""

    def update(self, done: float, total: float, text: str = "") -> None:
        """`done` of `total` is behind us; `text` holds the figures of the moment."""
        ...

    def note(self, text: str) -> None:
        """Something happened that a user should see."""
        ...


class Silent:
    """Listens and says nothing."""

    def update(self, done: float, total: float, text: str = "") -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""
