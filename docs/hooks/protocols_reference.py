"""The protocol reference, out of the pydantic models."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import BaseModel

from egno_md.core.units import UNITS
from egno_md.registry import MODELS
from egno_md.spec.describe import describe, summary, tags
from egno_md.spec.system import SystemSpec

ROOTS: dict[str, type[BaseModel]] = {**MODELS, "system.yaml": SystemSpec}


def page() -> str:
    """Units, then one section a protocol, one table a group of keys."""
    lines = ["## Units", "", "| dimension | such as | inside the package |", "|---|---|---|"]
    lines += [f"| {d} | `{example}` | {unit} |" for d, (unit, example) in UNITS.items()]
    for name, model in ROOTS.items():
        title = f"Protocol of `{name}`" if name != "system.yaml" else "`system.yaml`"
        lines += ["", f"## {title}", "", summary(model), "", *_table(model, "")]
        lines += _nested(model, "", 3)
    return "\n".join(lines)


def _nested(model: type[BaseModel], prefix: str, level: int) -> Iterator[str]:
    for field in describe(model):
        for inner in field.models:
            name = f"{prefix}{field.name}"
            kinds = " or ".join(f"`{tag}`" for tag in tags(inner))
            kind = f" of kind {kinds}" if kinds else ""
            yield from ("", f"{'#' * level} `{name}`{kind}", "", summary(inner), "")
            yield from _table(inner, f"{name}.")
            yield from _nested(inner, f"{name}.", level)


def _table(model: type[BaseModel], prefix: str) -> Iterator[str]:
    fields = [field for field in describe(model) if field.name != "kind"]
    if fields:
        yield from ("| key | value | default | meaning |", "|---|---|---|---|")
    for field in fields:
        if field.is_required:
            default = "*required*"
        elif field.models:
            default = "see below"
        else:
            default = f"`{field.default}`"
        yield f"| `{prefix}{field.name}` | {_cell(field.kind)} | {default} | {_cell(field.meaning)} |"


def _cell(text: str) -> str:
    text = re.sub(r"([<>≤≥]) ", "\\1\u00a0", text)
    return text.replace("|", "\\|").replace("*", "\\*")
