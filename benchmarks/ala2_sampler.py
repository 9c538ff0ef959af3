"""A sampler of alanine dipeptide against 40 ns of OpenMM: maps, rare basin, shapes, speed.

    python benchmarks/ala2_sampler.py ROOT [--data FOLDER] [--reference FOLDER]
        [--operator BUNDLE] [--windows 60] [--steps 10] [--seed 0]

Generates what is not given under ROOT: 40 ns to learn from, an independent 40 ns to be
held against, a sampler of 40 ps windows trained by `sampler-40ps`. Then draws three
rollouts: 64 replicas without refinement, 64 with every window's end refined, and one
replica with refinement, each timed against OpenMM in the same run. Figures go to
`benchmarks/results/ala2_sampler.json`. One thread, CPU.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from typing import Any

import numpy as np
import torch

from egno_md.analysis.internal import angle_indices, angle_values
from egno_md.analysis.phi_psi import (
    backbone_torsions,
    map_distance,
    positive_phi,
    slowest_process,
)
from egno_md.api import generate, propagate, protocol, train
from egno_md.console import Console
from egno_md.core.seen import SeenAtoms
from egno_md.data.output import provenance
from egno_md.data.store import Store, write_json
from egno_md.nn.bundle import load_any_bundle
from egno_md.nn.sampler_card import STATEMENT

RESULTS = Path(__file__).resolve().parent / "results"
SYSTEM = "ala2/hmr"
LAG = 10.0
"""ps, of the Markov models: the time between the points of a window."""

REPLICAS = 64
SINGLE_WINDOWS = 100
SHAPE_FRAMES = 20_000

Chains = list[np.ndarray]


def main() -> None:
    """Run what is missing, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--data", type=Path, help="store the sampler learned from")
    parser.add_argument("--reference", type=Path, help="independent store")
    parser.add_argument("--operator", type=Path, help="bundle of the sampler")
    parser.add_argument("--windows", type=int, default=60)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = given.data or made(given.root / "data", given.seed + 11)
    reference = given.reference or made(given.root / "reference", given.seed + 12)
    operator = given.operator or trained(given.root / "operator", data, given.seed)
    rollouts = {
        name: rollout(given.root / name, operator, data, given, **changes)
        for name, changes in {
            "unrefined, 64 replicas": {"refine_every": 0, "replicas": REPLICAS},
            "refined, 64 replicas": {"refine_every": 1, "replicas": REPLICAS},
            "refined, 1 replica": {"refine_every": 1, "replicas": 1},
        }.items()
    }
    write_json(RESULTS / "ala2_sampler.json", results(data, reference, operator, rollouts, given))


def console(folder: Path) -> Console:
    """Tells which folder is being filled."""
    found = Console()
    found.stage(folder.name)
    return found


def made(folder: Path, seed: int) -> Path:
    """40 ns of Langevin MD."""
    spec = protocol("generate", "nvt-300k-4fs")
    return generate(SYSTEM, spec, folder, seed=seed, mode="resume", progress=console(folder)).root


def trained(folder: Path, data: Path, seed: int) -> Path:
    """A sampler of 40 ps windows."""
    spec = protocol("train", "sampler-40ps")
    return train(data, spec, folder, seed=seed, mode="resume", progress=console(folder)).bundle


def rollout(
    folder: Path, operator: Path, data: Path, given: argparse.Namespace, **changes: int
) -> tuple[dict[str, Any], Store]:
    """Draw, timed against OpenMM in the same run."""
    single = changes["replicas"] == 1
    settings = {
        "refine_every": changes["refine_every"] or None,
        "length": length(operator, SINGLE_WINDOWS if single else given.windows),
        "draws.steps": given.steps,
        "replicas": changes["replicas"],
        "save": "points",
    }
    done = propagate(
        SYSTEM,
        operator,
        protocol("propagate", "sampler-300k", settings),
        Path(str(folder).replace(", ", "-").replace(" ", "-")),
        start=data,
        seed=given.seed,
        mode="resume",
        progress=console(folder),
    )
    return done.summary, done.store


def length(operator: Path, windows: int) -> str:
    """So many windows."""
    return f"{windows * load_any_bundle(operator).card.window.length:g} ps"


def results(
    data: Path,
    reference: Path,
    operator: Path,
    rollouts: dict[str, tuple[dict[str, Any], Store]],
    given: argparse.Namespace,
) -> dict[str, Any]:
    """Everything measured."""
    learned, held = Store(data), Store(reference)
    card = load_any_bundle(operator).card
    torsions = {"data": phi_psi(learned), "reference": phi_psi(held)}
    spacing = {"data": learned.manifest.spacing, "reference": held.manifest.spacing}
    for name, (_, store) in rollouts.items():
        torsions[name] = phi_psi(store)
        spacing[name] = store.manifest.spacing
    maps = {n: on_map(t, torsions, spacing[n]) for n, t in torsions.items()}
    refined = rollouts["refined, 64 replicas"]
    ends = [c[3::4] for c in phi_psi(refined[1])]
    maps["refined ends"] = on_map(ends, torsions, None)
    return {
        "statement": STATEMENT,
        "machine": provenance(),
        "operator": {
            "network": card.network.model_dump(mode="json"),
            "training": card.training,
            "time_points_ps": list(card.time_points),
        },
        "steps": given.steps,
        "seed": given.seed,
        "maps": maps,
        "shapes before refinement": shapes(held, rollouts["unrefined, 64 replicas"][1]),
        "rollouts": {name: told(summary) for name, (summary, _) in rollouts.items()},
    }


def phi_psi(store: Store) -> Chains:
    """Of the one residue, radians."""
    system = store.system()
    return [backbone_torsions(system, t.positions)[:, 0] for t in store]


def on_map(torsions: Chains, md: dict[str, Chains], spacing: float | None) -> dict[str, Any]:
    """Distance to the reference, the rare basin, the slowest process.

    Few frames on 1296 cells are far from anything by chance alone: beside the distance
    stands that of as many frames of the run that was learned from, evenly spread.
    """
    share = positive_phi(torsions)
    frames = sum(map(len, torsions))
    learned = np.concatenate(md["data"])
    spread = np.linspace(0, len(learned) - 1, min(frames, len(learned))).astype(int)
    found = {
        "frames": frames,
        "distance": map_distance(torsions, md["reference"]),
        "distance of as many frames of MD": map_distance([learned[spread]], md["reference"]),
        "distance between the two runs": map_distance(md["data"], md["reference"]),
        "positive_phi": share.value,
        "positive_phi_interval": [share.low, share.high],
        "positive_phi_visits": share.visits,
    }
    if spacing:
        lag = round(LAG / spacing)
        found["slowest_process_ps"] = slowest_process(torsions, lag, spacing)
    return found


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
    found = {n: summary[n] for n in names}
    windows = max(summary["windows"], 1)
    found["milliseconds a window"] = {
        k: 1e3 * v / windows for k, v in summary["seconds"].items() if v
    }
    return found


if __name__ == "__main__":
    main()
