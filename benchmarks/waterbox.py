"""216 flexible waters in a periodic box: errors, checked rollouts, cost against size.

    python benchmarks/waterbox.py ROOT

Every step writes its own folder under ROOT and is skipped when it is complete.
The figures end in `benchmarks/results/waterbox.json` with their provenance. On
one core of its own it takes about 25 minutes, ten of them training. Costs are
processor seconds of one thread, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from egno_md import api as em
from egno_md.data.output import provenance
from egno_md.data.store import Store, write_json
from egno_md.md.build import load_system
from egno_md.md.engine import NVT, OpenMMEngine
from egno_md.nn.card import OneSystem, Validity
from egno_md.nn.operator import Start, WindowOperator

RESULTS = Path(__file__).resolve().parent / "results"
WATERS = (64, 125, 216, 512, 1000, 1331)
DENSITY = 33.0
"""Waters per nm³."""

ROLLOUTS = {
    "4 fs checked, NVT": ("nvt-300k", {"length": "1 ps"}),
    "4 fs monitored, NVT": (
        "nvt-300k",
        {"length": "400 fs", "correct": {"kind": "monitor"}},
    ),
    "4 fs checked, NPT": (
        "npt-300k",
        {"length": "400 fs", "judge.tolerances.energy": 0.2},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    root = parser.parse_args().root
    torch.set_num_threads(1)
    again = {"mode": "resume"}
    protocol = em.protocol("generate", "water-nve-300k")
    data = em.generate("waterbox", protocol, root / "data", seed=1, **again)
    fewer = em.protocol("generate", "water-nve-300k", {"sampling.segments": 8})
    fresh = em.generate("waterbox", fewer, root / "fresh", seed=2, **again)
    training = em.protocol("train", "egno-water-4fs", {"optimisation.max_time": "10 min"})
    trained = em.train(data.root, training, root / "operator", device="cpu", **again)
    evaluation = em.evaluate(
        trained.bundle, fresh.root, root / "evaluation", part="all", device="cpu", **again
    )
    operator = WindowOperator.load(trained.bundle)
    results = {
        "training": trained.summary,
        "held out, fresh data": {
            k: evaluation[k] for k in ("windows", "f_mse", "a_mse", "by_time", "equivariance")
        },
        "cost": {**against_size(operator), **against_md(operator, fresh)},
        "rollouts": {},
    }
    for label, (name, changes) in ROLLOUTS.items():
        folder = root / ("rollout-" + label.replace(",", "").replace(" ", "-"))
        rollout = em.propagate(
            "waterbox",
            trained.bundle,
            em.protocol("propagate", name, changes | {"record.reference_steps": 100}),
            folder,
            start=fresh.root,
            seed=3,
            device="cpu",
            **again,
        )
        frames = rollout.store.chain("replica-000")
        steps = np.abs(np.diff(frames.positions, axis=0)).max()
        results["rollouts"][label] = {
            **rollout.summary.to_json(),
            "largest step of an atom between windows, nm": round(float(steps), 4),
        }
    results["provenance"] = {
        **provenance(),
        "seeds": "training data 1, fresh data 2, operator 0, rollouts 3",
        "budget": "10 minutes of training, by the wall clock of a machine whose two cores were "
        "shared by several jobs",
        "load_average": [round(v, 1) for v in os.getloadavg()],
    }
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "waterbox.json", results)
    print(json.dumps(results["cost"], indent=1))


def against_size(trained: WindowOperator) -> dict:
    """Processor seconds of one window for boxes of one density, and how they grow."""
    rows = []
    for waters in WATERS:
        card = trained.card
        one = OneSystem(
            name=card.subject,
            atomic_numbers=(8, 1, 1) * waters,
            masses=(15.9994, 1.00794, 1.00794) * waters,
            bonds=tuple((3 * i, 3 * i + k) for i in range(waters) for k in (1, 2)),
        )
        validity = Validity.of_one(one, periodic=True)
        card = card.model_copy(update={"validity": validity})
        operator = WindowOperator(card).eval()
        operator.load_state_dict(trained.state_dict())
        start = a_box(waters)
        with torch.inference_mode():
            graph = operator.own._edges.neighbour_graph(start.positions, start.box, follows=None)
            search = seconds(
                lambda o=operator, s=start: o.own._edges.neighbour_graph(
                    s.positions, s.box, follows=None
                )
            )
            rows.append(
                {
                    "atoms": 3 * waters,
                    "edges": len(graph.receivers),
                    "window_seconds": round(seconds(lambda o=operator, s=start: o(s)), 5),
                    "of_which_edges": round(search, 5),
                }
            )
    slope = np.polyfit(
        np.log([r["atoms"] for r in rows]), np.log([r["window_seconds"] for r in rows]), 1
    )[0]
    return {"by_size": rows, "log_log_slope": round(float(slope), 3)}


def a_box(waters: int) -> Start:
    """Randomly turned waters near the points of a lattice."""
    random = np.random.default_rng(0)
    width = (waters / DENSITY) ** (1 / 3)
    side = int(np.ceil(waters ** (1 / 3) - 1e-9))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)[:waters]
    centres = (grid + 0.1 * random.standard_normal(grid.shape)) * width / side
    one = np.array([[0.0, 0, 0], [0.0957, 0, 0], [-0.024, 0.0926, 0]])
    turns = np.linalg.qr(random.standard_normal((waters, 3, 3)))[0]
    x = (centres[:, None] + one @ turns).reshape(1, -1, 3)
    v, f = random.standard_normal((2, *x.shape))
    arrays = (x, v, 2000 * f, width * np.eye(3)[None])
    return Start(*(torch.from_numpy(a).float() for a in arrays))


def against_md(operator: WindowOperator, store: Store) -> dict:
    """Processor seconds of one window of 216 waters, and of the MD it stands for."""
    built = load_system("waterbox")
    engine = OpenMMEngine(built, timestep=0.0005, kelvin=300.0, friction=5.0, seed=1)
    frame = engine.evaluate(store.chain(store.chains[0])[0])
    engine.load(frame)
    step = seconds(lambda: engine.skip(20, ensemble=NVT)) / 20
    window = seconds(lambda: operator.predict([frame]))
    steps = round(operator.card.window.length / 0.0005)
    return {
        "window_seconds": round(window, 5),
        "force_call_seconds": round(seconds(lambda: engine.evaluate(frame)), 5),
        "md_step_seconds": round(step, 5),
        "md_steps_per_window": steps,
        "md_over_window": round(steps * step / window, 3),
    }


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Median processor seconds of one call, after a first one."""
    work()
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return float(np.median(found))


if __name__ == "__main__":
    main()
