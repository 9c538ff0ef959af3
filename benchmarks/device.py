"""How fast on an accelerator: training of the MD17 network, windows a second, AdK.

    python benchmarks/device.py [--device cuda] [--parts training windows adk]
        [--operator BUNDLE] [--windows 20] [--system adk]

On a CPU, to see that all of it runs, with small sizes:

    python benchmarks/device.py --device cpu --ways TF32 --batches 1 4 --repeats 1 \
        --system chignolin --operator tests/golden/bundles/chignolin-backbone --windows 1

Every way of calculating trains the same weights on the same batch as plain single precision
does, turn by turn, and its row says how far its outputs are from that one's. `adk` needs an
operator for adenylate kinase; OpenMM is timed on its fastest platform in the same run. Figures
go to `benchmarks/results/device.json` with the device's name.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.configurations import CONFIGURATIONS, configuration  # noqa: E402
from egno_md import api as em  # noqa: E402
from egno_md.core.state import Frame  # noqa: E402
from egno_md.core.thermal import maxwell_velocities  # noqa: E402
from egno_md.data.output import provenance  # noqa: E402
from egno_md.data.store import write_json  # noqa: E402
from egno_md.nn.native import described  # noqa: E402
from egno_md.nn.operator import Operator, WindowOperator  # noqa: E402
from egno_md.nn.scene import Scene  # noqa: E402
from egno_md.train.loop import products  # noqa: E402

RESULTS = HERE / "results" / "device.json"
PARTS = ("training", "windows", "adk")
WAYS = {
    "TF32": {"tf32": True},
    "bf16": {"bf16": True},
    "compiled": {"compiled": True},
    "CUDA graphs": {"compiled": True, "graphs": True},
    "CUDA graphs, TF32": {"compiled": True, "graphs": True, "tf32": True},
    "compiled, TF32": {"compiled": True, "tf32": True},
    "compiled, bf16": {"compiled": True, "bf16": True},
}


def training(device: str, repeats: int, ways: dict[str, dict[str, bool]]) -> dict[str, Any]:
    """Steps of the published MD17 network, batch 100, against eager single precision."""
    plain, scene = configuration("MD17", CONFIGURATIONS["MD17"])
    plain, scene = plain.to(device), moved(scene, device)
    with torch.no_grad():
        exact = plain(scene).positions
    rows: dict[str, Any] = {}
    for name, way in ways.items():
        network = copy.deepcopy(plain)
        if way.get("compiled"):
            graphs = way.get("graphs") and device.startswith("cuda")
            network.compile(dynamic=False, mode="reduce-overhead" if graphs else None)
        with arithmetic(device, **way), torch.no_grad():
            error = (network(scene).positions.float() - exact).abs().max() / exact.abs().max()
        slow, fast = [], []
        for turn in range(repeats + 1):
            for network_, seconds, how in ((plain, slow, {}), (network, fast, way)):
                with arithmetic(device, **how):
                    spent = timed(lambda n=network_: step(n, scene), device)
                if turn:
                    seconds.append(spent)
        rows[name] = {
            "eager / ms": round(1e3 * float(np.median(slow)), 2),
            "this / ms": round(1e3 * float(np.median(fast)), 2),
            "ratio": round(float(np.median(np.divide(slow, fast))), 2),
            "largest relative error": float(error),
        }
        print(name, rows[name], flush=True)
    return rows


@contextmanager
def arithmetic(
    device: str, *, tf32: bool = False, bf16: bool = False, **_of_the_network: bool
) -> Iterator[None]:
    """Matrix products of lower precision, within."""
    lower = torch.autocast(device, dtype=torch.bfloat16, enabled=bf16)
    with products("high" if tf32 else "highest"), lower:
        yield


def step(network: torch.nn.Module, scene: Scene) -> None:
    """Forward and backward."""
    network.zero_grad(set_to_none=True)
    network(scene).positions.float().square().mean().backward()


def moved(scene: Scene, device: str) -> Scene:
    """A scene whose tensors are all on the device."""
    names = ("positions", "velocities", "features", "index", "fraction")
    tensors = {name: getattr(scene, name).to(device) for name in names}
    return replace(scene, **tensors, graph=scene.graph.to(tensors["positions"]))


def timed(call: Callable[[], Any], device: str) -> float:
    """Seconds until the device has done it."""
    begun = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def windows(device: str, repeats: int, batches: tuple[int, ...]) -> dict[str, Any]:
    """Windows a second of the shipped operator of ethanol, without checks."""
    system = em.load_system("ethanol").system
    operator = WindowOperator.load(em.find_operator("ethanol", None)).to(device).bind(system)
    random = np.random.default_rng(0)
    rows: dict[str, Any] = {}
    for batch in batches:
        frames = [
            Frame(
                system.positions + 0.003 * random.standard_normal(system.positions.shape),
                maxwell_velocities(system.masses, 300.0, random),
                forces=np.zeros_like(system.positions),
            )
            for _ in range(batch)
        ]
        seconds = [timed(lambda f=frames: operator.predict(f), device) for _ in range(repeats + 1)]
        rows[f"{batch} at once"] = {"windows/s": round(batch / float(np.median(seconds[1:])))}
        print(rows, flush=True)
    return rows


def adk(system: str, operator: Path, count: int, folder: Path) -> dict[str, Any]:
    """A refined rollout of a protein beside OpenMM's own rate."""
    card = Operator.load(operator).card
    kind = "protein-300k" if card.mode == "dynamics" else "sampler-300k"
    changes = {"length": f"{count * card.window.length:g} ps", "refine.every": 1}
    protocol = em.protocol("propagate", kind, changes)
    found = em.propagate(system, operator, protocol, folder).summary
    wanted = ("windows", "seconds", "rollout_ns_per_day", "reference_ns_per_day", "speed_up")
    return {"refined": {key: getattr(found, key) for key in wanted}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--operator", type=Path, help="for adk")
    parser.add_argument("--windows", type=int, default=20, help="of adk")
    parser.add_argument("--system", default="adk", help="of adk")
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=list(WAYS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 64, 1024])
    parser.add_argument("--repeats", type=int, default=30)
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here. Use --device cpu to see that this runs.")
    if given.operator is None and "adk" in given.parts:
        given.parts.remove("adk")
    name = torch.cuda.get_device_name() if given.device == "cuda" else "cpu"
    found: dict[str, Any] = {"device": name}
    with tempfile.TemporaryDirectory() as folder:
        run = {
            "training": lambda: training(
                given.device, given.repeats, {name: WAYS[name] for name in given.ways}
            ),
            "windows": lambda: windows(given.device, given.repeats, tuple(given.batches)),
            "adk": lambda: adk(given.system, given.operator, given.windows, Path(folder) / "adk"),
        }
        for part in given.parts:
            found[part] = run[part]()
            write_json(RESULTS, {**found, "provenance": provenance() | {"loops": described()}})


if __name__ == "__main__":
    main()
