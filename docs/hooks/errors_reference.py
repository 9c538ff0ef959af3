"""Every message an `EgnoMDError` can carry, read out of the source code, and its remedy."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import yaml

import egno_md
from egno_md.core import errors
from egno_md.core.errors import EgnoMDError

PACKAGE = Path(egno_md.__file__).resolve().parent
TROUBLESHOOTING = Path(__file__).with_name("troubleshooting.yaml")
HOLE = "…"
SHORTEST = 12
"""Characters of fixed text below which a template says nothing."""


@dataclass(frozen=True, order=True)
class Message:
    """One error as it is made: class, text with `…` for what varies, and the file."""

    error: str
    text: str
    file: str


def error_classes() -> list[type[EgnoMDError]]:
    """Every subclass, in the order of `core/errors.py`."""
    found = [v for v in vars(errors).values() if isinstance(v, type)]
    return [c for c in found if issubclass(c, EgnoMDError) and c is not EgnoMDError]


def messages() -> list[Message]:
    """All of them, without those that only pass on another error's text."""
    names = {c.__name__ for c in error_classes()}
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE).as_posix()
        is_spec = "spec" in Path(file).with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", "")
            # what a spec's validator raises reaches a user as a SpecError
            name = "SpecError" if is_spec and name == "ValueError" else name
            if name not in names or not node.args:
                continue
            text = template(node.args[0])
            if len(text.replace(HOLE, "").strip()) >= SHORTEST:
                found.add(Message(name, text, file))
    return sorted(found)


def template(node: ast.expr) -> str:
    """The text of a string expression, with `…` where a value stands."""
    match node:
        case ast.Constant(value=str(text)):
            return " ".join(text.split(" "))
        case ast.JoinedStr(values=parts):
            return _closed("".join(template(p) for p in parts))
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _closed(template(left) + template(right))
    return HOLE


def _closed(text: str) -> str:
    while HOLE * 2 in text:
        text = text.replace(HOLE * 2, HOLE)
    return text


@dataclass(frozen=True)
class Entry:
    """One remedy: fixed parts of messages, their cause, what to do."""

    says: tuple[str, ...]
    cause: str
    remedy: str = ""

    def covers(self, message: Message) -> bool:
        """Whether this is about a message."""
        return any(part in message.text for part in self.says)


def entries() -> list[Entry]:
    """What `troubleshooting.yaml` holds."""
    items = yaml.safe_load(TROUBLESHOOTING.read_text(encoding="utf-8"))
    return [Entry(tuple(i["says"]), i["cause"], i.get("remedy", "")) for i in items]


def page() -> str:
    """One section a class, one entry a cause."""
    lines, every = [], messages()
    for error in error_classes():
        mine = [m for m in every if m.error == error.__name__]
        lines += ["", f"## {error.__name__}", "", " ".join((error.__doc__ or "").split()), ""]
        for entry in entries():
            texts = list(dict.fromkeys(m.text for m in mine if entry.covers(m)))
            mine = [m for m in mine if m.text not in texts]
            if texts:
                lines += ['<div class="entry" markdown>', ""]
                lines += ["<br>".join(_code(text) for text in texts), ""]
                lines += [entry.cause, ""]
                lines += [f"*Remedy:* {entry.remedy}", ""] if entry.remedy else []
                lines += ["</div>", ""]
    return "\n".join(lines)


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    return f"{fence}{text.strip()}{fence}"
