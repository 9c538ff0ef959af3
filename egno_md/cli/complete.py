"""Shell completion of arguments: shipped names, existing folders and files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

DEPTH = 3
"""Levels of folders searched below the one being typed."""
MOST = 200

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
STORES = frozenset({"generate", "load", "propagate"})


def systems(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Shipped systems, and folders with a system.yaml."""
    from egno_md.spec.files import shipped_systems

    return _items([*shipped_systems(), *_folders_with("system.yaml", typed)], typed)


def protocols(verb: str) -> Completer:
    """Shipped protocols of a verb, and YAML files."""

    def complete(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
        from egno_md.spec.files import shipped

        names = sorted(p.stem for p in (shipped("protocols") / verb).glob("*.yaml"))
        return _items([*names, *_files("*.yaml", typed)], typed)

    return complete


def operators(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Operators shipped with the system already typed, and bundles."""
    from egno_md.spec.files import shipped

    system = str(ctx.params.get("system") or "*")
    cards = (shipped("systems")).glob(f"{Path(system).name}/operators/*/card.json")
    names = sorted(p.parent.name for p in cards)
    return _items([*names, *_folders_with("card.json", typed)], typed)


def named_operators(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Shipped operators as SYSTEM/NAME, and bundles."""
    from egno_md.spec.files import shipped

    folders = sorted(p.parent for p in shipped("systems").glob("*/operators/*/card.json"))
    names = [f"{p.parents[1].name}/{p.name}" for p in folders]
    return _items([*names, *_folders_with("card.json", typed)], typed)


def bundles(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Folders that hold an operator."""
    return _items(_folders_with("card.json", typed), typed)


def stores(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Folders that hold a trajectory store."""
    return _items((f for f in _folders_with("run.json", typed) if _verb(f) in STORES), typed)


def runs(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Folders that any verb has written."""
    return _items(_folders_with("run.json", typed), typed)


def settings(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Dotted keys of the verb's protocol."""
    from egno_md.registry import MODELS
    from egno_md.spec.describe import dotted_keys

    model = MODELS.get(ctx.info_name or "")
    return [] if model is None else _items((f"{k}=" for k in dotted_keys(model)), typed)


def _items(values: Iterator[str] | list[str], typed: str) -> list[CompletionItem]:
    unique = dict.fromkeys(v for v in values if v.startswith(typed))
    return [CompletionItem(v) for v in list(unique)[:MOST]]


def _verb(folder: str) -> str:
    try:
        return str(json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))["verb"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _files(pattern: str, typed: str) -> Iterator[str]:
    parent = Path(typed) if typed.endswith("/") else Path(typed).parent
    yield from (str(p) for p in sorted(parent.glob(pattern)))


def _folders_with(name: str, typed: str) -> Iterator[str]:
    """Folders that hold a file of that name, at and below the folder being typed."""
    root = Path(typed) if typed.endswith("/") else Path(typed).parent
    for depth in range(DEPTH + 1):
        for path in sorted(root.glob("/".join(["*"] * depth + [name]))):
            folder = path.parent
            if folder != Path() and not any(p.startswith(".") for p in folder.parts if p != ".."):
                yield str(folder)
