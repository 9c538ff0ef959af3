"""SIGKILL at random moments of generate, train and propagate, each resumed to its end.

    python benchmarks/kills.py ROOT [--kills 20] [--seed 0]

Each verb first runs unbroken. Then it is killed at moments drawn uniformly over
that run's duration, and resumed, again and again; a run that ends before its kill
is compared with the unbroken one, to the bit, and another begins. After every
kill all that is on disk must be readable. Figures go to
`benchmarks/results/kills.json`. One thread, CPU, ethanol.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import tables

from egno_md.core.errors import DataError
from egno_md.data.output import provenance
from egno_md.data.store import Store, write_json

RESULTS = Path(__file__).resolve().parent / "results"
PRELOADED = ["egno_md.cli", "egno_md.propagate.rollout", "egno_md.train.run"]
"""Imported once by the server that processes are forked from, before any thread starts."""


@dataclass
class Verb:
    """One verb under fire.

    Attributes:
        name: the verb.
        arguments: all but --out.
        same: compares a resumed folder with the unbroken one.
        duration: seconds of the unbroken run.
        delays: seconds into the process at which it was killed.
        phases: what was on disk at each kill.
    """

    name: str
    arguments: list[str]
    same: Callable[[Path, Path], None]
    duration: float = 0.0
    delays: list[float] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    completed: int = 0


def verbs(root: Path) -> list[Verb]:
    """generate, train on it, propagate with that."""
    settings = {
        "generate": [
            "ethanol", "--protocol", "nve-500k", "equilibration='10 fs'", "replicas=2",
            "sampling.segments=10", "sampling.segment_length='12 fs'",
            "sampling.decorrelation='10 fs'",
        ],
        "train": [
            str(root / "unbroken-generate"), "network.layers=1", "network.hidden=8",
            "network.vectors=3", "optimisation.max_time=null", "optimisation.max_steps=80",
            "optimisation.validate_every=10",
        ],
        "propagate": [
            "ethanol", "--operator", str(root / "unbroken-train" / "bundle"),
            "--start", str(root / "unbroken-generate"), "--replicas", "2", "--length", "400 fs",
            "--policy", "fallback", "judge.tolerances.energy=20",
            "judge.tolerances.bond='0.5 angstrom'", "record.reference_steps=10",
        ],
    }  # fmt: skip
    compare = {"generate": same_store, "train": same_training, "propagate": same_rollout}
    made = []
    for name, words in settings.items():
        arguments = [name]
        for word in words:
            is_setting = "=" in word and not word.startswith("-")
            arguments += ["--set", word] if is_setting else [word]
        made.append(Verb(name, arguments, compare[name]))
    return made


def work(arguments: list[str]) -> None:
    """The command line, in a process of its own, writing more often than usual."""
    from egno_md.cli import main
    from egno_md.propagate import rollout

    rollout.WINDOWS_PER_FLUSH = 10
    main(arguments)


def begin(verb: Verb, out: Path, *more: str) -> BaseProcess:
    """Start a verb from a server that has its imports, so that kills fall on its work."""
    arguments = [*verb.arguments, "--out", str(out), "--quiet", *more]
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=work, args=(arguments,))
    process.start()
    return process


def run_whole(verb: Verb, out: Path) -> None:
    """The unbroken run."""
    begun = time.perf_counter()
    process = begin(verb, out)
    process.join()
    verb.duration = time.perf_counter() - begun
    if process.exitcode:
        raise RuntimeError(f"{verb.name} ended with {process.exitcode}")


def attack(verb: Verb, out: Path, delay: float, *, resume: bool) -> bool:
    """Run or resume, and kill after `delay` seconds; whether it was still alive then."""
    process = begin(verb, out, *(["--resume"] if resume else []))
    process.join(delay)
    if process.exitcode is not None:
        if process.exitcode:
            raise RuntimeError(f"{verb.name} ended with {process.exitcode}")
        return False
    process.kill()
    process.join()
    verb.delays.append(round(delay, 3))
    verb.phases.append(readable(out))
    return True


def readable(out: Path) -> str:
    """Read everything a killed run left; what there was, in a few words."""
    found = []
    for path in sorted(out.rglob("*.json")):
        json.loads(path.read_text())
    for manifest in sorted(out.rglob("manifest.json")):
        try:
            store = Store(manifest.parent)
        except DataError as error:
            if "no frames yet" not in str(error):
                raise
            continue
        for shard in store.manifest.shards:
            with tables.open_file(str(manifest.parent / shard.file)) as file:
                assert len(file.root.coordinates) == shard.frames
            mdtraj.load(str(manifest.parent / shard.file))
        if manifest.parent == out:
            found.append(f"{store.manifest.frames} frames")
    for xtc in sorted(out.glob("*.xtc")):
        if xtc.stat().st_size:
            frames = mdtraj.load(str(xtc), top=Store(out).topology)
            assert (np.diff(frames.time) > 0).all(), f"{xtc}: a frame twice"
    for events in out.glob("events.jsonl"):
        lines = events.read_text().splitlines()
        for line in lines:
            json.loads(line)
        found.append(f"{len(lines)} events")
    checkpoint = out / "checkpoints" / "last.ckpt"
    if checkpoint.is_file():
        found.append("a checkpoint")
    return ", ".join(found) or ("begun" if out.exists() else "nothing")


def same_store(ours: Path, theirs: Path) -> None:
    """Chains, frames and times agree to the bit, and no time comes twice."""
    a, b = Store(ours), Store(theirs)
    assert a.chains == b.chains, "other chains"
    assert a.manifest.is_complete
    for chain in a.chains:
        x, y = a.chain(chain), b.chain(chain)
        assert (np.diff(x.times) > 0).all(), f"{chain}: a frame twice"
        for name in ("times", "positions", "velocities", "forces", "potential_energy"):
            np.testing.assert_array_equal(getattr(x, name), getattr(y, name), f"{chain}: {name}")


def same_training(ours: Path, theirs: Path) -> None:
    """Weights agree to the bit, metrics too but for the clock."""
    weights = [(p / "bundle" / "model.safetensors").read_bytes() for p in (ours, theirs)]
    assert weights[0] == weights[1], "other weights"
    rows = [[r.split(",") for r in (p / "metrics.csv").read_text().split()] for p in (ours, theirs)]
    clock = rows[0][0].index("seconds")
    kept = [[r[:clock] + r[clock + 1 :] for r in table] for table in rows]
    assert kept[0] == kept[1], "other metrics"


def same_rollout(ours: Path, theirs: Path) -> None:
    """Frames, events and files agree to the bit, the summary but for the clock."""
    same_store(ours, theirs)
    for xtc in sorted(theirs.glob("*.xtc")):
        assert (ours / xtc.name).read_bytes() == xtc.read_bytes(), f"{xtc.name} differs"
    events = []
    for folder in (ours, theirs):
        lines = (folder / "events.jsonl").read_text().splitlines()
        events.append([{k: v for k, v in json.loads(x).items() if k != "seconds"} for x in lines])
    assert events[0] == events[1], "other events"
    keys = ("windows", "events", "temperature_mean", "energy_error_mean", "energy_error_std",
            "largest_bond_deviation", "stop_reasons")  # fmt: skip
    a, b = (json.loads((p / "summary.json").read_text()) for p in (ours, theirs))
    assert [a[k] for k in keys] == [b[k] for k in keys], "another summary"


def fire(verb: Verb, root: Path, kills: int, random: np.random.Generator) -> None:
    """Kill a verb so many times, and finish and compare whatever was begun."""
    unbroken = root / f"unbroken-{verb.name}"
    number, resume = 0, False
    while len(verb.delays) < kills or resume:
        out = root / f"{verb.name}-{number}"
        is_last = len(verb.delays) >= kills
        delay = 1e6 if is_last else random.uniform(0.0, verb.duration)
        # a process that was killed before it made its folder is begun, not resumed
        if attack(verb, out, delay, resume=(out / "run.json").is_file()):
            resume = True
            continue
        verb.same(out, unbroken)
        verb.completed += 1
        number, resume = number + 1, False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    report = storm(arguments.root, arguments.kills, arguments.seed)
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / "kills.json", report)
    print(json.dumps(report["verbs"], indent=1))


def storm(root: Path, kills: int, seed: int) -> dict[str, Any]:
    """All of it; what happened."""
    warnings.simplefilter("ignore")
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    found = verbs(root)
    for number, verb in enumerate(found):
        run_whole(verb, root / f"unbroken-{verb.name}")
        share = kills // len(found) + (number < kills % len(found))
        fire(verb, root, share, random)
        print(f"{verb.name}: {share} kills, {verb.completed} runs identical", flush=True)
    return {
        "kills": sum(len(v.delays) for v in found),
        "identical_to_unbroken": True,
        "seed": seed,
        "verbs": {
            v.name: {
                "kills": len(v.delays),
                "runs_completed_and_compared": v.completed,
                "unbroken_seconds": round(v.duration, 2),
                "killed_after_seconds": v.delays,
                "on_disk_at_the_kill": v.phases,
            }
            for v in found
        },
        "provenance": provenance(),
    }


if __name__ == "__main__":
    main()
