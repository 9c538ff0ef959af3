"""Tables of measured results, out of `benchmarks/results/*.json`; no figure is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
ANGSTROM = 10.0
"""Per nm."""

DATA_EFFICIENCY = (
    *("nbody_1000", "nbody", "nbody_10000"),
    *("nbody_long_1000", "nbody_long", "nbody_long_10000"),
)
PUBLISHED = {
    "nbody": "Charged particles",
    "nbody_long": "Charged particles, published networks by our recipe",
    "nbody_ablation": "Charged particles, the paper's ablations by our recipe",
    "nbody_ours": "Charged particles, our network's parts taken away",
    "nbody_spatial": "Charged particles, other layers inside EGNO, 10 epochs",
    "nbody_1000": "Charged particles, 1,000 trajectories",
    "nbody_long_1000": "Charged particles, 1,000 trajectories, by our recipe",
    "nbody_10000": "Charged particles, 10,000 trajectories",
    "nbody_long_10000": "Charged particles, 10,000 trajectories, by our recipe",
    "mocap": "Motion capture, run",
    "mocap_60": "Motion capture, run, 60 epochs",
    "mocap_walk": "Motion capture, walk, a split of our own",
    "md17_ethanol": "Ethanol over 1.5 ps, our own MD",
    "md17_aspirin": "Aspirin over 1.5 ps, our own MD",
    "md17_ethanol_dft": "Ethanol over 40 fs, 2,000 frames of MD17",
    "adk": "Adenylate kinase, a smoke test on a path of 98 frames",
}
"""Files of published tables and what belongs to them, as they are read."""

Row = dict[str, str]
LABELS = {
    "sigma_energy_median": "median σ(E) of a segment / kJ/mol",
    "sigma_energy_max": "largest σ(E) / kJ/mol",
}
"""Of columns whose names do not say enough."""


def page() -> str:
    """The published tables, then one section a file and one table a group of records."""
    lines = ["", "## Published tables"]
    for name, title in PUBLISHED.items():
        path = RESULTS / f"{name}.json"
        if path.is_file():
            lines += ["", f"### {title}", "", f"From `benchmarks/results/{path.name}`."]
            lines += benchmark(json.loads(path.read_text(encoding="utf-8")))
            lines += ["", f"![Errors and learning curves](assets/{name}.png)"]
    lines += data_efficiency()
    for path in sorted(RESULTS.glob("*.json")):
        if path.stem in PUBLISHED:
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        lines += ["", f"## {path.stem.replace('_', ' ').capitalize()}", ""]
        lines += [f"From `benchmarks/results/{path.name}`."]
        if "questions" in content:
            lines += ["", f"Findings and tables are on [a page of their own]({path.stem}.md)."]
            continue
        for name, part in _sections(content):
            lines += ["", f"### {name.replace('_', ' ').capitalize()}", "", *_part(part)]
    return "\n".join(lines)


def data_efficiency() -> list[str]:
    """The n-body rows trained from different numbers of trajectories, below each other."""
    rows: list[tuple[str, int, Row]] = []
    for path in (RESULTS / f"{name}.json" for name in DATA_EFFICIENCY):
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": []}
        for row in content["rows"]:
            trajectories = content["data"]["sizes"][0]
            shown = {
                "model": row["title"],
                "trajectories": f"{trajectories:,}",
                "F-MSE, median": _text(row["f_mse"]),
                "every seed": _text(row["f_mse_by_seed"]),
                "A-MSE, median": _text(row["a_mse"]),
                "epochs": _text(max(row["epochs"])),
            }
            rows.append((row["title"], trajectories, shown))
    several = {t for t, n, _ in rows if any(t == u and n != m for u, m, _ in rows)}
    shown = [row for title, _, row in sorted(rows, key=lambda r: r[:2]) if title in several]
    if not shown:
        return []
    return ["", "### Fewer and more trajectories of charged particles", "", *table(shown)]


def benchmark(content: dict[str, Any]) -> list[str]:
    """A published table with our rows: every seed, the budget, the deviation; no motion last."""
    unit = f" / {content['unit']}" if content["unit"] else ""
    f_mse, a_mse = (f"{name}{unit}, median" for name in ("F-MSE", "A-MSE"))
    rows = []
    for row in content["rows"]:
        paper = row["published"] or {}
        off = row["f_mse_deviation"]
        rows.append(
            {
                "model": row["title"],
                f_mse: _text(row["f_mse"]),
                "every seed": _text(row["f_mse_by_seed"]),
                "published F-MSE": _text(paper.get("f_mse")),
                "off by": "–" if off is None else f"{off:+.0%}",
                a_mse: _text(row["a_mse"]),
                "published A-MSE": _text(paper.get("a_mse")),
                "epochs": _text(max(row["epochs"])),
                "minutes a seed": f"{max(row['seconds']) / 60:.1f}",
                "parameters": _text(row["parameters"]),
            }
        )
    if still := content.get("still"):
        rows.append(
            {"model": "no motion", f_mse: _text(still["f_mse"]), a_mse: _text(still["a_mse"])}
        )
    data = "; ".join(f"{name}: {_text(value)}" for name, value in content["data"].items())
    devices = ", ".join(dict.fromkeys(row["device"] for row in content["rows"]))
    told = [c for c in rows[0] if any(row.get(c, "–") != "–" for row in rows)]
    rows = [{c: row[c] for c in told if c in row} for row in rows]
    return ["", f"Data: {data}. Trained on: {devices}.", "", *table(rows)]


def _sections(content: dict[str, Any]) -> list[tuple[str, Any]]:
    """Named parts; one that only holds groups of records is taken apart."""
    found: list[tuple[str, Any]] = []
    for name, part in content.items():
        groups = list(part.values()) if isinstance(part, dict) else []
        if groups and all(_is_group(g) for g in groups):
            found += [(f"{name}: {group}", inner) for group, inner in part.items()]
        else:
            found.append((str(name), part))
    return found


def _is_group(value: Any) -> bool:
    return (
        isinstance(value, dict) and bool(value) and all(isinstance(v, dict) for v in value.values())
    )


def _part(part: Any) -> list[str]:
    if not isinstance(part, dict):
        return [_text(part)]
    records = {k: v for k, v in part.items() if isinstance(v, dict)}
    for is_kind, row in KINDS:
        chosen = {k: v for k, v in records.items() if is_kind(v)}
        if chosen and len(chosen) == len(part):
            return table([{"": k} | row(v) for k, v in chosen.items()])
    if records and len(records) == len(part):
        return table([{"": k} | _flat(v) for k, v in records.items()])
    listed = {k: v for k, v in part.items() if _is_listed(v)}
    plain = [{"": k, "value": _text(v)} for k, v in part.items() if k not in listed]
    lines = table(plain) if plain else []
    for name, rows in listed.items():
        lines += ["", f"{name.replace('_', ' ')}:", "", *table([_inner(row) for row in rows])]
    return lines


def _is_listed(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _inner(record: dict[str, Any], prefix: str = "") -> Row:
    """A record with what lies deeper in columns of its own."""
    row: Row = {}
    for key, value in record.items():
        row |= (
            _inner(value, f"{key}, ") if isinstance(value, dict) else {prefix + key: _text(value)}
        )
    return row


def _operator(record: dict[str, Any]) -> Row:
    """Errors at ΔT on data of another seed where there are any, else on the test split."""
    held_out = record["held out"]
    name = "fresh data" if "fresh data" in held_out else next(iter(held_out))
    end = held_out[name]["by_time"][-1]
    position = end["position_rmse"]
    return {
        "ΔT / fs": _text(end["time"] * 1e3),
        "velocity error / thermal": f"{end['velocity_error']['operator']:.1%}",
        "position error / Å": f"{position['operator']:.4f}",
        "½aτ² / Å": f"{position['half_a_tau_squared']:.3f}",
        "parameters": f"{record['training']['parameters']:,}",
        "training / min": f"{record['training']['seconds'] / 60:.0f}",
        "measured on": name,
    }


def _rollout(record: dict[str, Any]) -> Row:
    elements = record["temperature_by_element"].items()
    by_element = ", ".join(f"{element}\u00a0{kelvin:.0f}" for element, kelvin in elements)
    return {
        "policy": record["policy"],
        "ps": _text(record["simulated_ps"]),
        "T / K": f"{record['temperature_mean']:.1f} ({by_element})",
        "bonds off by / Å": f"{record['largest_bond_deviation'] * ANGSTROM:.2f}",
        "fallback": f"{record['fallback_share']:.1%}",
        "ns/day": f"{record['rollout_ns_per_day']:.3g}",
        "MD ns/day": f"{record['reference_ns_per_day']:.3g}",
        "net speed-up": f"{record['speed_up']:.2g}×",
    }


def _scalars(record: dict[str, Any]) -> Row:
    return {k: _text(v) for k, v in record.items()}


def _is_operator(record: dict[str, Any]) -> bool:
    return "held out" in record and "training" in record


def _is_rollout(record: dict[str, Any]) -> bool:
    return "speed_up" in record and "temperature_by_element" in record


def _is_flat(record: dict[str, Any]) -> bool:
    return not any(isinstance(v, (dict, list)) for v in record.values())


KINDS: list[tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any]], Row]]] = [
    (_is_operator, _operator),
    (_is_rollout, _rollout),
    (_is_flat, _scalars),
]


def _flat(record: dict[str, Any]) -> Row:
    """The scalars of a record; what lies deeper is left to the file."""
    return {k: _text(v) for k, v in record.items() if not isinstance(v, (dict, list))}


def table(rows: list[Row]) -> list[str]:
    """A Markdown table; a column for every key."""
    columns = list(dict.fromkeys(c for row in rows for c in row))
    if columns == ["", "value"]:
        rows = [row | {"": LABELS.get(row[""], row[""].replace("_", " "))} for row in rows]
    head = [LABELS.get(c, c.replace("_", " ")) for c in columns]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(columns)}"]
    return lines + [f"| {' | '.join(row.get(c, '') for c in columns)} |" for row in rows]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(_text(v) for v in value)
    if isinstance(value, Real) and not isinstance(value, bool):
        return f"{value:,}" if isinstance(value, int) else f"{float(value):.4g}"
    return "–" if value is None else str(value).replace("|", "\\|")
