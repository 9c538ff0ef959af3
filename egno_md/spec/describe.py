"""What the fields of a spec mean: types, units, choices, defaults and their documentation.

The models are the only source: `egno-md init` writes commented files from them,
and the protocol reference is built from them.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from egno_md.core.units import format_quantity
from egno_md.spec.base import BOUNDS, Quantity


@dataclass(frozen=True)
class FieldDoc:
    """One key of a spec.

    Attributes:
        name: the key.
        kind: allowed values, for readers.
        meaning: from the model's docstring.
        default: as YAML would say it; None where the key is required.
        is_required: whether it must be given.
        models: specs allowed as its value; several where `kind` decides.
        is_named: whether the value holds any number of them, each by a name of its own.
    """

    name: str
    kind: str
    meaning: str
    default: str | None
    is_required: bool
    models: tuple[type[BaseModel], ...]
    is_named: bool


def describe(model: type[BaseModel]) -> list[FieldDoc]:
    """Every field of a spec in order."""
    meanings = field_meanings(model)
    return [
        FieldDoc(
            name=name,
            kind=_kind(field.annotation, field.metadata),
            meaning=first_sentence(summary(model)) if name == "kind" else meanings.get(name, ""),
            default=None if field.is_required() else _default(field),
            is_required=field.is_required(),
            models=tuple(models_of(field.annotation)),
            is_named=get_origin(field.annotation) is dict,
        )
        for name, field in model.model_fields.items()
    ]


def summary(model: type[BaseModel]) -> str:
    """The docstring of a spec up to its `Attributes`, as one paragraph."""
    text = inspect.cleandoc(model.__doc__ or "").split("\nAttributes:")[0]
    return " ".join(text.split())


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence."""
    return re.split(r"(?<=\.)\s(?=[A-Z])", text, maxsplit=1)[0]


def tags(model: type[BaseModel]) -> tuple[str, ...]:
    """The values of `kind` that stand for a spec; none where it has no kind."""
    kind = model.model_fields.get("kind")
    return tuple(str(v) for v in get_args(kind.annotation)) if kind else ()


@cache
def field_meanings(model: type[BaseModel]) -> dict[str, str]:
    """The `Attributes` section of a spec's docstring and of its bases'."""
    meanings: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if base is BaseModel or not issubclass(base, BaseModel) or not base.__doc__:
            continue
        _, _, section = inspect.cleandoc(base.__doc__).partition("\nAttributes:\n")
        for name, text in re.findall(r"^ {4}(\w+): (.*(?:\n {6,}.*)*)", section, re.MULTILINE):
            meanings[name] = " ".join(text.split())
    return meanings


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    quantity = next(_quantities(field.annotation, field.metadata), None)
    if quantity is not None and isinstance(value, float):
        return format_quantity(value, quantity.dimension)
    return as_yaml(value)


def as_yaml(value: Any) -> str:
    """A value as YAML writes it in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    text = text.removesuffix("\n").removesuffix("\n...")
    if text.isprintable():
        return text
    escaped = yaml.safe_dump(value, default_flow_style=True, default_style='"', width=10_000)
    return escaped.removesuffix("\n")


def _quantities(annotation: Any, metadata: list[Any]) -> Iterator[Quantity]:
    yield from (m for m in metadata if isinstance(m, Quantity))
    for argument in get_args(annotation):
        if get_origin(argument) is Annotated:
            yield from (m for m in argument.__metadata__ if isinstance(m, Quantity))


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The specs that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_of(argument)


def _kind(annotation: Any, metadata: list[Any]) -> str:
    """Allowed values, such as ``time > 0`` or ``one of: none, h-bonds``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0], [*metadata, *arguments[1:]])
    if origin in (Union, types.UnionType):
        kinds = [tags(a) for a in arguments if isinstance(a, type) and issubclass(a, BaseModel)]
        if kinds and all(kinds):
            return f"keys; kind is one of: {', '.join(t for f in kinds for t in f)}"
        rest = [_kind(a, metadata) for a in arguments if a is not type(None)]
        return " or ".join([*rest, *(["null"] if type(None) in arguments else [])])
    if origin is Literal:
        names = [str(a) for a in arguments]
        return names[0] if len(names) == 1 else f"one of: {', '.join(names)}"
    if origin is dict:
        return "keys"
    if origin in (list, tuple):
        return f"list of {_kind(arguments[0], [])}" if arguments else "list"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys"
    quantity = next((m for m in metadata if isinstance(m, Quantity)), None)
    if quantity is not None:
        checks = [m.func for m in metadata if isinstance(m, AfterValidator)]
        return " ".join([quantity.dimension, *(BOUNDS[c] for c in checks if c in BOUNDS)])
    names = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    return names.get(annotation, getattr(annotation, "__name__", "value")) + _bounds(metadata)


def _bounds(metadata: list[Any]) -> str:
    signs = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
    flat = [x for m in metadata for x in (getattr(m, "metadata", None) or [m])]
    bounds = [
        f"{sign} {getattr(m, name):g}"
        for m in flat
        for bound, (sign, name) in signs.items()
        if isinstance(m, bound)
    ]
    return f" {', '.join(bounds)}" if bounds else ""


def dotted_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every key that ``--set`` can change, such as ``sampling.length``."""
    keys: list[str] = []
    for field in describe(model):
        name = prefix + field.name
        inner = [k for m in field.models for k in dotted_keys(m, f"{name}.")]
        keys += inner or [name]
    return list(dict.fromkeys(keys))
