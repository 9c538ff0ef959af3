"""A table: the rows of its models, and how they read beside the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from egno_md.paper.spec import BenchmarkProtocol
from egno_md.paper.task import TaskData, TaskWindows


def summarise(
    protocol: BenchmarkProtocol, results: Sequence[dict[str, Any]], data: TaskData
) -> list[dict[str, Any]]:
    """One row a model: every seed, the median, and the deviation from the paper.

    A seed that failed has no error, and the median is that of the others. Data that only
    stand in for the paper's get no figures of it.
    """
    rows = []
    for name, model in protocol.models.items():
        runs = sorted((r for r in results if r["model"] == name), key=itemgetter("seed"))
        if not runs:
            continue
        molecule = str(runs[0]["request"]["data"].get("molecule"))
        paper_row = model.published_for.get(molecule, model.published)
        published = None if paper_row is None or data.stands_in else paper_row.model_dump()
        row: dict[str, Any] = {"model": name, "title": model.title, "published": published}
        for key in ("f_mse", "a_mse"):
            row[f"{key}_by_seed"] = [r[key] for r in runs]
            values = [value for value in row[f"{key}_by_seed"] if value is not None]
            row[key] = float(np.median(values)) if values else None
            paper = (published or {}).get(key)
            row[f"{key}_deviation"] = row[key] / paper - 1 if values and paper else None
        row |= {
            "seeds": [r["seed"] for r in runs],
            "epochs": [r["epochs"] for r in runs],
            "best_epoch": [r["best_epoch"] for r in runs],
            "seconds": [r["seconds"] for r in runs],
            "failed": [r["failed"] for r in runs if "failed" in r],
            "validation_f_mse_by_epoch": [r.get("validation", []) for r in runs],
            "recipe": model.steps.model_dump(mode="json"),
            "parameters": runs[0]["parameters"],
            "device": runs[0]["device"],
        }
        rows.append(row)
    return rows


def standing_still(windows: TaskWindows) -> dict[str, float | None]:
    """Errors of predicting no motion: the trivial baseline."""
    moves = windows.future_positions - windows.positions[:, None]
    mse = np.square(moves, dtype=np.float64).mean((0, 2, 3))
    return {"f_mse": float(mse[-1]), "a_mse": float(mse.mean()) if len(mse) > 1 else None}


def benchmark_rows(content: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """A benchmark: published rows beside ours, with seeds, budget and deviation.

    The last row is the error of no motion at all.
    """
    columns = ["model", "F-MSE", "published", "off", "A-MSE", "published", "seeds", "epochs", "s"]
    rows = []
    for row in content["rows"]:
        published = row["published"] or {}
        rows.append(
            [
                row["title"],
                _with_range(row["f_mse"], row["f_mse_by_seed"]),
                _or_dash(published.get("f_mse"), "{:.4g}"),
                _or_dash(row["f_mse_deviation"], "{:+.0%}"),
                _with_range(row["a_mse"], row["a_mse_by_seed"]),
                _or_dash(published.get("a_mse"), "{:.4g}"),
                _seeds(row),
                f"{max(row['epochs']):g}",
                f"{sum(row['seconds']):.0f}",
            ]
        )
    if still := content.get("still"):
        f_mse, a_mse = (_or_dash(still[key], "{:.4g}") for key in ("f_mse", "a_mse"))
        rows.append(["no motion", f_mse, "-", "-", a_mse, "-", "-", "-", "-"])
    return columns, rows


def _seeds(row: dict[str, Any]) -> str:
    every, failed = len(row["seeds"]), len(row["failed"])
    return f"{every - failed} of {every}" if failed else str(every)


def _with_range(median: float | None, by_seed: list[float | None]) -> str:
    values = [value for value in by_seed if value is not None]
    if median is None:
        return "-"
    if len(values) < 2:
        return f"{median:.4g}"
    return f"{median:.4g} [{min(values):.4g}, {max(values):.4g}]"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
