"""What the benchmarks of samplers share: their arguments, their runs, what is told of those."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from egno_md.api import generate, propagate, protocol, train
from egno_md.console import Console
from egno_md.core.seen import SeenAtoms
from egno_md.data.store import Store
from egno_md.geometry.internal import angle_indices, angle_values
from egno_md.nn.operator import Operator

SHAPE_FRAMES = 20_000


def arguments(doc: str | None, windows: int, steps: int = 10) -> argparse.Namespace:
    """Of the command line.

    Args:
        doc: of the script.
        windows: by default.
        steps: of a draw, by default.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--data", type=Path, help="store the sampler learned from")
    parser.add_argument("--reference", type=Path, help="store it is held against")
    parser.add_argument("--operator", type=Path, help="bundle of the sampler")
    parser.add_argument("--windows", type=int, default=windows)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def console(folder: Path) -> Console:
    """Tells which folder is being filled."""
    found = Console()
    found.stage(folder.name)
    return found


def made(system: str, folder: Path, seed: int, **changes: object) -> Path:
    """Langevin MD."""
    spec = protocol("generate", "nvt-300k-4fs", changes)
    return generate(system, spec, folder, seed=seed, mode="resume", progress=console(folder)).root


def trained(name: str, folder: Path, data: Path, seed: int) -> Path:
    """A sampler by the protocol of that name."""
    spec = protocol("train", name)
    return train(data, spec, folder, seed=seed, mode="resume", progress=console(folder)).bundle


def drawn(
    system: str, folder: Path, operator: Path, data: Path, seed: int, settings: dict[str, Any]
) -> tuple[dict[str, Any], Store]:
    """A rollout, timed against OpenMM in the same run."""
    done = propagate(
        system,
        operator,
        protocol("propagate", "sampler-300k", settings),
        folder,
        start=data,
        seed=seed,
        mode="resume",
        progress=console(folder),
    )
    return done.summary.to_json(), done.store


def length(operator: Path, windows: int) -> str:
    """So many windows."""
    return f"{windows * Operator.load(operator).card.window.length:g} ps"


def shapes(reference: Store, drawn: Store) -> dict[str, Any]:
    """Bonds and angles of heavy atoms, means and widths, against MD's."""
    system = reference.system()
    heavy = SeenAtoms.of(system, "heavy").atoms
    bonds = system.bonds[np.isin(system.bonds, heavy).all(axis=1)]
    angles = angle_indices(system)
    angles = angles[np.isin(angles, heavy).all(axis=1)]
    sides = []
    for store in (reference, drawn):
        x = np.concatenate([t.positions for t in store]).astype(np.float64)
        x = x[:: max(len(x) // SHAPE_FRAMES, 1)]
        lengths = np.linalg.norm(x[:, bonds[:, 0]] - x[:, bonds[:, 1]], axis=-1)
        sides.append((lengths, angle_values(system, angles, x)))
    found = {}
    for name, place in (("bonds", 0), ("angles", 1)):
        a, b = sides[0][place], sides[1][place]
        off = np.abs(b.mean(0) / a.mean(0) - 1)
        width = b.std(0) / a.std(0)
        found[name] = {
            "largest relative error of a mean": float(off.max()),
            "smallest width over MD's": float(width.min()),
            "mean width over MD's": float(width.mean()),
            "largest width over MD's": float(width.max()),
        }
    return found


def told(summary: dict[str, Any]) -> dict[str, Any]:
    """What of a summary belongs to a table."""
    names = (
        "replicas", "windows", "window_ps", "simulated_ps", "draw_steps", "refine_every",
        "redraws", "events", "fallback_share", "temperature_mean", "largest_bond_deviation",
        "refinement_shift_nm", "seconds", "rollout_ns_per_day", "reference_ns_per_day", "speed_up",
        "reference_platform", "network_threads",
    )  # fmt: skip
    found = {n: summary.get(n) for n in names}
    windows = max(summary["windows"], 1)
    found["milliseconds a window"] = {
        k: 1e3 * v / windows for k, v in summary["seconds"].items() if v
    }
    return found
