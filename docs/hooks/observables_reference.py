"""The catalogue of observables that `compare` measures."""

from __future__ import annotations

from itertools import groupby

from egno_md.compare.catalogue import catalogue


def page() -> str:
    """One section a group, one entry an observable."""
    lines: list[str] = []
    for group, entries in groupby(catalogue(), key=lambda e: e.group):
        lines += ["", f"## {group.capitalize()}", ""]
        for entry in entries:
            unit = f", {entry.unit}" if entry.unit else ""
            lines += [f"**{entry.name.replace('*', '…')}** ({entry.kind}{unit})", ""]
            facts = [entry.definition, f"*Applies:* {entry.applies}."]
            if entry.negligible:
                facts.append(f"*Negligible below:* {entry.negligible}.")
            if entry.source:
                facts.append(f"*Source:* {entry.source}.")
            first, *rest = (" ".join(f.split()).replace("..", ".") for f in facts)
            lines += [f":   {first}", *(f"    <br>{fact}" for fact in rest), ""]
    return "\n".join(lines)
