"""The command group: suggests the nearest verb and turns our errors into one line."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from egno_md.cli.failures import explain
from egno_md.core.errors import EgnoMDError
from egno_md.core.processes import terminable

DONE = 0
CHECK_FAILED = 1
"""`doctor` reported a problem."""
USER_ERROR = 2
INTERRUPTED = 130


class Group(click.Group):
    """Suggests the nearest verb, and turns our errors into one line."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb."""
        from egno_md.spec.files import suggest

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(
                f"{error.message}{suggest(args[0], list(self.commands))}"
            ) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a traceback reaches a user only for a bug."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # terminals that know no Å
        try:
            with terminable():
                return super().invoke(ctx)
        except EgnoMDError as error:
            message = "\n".join([" ".join(str(error).split()), *getattr(error, "__notes__", ())])
        except KeyboardInterrupt:
            click.echo("Interrupted. Continue with the same command and --resume.", err=True)
            sys.exit(INTERRUPTED)
        except (OSError, RuntimeError, MemoryError) as error:
            if (message := explain(error)) is None:
                raise
        click.echo(message, err=True)
        sys.exit(USER_ERROR)
