"""What a user sees: progress, notes and tables, on a terminal or in a log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

LOG_EVERY = 15.0
"""Seconds between lines where there is no terminal."""


class Console:
    """Writes progress to stderr and results to stdout.

    Args:
        quiet: say nothing but results and errors.
        as_json: results as one JSON object; nothing else on stdout.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet, self.as_json = quiet, as_json
        self._err = RichConsole(stderr=True, highlight=False)
        self._out = RichConsole(highlight=False, width=None if sys.stdout.isatty() else 110)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._title = ""
        self._said = 0.0
        self._began = 0.0

    def stage(self, title: str) -> None:
        """Begin a new stretch of work."""
        self.close()
        self._title, self._said, self._began = title, 0.0, time.monotonic()
        if self.quiet:
            return
        if self._err.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[text]}"),
                console=self._err,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(title, total=1.0, text="")

    def update(self, done: float, total: float, text: str = "") -> None:
        """Show how far the stage is."""
        share = done / total if total else 1.0
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=share, text=text)
            return
        now = time.monotonic()
        if self.quiet or (now - self._said < LOG_EVERY and share < 1):
            return
        self._said = now
        left = (now - self._began) * (1 - share) / share if share > 0 else 0.0
        self._err.print(f"{self._title}: {share:4.0%}, {text}, {left:.0f} s left", soft_wrap=True)

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
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
