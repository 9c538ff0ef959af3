"""What 10^5 replicas on 1,000 workers cost: bytes, messages, hours, and the scheduler's load.

    python benchmarks/capacity.py OUT

OUT keeps what was measured; given again, the plan alone is made anew.

Measured on this machine: what Dask's scheduler spends on a task that carries what a batch
of `propagate` carries, and on a heartbeat; what a rollout of ethanol writes a window and
replica. From these, and from times of a window that are given and not measured, a
discrete-event simulation (SimPy) plays the whole ensemble: submission, workers that are
lost and go on from a checkpoint, heartbeats, and one scheduler that handles one message
after the other. A small ensemble that is both run and simulated says how good that is.
Figures go to `benchmarks/results/capacity.json`.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simpy
from distributed import Client, LocalCluster
from distributed.comm.tcp import TCP
from distributed.scheduler import heartbeat_interval

from egno_md import api as em
from egno_md.core.fanout import run_all
from egno_md.data.output import provenance
from egno_md.data.store import write_json
from egno_md.propagate.ensemble import join_stores

RESULTS = Path(__file__).resolve().parent / "results" / "capacity.json"
WORKERS, REPLICAS = 1_000, 100_000
SYSTEM, OPERATOR = "ethanol", "egno-16fs-400k"
WINDOWS = 62_500
"""Of every replica: 1 ns in windows of 16 fs."""

NOOPS, BEATS, NAPS, NAP = 600, 300, 100, 0.05
GB, TB = 1e9, 1e12
BEAT = 0.25
"""Seconds of heartbeats that the simulation handles at once."""

ENGINE = "rollout_engine.json"
"""Where seconds of a window on one core are taken from."""


@dataclass(frozen=True)
class Costs:
    """Seconds of the scheduler's one thread, and of a worker between two tasks.

    Attributes:
        task: submission, assignment, result and release; half before it runs.
        heartbeat: one of one worker.
        turnaround: of a worker, from a result to the next task, without the scheduler's.
    """

    task: float
    heartbeat: float
    turnaround: float


@dataclass(frozen=True)
class Chances:
    """What is assumed of the machines.

    Attributes:
        days_between_losses: of one worker.
        restart: seconds until a lost worker is back.
        start: seconds before a task's first window: building, minimisation, equilibration.
        windows_between_checkpoints: what a lost worker loses at most.
        spread: of batches' speeds, as the width of their logarithm.
    """

    days_between_losses: float = 30.0
    restart: float = 120.0
    start: float = 5.0
    windows_between_checkpoints: int = 500
    spread: float = 0.05


def noop(*arguments: Any) -> Any:
    """Gives back what a batch gives back: its summary."""
    return arguments[-1]


def nap(*arguments: Any) -> Any:
    time.sleep(NAP)
    return arguments[-1]


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Messages through this process, which holds the scheduler and the client."""
    found: Counter[str] = Counter()
    write, read = TCP.write, TCP.read

    async def writes(self: TCP, *args: Any, **more: Any) -> int:
        size = await write(self, *args, **more)
        found["messages"] += 1
        found["bytes"] += size
        return size

    async def reads(self: TCP, *args: Any, **more: Any) -> Any:
        message = await read(self, *args, **more)
        found["messages"] += 1
        return message

    TCP.write, TCP.read = writes, reads
    try:
        yield found
    finally:
        TCP.write, TCP.read = write, read


def measure_scheduler(task: tuple) -> tuple[dict[str, float], dict[str, float]]:
    """What tasks and heartbeats cost, and the time of an ensemble to check against."""
    beats: list[dict] = []
    with (
        counted() as found,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        scheduler, executor = cluster.scheduler, client.get_executor(pure=False)
        usual = scheduler.handlers["heartbeat_worker"]

        def heard(**given: Any) -> Any:
            beats.append(given)
            return usual(**given)

        scheduler.handlers["heartbeat_worker"] = heard
        run_all(executor, noop, [task] * 20)
        time.sleep(2)  # beats come twice a second
        before, begun, cpu = found.copy(), time.perf_counter(), time.process_time()
        run_all(executor, noop, [task] * NOOPS)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - begun
        sent = found - before
        begun = time.perf_counter()
        run_all(executor, nap, [task] * NAPS)
        napped = time.perf_counter() - begun
        spent = time.process_time()
        for _ in range(BEATS):  # through the network, as a worker's
            client.sync(client.scheduler.heartbeat_worker, **beats[-1])
        beat = (time.process_time() - spent) / BEATS
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        waiting = [client.submit(noop, *task, n, pure=False) for n in range(NOOPS)]
        while len(cluster.scheduler.tasks) < len(waiting):
            time.sleep(0.1)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident
    measured = {
        "CPU seconds a task, client and scheduler": cpu / NOOPS,
        "seconds a task, through two workers": wall / NOOPS,
        "messages a task": sent["messages"] / NOOPS,
        "bytes sent a task, client and scheduler": sent["bytes"] / NOOPS,
        "bytes of memory a waiting task, at most": grown * 1024 / NOOPS,
        "CPU seconds a heartbeat, sent and heard": beat,
    }
    return measured, {"tasks": NAPS, "seconds a task": NAP, "workers": 2, "measured s": napped}


def measure_run(out: Path) -> tuple[dict[str, float], tuple]:
    """What a rollout writes, from the difference of two lengths; a task that is like a real one."""
    sizes, done, folder = [], None, out
    for flushes in (1, 2):
        folder = out / f"{flushes}"
        windows = flushes * Chances.windows_between_checkpoints
        changes = {
            "length": f"{windows * 16} fs",
            "replicas": 4,
            "batch": 2,
            "equilibration": "50 fs",
            "record.reference_steps": 20,
        }
        protocol = em.protocol("propagate", "nvt-300k", changes)
        operator = em.find_operator(SYSTEM, OPERATOR)
        done = em.propagate(SYSTEM, operator, protocol, folder, mode="resume")
        sizes.append(_bytes(folder))
        sizes[-1]["files"] = sum(1 for _ in folder.rglob("*.h5"))
    replica_windows = 4 * Chances.windows_between_checkpoints
    more = {kind: (sizes[1][kind] - sizes[0][kind]) / replica_windows for kind in sizes[1]}
    begun = time.perf_counter()
    join_stores(folder, sorted(folder.glob("batch-*")), protocol, 0)
    joined = (time.perf_counter() - begun) / 2
    one, two = ((out / f"{n}" / "manifest.json").stat().st_size for n in (1, 2))
    entry = (two - one) / (sizes[1]["files"] - sizes[0]["files"])
    found = {
        **{f"bytes a window and replica: {k}": more[k] for k in ("frames", "XTC", "events")},
        "shards a replica, every 500 windows": more["files"] * 500,
        "bytes of a manifest a shard": entry,
        "bytes of a checkpoint a replica": sizes[0]["state"] / 4,
        "seconds to join a batch": joined,
    }
    assert done is not None
    return found, (SYSTEM, operator, protocol, folder, done.summary)


def _bytes(folder: Path) -> Counter[str]:
    kinds = {".h5": "frames", ".xtc": "XTC", ".jsonl": "events", ".npz": "state"}
    found: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.suffix in kinds:
            found[kinds[path.suffix]] += path.stat().st_size
    return found


class Ensemble:
    """One ensemble under simulation.

    Args:
        workers: how many.
        seconds: of every task on an undisturbed worker.
        checkpoint: seconds of work between two checkpoints of a task.
        costs: of the scheduler.
        chances: of the machines.
        seed: of everything random.
    """

    def __init__(
        self,
        workers: int,
        seconds: np.ndarray,
        checkpoint: float,
        costs: Costs,
        chances: Chances,
        seed: int = 0,
    ) -> None:
        self.workers, self.costs, self.chances = workers, costs, chances
        self.checkpoint, self.left = checkpoint, len(seconds)
        self.random = np.random.default_rng(seed)
        self.clock = simpy.Environment()
        self.scheduler = simpy.Resource(self.clock, 1)
        self.ready = simpy.Store(self.clock)
        self.busy: Counter[int] = Counter()
        self.longest_wait = self.redone = self.beats = 0.0
        self.losses = 0
        self.end = self.clock.event()
        self.clock.process(self._submit(seconds))
        self.clock.process(self._beat())
        for _ in range(workers):
            self.clock.process(self._work())

    def run(self) -> float:
        """Seconds until the last task has ended."""
        self.clock.run(self.end)
        return self.clock.now

    def _handle(self, cost: float):
        """One message after the other; a minute's load is kept."""
        asked = self.clock.now
        with self.scheduler.request() as turn:
            yield turn
            self.longest_wait = max(self.longest_wait, self.clock.now - asked)
            self.busy[int(self.clock.now // 60)] += cost
            yield self.clock.timeout(cost)

    def _submit(self, seconds: np.ndarray):
        for task in seconds:
            yield from self._handle(self.costs.task / 2)
            yield self.ready.put(float(task))

    def _beat(self):
        """Heartbeats of a quarter of a second, handled together."""
        count = BEAT * self.workers / heartbeat_interval(self.workers)
        while True:
            yield self.clock.timeout(BEAT)
            self.beats += count
            yield from self._handle(count * self.costs.heartbeat)

    def _work(self):
        every = self.chances.days_between_losses * 86400
        lost_at = self.random.exponential(every)
        while True:
            left = yield self.ready.get()
            yield self.clock.timeout(self.costs.turnaround)
            whole = left + self.chances.start
            if self.clock.now + whole < lost_at:
                yield self.clock.timeout(whole)
                yield from self._handle(self.costs.task / 2)
                self.left -= 1
                if not self.left:
                    self.end.succeed()
                continue
            did = max(lost_at - self.clock.now - self.chances.start, 0.0)
            yield self.clock.timeout(max(lost_at - self.clock.now, 0.0))
            kept = did // self.checkpoint * self.checkpoint
            self.losses, self.redone = self.losses + 1, self.redone + did - kept
            yield from self._handle(self.costs.task)
            yield self.ready.put(left - kept)
            yield self.clock.timeout(self.chances.restart)
            lost_at = self.clock.now + self.random.exponential(every)


def plan(
    batch: int,
    window: float,
    costs: Costs,
    chances: Chances,
    messages: float,
    windows: int = WINDOWS,
) -> dict[str, Any]:
    """All replicas, in batches whose windows take `window` seconds."""
    tasks = REPLICAS // batch
    speeds = np.random.default_rng(1).lognormal(0.0, chances.spread, tasks)
    seconds = windows * window * speeds
    checkpoint = chances.windows_between_checkpoints * window
    ensemble = Ensemble(WORKERS, seconds, checkpoint, costs, chances)
    took = ensemble.run()
    ideal = (seconds.sum() + tasks * chances.start) / WORKERS
    return {
        "replicas a batch": batch,
        "windows": windows,
        "ms a window of a batch": window * 1e3,
        "tasks": tasks,
        "hours": took / 3600,
        "workers busy": ideal / took,
        "workers lost": ensemble.losses,
        "worker hours done again": ensemble.redone / 3600,
        "messages": round((tasks + ensemble.losses) * messages + 2 * ensemble.beats),
        "scheduler busy": sum(ensemble.busy.values()) / took,
        "scheduler busy, worst minute": max(ensemble.busy.values()) / 60,
        "longest wait for it / s": ensemble.longest_wait,
    }


def storage(measured: dict[str, float]) -> dict[str, float]:
    """Bytes and files of the whole ensemble."""
    every = REPLICAS * WINDOWS
    kinds = ("frames", "XTC", "events")
    bytes_of = {k: every * measured[f"bytes a window and replica: {k}"] for k in kinds}
    shards = REPLICAS * measured["shards a replica, every 500 windows"] * WINDOWS / 500
    return {
        **{f"{k} / TB": v / TB for k, v in bytes_of.items()},
        "HDF5 files": shards,
        "joined manifest / GB": shards * measured["bytes of a manifest a shard"] / GB,
        "checkpoints / GB": REPLICAS * measured["bytes of a checkpoint a replica"] / GB,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    kept = out / "measured.json"
    if not kept.is_file():
        run, task = measure_run(out)
        scheduler, check = measure_scheduler(task)
        measured = {"a run": run, "a scheduler": scheduler, "a check": check}
        write_json(kept, measured | {"provenance": provenance()})
    measured = json.loads(kept.read_text())
    run, scheduler, check = (measured[k] for k in ("a run", "a scheduler", "a check"))
    cost = scheduler["CPU seconds a task, client and scheduler"]
    turn = max(2 * scheduler["seconds a task, through two workers"] - cost, 0.0)
    costs = Costs(cost, scheduler["CPU seconds a heartbeat, sent and heard"], turn)
    chances, calm = Chances(), Chances(days_between_losses=1e9, start=0.0, spread=0.0)
    naps = np.full(NAPS, NAP)
    simulated = Ensemble(2, naps, NAP, costs, calm).run()
    rollouts = json.loads((RESULTS.parent / ENGINE).read_text())["ethanol"]["rollouts"]
    ethanol = rollouts["16fs fallback"]
    here = ethanol["seconds"]["total"] / ethanol["windows"]
    given = {
        "batches of 100, 10 ms": (100, 0.01),
        "batches of 100, 100 ms": (100, 0.1),
        "batches of 100, ethanol on a core": (100, 100 * here),
        "batches of 10, 10 ms": (10, 0.01),
        "one replica a task, 10 ms": (1, 0.01),
        "one replica a task, 10 ms, 100 windows": (1, 0.01, 100),
    }
    messages = scheduler["messages a task"]
    content = {
        "provenance": measured["provenance"],
        "a run": run,
        "a scheduler": scheduler,
        "simulation beside a run": check | {"simulated s": simulated},
        "assumed": {"workers": WORKERS, "replicas": REPLICAS, **asdict(chances)},
        "stored": storage(run),
        "plan": {
            name: plan(batch, window, costs, chances, messages, *windows)
            for name, (batch, window, *windows) in given.items()
        },
    }
    write_json(RESULTS, content)


if __name__ == "__main__":
    main()
