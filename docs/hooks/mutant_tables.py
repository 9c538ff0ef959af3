"""What `make mutants` found, out of `benchmarks/results/mutants.json`."""

from __future__ import annotations

import json
from collections import defaultdict

from results_tables import RESULTS

SOURCE = RESULTS / "mutants.json"
COLUMNS = ("mutants", "tried", "killed", "timed_out", "survived", "equivalent")


def page() -> str:
    """A row for each file, then the survivors by their reasons."""
    content = json.loads(SOURCE.read_text(encoding="utf-8"))
    files = content["files"]
    lines = [
        f"| File | {' | '.join(c.replace('_', ' ') for c in COLUMNS)} | detected of others |",
        f"|---|{'---|' * (len(COLUMNS) + 1)}",
    ]
    for name, row in files.items():
        cells = [*(str(row[c]) for c in COLUMNS), f"{row['detected_of_others']:.0%}"]
        lines.append(f"| `{name.removeprefix('egno_md/')}` | {' | '.join(cells)} |")
    sums = {c: sum(row[c] for row in files.values()) for c in COLUMNS}
    share = (sums["killed"] + sums["timed_out"]) / (sums["tried"] - sums["equivalent"])
    lines += [f"| all | {' | '.join(str(s) for s in sums.values())} | {share:.0%} |", ""]
    lines += [*_survivors(content["survivors"]), ""]
    lines.append(
        f"From `benchmarks/results/{SOURCE.name}`: {content['tool']}, mutants drawn with seed "
        f"{content['seed']}."
    )
    return "\n".join(lines)


def _survivors(survivors: list[dict]) -> list[str]:
    """Each kind with its number, and each reason with the lines it is for."""
    kinds: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in survivors:
        place = f"`{one['file'].removeprefix('egno_md/')}:{one['line']}`"
        kinds[one["kind"]][one["reason"]].append(place)
    lines = []
    for kind, reasons in sorted(kinds.items()):
        count = sum(len(places) for places in reasons.values())
        lines += [f"**{kind}** ({count})", ""]
        lines += [f"- {reason} {', '.join(places)}" for reason, places in reasons.items()]
        lines.append("")
    return lines
