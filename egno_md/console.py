"""What a user sees: progress, notes and tables, on a terminal or in a log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from egno_md.core.progress import Values

LOG_EVERY = 15.0
"""Seconds between lines where there is no terminal."""
COLUMN = 36
"""Characters of a terminal that one named value may take."""


class Console:
    """Writes progress to stderr and results to stdout.

    On a terminal progress is a panel that redraws itself and is gone at the end;
    elsewhere it is a plain line now and then.

    Args:
        quiet: say nothing but results and errors.
        as_json: results as one JSON object; nothing else on stdout.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet, self.as_json = quiet, as_json
        self._err = RichConsole(stderr=True, highlight=False)
        self._out = RichConsole(highlight=False, width=None if sys.stdout.isatty() else 110)
        self._panel: ProgressPanel | None = None
        self._title = ""
        self._said = 0.0
        self._began = 0.0

    def stage(self, title: str) -> None:
        """Begin a new stretch of work."""
        self.close()
        self._title, self._said, self._began = title, 0.0, time.monotonic()
        if self._err.is_terminal and not self.quiet:
            self._panel = ProgressPanel(title, self._err)

    def update(self, done: float, total: float, values: Values = "") -> None:
        """Show how far the stage is."""
        share = done / total if total else 1.0
        if self._panel is not None:
            self._panel.update(share, values)
            return
        now = time.monotonic()
        if self.quiet or (now - self._said < LOG_EVERY and share < 1):
            return
        self._said = now
        left = (now - self._began) * (1 - share) / share if share > 0 else 0.0
        text = _line(values)
        self._err.print(
            f"{self._title}: {share:4.0%}, {text}{', ' if text else ''}{left:.0f} s left",
            soft_wrap=True,
            markup=False,
        )

    def note(self, text: str) -> None:
        """Say one thing."""
        if not self.quiet:
            self._err.print(text, soft_wrap=True, markup=False)

    def result(self, content: dict[str, Any], *lines: str) -> None:
        """Give the result of the command: lines for people, or JSON."""
        self.close()
        if self.as_json:
            print(json.dumps(content))
        else:
            for line in lines:
                self._out.print(line, markup=False, soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a small table; numbers go to the right."""
        self.close()
        if self.as_json:
            return
        table = Table(title=title, title_justify="left", title_style="bold")
        for index, column in enumerate(columns):
            table.add_column(column, justify="left" if index == 0 else "right")
        for row in rows:
            table.add_row(*row)
        self._out.print(table)

    def close(self) -> None:
        """End the stage."""
        if self._panel is not None:
            self._panel.stop()
            self._panel = None


class ProgressPanel:
    """A bar with the time left, and the named values of the moment below it."""

    def __init__(self, title: str, console: RichConsole) -> None:
        self._title, self._console = title, console
        self._bar = Progress(
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("·"),
            TimeRemainingColumn(),
            TextColumn("left"),
            expand=True,
        )
        self._task = self._bar.add_task(title, total=1.0)
        self._live = Live(self._render(""), console=console, transient=True)
        self._live.start()

    def update(self, share: float, values: Values) -> None:
        """Show the share that is done and the values."""
        self._bar.update(self._task, completed=share)
        self._live.update(self._render(values))

    def stop(self) -> None:
        """Take the panel away."""
        self._live.stop()

    def _render(self, values: Values) -> Panel:
        parts: list[Any] = [self._bar]
        if isinstance(values, str):
            parts += [Text(values)] if values else []
        else:
            parts.append(self._grid(values))
        return Panel(Group(*parts), title=Text(self._title, "bold"), title_align="left")

    def _grid(self, values: Mapping[str, str | float]) -> Table:
        across = max(1, min(len(values), (self._console.width - 4) // COLUMN))
        grid = Table.grid(padding=(0, 2), expand=True)
        for _ in range(across):
            grid.add_column(ratio=1, no_wrap=True)
        cells = [Text.assemble((f"{n}  ", "dim"), (_shown(v), "bold")) for n, v in values.items()]
        for start in range(0, len(cells), across):
            grid.add_row(*cells[start : start + across])
        return grid


def _line(values: Values) -> str:
    """Named values as one line of a log."""
    if isinstance(values, str):
        return values
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
