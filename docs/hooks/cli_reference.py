"""The command reference, out of click."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from egno_md.cli import main
from egno_md.cli.options import writes

PROGRAM = "egno-md"


def page() -> str:
    """The options that verbs share, then one section a verb."""
    shared = _shared()
    lines = ["## Options of every verb that writes", "", *_table(list(shared.values()))]
    for name, command in main.commands.items():
        lines += _command(f"{PROGRAM} {name}", command, 2, set(shared))
    return "\n".join(lines)


def _shared() -> dict[str, click.Option]:
    """What `writes` adds to a verb."""

    def verb() -> None: ...

    made = click.command()(writes(verb))
    return {p.name: p for p in made.params if isinstance(p, click.Option) and p.name}


def _command(path: str, command: click.Command, level: int, shared: set[str]) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield from ("", f"{'#' * level} `{path.removeprefix(PROGRAM).strip()}`", "")
    for paragraph in inspect.cleandoc(command.help or "").replace("\b\n", "").split("\n\n"):
        yield from (_prose(paragraph), "")
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _command(f"{path} {name}", inner, level + 1, shared)
        return
    pieces = [p for p in command.collect_usage_pieces(context) if p != "[OPTIONS]"]
    own = [p for p in command.params if isinstance(p, click.Option) and p.name not in shared]
    yield from ("```text", " ".join([path, *pieces, "[OPTIONS]"]), "```", "")
    yield from _table(own)
    if any(p.name in shared and p.name != "as_json" for p in command.params):
        yield from (
            "",
            "And the [options of every verb that writes](#options-of-every-verb-that-writes).",
        )


def _table(options: list[click.Option]) -> Iterator[str]:
    if not options:
        return
    yield from ("| option | value | default | meaning |", "|---|---|---|---|")
    for option in options:
        names = ", ".join(f"`{name}`" for name in option.opts)
        help_text = _prose(option.help or "").replace("|", "\\|")
        yield f"| {names} | {_value(option)} | {_default(option)} | {help_text} |"


def _value(option: click.Option) -> str:
    kind = option.type
    if option.is_flag:
        return ""
    if isinstance(kind, click.Choice):
        return ", ".join(f"`{c}`" for c in kind.choices)
    if option.metavar:
        return f"`{option.metavar}`"
    names = {"path": "path", "text": "text", "integer": "whole number"}
    if isinstance(kind, click.IntRange):
        top = "" if kind.max is None else f" to {kind.max}"
        return f"whole number from {kind.min}{top}"
    return names.get(kind.name, kind.name)


def _default(option: click.Option) -> str:
    if option.required:
        return "*required*"
    value = option.default
    is_plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return f"`{value}`" if is_plain else ""


def _prose(text: str) -> str:
    """Help text as Markdown: what is quoted or looks like a command is code."""
    text = " ".join(text.split())
    text = re.sub(r"(?<![\w=])'([^']+)'", r"`\1`", text)
    text = re.sub(r"(?<![\w`'])(--[a-z][a-z-]*)", r"`\1`", text)
    return text.replace("$", "\\$")
