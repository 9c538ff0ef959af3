"""How fast: networks against a plain reading of their equations, rollouts, files, sizes.

    python benchmarks/speed.py [--quick] [--parts networks compiled memory atoms ...]
        [--atoms 1000 3000 ...] [--store FOLDER]

One thread. Networks: medians over paired, interleaved steps by CPU time, so that what else
the machine does cancels; each time also as a share of the rate at which it multiplies large
matrices. Figures go to `benchmarks/results/speed.json`, part by part.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.speed_loops import loops  # noqa: E402
from benchmarks.speed_networks import (  # noqa: E402
    compiled,
    floor,
    memory,
    networks,
    of_own_process,
    one_step,
    paired,
    peak_memory,
)
from egno_md import api as em  # noqa: E402
from egno_md.core.seen import SeenAtoms  # noqa: E402
from egno_md.core.state import Frame, Trajectory  # noqa: E402
from egno_md.data.frames import frame_bytes  # noqa: E402
from egno_md.data.output import RUN, provenance  # noqa: E402
from egno_md.data.store import Store, StoreWriter, new_manifest, write_json  # noqa: E402
from egno_md.md.build import load_system  # noqa: E402
from egno_md.nn.card import DynamicsCard, OneSystem, Scales, Validity  # noqa: E402
from egno_md.nn.native import described  # noqa: E402
from egno_md.nn.neighbours import find_pairs  # noqa: E402
from egno_md.nn.operator import WindowOperator  # noqa: E402
from egno_md.spec.network import Egno  # noqa: E402
from egno_md.train.run_sampler import sampler_datasets  # noqa: E402
from egno_md.train.sampling import RandomBatches, loader  # noqa: E402

RESULTS = HERE / "results" / "speed.json"
PARTS = [
    "networks",
    "loops",
    "compiled",
    "floor",
    "memory",
    "atoms",
    "shapes",
    "rollouts",
    "generation",
    "files",
    "loading",
]
DENSITY = 100.0
"""Atoms per nm³, of water."""
CUTOFF = 0.35
"""nm: about 18 neighbours."""

GENERATED = {
    "ethanol": ("nvt-500k", 10.0),
    "aspirin": ("nvt-500k", 2.0),
    "ala2/hmr": ("nvt-300k-4fs", 400.0),
    "chignolin": ("nvt-300k-4fs", 80.0),
    "trpcage": ("nvt-300k-4fs", 40.0),
    "adk": ("nvt-300k-4fs", 4.0),
}
"""A protocol and a length in ps for each system."""


def atoms(counts: list[int]) -> dict[str, Any]:
    """One window of a radius graph, each size in a process of its own."""
    rows: dict[str, Any] = {}
    for count in counts:
        rows[f"{count} atoms"] = of_own_process("--one-size", str(count))
        print(count, rows[f"{count} atoms"], flush=True)
    seconds = [r["CPU s a window"] for r in rows.values()]
    slope = float(np.polyfit(np.log(counts), np.log(seconds), 1)[0])
    return rows | {"all": {"slope of log time on log atoms": round(slope, 3)}}


def one_size(count: int) -> dict[str, float]:
    """CPU seconds of a window at P = 4, with and without a neighbour search, and peak memory."""
    operator, frame = water(count, 4, np.random.default_rng(0))
    seconds = []
    for _ in range(2 if count > 20_000 else 4):
        begun = time.process_time()
        operator.predict([frame])
        seconds.append(time.process_time() - begun)
    return {
        "CPU s a window": round(min(seconds[1:]), 4),
        "with neighbour search": round(seconds[0], 4),
        "CPU µs an atom": round(1e6 * min(seconds[1:]) / count, 1),
        "edges an atom": round(len(find_pairs(frame.positions, CUTOFF, None)) / count, 1),
        "peak memory / GiB": round(peak_memory() / 2**10, 2),
    }


def water(count: int, points: int, random: np.random.Generator) -> tuple[WindowOperator, Frame]:
    """An operator with a radius graph, and a frame of so many atoms at water's density."""
    one = OneSystem(name="water", atomic_numbers=(8,) * count, masses=(16.0,) * count, bonds=())
    card = DynamicsCard(
        network=Egno(
            kind="egno", layers=4, hidden=32, vectors=4, edges="radius", cutoff=f"{CUTOFF} nm",
            force_channel=False,
        ),
        time_points=tuple(0.001 * (1 + np.arange(points))), vocabulary=(8,),
        validity=Validity.of_one(one),
        scales=Scales(length=0.1, velocity=1.0, acceleration=100.0, position_residual=0.01,
                      velocity_residual=1.0, neighbours=18.0),
    )  # fmt: skip
    x = random.uniform(0, (count / DENSITY) ** (1 / 3), (count, 3))
    return WindowOperator(card).eval(), Frame(x, random.normal(size=x.shape))


def shapes(repeats: int) -> dict[str, Any]:
    """A window of twenty atoms at other numbers of time points, and of windows at once."""
    rows: dict[str, Any] = {}
    for points, batch in [(p, 1) for p in (2, 4, 8, 16, 32)] + [(4, b) for b in (16, 64, 256)]:
        operator, frame = water(20, points, np.random.default_rng(0))
        seconds, _ = paired(lambda: operator.predict([frame] * batch), lambda: None, repeats)  # noqa: B023
        milliseconds = round(1e3 * float(np.median(seconds)) / batch, 2)
        rows[f"P = {points}, {batch} at once"] = {"CPU ms a window": milliseconds}
        print(points, batch, milliseconds, flush=True)
    return rows


def rollouts(folder: Path, windows: int) -> dict[str, Any]:
    """Windows a second, and what a window costs beside the network and OpenMM."""
    rows: dict[str, Any] = {}
    for system in ("ethanol", "aspirin"):
        for replicas in (1, 16):
            changes = {
                "length": f"{max(windows // replicas, 5) * 16} fs", "replicas": replicas,
                "temperature": "300 K", "equilibration": "0.1 ps", "record.reference_steps": 200,
            }  # fmt: skip
            protocol = em.protocol("propagate", "nvt-300k", changes)
            out = folder / f"{system}-{replicas}"
            summary = em.propagate(system, None, protocol, out).summary
            clocks = summary.seconds
            inside = sum(
                clocks.get(k, 0.0) for k in ("network", "checks", "refinement", "fallback")
            )
            rows[f"{system}, {replicas} at once"] = {
                "windows/s": round(summary.windows / clocks["total"], 1),
                "outside network and OpenMM": round(1 - inside / clocks["total"], 4),
                "rollout ns/day": round(summary.rollout_ns_per_day, 3),
                "OpenMM ns/day": round(summary.reference_ns_per_day, 3),
            }
            print(rows, flush=True)
    return rows


def generation(folder: Path, quick: bool) -> dict[str, Any]:
    """Reference MD with its output, of one replica on one thread."""
    rows: dict[str, Any] = {}
    for system, (protocol, length) in GENERATED.items():
        changes = {
            "sampling.length": f"{length / (10 if quick else 1):g} ps", "replicas": 1,
            "equilibration": "1 ps",
        }  # fmt: skip
        spec = em.protocol("generate", protocol, changes)
        store = em.generate(system, spec, folder / system.replace("/", "-"), seed=1)
        told = json.loads((store.root / RUN).read_text())
        rows[system] = {
            "atoms": store.system().n_atoms,
            "protocol": protocol,
            "ns/day": round(told["ns_per_day"], 2),
        }
        print(system, rows[system], flush=True)
    return rows


def files(folder: Path) -> dict[str, Any]:
    """Frames written to and read from a store, and compared."""
    system = load_system("aspirin").system
    random = np.random.default_rng(0)
    rates: dict[str, Any] = {}
    for name in ("one", "two"):
        frames = 10_000
        x = system.positions + 0.01 * random.standard_normal((frames, system.n_atoms, 3))
        made = Trajectory(x, 1e-3 * np.arange(frames), velocities=10 * (x - system.positions))
        begun = time.process_time()
        manifest = new_manifest(system, "generate", 1e-3, protocol={"temperature": "300 K"})
        writer = StoreWriter(folder / name, manifest, system.topology)
        writer.append(made, "replica-000")
        writer.finish()
        rates["write / frames/s"] = round(frames / (time.process_time() - begun))
        begun = time.process_time()
        list(Store(folder / name))
        rates["read / frames/s"] = round(frames / (time.process_time() - begun))
    begun = time.process_time()
    em.compare(folder / "one", [folder / "two"], folder / "compared")
    rates["compare / frames/s"] = round(2 * frames / (time.process_time() - begun))
    return {"aspirin": rates}


def loading(folder: Path, store: Store | None, steps: int) -> dict[str, Any]:
    """A sampler of alanine dipeptide trained from memory, and from files with less of it."""
    store = store or jittered(folder / "frames", "ala2", 20_000)
    seen = SeenAtoms.of(store.system(), "heavy")
    size = store.manifest.frames * frame_bytes(["positions"], len(seen.atoms))
    rows: dict[str, Any] = {"frames": {"MiB": round(size / 2**20, 2)}}
    weights = []
    for name, share in (("memory", 1.0), ("files, 1/2", 0.5), ("files, 1/16", 1 / 16)):
        spent = []
        for count in (1, steps + 1):  # the first for what every training begins and ends with
            changes = {
                "optimisation.max_steps": count, "optimisation.validate_every": count,
                "optimisation.max_time": None,
                "data_memory": f"{1.001 * share * size / 2**30:.12f} GiB",
            }  # fmt: skip
            protocol = em.protocol("train", "sampler-40ps", changes)
            begun = time.process_time()
            trained = em.train(store.root, protocol, folder / f"{len(rows)}-{count}", device="cpu")
            spent.append(time.process_time() - begun)
        weights.append(torch.nn.utils.parameters_to_vector(trained.operator.parameters()))
        begun = time.process_time()
        windows = sampler_datasets(store, protocol, seen)[1]["train"]
        opened = time.process_time()
        for _ in loader(windows, RandomBatches(len(windows), 24, steps, 0)):
            pass
        rows[name] = {
            "opening / s": round(opened - begun, 2),
            "loading a batch / ms": round(1e3 * (time.process_time() - opened) / steps, 2),
            "steps/s": round(steps / (spent[1] - spent[0]), 2),
            "same weights": bool(torch.equal(weights[-1], weights[0])),
        }
        print(name, rows[name], flush=True)
    return rows


def jittered(root: Path, name: str, frames: int) -> Store:
    """A store of a system whose atoms tremble, in files of 100 frames as `generate` writes."""
    system = load_system(name).system
    random = np.random.default_rng(0)
    writer = StoreWriter(root, new_manifest(system, "generate", 2.0), system.topology)
    for start in range(0, frames, 100):
        x = system.positions + 0.01 * random.standard_normal((100, system.n_atoms, 3))
        writer.append(Trajectory(x, 2.0 * np.arange(start, start + 100)), "replica-000")
    writer.finish()
    return Store(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repeats, and up to 10,000 atoms")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--atoms", nargs="+", type=int, default=[1000, 3000, 10_000, 30_000, 100_000]
    )
    parser.add_argument(
        "--store", type=lambda f: Store(Path(f)), help="of ala2, for loading; else one is made"
    )
    parser.add_argument("--one-size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one-step", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.one_size:
        print(json.dumps(one_size(given.one_size)))
        return
    if given.one_step:
        print(json.dumps(one_step(*given.one_step)))
        return
    counts = [n for n in given.atoms if n <= 10_000] if given.quick else given.atoms
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        run = {
            "networks": lambda: networks(5 if given.quick else 21),
            "loops": lambda: loops(5 if given.quick else 21),
            "compiled": lambda: compiled(5 if given.quick else 21),
            "floor": lambda: floor(5 if given.quick else 21),
            "memory": memory,
            "atoms": lambda: atoms(counts),
            "shapes": lambda: shapes(5 if given.quick else 21),
            "rollouts": lambda: rollouts(Path(folder), 60 if given.quick else 400),
            "generation": lambda: generation(Path(folder) / "generated", given.quick),
            "files": lambda: files(Path(folder)),
            "loading": lambda: loading(Path(folder), given.store, 20 if given.quick else 100),
        }
        for part in given.parts:
            found[part] = run[part]()
            write_json(RESULTS, {**found, "provenance": provenance() | {"loops": described()}})


if __name__ == "__main__":
    main()
