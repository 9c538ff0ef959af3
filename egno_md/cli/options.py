"""Options that verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from egno_md.cli import complete
from egno_md.core.errors import SpecError

if TYPE_CHECKING:
    from egno_md.data.output import OutputMode


def writes(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every verb that writes; gives it `out`, `seed`, `device`, `mode`
    and `console`.
    """

    @click.option("--out", required=True, type=click.Path(path_type=Path), help="Output directory.")
    @click.option("--resume", is_flag=True, help="Continue the same run in --out.")
    @click.option("--overwrite", is_flag=True, help="Replace an earlier run in --out.")
    @click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1))
    @click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "gpu"]),
        default="auto",
        show_default=True,
        help="Where the work runs that a GPU can do.",
    )
    @click.option("--quiet", is_flag=True, help="Only results and errors, no progress.")
    @click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="The result as one JSON object on stdout; no progress.",
    )
    @functools.wraps(verb)
    def wrapped(*args: Any, resume: bool, overwrite: bool, quiet: bool, as_json: bool, **kw: Any):
        from egno_md.console import Console

        if resume and overwrite:
            raise SpecError("--resume and --overwrite exclude each other. Give one.")
        mode: OutputMode = "resume" if resume else "overwrite" if overwrite else "new"
        console = Console(quiet=quiet or as_json, as_json=as_json)
        console.stage(verb.__name__)
        try:
            return verb(*args, mode=mode, console=console, **kw)
        finally:
            console.close()

    return wrapped


def fans_out(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a verb that shares its work; turns them into `workers` and `executor`."""

    @click.option(
        "--workers",
        default=1,
        show_default=True,
        type=click.IntRange(1),
        help="Processes of this machine that share the work.",
    )
    @click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Share it among the workers of this Dask scheduler: tcp://… or its scheduler file.",
    )
    @functools.wraps(verb)
    def wrapped(*args: Any, workers: int, scheduler: str | None, **kw: Any):
        from egno_md.core.executors import open_executor

        if scheduler is None:
            return verb(*args, workers=workers, executor=None, **kw)
        if workers > 1:
            raise SpecError("--workers and --scheduler exclude each other. Give one.")
        with open_executor(1, scheduler) as executor:
            return verb(*args, workers=1, executor=executor, **kw)

    return wrapped


def takes_protocol(verb: str, default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The `--protocol` option: a protocol of `verb`."""
    return click.option(
        "--protocol",
        default=default,
        show_default=True,
        help="File or shipped name.",
        shell_complete=complete.protocols(verb),
    )


def changes(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The `--set` option: changes of protocol keys."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change one protocol key, such as sampling.length='50 ps'. Repeatable.",
        shell_complete=complete.settings,
    )(verb)


def read_settings(settings: tuple[str, ...]) -> dict[str, object]:
    """``key=value`` pairs, values read as YAML."""
    import yaml

    pairs: dict[str, object] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise SpecError(f"--set {setting!r}: write KEY=VALUE, such as temperature='300 K'.")
        try:
            pairs[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise SpecError(f"--set {setting!r}: the value cannot be read as YAML.") from None
    return pairs
