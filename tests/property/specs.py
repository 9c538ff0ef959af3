"""Draws what YAML may say, from the fields of a spec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from egno_md.core.units import UNITS
from egno_md.spec.base import Quantity
from egno_md.spec.describe import tags

CHARACTERS = st.one_of(st.characters(codec="ascii"), st.sampled_from("\u00a0\x85\u2028\ufeffÅé²😀"))
WORDS = st.text(CHARACTERS, max_size=12)
NAMES = st.one_of(st.sampled_from(["egno", "steps", "kind", "a b", "3", "a.b"]), WORDS)
FEMTOSECONDS = {"timestep": (0, 2), "frame_spacing": (2, 4), "slab": (5, 8), "length": (8, 12)}
"""Powers of two, so that one time is often a multiple of another."""

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    WORDS,
    st.sampled_from(["2 fs", "300 K", "0.5 nm", "nvt", "egno", "uniform", 10**400, "\n", "-1 ps"]),
)


def json_like(keys: list[str]) -> st.SearchStrategy[Any]:
    """Anything that JSON could hold, with keys that often mean something."""
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.one_of(st.sampled_from(keys), WORDS), inner, max_size=4),
        ),
        max_leaves=8,
    )


def content(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Keys and values of a spec, each valid on its own."""
    needed, free = {}, {}
    for name, field in model.model_fields.items():
        is_kept = field.is_required() or name in ("kind", "edges")
        drawn = _values(name, field.annotation, field.metadata)
        (needed if is_kept else free)[name] = drawn
    return st.fixed_dictionaries(needed, optional=free).map(_agreeing)


def _agreeing(values: dict[str, Any]) -> dict[str, Any]:
    """Radius edges have a cutoff, and a budget is given."""
    if values.get("edges") == "radius":
        return {**values, "cutoff": "0.5 nm"}
    if "edges" in values:
        return {k: v for k, v in values.items() if k != "cutoff"}
    return values


def _values(name: str, annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(name, arguments[0], [*metadata, *arguments[1:]])
    flat = [x for m in metadata for x in (m.metadata if isinstance(m, FieldInfo) else [m])]
    quantity = next((m for m in flat if isinstance(m, Quantity)), None)
    if quantity is not None and annotation is float:
        return _quantities(name, quantity)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is Union or str(origin) == "<class 'types.UnionType'>":
        return st.one_of(*(_values(name, a, flat) for a in arguments))
    if origin in (list, tuple):
        least = next((m.min_length for m in flat if isinstance(m, MinLen)), 0)
        return st.lists(_values(name, arguments[0], []), min_size=least, max_size=3)
    if origin is dict:
        inner = WORDS if arguments[1] is Any else _values(name, arguments[1], [])
        return st.dictionaries(NAMES, inner, max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return content(annotation)
    return _plain(name, annotation, flat)


def _plain(name: str, kind: Any, bounds: list[Any]) -> st.SearchStrategy[Any]:
    low = next((getattr(m, "ge", None) or getattr(m, "gt", 0) for m in bounds
                if isinstance(m, (Ge, Gt))), 0)  # fmt: skip
    high = next((getattr(m, "le", None) or getattr(m, "lt", 0) for m in bounds
                 if isinstance(m, (Le, Lt))), 64)  # fmt: skip
    above, below = (any(isinstance(m, bound) for m in bounds) for bound in (Gt, Lt))
    if kind is int:
        return st.sampled_from([1, 2, 4]) if name == "points" else st.integers(low, 64)
    if kind is float:
        return st.floats(low, high, exclude_min=above, exclude_max=below, allow_subnormal=False)
    if any(getattr(m, "pattern", None) for m in bounds):
        return st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)
    return {bool: st.booleans(), Path: WORDS, type(None): st.none()}.get(kind, WORDS)


def _quantities(name: str, quantity: Quantity) -> st.SearchStrategy[str]:
    if quantity.dimension == "time":
        low, high = FEMTOSECONDS.get(name, (4, 12))
        return st.integers(low, high).map(lambda power: f"{2**power} fs")
    unit = UNITS[quantity.dimension][0]
    return st.floats(1e-9, 1e9).map(lambda value: f"{value!r} {unit}")


Place = tuple[tuple[str, ...], FieldInfo]


def places(model: type[BaseModel], values: dict[str, Any], at: tuple[str, ...] = ()) -> list[Place]:
    """Every key that some content gives, with its field, from the outside in."""
    found: list[Place] = []
    for name, value in values.items():
        field = model.model_fields[name]
        found.append(((*at, name), field))
        for path, inner, chosen in _inside(field.annotation, value, (*at, name)):
            found += places(chosen, inner, path)
    return found


def _inside(
    annotation: Any, value: Any, at: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any], type[BaseModel]]]:
    models = list(_models(annotation))
    if not models or not isinstance(value, dict):
        return
    if get_origin(annotation) is dict:
        for name, inner in value.items():
            yield from _inside(get_args(annotation)[1], inner, (*at, name))
        return
    kind = value.get("kind")
    yield at, value, next((m for m in models if kind in tags(m)), models[0])


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def dimension(field: FieldInfo) -> str | None:
    """What a field measures, or None where it is no quantity."""
    inner = [m for a in get_args(field.annotation) for m in getattr(a, "__metadata__", ())]
    found = [m for m in [*field.metadata, *inner] if isinstance(m, Quantity)]
    return found[0].dimension if found else None
