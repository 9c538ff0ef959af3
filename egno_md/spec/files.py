"""Reading YAML into specs: file and key in every message, nearest key suggested."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar, get_origin

import pydantic
import yaml
from pydantic import BaseModel

from egno_md.core.errors import SpecError, shown
from egno_md.spec.base import Spec
from egno_md.spec.describe import models_of, tags
from egno_md.spec.system import SystemSpec

Model = TypeVar("Model", bound=Spec)

LARGEST = 10**300
"""Whole number; Python refuses to write those of thousands of digits."""

MOST_VALUES = 100_000
"""In one file with its anchors expanded: a small file can hold billions."""

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(kind: str) -> Path:
    """The folder of shipped `protocols` or `systems`, in a wheel or a checkout."""
    inside = _PACKAGE / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def find_protocol(verb: str, name: str) -> Path:
    """A protocol file, or the shipped one of that name.

    Raises:
        SpecError: neither exists; the message lists the shipped names.
    """
    path = Path(name)
    if path.is_file():
        return path
    folder = shipped("protocols") / verb
    if not path.suffix and (folder / f"{name}.yaml").is_file():
        return folder / f"{name}.yaml"
    names = sorted(p.stem for p in folder.glob("*.yaml"))
    raise SpecError(
        f"no protocol file '{name}', and no shipped {verb} protocol of that name."
        f"{suggest(name, names)} Shipped: {', '.join(names)}."
    )


def find_system(name: str) -> Path:
    """The YAML of a system.

    Args:
        name: a YAML file, a folder with a `system.yaml`, or a shipped name. A
            folder or a shipped name may be followed by another potential of the
            same atoms: ``ethanol/mmff94`` is `mmff94.yaml` in the folder of ethanol.

    Raises:
        SpecError: none exists; the message lists the shipped names.
    """
    path = Path(name)
    if path.is_file() and path.suffix in {".yaml", ".yml"}:
        return path
    if path.is_file() and path.suffix in {".pdb", ".cif", ".ent", ".sdf", ".mol"}:
        raise SpecError(
            f"{path} is a structure, not a system. Make one of it with 'egno-md prepare {path} "
            f"--out FOLDER'; a complete one in PDB or mmCIF also with 'egno-md init system {path}'."
        )
    shipped_path = shipped("systems") / name
    for folder in (path, shipped_path) if len(path.parts) <= 2 and not path.root else (path,):
        for file in (folder / "system.yaml", folder.parent / f"{folder.name}.yaml"):
            if file.is_file() and (file.parent / "system.yaml").is_file():
                return file
    names = shipped_systems()
    raise SpecError(
        f"no folder '{name}' with a system.yaml, and no shipped system of that name."
        f"{suggest(name, names)} Shipped: {', '.join(names)}."
    )


def shipped_systems() -> list[str]:
    """Names of the shipped systems, each followed by its further potentials."""
    files = shipped("systems").glob("*/*.yaml")
    return sorted(
        p.parent.name if p.name == "system.yaml" else f"{p.parent.name}/{p.stem}" for p in files
    )


def find_operator(system: str, operator: str | Path | None) -> Path:
    """The bundle of an operator: a folder, or one shipped with the system.

    Args:
        system: shipped name or folder.
        operator: a folder, the name of a shipped one, or None for the only one
            or the system's own choice.

    Raises:
        SpecError: there is none, or more than one to choose from.
    """
    if operator is not None and (Path(operator).exists() or len(Path(operator).parts) > 1):
        return Path(operator)
    path = find_system(system)
    folder = path.parent / "operators"
    names = sorted(p.parent.name for p in folder.glob("*/card.json"))
    if operator is None:
        operator = names[0] if len(names) == 1 else read_spec(path, SystemSpec).operator
    if str(operator) in names:
        return folder / str(operator)
    listed = f"Shipped: {', '.join(names)}." if names else "None is shipped with it."
    problem = "no --operator given" if operator is None else f"no operator '{operator}'"
    near = suggest(str(operator), names)
    raise SpecError(f"{problem} for {system}.{near} {listed} Train one with 'egno-md train'.")


def find_named_operator(name: str) -> Path:
    """A bundle's folder, or ``SYSTEM`` or ``SYSTEM/NAME`` for a shipped one.

    Raises:
        SpecError: neither is there.
    """
    system, _, operator = name.partition("/")
    is_shipped = (shipped("systems") / system).is_dir() and "/" not in operator
    if not system or (Path(name).exists() and not is_shipped):
        return Path(name)
    return find_operator(system, operator or None)


def read_spec(path: Path, model: type[Model], overrides: dict[str, object] | None = None) -> Model:
    """Read and check one YAML file.

    Args:
        path: the file.
        model: what it must say.
        overrides: dotted keys from the command line that replace the file's.

    Raises:
        SpecError: missing, not YAML, or a key or value that is not allowed.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file.") from None
    except MemoryError:
        raise
    except Exception as error:  # PyYAML raises anything for what is no date, number or truth
        detail = " ".join(str(error).split())
        raise SpecError(f"{path}: cannot be read as YAML: {detail[:200]}.") from None
    if not isinstance(content, dict):
        raise SpecError(f"{path}: expected keys and values, found {type(content).__name__}.")
    for key, value in (overrides or {}).items():
        _set(content, key, value)
    return validate(content, model, str(path))


def validate(content: object, model: type[Model], source: str) -> Model:
    """Check parsed content against a spec, naming `source` in errors."""
    _check_size(content, source)
    if isinstance(content, dict) and (modern := model.former(content)) is not None:
        text = yaml.safe_dump(modern, sort_keys=False, allow_unicode=True, width=100)
        error = SpecError(
            f"{source}: written for an earlier egno-md. Copy today's form, which says the same:"
        )
        error.add_note(text)
        raise error
    try:
        return model.model_validate(content)
    except pydantic.ValidationError as error:
        raise SpecError(f"{source}: {_first_problem(error, model)}") from None


def _check_size(content: object, source: str) -> None:
    """Refuse content that is too large to check or to show in a message."""
    waiting, values = [content], 0
    while waiting:
        value = waiting.pop()
        values += 1
        if values > MOST_VALUES:
            raise SpecError(f"{source}: holds more than {MOST_VALUES} values. Repeat less of them.")
        if isinstance(value, int) and abs(value) > LARGEST:
            raise SpecError(
                f"{source}: holds a number of more than 300 digits. Write a smaller one."
            )
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, (list, tuple, set)):
            waiting += value


def _set(content: dict[str, Any], dotted: str, value: object) -> None:
    *parents, last = dotted.split(".")
    for key in parents:
        inner: object = content.setdefault(key, {})
        if not isinstance(inner, dict):
            raise SpecError(f"--set {dotted}: '{key}' holds no keys.")
        content = inner
    content[last] = value


def _first_problem(error: pydantic.ValidationError, model: type[BaseModel]) -> str:
    # a misspelt key is also a missing one: the misspelling is what helps
    problem = min(error.errors(), key=lambda e: e["type"] == "missing")
    location = [str(part) for part in problem["loc"]]
    context = problem.get("ctx", {})
    key, allowed = _readable(location, model)
    match problem["type"]:
        case "extra_forbidden":
            return (
                f"{key}: unknown key.{suggest(location[-1], allowed)} Known: {', '.join(allowed)}."
            )
        case "missing":
            return f"{key}: missing. Add it."
        case "value_error":
            message = str(context["error"])
        case "literal_error":
            choices = context["expected"].replace("'", "")
            near = suggest(shown(problem["input"]).strip("'"), re.split(" or |, ", choices))
            message = f"{shown(problem['input'])} is not one of: {choices}.{near}"
        case "union_tag_invalid" | "union_tag_not_found":
            kinds = context.get("expected_tags", "the known kinds")
            tag = context.get("tag")
            keys = () if tag else problem["input"]
            misspelt = next((k for k in keys if suggest(str(k), ["kind"])), None)
            if misspelt is not None:
                return f"{key}.{_printable(misspelt)}: unknown key. Did you mean 'kind'?"
            key = f"{key}.kind"
            near = suggest(str(tag), kinds.replace("'", "").split(", "))
            message = f"{tag!r} is not one of: {kinds}.{near}" if tag else "missing. Add it."
        case _:
            message = f"{shown(problem['input'])}: {problem['msg']}."
    return f"{key}: {message}" if key else message


def _readable(location: list[str], model: type[BaseModel]) -> tuple[str, list[str]]:
    """The dotted key without pydantic's union tags, and the keys allowed beside it."""
    key: list[str] = []
    current: list[type[BaseModel]] = [model]
    allowed = list(model.model_fields)
    is_name = False
    for part in location:
        if is_name:
            key.append(_printable(part))
            is_name = False
            continue
        fields = {name: f for m in current for name, f in m.model_fields.items()}
        tagged = [m for m in current if part in tags(m)]
        if tagged and part not in fields:
            current = tagged
            continue
        if not current and not part.isdigit():
            continue  # which of several plain types was tried
        key.append(_printable(part))
        allowed = list(fields)
        if part in fields:
            current = list(models_of(fields[part].annotation))
            is_name = get_origin(fields[part].annotation) is dict
    return ".".join(key), allowed


def _printable(key: object) -> str:
    return str(key) if str(key).isprintable() else shown(str(key))


def suggest(word: str, words: list[str]) -> str:
    """``" Did you mean 'x'?"``, or nothing when no known word is near."""
    near = difflib.get_close_matches(word, words, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
