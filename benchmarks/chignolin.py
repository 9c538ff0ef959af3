"""Chignolin by 200 ps windows of a sampler, every window's end refined, against OpenMM.

    python benchmarks/chignolin.py ROOT [--data FOLDER] [--reference FOLDER]
        [--operator BUNDLE] [--windows 200] [--steps 10] [--seed 0]

Generates what is not given under ROOT: 20 ns of MD to learn from and to be held against (a
reference of its own where one is given), and a sampler trained by `sampler-protein-200ps`.
Rolls one replica out from the folded start, timed against OpenMM in the same run, and compares
fold, fluctuations and integrity. The noise floor is that of the two halves of the reference.
Figures go to `benchmarks/results/chignolin.json`. One thread, CPU.
"""

from __future__ import annotations

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
from egno_md import api as em  # noqa: E402
from egno_md.compare.observable import Comparison  # noqa: E402
from egno_md.data.output import provenance  # noqa: E402
from egno_md.data.store import Store, write_json  # noqa: E402
from egno_md.geometry.superposition import superposed  # noqa: E402
from egno_md.md.build import load_system  # noqa: E402
from egno_md.nn.operator import Operator  # noqa: E402
from egno_md.nn.sampler_card import STATEMENT  # noqa: E402
from egno_md.propagate.observe import find_observers  # noqa: E402

RESULTS = HERE / "results" / "chignolin.json"
SYSTEM = "chignolin"
LENGTHS = {"sampling.length": "10 ns", "replicas": 2}
FOLDED = 2.0
"""Å of CA RMSD to the crystal structure; MD's own fluctuation in the folded state is 1."""

INTEGRITY = ("Inverted centres", "Cis peptides", "Clashes", "Ramachandran outliers")
SHAPE = ("Radius of gyration", "Radius of gyration, width")


def main() -> None:
    """Run what is missing, measure, write."""
    given = arguments(__doc__, windows=200)
    torch.set_num_threads(1)
    data = given.data or made(SYSTEM, given.root / "data", given.seed + 71, **LENGTHS)
    operator = given.operator or trained(
        "sampler-protein-200ps", given.root / "operator", data, given.seed
    )
    settings = {
        "length": length(operator, given.windows),
        "source.steps": given.steps,
    }
    summary, rolled = drawn(SYSTEM, given.root / "rollout", operator, data, given.seed, settings)
    held = Store(given.reference or data)
    found = em.compare(held.root, [rolled.root], given.root / "comparison", mode="overwrite")
    card = Operator.load(operator).card
    content = {
        "statement": STATEMENT,
        "machine": provenance(),
        "learned from": {"simulated ns": simulated(Store(data)), "operator": card.training},
        "reference": {"simulated ns": simulated(held), "is what it learned from": held.root == Path(data)},
        "rollout": told(summary) | {"steps": given.steps, "seed": given.seed},
        **fold(held, rolled),
        "compared": compared(found.comparisons[0]),
        "shapes after refinement": shapes(held, rolled),
    }  # fmt: skip
    write_json(RESULTS, content)
    for name in ("rollout", "fold", "compared"):
        print(name, content[name])


def simulated(store: Store) -> float:
    """Nanoseconds in a store."""
    return round(sum(len(t) for t in store) * (store.manifest.spacing or 0.0) / 1e3, 2)


def fold(reference: Store, rolled: Store) -> dict[str, Any]:
    """CA RMSD to the crystal structure, and RMSF of every CA about the mean of its own side."""
    (observer,) = find_observers(load_system(SYSTEM))
    carbons = observer.carbons
    native = observer.states["native"]
    parts = list(reference)
    half = sum(map(len, parts)) // 2
    whole = np.concatenate([t.positions for t in parts])
    sides = {
        "reference": whole,
        "first half of the reference": whole[:half],
        "second half of the reference": whole[half:],
        "rollout": np.concatenate([t.positions for t in rolled]),
    }
    found: dict[str, dict[str, Any]] = {}
    flexible: dict[str, np.ndarray] = {}
    for name, positions in sides.items():
        places = superposed(positions[:, carbons], native)
        rmsd = 10 * np.sqrt(np.square(places - native).sum(-1).mean(-1))
        flexible[name] = 10 * np.sqrt(places.var(0).sum(-1))
        found[name] = {
            "frames": len(places),
            "CA RMSD mean / Å": float(rmsd.mean()),
            "CA RMSD quartiles / Å": np.quantile(rmsd, [0.25, 0.5, 0.75]).tolist(),
            "folded share": float((rmsd < FOLDED).mean()),
            "CA RMSF / Å": flexible[name].tolist(),
        }
    halves = flexible["first half of the reference"], flexible["second half of the reference"]
    return {
        "fold": found,
        "correlation of CA RMSF": {
            "rollout and reference": correlation(flexible["reference"], flexible["rollout"]),
            "halves of the reference": correlation(*halves),
        },
    }


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's."""
    return float(np.corrcoef(a, b)[0, 1])


def compared(comparison: Comparison) -> dict[str, Any]:
    """Rows of `egno-md compare`, with intervals and the noise floor."""
    return {
        o.name: {
            "reference": o.reference, "rollout": o.rollout, "interval of the difference": o.interval,
            "noise floor": o.noise_floor, "unit": o.unit, "verdict": o.verdict,
        }
        for o in comparison.observables if o.name in INTEGRITY + SHAPE
    }  # fmt: skip


if __name__ == "__main__":
    main()
