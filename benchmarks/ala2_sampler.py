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
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.sampler_runs import (  # noqa: E402
    arguments,
    drawn,
    length,
    made,
    shapes,
    told,
    trained,
)
from egno_md.compare.observables.phi_psi import (  # noqa: E402
    backbone_torsions,
    map_distance,
    positive_phi,
    slowest_process,
)
from egno_md.data.output import provenance  # noqa: E402
from egno_md.data.store import Store, write_json  # noqa: E402
from egno_md.nn.operator import Operator  # noqa: E402
from egno_md.nn.sampler_card import STATEMENT  # noqa: E402

RESULTS = HERE / "results"
SYSTEM = "ala2/hmr"
LAG = 10.0
"""ps, of the Markov models: the time between the points of a window."""

REPLICAS = 64
SINGLE_WINDOWS = 100

Chains = list[np.ndarray]


def main() -> None:
    """Run what is missing, measure, write."""
    given = arguments(__doc__, windows=60)
    torch.set_num_threads(1)
    data = given.data or made(SYSTEM, given.root / "data", given.seed + 11)
    reference = given.reference or made(SYSTEM, given.root / "reference", given.seed + 12)
    operator = given.operator or trained("sampler-40ps", given.root / "operator", data, given.seed)
    rollouts = {
        name: rollout(given.root / name, operator, data, given, **changes)
        for name, changes in {
            "unrefined, 64 replicas": {"refine": None, "replicas": REPLICAS},
            "refined, 64 replicas": {"replicas": REPLICAS},
            "refined, 1 replica": {"replicas": 1},
        }.items()
    }
    write_json(RESULTS / "ala2_sampler.json", results(data, reference, operator, rollouts, given))


def rollout(
    folder: Path, operator: Path, data: Path, given: argparse.Namespace, **changes: object
) -> tuple[dict[str, Any], Store]:
    """Draw, timed against OpenMM in the same run."""
    single = changes["replicas"] == 1
    settings = {
        **changes,
        "length": length(operator, SINGLE_WINDOWS if single else given.windows),
        "source.steps": given.steps,
        "record.save": "points",
    }
    place = Path(str(folder).replace(", ", "-").replace(" ", "-"))
    return drawn(SYSTEM, place, operator, data, given.seed, settings)


def results(
    data: Path,
    reference: Path,
    operator: Path,
    rollouts: dict[str, tuple[dict[str, Any], Store]],
    given: argparse.Namespace,
) -> dict[str, Any]:
    """Everything measured."""
    learned, held = Store(data), Store(reference)
    card = Operator.load(operator).card
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


if __name__ == "__main__":
    main()
