"""How fast: networks against a plain reading of their equations, rollouts, files, sizes.

    python benchmarks/speed.py [--quick] [--parts networks atoms rollouts files loading]
        [--atoms 1000 3000 ...] [--store FOLDER]

One thread. Networks: medians over paired, interleaved steps by CPU time, so that what else
the machine does cancels; each time also as a share of the rate at which it multiplies large
matrices. Figures go to `benchmarks/results/speed.json`, part by part.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.plain_egno import PlainEgno  # noqa: E402
from egno_md import api as em  # noqa: E402
from egno_md.core.pairs import complete_pairs, hop_pairs  # noqa: E402
from egno_md.core.seen import SeenAtoms  # noqa: E402
from egno_md.core.state import Frame, Trajectory  # noqa: E402
from egno_md.data.frames import frame_bytes  # noqa: E402
from egno_md.data.output import provenance  # noqa: E402
from egno_md.data.store import Store, StoreWriter, new_manifest, write_json  # noqa: E402
from egno_md.md.build import load_system  # noqa: E402
from egno_md.nn.card import OperatorCard, Scales  # noqa: E402
from egno_md.nn.graph import make_graph  # noqa: E402
from egno_md.nn.neighbours import find_pairs  # noqa: E402
from egno_md.nn.operator import WindowOperator  # noqa: E402
from egno_md.nn.published import PublishedEgnoNetwork  # noqa: E402
from egno_md.nn.scene import Scene  # noqa: E402
from egno_md.spec.network import Egno, PublishedEgno  # noqa: E402
from egno_md.train.sampling import RandomBatches, loader  # noqa: E402
from egno_md.workflows.train_sampler import sampler_datasets  # noqa: E402

RESULTS = HERE / "results" / "speed.json"
PARTS = ("networks", "atoms", "rollouts", "files", "loading")
DENSITY = 100.0
"""Atoms per nm³, of water."""
CUTOFF = 0.35
"""nm: about 18 neighbours."""

CONFIGURATIONS = {
    "N-body": {"layers": 4, "hidden": 64, "points": 5, "batch": 100, "node": 1, "edge": 2},
    "MD17": {"layers": 5, "hidden": 64, "points": 8, "batch": 100, "node": 2, "edge": 5},
    "Mocap": {"layers": 6, "hidden": 128, "points": 5, "batch": 12, "node": 2, "edge": 2},
    "AdK": {"layers": 4, "hidden": 128, "points": 4, "batch": 1, "node": 2, "edge": 2},
}
"""Published: Xu et al. 2024; the batch of AdK is 8 there."""


def networks(repeats: int) -> dict[str, Any]:
    """A training step and an inference of every published configuration."""
    rate = matrix_rate()
    found: dict[str, Any] = {"large matrices": {"GFLOP/s": round(rate / 1e9, 1)}}
    for name, sizes in CONFIGURATIONS.items():
        network, scene = configuration(name, sizes)
        found[name] = compare(network, scene, repeats, rate)
        print(name, found[name], flush=True)
    return found


def configuration(name: str, sizes: dict[str, int]) -> tuple[PublishedEgnoNetwork, Scene]:
    """A network, and a batch of random frames on a graph like that of the data."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    pairs, atoms = edges_of(name, random)
    features = random.normal(size=(len(pairs), sizes["edge"]))
    graph = make_graph(pairs, features, atoms).repeat(sizes["batch"])
    x, v = torch.from_numpy(random.normal(size=(2, graph.nodes, 3))).float()
    h = torch.from_numpy(random.random((graph.nodes, sizes["node"]))).float()
    index = torch.arange(sizes["points"]).float()
    spec = PublishedEgno(kind="egno-published", layers=sizes["layers"], hidden=sizes["hidden"])
    network = PublishedEgnoNetwork(spec, sizes["node"], sizes["edge"])
    return network, Scene(x, v, h, graph, index, (index + 1) / len(index))


def edges_of(name: str, random: np.random.Generator) -> tuple[np.ndarray, int]:
    """The complete graph, aspirin's heavy atoms, 65 undirected edges of 31 joints, a protein's."""
    if name == "N-body":
        return complete_pairs(5), 5
    if name == "MD17":
        system = load_system("aspirin").system
        heavy = np.flatnonzero(system.atomic_numbers > 1)
        number = {int(a): i for i, a in enumerate(heavy)}
        bonds = [(number[a], number[b]) for a, b in system.bonds if a in number and b in number]
        return hop_pairs(np.array(bonds), len(heavy), 2)[0], len(heavy)
    if name == "Mocap":
        bonds = [(i, max(i - 1 if i % 6 else 0, 0)) for i in range(1, 31)]
        return hop_pairs(np.array(bonds), 31, 2)[0], 31
    x = random.uniform(0, (855 / 40) ** (1 / 3), (855, 3))
    return find_pairs(x, 0.8, None), 855


def compare(
    network: PublishedEgnoNetwork, scene: Scene, repeats: int, rate: float
) -> dict[str, Any]:
    """Ours beside the plain one: the same weights, the same batch, turn by turn."""
    plain = PlainEgno(network)
    with torch.no_grad():
        ours, theirs = network(scene).positions, plain(scene).positions
    row: dict[str, Any] = {
        "edges times points": scene.graph.senders.numel() * len(scene.index),
        "largest relative difference": float((ours - theirs).abs().max() / theirs.abs().max()),
    }
    work = flops(network, scene)
    for what, run, times in (("training", _train, 3), ("inference", _infer, 1)):
        slow, fast = paired(lambda: run(plain, scene), lambda: run(network, scene), repeats)  # noqa: B023
        row |= {
            f"{what}: plain / ms": round(1e3 * float(np.median(slow)), 1),
            f"{what}: ours / ms": round(1e3 * float(np.median(fast)), 1),
            f"{what}: ratio": round(float(np.median(slow / fast)), 2),
            f"{what}: share of matrix rate": round(times * work / float(np.median(fast)) / rate, 2),
        }
    return row


def _train(forward: Callable[[Scene], Any], scene: Scene) -> None:
    module = forward
    module.zero_grad(set_to_none=True)  # type: ignore[attr-defined]
    forward(scene).positions.square().mean().backward()


def _infer(forward: Callable[[Scene], Any], scene: Scene) -> None:
    with torch.inference_mode():
        forward(scene)


def paired(
    first: Callable[[], Any], second: Callable[[], Any], repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    """CPU seconds of two calls, one after the other, `repeats` times after a warm-up."""
    seconds = np.empty((repeats + 1, 2))
    for turn in seconds:
        for k, call in enumerate((first, second)):
            begun = time.process_time()
            call()
            turn[k] = time.process_time() - begun
    return seconds[1:, 0], seconds[1:, 1]


def matrix_rate() -> float:
    """Floating-point operations a second of a large matrix product, the best of many."""
    a, b = torch.randn(2, 1024, 1024)
    seconds, _ = paired(lambda: a @ b, lambda: None, 15)
    return 2 * 1024**3 / float(seconds.min())


def flops(network: PublishedEgnoNetwork, scene: Scene) -> float:
    """Operations of the matrix products that one inference cannot do without."""
    points, hidden = len(scene.index), network.spec.hidden
    edges, nodes = scene.graph.senders.numel() * points, scene.graph.nodes * points
    per_layer = 2 * edges + 6 * nodes + 5 * nodes / points
    return 2.0 * hidden**2 * per_layer * network.spec.layers


def atoms(counts: list[int]) -> dict[str, Any]:
    """One window of a radius graph, each size in a process of its own."""
    rows: dict[str, Any] = {}
    for count in counts:
        command = [sys.executable, __file__, "--one-size", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows[f"{count} atoms"] = json.loads(done.stdout.splitlines()[-1])
        print(count, rows[f"{count} atoms"], flush=True)
    seconds = [r["CPU s a window"] for r in rows.values()]
    slope = float(np.polyfit(np.log(counts), np.log(seconds), 1)[0])
    return rows | {"all": {"slope of log time on log atoms": round(slope, 3)}}


def one_size(count: int) -> dict[str, float]:
    """CPU seconds of a window at P = 4, with and without a neighbour search, and peak memory."""
    random = np.random.default_rng(0)
    x = random.uniform(0, (count / DENSITY) ** (1 / 3), (count, 3))
    card = OperatorCard(
        network=Egno(
            kind="egno", layers=4, hidden=32, vectors=4, edges="radius", cutoff=f"{CUTOFF} nm",
            force_channel=False,
        ),
        time_points=(0.001, 0.002, 0.003, 0.004), system="water", digest="", bonds=(),
        atomic_numbers=(8,) * count, masses=(16.0,) * count,
        scales=Scales(length=0.1, velocity=1.0, acceleration=100.0, position_residual=0.01,
                      velocity_residual=1.0, neighbours=18.0),
    )  # fmt: skip
    operator = WindowOperator(card).eval()
    frames = [Frame(x, random.normal(size=x.shape))]
    seconds = []
    for _ in range(2 if count > 20_000 else 4):
        begun = time.process_time()
        operator.predict(frames)
        seconds.append(time.process_time() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "CPU s a window": round(min(seconds[1:]), 4),
        "with neighbour search": round(seconds[0], 4),
        "CPU µs an atom": round(1e6 * min(seconds[1:]) / count, 1),
        "edges an atom": round(len(find_pairs(x, CUTOFF, None)) / count, 1),
        "peak memory / GiB": round(peak, 2),
    }


def rollouts(folder: Path, windows: int) -> dict[str, Any]:
    """Windows a second, and what a window costs beside the network and OpenMM."""
    rows: dict[str, Any] = {}
    for system in ("ethanol", "aspirin"):
        for replicas in (1, 16):
            changes = {
                "length": f"{max(windows // replicas, 5) * 16} fs", "replicas": replicas,
                "temperature": "300 K", "equilibration": "0.1 ps", "reference_steps": 200,
            }  # fmt: skip
            protocol = em.protocol("propagate", "nvt-300k", changes)
            out = folder / f"{system}-{replicas}"
            summary = em.propagate(system, None, protocol, out).summary
            clocks = summary["seconds"]
            inside = sum(
                clocks.get(k, 0.0) for k in ("network", "checks", "refinement", "fallback")
            )
            rows[f"{system}, {replicas} at once"] = {
                "windows/s": round(summary["windows"] / clocks["total"], 1),
                "outside network and OpenMM": round(1 - inside / clocks["total"], 4),
                "rollout ns/day": round(summary["rollout_ns_per_day"], 3),
                "OpenMM ns/day": round(summary["reference_ns_per_day"], 3),
            }
            print(rows, flush=True)
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
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--atoms", nargs="+", type=int, default=[1000, 3000, 10_000, 30_000, 100_000]
    )
    parser.add_argument(
        "--store", type=lambda f: Store(Path(f)), help="of ala2, for loading; else one is made"
    )
    parser.add_argument("--one-size", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.one_size:
        print(json.dumps(one_size(given.one_size)))
        return
    counts = [n for n in given.atoms if n <= 10_000] if given.quick else given.atoms
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        run = {
            "networks": lambda: networks(5 if given.quick else 21),
            "atoms": lambda: atoms(counts),
            "rollouts": lambda: rollouts(Path(folder), 60 if given.quick else 400),
            "files": lambda: files(Path(folder)),
            "loading": lambda: loading(Path(folder), given.store, 20 if given.quick else 100),
        }
        for part in given.parts:
            found[part] = run[part]()
            write_json(RESULTS, {**found, "provenance": provenance()})


if __name__ == "__main__":
    main()
