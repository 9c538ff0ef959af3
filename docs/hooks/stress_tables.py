"""What `egno-md benchmark stress` found, out of `benchmarks/results/stress.json`."""

from __future__ import annotations

import json

from results_tables import RESULTS

from egno_md.paper.stress.tables import stress_tables

SOURCE = RESULTS / "stress.json"


def page() -> str:
    """Findings and a table for each question, then what was run."""
    content = json.loads(SOURCE.read_text(encoding="utf-8"))
    lines = ["## Findings", ""]
    lines += [f"- {text}" for found in content["findings"].values() for text in found]
    lines += ["", "## Tables", ""]
    for title, columns, rows in stress_tables(content).values():
        lines += [f"### {title}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        lines += [*(f"| {' | '.join(row)} |" for row in rows), ""]
    spent = sum(t["seconds"] for t in content["trainings"])
    sizes = ", ".join(f"{count} {part}" for part, count in content["sizes"].items())
    lines += [
        f"From `benchmarks/results/{SOURCE.name}`: {len(content['trainings'])} trainings of "
        f"{content['epochs']} epochs ({sizes}), {len(content['seeds'])} seed(s) of weights, "
        f"{spent / 60:.0f} minutes on {content['trainings'][0]['device']}."
    ]
    return "\n".join(lines)
