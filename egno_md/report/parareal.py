"""Parareal runs on the page: what they took, and what they would take on more workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from egno_md.report.blocks import Block, Section, Text, table
from egno_md.report.folders import Folder
from egno_md.report.numbers import number, seconds


def parareal(folders: Sequence[Folder]) -> Section | None:
    """Parallel-in-time runs side by side."""
    shown = [f for f in folders if f.verb == "parareal" and "parareal" in f.content]
    if not shown:
        return None
    results = [f.content["parareal"] for f in shown]
    columns = ("", *(f.label for f in shown))
    blocks: list[Block] = [
        Text(
            "Exact dynamics in slabs that run at the same time, their starts led by an operator "
            "and corrected until they agree with serial dynamics within the tolerance."
        ),
        table("Parareal runs", columns, _rows(results)),
    ]
    workers = sorted({int(w) for r in results for w in r["modelled_speed_up"]})
    rows = [
        (str(w), *(number(r["modelled_speed_up"].get(str(w))) for r in results)) for w in workers
    ]
    blocks.append(table("Speed-up by workers, modelled from measured seconds", columns, rows))
    return Section("parareal", "Parallel in time", tuple(blocks))


def verdict(folder: Folder) -> list[str]:
    """A run in one sentence."""
    r = folder.content.get("parareal")
    if r is None:
        return []
    best, gain = max(r["modelled_speed_up"].items(), key=lambda item: item[1])
    deviation = r.get("verified", {}).get("deviation_nm")
    checked = "" if deviation is None else f", {number(deviation)} nm from serial dynamics"
    return [
        f"{folder.label}: {number(r['length_ps'])} ps in {r['slabs']} slabs took "
        f"{r['iterations']} iterations{checked}; at best {number(gain)} times serial speed, "
        f"on {best} workers."
    ]


def _rows(results: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    def row(title: str, read: Callable[[dict[str, Any]], str]) -> tuple[str, ...]:
        return (title, *(read(r) for r in results))

    return [
        row("length, ps", lambda r: number(r["length_ps"])),
        row("slab, fs", lambda r: number(1e3 * r["slab_ps"])),
        row("slabs", lambda r: number(r["slabs"])),
        row("in flight", lambda r: number(r["width"])),
        row("iterations", lambda r: number(r["iterations"])),
        row("exact slabs computed", lambda r: number(r["fine_calls"])),
        row("surrogate slabs computed", lambda r: number(r["coarse_calls"])),
        row("an exact slab", lambda r: seconds(r["cost"]["fine_seconds"])),
        row("a surrogate slab", lambda r: seconds(r["cost"]["coarse_seconds"])),
        row("tolerance, nm", lambda r: number(r["tolerance_nm"])),
        row("deviation, forecast, nm", lambda r: number(r["forecast_deviation_nm"])),
        row(
            "deviation, measured, nm",
            lambda r: number(r.get("verified", {}).get("deviation_nm")),
        ),
        row("serial from slab", lambda r: number(r["serial_from_slab"])),
    ]
