"""Ethanol at 500 K with GFN2-xTB: operators, held-out errors, rollouts, speed.

    python benchmarks/ethanol.py ROOT [--data STORE]

Every step writes its own folder under ROOT and is skipped when it is complete,
so that an interrupted run goes on. The figures end in
`benchmarks/results/ethanol.json` with their provenance. On two cores it takes
about an hour and a half; four trainings of 20 minutes are most of it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from egno_md import api as em
from egno_md.core.units import kinetic_energy
from egno_md.data.output import provenance
from egno_md.data.store import Store, write_json
from egno_md.propagate.policy import with_policy

RESULTS = Path(__file__).resolve().parent / "results"
OPERATORS = {
    "8fs": "egno-8fs",
    "8fs force-free": "egno-8fs-force-free",
    "4fs": "egno-4fs",
    "4fs force-free": "egno-4fs-force-free",
}
ROLLOUT = {"length": "20 ps", "replicas": 4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--data", type=Path, help="an existing training store")
    arguments = parser.parse_args()
    root, data = arguments.root, arguments.data
    again = {"mode": "resume"}
    if data is None:
        protocol = em.protocol("generate", "nve-500k", {"replicas": 2, "sampling.segments": 120})
        data = em.generate("ethanol", protocol, root / "data", seed=1, workers=2, **again).root
    protocol = em.protocol("generate", "nve-500k", {"replicas": 2, "sampling.segments": 12})
    fresh = em.generate("ethanol", protocol, root / "fresh", seed=2, workers=2, **again)
    cold = em.protocol("generate", "nve-300k", {"replicas": 2, "sampling.segments": 12})
    cold_store = em.generate("ethanol", cold, root / "fresh-300k", seed=3, workers=2, **again)
    protocol = em.protocol("generate", "nvt-500k", {"replicas": 4})
    reference = em.generate("ethanol", protocol, root / "reference", seed=4, workers=2, **again)
    protocol = em.protocol("generate", "nvt-500k", {"replicas": 4})
    replicate = em.generate("ethanol", protocol, root / "replicate", seed=5, workers=2, **again)
    results = {
        "data": {
            "training": conservation(Store(data)),
            "fresh 500 K, nve-500k": conservation(fresh),
            "fresh 300 K, nve-300k": conservation(cold_store),
        },
        "operators": {},
        "rollouts": {},
    }
    bundles = {}
    for name, protocol_name in OPERATORS.items():
        folder = "op" + name.replace("fs force-free", "ff").replace("fs", "")
        protocol = em.protocol("train", protocol_name)
        trained = em.train(data, protocol, root / folder, device="cpu", **again)
        bundles[name] = trained.bundle
        held_out = {
            "test split": em.evaluate(trained.bundle, data, root / f"{folder}-test", **again),
            "fresh data": em.evaluate(
                trained.bundle, fresh.root, root / f"{folder}-fresh", part="all", **again
            ),
        }
        results["operators"][name] = {
            "protocol": protocol_name,
            "training": trained.summary,
            "held out": {k: short(v) for k, v in held_out.items()},
        }
    folders = []
    for label, operator, policy in (
        ("8 fs checked", "8fs", "fallback"),
        ("8 fs unchecked", "8fs", "off"),
        ("4 fs checked", "4fs", "fallback"),
        ("8 fs force-free checked", "8fs force-free", "fallback"),
        ("8 fs force-free unchecked", "8fs force-free", "off"),
    ):
        protocol = with_policy(em.protocol("propagate", "nvt-500k", ROLLOUT), policy)
        folder = root / ("rollout-" + label.replace(" ", "-"))
        rollout = em.propagate("ethanol", bundles[operator], protocol, folder, seed=6, **again)
        results["rollouts"][label] = rollout.summary.to_json()
        folders.append(folder)
    settled = [f for f in folders if any((f / "shards").glob("*.h5"))]
    compared = em.compare(
        reference.root, [*settled, replicate.root], root / "comparison", seed=7, **again
    )
    results["comparison"] = compared.to_json()["verdicts"]
    results["provenance"] = {
        **provenance(),
        "seeds": "training data 1, operators 0, fresh data 2 and 3, references 4 and 5, rollouts 6",
        "budget": "20 minutes a training on one core; two trainings ran at a time",
    }
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "ethanol.json", results)
    print(json.dumps(results["rollouts"], indent=1))


def conservation(store: Store) -> dict:
    """Energy conservation of NVE segments, from the stored frames (kJ/mol)."""
    sigma = []
    for segment in store:
        total = segment.potential_energy + kinetic_energy(segment.velocities, store.masses)
        sigma.append(float(total.std()))
    return {
        "frames": store.manifest.frames,
        "segments": len(sigma),
        "sigma_energy_median": round(float(np.median(sigma)), 4),
        "sigma_energy_max": round(max(sigma), 4),
        "protocol": store.manifest.provenance["protocol"],
    }


def short(evaluation: dict) -> dict:
    """What a reader compares."""
    return {
        k: evaluation[k]
        for k in ("windows", "f_mse", "a_mse", "by_time", "equivariance", "zero_shot")
    }


if __name__ == "__main__":
    main()
