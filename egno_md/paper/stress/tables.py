"""The stress questions as tables: one a question, with the models side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Table = tuple[str, list[str], list[list[str]]]
COLUMNS: Mapping[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "equivariance": (
        "Equivariance: largest residual over the largest move",
        {"symmetry": "symmetry", "amount": "rad, or system sizes"},
        {
            "float32": "float32",
            "float64": "float64",
            "float32_input": "float32, rounding of the input",
        },
    ),
    "resolution": (
        "Zero-shot resolution: errors by time points at inference",
        {"points": "points"},
        {
            "a_mse": "A-MSE",
            "f_mse": "F-MSE",
            "a_mse_at_trained_points": "A-MSE at trained times",
            "a_mse_by_spline": "A-MSE by spline of the trained",
        },
    ),
    "collisions": (
        "Collisions: F-MSE over that of x + vτ",
        {"contact": "spheres", "windows_that_touch": "windows with contact"},
        {
            "over_ballistic_all": "all",
            "over_ballistic_touch": "with contact",
            "over_ballistic_miss": "without",
        },
    ),
    "ladder": (
        "Long windows: error over knowing nothing, variances over true ones",
        {"multiple": "ΔT / decorrelation time"},
        {
            "over_nothing": "error",
            "spread": "variance about the centre",
            "displacement_variance": "displacement variance",
        },
    ),
    "modes": (
        "Fourier modes: errors by I",
        {"modes": "I", "power_above": "power above I"},
        {"a_mse": "A-MSE", "standard_error": "standard error", "f_mse": "F-MSE"},
    ),
}
"""Title, columns that name a row, and columns that every model has."""


def stress_tables(content: Mapping[str, Any]) -> dict[str, Table]:
    """Title, columns and rows by question.

    Args:
        content: what `results.json` says.
    """
    tables = {}
    for name, answer in content["questions"].items():
        title, keys, values = COLUMNS[name]
        heads = [f"{m}: {v}" for m in content["models"].values() for v in values.values()]
        rows = _pivot(answer["rows"], list(keys), list(values), list(content["models"]))
        tables[name] = (title, [*keys.values(), *heads], rows)
    return tables


def _pivot(
    rows: Sequence[Mapping[str, Any]], keys: list[str], values: list[str], models: list[str]
) -> list[list[str]]:
    """One line for equal keys, with the values of every model."""
    lines: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        lines.setdefault(tuple(_key(row[k]) for k in keys), {})[row["model"]] = row
    return [
        [*key, *(_text(by_model.get(m, {}).get(v)) for m in models for v in values)]
        for key, by_model in lines.items()
    ]


def _key(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    for name, amount in (("π", math.pi), ("π - 1e-6", math.pi - 1e-6)):
        if abs(value - amount) < 1e-9:
            return name
    return f"{value:.4g}" if value < 1 else f"{value:g}"


def _text(value: Any) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
