"""Adenylate kinase from MD to a rollout whose every window is refined to all atoms.

    python benchmarks/adk_chain.py ROOT [--data FOLDER] [--operator BUNDLE] [--network egno]
        [--minutes 10] [--windows 20] [--seed 0]

Generates what is not given under ROOT: 16.5 ps of MD (3,341 atoms, amber14 with native OBC2, steps of
4 fs with heavy hydrogens), an operator of the backbone by the shipped `protein-*-1ps` protocol for
some minutes, on a GPU where there is one. Propagates window by window, the end of each refined to
all atoms inside the clock, timed against OpenMM in the same run; looks at the geometry after every
refinement and compares with MD. Every part resumes where it was cut off. Figures go to
`benchmarks/results/adk_chain.json`. One thread; about half an hour of one free core.

Windows of 1 ps are past what a deterministic operator can know of the future: what is shown is that
the chain holds and what it costs, not that it samples.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.adk_geometry import frames, geometry, observed, steps  # noqa: E402
from benchmarks.chignolin import compared  # noqa: E402
from benchmarks.sampler_runs import console, length  # noqa: E402
from egno_md import api as em  # noqa: E402
from egno_md.core.progress import Progress, Values  # noqa: E402
from egno_md.data.output import provenance  # noqa: E402
from egno_md.data.store import Store, write_json  # noqa: E402
from egno_md.md.build import load_system  # noqa: E402
from egno_md.md.engine import OpenMMEngine  # noqa: E402
from egno_md.nn.operator import Operator  # noqa: E402

RESULTS = HERE / "results" / "adk_chain.json"
SYSTEM = "adk"
MD = {"equilibration": "5 ps", "sampling.length": "16.5 ps", "sampling.frame_spacing": "100 fs"}
PARTS = ("network", "lift", "refinement", "checks", "fallback", "thermostat", "constraints",
         "observables", "output")  # fmt: skip
GAINS = (1, 2, 10)
MD_STEPS = 100


def main() -> None:
    """Run what is missing, measure, write."""
    given = arguments()
    torch.set_num_threads(1)
    data = given.data or generated(given.root / "data", given.seed + 71)
    operator = given.operator or trained(given, data)
    watch = Watch(console(given.root / "rollout"))
    rolled = em.propagate(
        SYSTEM,
        operator,
        em.protocol("propagate", "protein-300k", {"length": length(operator, given.windows)}),
        given.root / "rollout",
        start=data,
        seed=given.seed,
        mode="resume",
        progress=watch,
    )
    errors = em.evaluate(operator, data, given.root / "evaluation", mode="overwrite")
    found = em.compare(data, [rolled.out], given.root / "comparison", mode="overwrite")
    reference, summary = Store(data), rolled.summary.to_json()
    events = [json.loads(x) for x in (rolled.out / "events.jsonl").read_text().splitlines()]
    spent = processor(watch, given.root / "processor.json", data)
    content = {
        "statement": summary["caveat"],
        "machine": provenance(),
        "learned from": learned(reference, operator),
        "errors on held-out windows": errors_at_end(errors),
        "rollout, wall time beside other work": told(summary) | {"seed": given.seed},
        "wall seconds a window": split(summary),
        "processor time": spent,
        "what would pay": budget(summary, spent),
        "geometry after every refinement": geometry(reference, rolled.store, events),
        "observed": observed(reference, rolled.store),
        "moves over one window": steps(reference, rolled.store, summary["window_ps"]),
        "refinement": refined(summary, events),
        "compared": compared(found.comparisons[0]),
    }
    write_json(RESULTS, content)
    for name in ("processor time", "what would pay", "geometry after every refinement"):
        print(name, json.dumps(content[name], indent=1))


class Watch:
    """Listens to a rollout and notes the processor's time at every window's end."""

    def __init__(self, to: Progress) -> None:
        self.to, self.seconds = to, list[float]()

    def update(self, done: float, total: float, values: Values = "") -> None:
        self.seconds.append(time.process_time())
        self.to.update(done, total, values)

    def note(self, text: str) -> None:
        self.to.note(text)


def processor(watch: Watch, kept: Path, data: Path) -> dict[str, float]:
    """Seconds of a window and of MD that no other process lengthens; kept beside the rollout."""
    if len(watch.seconds) > 2:
        window = (watch.seconds[-1] - watch.seconds[0]) / (len(watch.seconds) - 1)
        step = md_seconds(data)
        write_json(kept, {"a window": window, "a step of 4 fs by MD": step})
    found = json.loads(kept.read_text())
    picosecond = 250 * found["a step of 4 fs by MD"]
    return {
        "a window of 1 ps / s": round(found["a window"], 3),
        "1 ps of MD / s": round(picosecond, 3),
        "MD, ns/day": round(86.4 / picosecond, 3),
        "rollout, ns/day": round(86.4 / found["a window"], 3),
        "ratio": round(picosecond / found["a window"], 3),
    }


def md_seconds(data: Path) -> float:
    """Of the processor, for a step of LangevinMiddle dynamics from the last frame."""
    engine = OpenMMEngine(
        load_system(SYSTEM), timestep=4e-3, kelvin=300.0, friction=1.0, seed=0, platform="CPU",
        thermostat="langevin-middle",
    )  # fmt: skip
    engine.load(frames(Store(data))[-1])
    engine.skip(5)
    begun = time.process_time()
    engine.skip(MD_STEPS)
    return (time.process_time() - begun) / MD_STEPS


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--data", type=Path, help="store to learn from and to be held against")
    parser.add_argument("--operator", type=Path, help="bundle")
    parser.add_argument("--network", choices=("egno", "eghno"), default="egno")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training")
    parser.add_argument("--windows", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def generated(folder: Path, seed: int) -> Path:
    """Langevin MD by the shipped protocol, shorter."""
    spec = em.protocol("generate", "protein-300k", MD)
    return em.generate(
        SYSTEM, spec, folder, seed=seed, mode="resume", progress=console(folder)
    ).root


def trained(given: argparse.Namespace, data: Path) -> Path:
    """An operator of the backbone by the shipped protocol, for so many minutes."""
    folder = given.root / given.network
    changes = {
        "optimisation.max_time": f"{60 * given.minutes:g} s",
        "optimisation.batch_size": 1,
        "optimisation.validate_every": 20,
    }
    spec = em.protocol("train", f"protein-{given.network}-1ps", changes)
    return em.train(
        data, spec, folder, seed=given.seed, mode="resume", progress=console(folder)
    ).bundle


def learned(reference: Store, operator: Path) -> dict[str, Any]:
    """MD and training, as far as they matter."""
    card = Operator.load(operator).card
    training = card.training
    frames = sum(len(t) for t in reference)
    device = "a GPU" if torch.cuda.is_available() else "one thread of a CPU, a short run"
    return {
        "simulated ps": round(frames * (reference.manifest.spacing or 0.0), 3),
        "frames": frames,
        "network": card.network.kind,
        "atoms": card.atoms,
        "parameters": training.get("parameters"),
        "trained on": device,
        "training windows": training.get("training_windows"),
        "steps": training.get("steps"),
        "training seconds": training.get("seconds"),
        "seed": training.get("seed"),
    }


def errors_at_end(found: dict[str, Any]) -> dict[str, Any]:
    """Of the backbone at a window's end: the operator, nothing moving, straight on."""
    end = found["by_time"][-1]
    return {
        "windows": found["windows"],
        "position error / Å": {k: v for k, v in end["position_rmse"].items() if v is not None},
        "velocity error / thermal": {
            k: v for k, v in end["velocity_error"].items() if v is not None
        },
    }


def told(summary: dict[str, Any]) -> dict[str, Any]:
    """What of a summary belongs to a table."""
    names = (
        "replicas", "windows", "window_ps", "simulated_ps", "policy", "mode", "events",
        "fallback_share", "temperature_mean", "temperature_target", "largest_bond_deviation",
        "rollout_ns_per_day", "reference_ns_per_day", "speed_up", "reference_platform",
        "network_device", "network_threads",
    )  # fmt: skip
    return {n: summary.get(n) for n in names}


def split(summary: dict[str, Any]) -> dict[str, float]:
    """Wall seconds of a window, in parts that add up."""
    spent, windows = summary["seconds"], max(summary["windows"], 1)
    found = {p: spent[p] / windows for p in PARTS if spent.get(p)}
    total = spent["total"] / windows
    return {
        **{k: round(v, 4) for k, v in found.items()},
        "other": round(total - sum(found.values()), 4),
        "total": round(total, 4),
    }


def budget(summary: dict[str, Any], spent: dict[str, float]) -> dict[str, Any]:
    """Net speed-up < window / (cost of a window in ps of MD), whatever the window is.

    By the processor's time: wall time of a few steps of MD on a shared machine says little.
    """
    cost = summary["window_ps"] / spent["ratio"]
    return {
        "a window costs as much as MD of / ps": round(cost, 3),
        "net speed-up now": round(spent["ratio"], 2),
        "windows for a net speed-up of / ps": {f"{gain}×": round(gain * cost, 2) for gain in GAINS},
        "law": "net speed-up = window / cost of a window in ps of MD, at equal cost",
    }


def refined(summary: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    """How far refinement moved what was predicted."""
    done = [e["refined"] for e in events if e.get("refined")]
    return {
        "windows": len(done),
        "blocks, mean": summary["refinement_blocks"],
        "displacement, mean / nm": summary["refinement_displacement_nm"],
        "residues moved by more than 0.5 Å, mean": float(
            np.mean([r["residues_moved"] for r in done])
        ) if done else None,
        "largest force left / kJ/mol/nm": max((r["max_force"] for r in done), default=None),
        "most moved, mean / nm": dict(list(summary["refined_by_residue_nm"].items())[:5]),
    }  # fmt: skip


if __name__ == "__main__":
    main()
