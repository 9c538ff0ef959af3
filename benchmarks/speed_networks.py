"""Parts of `speed.py`: the published networks beside a plain reading of their equations."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.configurations import CONFIGURATIONS, configuration
from benchmarks.plain_egno import PlainEgno
from egno_md.nn.published import PublishedEgnoNetwork
from egno_md.nn.scene import Scene

SCRIPT = Path(__file__).resolve().parent / "speed.py"


def networks(repeats: int) -> dict[str, Any]:
    """A training step and an inference of every published configuration."""
    rate = matrix_rate()
    found: dict[str, Any] = {"large matrices": {"GFLOP/s": round(rate / 1e9, 1)}}
    for name, sizes in CONFIGURATIONS.items():
        network, scene = configuration(name, sizes)
        few = min(repeats, 5) if name == "AdK" else repeats  # half a minute a turn
        found[name] = compare(network, scene, few, rate)
        print(name, found[name], flush=True)
    return found


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


def compiled(repeats: int) -> dict[str, Any]:
    """The same through torch.compile, which takes its time first."""
    rate = matrix_rate()
    found: dict[str, Any] = {}
    for name in ("N-body", "MD17"):
        network, scene = configuration(name, CONFIGURATIONS[name])
        network.compile(dynamic=False)
        begun = time.process_time()
        _train(network, scene)
        _infer(network, scene)
        spent = {"translation / s": round(time.process_time() - begun, 1)}
        found[name] = spent | compare(network, scene, repeats, rate)
        print(name, found[name], flush=True)
    return found


def memory() -> dict[str, Any]:
    """Peak memory of a training step, each in a process of its own."""
    rows: dict[str, Any] = {}
    for name in CONFIGURATIONS:
        peaks = [of_own_process("--one-step", name, which) for which in ("none", "plain", "ours")]
        plain, ours = (peak["peak / MiB"] - peaks[0]["peak / MiB"] for peak in peaks[1:])
        rows[name] = {"plain / MiB": round(plain), "ours / MiB": round(ours)}
        print(name, rows[name], flush=True)
    return rows


def one_step(name: str, which: str) -> dict[str, float]:
    """Peak memory of a process that trains for two steps, or for none."""
    network, scene = configuration(name, CONFIGURATIONS[name])
    forward = PlainEgno(network) if which == "plain" else network
    for _ in range(0 if which == "none" else 2):
        _train(forward, scene)
    return {"peak / MiB": peak_memory()}


def peak_memory() -> float:
    """MiB of this process at most; what `getrusage` says begins with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def of_own_process(*arguments: str) -> dict[str, float]:
    """What this script prints last when it is run with some arguments."""
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


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


def floor(repeats: int) -> dict[str, Any]:
    """The plain network beside nothing but the products and SiLUs no implementation avoids."""
    rows: dict[str, Any] = {}
    for name in ("N-body", "MD17"):
        network, scene = configuration(name, CONFIGURATIONS[name])
        plain, hidden = PlainEgno(network), network.spec.hidden
        edges, nodes = scene.graph.senders.numel(), scene.graph.nodes
        activated = (3 * edges + 2 * nodes) * len(scene.index) * network.spec.layers
        block = 2000  # rows that stay in the cache
        a, b, out = (
            torch.randn(block, hidden),
            torch.randn(hidden, hidden),
            torch.empty(block, hidden),
        )
        products = round(flops(network, scene) / (2 * block * hidden**2))

        def least(count: int = products, silus: int = round(activated / block)) -> None:
            for _ in range(count):
                torch.mm(a, b, out=out)  # noqa: B023
            for _ in range(silus):
                torch.nn.functional.silu(out, inplace=True)  # noqa: B023

        slow, fast = paired(lambda: _infer(plain, scene), least, repeats)  # noqa: B023
        rows[name] = {
            "inference: ratio of products and SiLU alone": round(float(np.median(slow / fast)), 2)
        }
        print(name, rows[name], flush=True)
    return rows


def flops(network: PublishedEgnoNetwork, scene: Scene) -> float:
    """Operations of the matrix products that one inference cannot do without."""
    points, hidden = len(scene.index), network.spec.hidden
    edges, nodes = scene.graph.senders.numel() * points, scene.graph.nodes * points
    per_layer = 2 * edges + 6 * nodes + 5 * nodes / points
    return 2.0 * hidden**2 * per_layer * network.spec.layers
