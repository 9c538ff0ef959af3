"""What is shipped: systems with their potentials and operators, and protocols."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from egno_md.nn.bundle import read_card
from egno_md.spec.files import shipped


def page() -> str:
    """One table of systems, one a verb of protocols."""
    return "\n".join([*_systems(), *_operators(), *_protocols()])


def _systems() -> Iterator[str]:
    yield from ("## Systems", "", "| name | potential | what |", "|---|---|---|")
    for path in sorted(shipped("systems").glob("*/*.yaml")):
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
        folder = path.parent.name
        name = folder if path.name == "system.yaml" else f"{folder}/{path.stem}"
        kind = spec["potential"]["kind"]
        yield f"| `{name}` | `{kind}` | {spec.get('description', '')} |"


def _operators() -> Iterator[str]:
    yield from ("", "## Operators", "")
    yield from (
        "| name | system | ΔT / fs | P | trained at | velocity error |",
        "|---|---|---|---|---|---|",
    )
    for path in sorted(shipped("systems").glob("*/operators/*/card.json")):
        card = read_card(path.parent)
        error = card.training.get("validation", {}).get("velocity_error")
        shown = "–" if error is None else f"{error:.1%} of thermal (validation)"
        validity = card.validity
        kelvin = "–" if validity.kelvin is None else f"{validity.kelvin:g} K"
        window = f"{card.window.length * 1e3:g} | {card.window.points}"
        yield f"| `{path.parent.name}` | `{path.parents[2].name}` | {window} | {kelvin} | {shown} |"


def _protocols() -> Iterator[str]:
    folders = sorted(p for p in shipped("protocols").iterdir() if p.is_dir() and p.name != "demo")
    for folder in folders:
        yield from ("", f"## Protocols of `{folder.name}`", "", "| name | what |", "|---|---|")
        for path in sorted(folder.glob("*.yaml")):
            yield f"| `{path.stem}` | {_heading(path)} |"


def _heading(path: Path) -> str:
    """The comment at the top of a file."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)
