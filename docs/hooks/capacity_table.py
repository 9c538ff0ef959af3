"""The capacity plan, out of `benchmarks/results/capacity.json`."""

from __future__ import annotations

import json
from typing import Any

from results_tables import RESULTS, table

SOURCE = RESULTS / "capacity.json"


def page() -> str:
    """Sentences and a table: what is stored, what the scheduler does, how long it takes."""
    content = json.loads(SOURCE.read_text(encoding="utf-8"))
    return "\n".join([_bytes(content), "", *table(_plan(content)), "", _basis(content)])


def _bytes(content: dict[str, Any]) -> str:
    stored, run, assumed = content["stored"], content["a run"], content["assumed"]
    each = sum(run[f"bytes a window and replica: {k}"] for k in ("frames", "XTC", "events"))
    return (
        f"{assumed['replicas']:,} replicas of 1 ns on {assumed['workers']:,} workers write "
        f"{stored['frames / TB']:.1f} TB of frames, {stored['XTC / TB']:.1f} TB of XTC and "
        f"{stored['events / TB']:.1f} TB of events ({each:.0f} bytes a window and replica), in "
        f"{stored['HDF5 files'] / 1e6:.1f} million HDF5 files; the joined manifest is "
        f"{stored['joined manifest / GB']:.1f} GB, all checkpoints "
        f"{stored['checkpoints / GB']:.2f} GB."
    )


def _plan(content: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "replicas a task": f"{row['replicas a batch']}",
            "windows": f"{row['windows']:,}",
            "a window of a batch": f"{row['ms a window of a batch']:,.0f} ms",
            "tasks": f"{row['tasks']:,}",
            "hours": f"{row['hours']:.2f}",
            "workers busy": f"{row['workers busy']:.0%}",
            "workers lost": f"{row['workers lost']}",
            "messages": f"{row['messages'] / 1e6:.2f} million",
            "scheduler busy": f"{row['scheduler busy']:.1%}",
            "worst minute": f"{row['scheduler busy, worst minute']:.0%}",
            "longest wait for it": f"{row['longest wait for it / s']:.1f} s",
        }
        for row in content["plan"].values()
    ]


def _basis(content: dict[str, Any]) -> str:
    scheduler, check = content["a scheduler"], content["simulation beside a run"]
    assumed = content["assumed"]
    task = scheduler["CPU seconds a task, client and scheduler"] * 1e3
    held = scheduler["bytes of memory a waiting task, at most"] / 1e3
    beat = scheduler["CPU seconds a heartbeat, sent and heard"] * 1e3
    return (
        f"Measured: {task:.1f} ms of one core a task for client and scheduler together, with "
        f"{scheduler['messages a task']:.1f} messages and "
        f"{scheduler['bytes sent a task, client and scheduler'] / 1e3:.1f} kB sent; {beat:.2f} ms a "
        f"heartbeat; at most {held:.0f} kB of memory a waiting task. "
        f"{check['tasks']} tasks of {check['seconds a task'] * 1e3:.0f} ms on {check['workers']} "
        f"workers took {check['measured s']:.1f} s, and {check['simulated s']:.1f} s in the "
        f"simulation. Assumed: a worker is lost every {assumed['days_between_losses']:.0f} days and "
        f"back after {assumed['restart']:.0f} s, a task starts in {assumed['start']:.0f} s. Times of "
        "a window are given, not measured on a GPU, but for the third row, which is ethanol with "
        "GFN2-xTB on one core, as in `benchmarks/results/rollout_engine.json`. From "
        f"`benchmarks/results/{SOURCE.name}`."
    )
