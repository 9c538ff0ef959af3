"""YAML with a comment at every key, written from a spec and its documentation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from egno_md.spec.describe import FieldDoc, as_yaml, describe, tags

COMMENT_COLUMN = 34
WIDTH = 100
NO_BREAK = "\u00a0"


def commented_yaml(spec: BaseModel, header: str) -> str:
    """A spec as YAML that reads back as the same spec, every key explained.

    Args:
        spec: what the file says.
        header: comment at the top.
    """
    lines = [f"# {line}".rstrip() for line in textwrap.wrap(header, WIDTH - 2)]
    lines += _block(type(spec), spec.model_dump(mode="json"), 0)
    return "\n".join(lines) + "\n"


def _block(
    model: type[BaseModel], values: dict[str, Any] | None, depth: int, prefix: str = ""
) -> Iterator[str]:
    """Lines of one spec; without values, of what it could say."""
    indent = prefix + "  " * depth
    for field in describe(model):
        value = None if values is None else values.get(field.name)
        if not field.models:
            yield from _line(field, value if values is not None else ..., indent)
            continue
        is_left_out = values is not None and value is None
        key = f"{indent}{field.name}:"
        if field.is_named:
            yield from _commented(key if value else f"{key} {{}}", field.meaning.rstrip("."))
            yield from _named(field, value or {}, depth + 1, prefix)
            continue
        yield from _commented(f"{key} null" if is_left_out else key, field.meaning.rstrip("."))
        chosen = None if is_left_out else _chosen(field, value)
        if chosen is not None:
            yield from _block(chosen, value, depth + 1, prefix)
        for other in field.models:
            if other is not chosen and values is not None:
                yield from _alternative(field.name, other, depth)


def _named(field: FieldDoc, values: dict[str, Any], depth: int, prefix: str) -> Iterator[str]:
    """Specs by name: the first explained, the others as they are."""
    indent = prefix + "  " * depth
    for number, (name, inner) in enumerate(values.items()):
        yield f"{indent}{as_yaml(name)}:"
        if number == 0:
            yield from _block(_chosen(field, inner), inner, depth + 1, prefix)
        else:
            plain = yaml.safe_dump(inner, sort_keys=False, allow_unicode=True, width=WIDTH // 2)
            if not plain.replace("\n", "").isprintable():
                plain = yaml.safe_dump(inner, sort_keys=False)
            yield from textwrap.indent(plain, f"{indent}  ").splitlines()


def _chosen(field: FieldDoc, value: dict[str, Any] | None) -> type[BaseModel]:
    kind = (value or {}).get("kind")
    return next((m for m in field.models if kind in tags(m)), field.models[0])


def _line(field: FieldDoc, value: Any, indent: str) -> Iterator[str]:
    meaning = field.meaning.rstrip(".")
    if field.name == "kind":
        kinds = field.kind.removeprefix("one of: ").split(", ")
        text = kinds[0] if value is ... else value
        choice = f" [{', '.join(kinds)}]" if len(kinds) > 1 else ""
        yield from _commented(f"{indent}kind: {text}", meaning + choice)
        return
    unset = "…" if field.default is None else field.default
    text = unset if value is ... else as_yaml(value)
    default = "" if field.is_required else "; default"
    if default and text != field.default:
        default += f" {field.default}"
    allowed = field.kind.removeprefix("one of: ") + default
    yield from _commented(f"{indent}{field.name}: {text}", f"{meaning} [{_unbroken(allowed)}]")


def _unbroken(text: str) -> str:
    """Bounds stay with what they bound."""
    return re.sub(r" (?=[<>≤≥]|\d)", NO_BREAK, text)


def _commented(text: str, comment: str) -> Iterator[str]:
    column = max(COMMENT_COLUMN, len(text) + 2)
    lines = textwrap.wrap(comment, max(WIDTH - column - 2, 40)) or [""]
    first, *rest = (line.replace(NO_BREAK, " ") for line in lines)
    yield f"{text.ljust(column)}# {first}" if first else text
    mark = "#" if text.startswith("#") else ""
    yield from (f"{mark.ljust(column)}# {line}" for line in rest)


def _alternative(name: str, model: type[BaseModel], depth: int) -> Iterator[str]:
    """Another spec that may stand at a key, commented out."""
    prefix = "  " * depth + "# "
    yield f"{prefix}or, in its place:"
    yield f"{prefix}{name}:"
    yield from _block(model, None, 1, prefix)
