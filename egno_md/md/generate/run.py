"""`generate`: reference molecular dynamics into a trajectory store."""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from egno_md.core.errors import DataError
from egno_md.core.executors import open_executor
from egno_md.core.fanout import run_all
from egno_md.core.progress import Progress, Silent
from egno_md.core.units import format_quantity
from egno_md.data.outcomes import settle
from egno_md.data.output import OutputMode, hold, run_folder
from egno_md.data.store import (
    Manifest,
    Store,
    StoreWriter,
    new_manifest,
    read_manifest,
    write_manifest,
)
from egno_md.md.build import BuiltSystem, build_system, load_system
from egno_md.md.engine import choose_platform
from egno_md.md.generate.chains import Piece, generate, new_engine, replica_seed, total_steps
from egno_md.spec.generate import GenerateProtocol
from egno_md.spec.system import SystemSpec

HOLD_SECONDS = 20.0
"""How long a replica waits for a process that was just ended to release its store."""


def run_generate(
    system: str,
    protocol: GenerateProtocol,
    out: Path | str,
    *,
    seed: int = 0,
    device: str = "auto",
    mode: OutputMode = "new",
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Store:
    """Generate reference molecular dynamics.

    Args:
        system: shipped name or folder.
        protocol: what to run.
        out: the store's folder.
        seed: of every random stream; replicas derive theirs.
        device: ``auto``, ``cpu`` or ``gpu``, where the protocol's platform is auto.
        mode: see `run_folder`.
        workers: processes of this machine that share the replicas.
        executor: shares them instead; see `egno_md.core.fanout.run_all`.
        progress: receives progress and notes.

    Returns:
        The finished store.

    Raises:
        EnsembleError: some of several replicas failed; the others are kept.
    """
    progress, out = progress or Silent(), Path(out)
    built = load_system(system)
    platform = choose_platform(protocol.platform, built, device)
    protocol = protocol.model_copy(update={"platform": platform})
    request = {
        "system": built.spec.model_dump(mode="json"),
        "digest": built.system.digest,
        "protocol": protocol.model_dump(mode="json"),
        "seed": seed,
    }
    new_engine(built, protocol, seed)  # refuses a missing platform before --out is made
    with run_folder(out, "generate", request, mode, progress=progress) as run:
        if run.is_complete:
            return Store(out)
        watch = _Watch(out, built, protocol, seed, progress)
        folder, root = built.folder.absolute(), out.absolute()
        jobs = [(built.spec, folder, protocol, seed, r, root) for r in range(protocol.replicas)]
        with open_executor(workers, executor=executor) as chosen:
            _run_replicas(jobs, chosen, watch)
        write_manifest(out, replace(watch.merged(), is_complete=True))
        run.finish(seconds=round(watch.seconds, 3), ns_per_day=watch.ns_per_day)
    return Store(out)


class _Watch:
    """Merges the replicas' manifests and reports progress."""

    def __init__(
        self, out: Path, built: BuiltSystem, protocol: GenerateProtocol, seed: int, to: Progress
    ) -> None:
        self.out, self.protocol, self.progress = out, protocol, to
        self.empty = new_manifest(
            built.system,
            "generate",
            protocol.sampling.frame_spacing,
            seed=seed,
            spec=built.spec.model_dump(mode="json"),
            protocol=protocol.model_dump(mode="json"),
        )
        self.started = time.perf_counter()
        self.steps_done: dict[int, int] = {}
        self.ps_done: dict[int, float] = {}
        self.merged()  # counts the steps of an earlier run
        self.ps_before = sum(self.ps_done.values())

    def merged(self) -> Manifest:
        shards = []
        platforms = set()
        for replica in range(self.protocol.replicas):
            folder = replica_folder(self.out, replica)
            try:
                manifest = read_manifest(folder)
            except DataError:
                continue
            platforms.add(manifest.provenance["platform"])
            self.steps_done[replica] = manifest.provenance["steps"]
            self.ps_done[replica] = manifest.provenance["ps"]
            shards += [
                replace(s, file=f"{folder.name}/{s.file}", chain=f"{folder.name}-{s.chain}")
                for s in manifest.shards
            ]
        provenance = {**self.empty.provenance, "platform": ", ".join(sorted(platforms))}
        return replace(self.empty, shards=tuple(shards), provenance=provenance)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    @property
    def ns_per_day(self) -> float:
        """Over all replicas, of this run alone."""
        ps = sum(self.ps_done.values()) - self.ps_before
        return round(ps * 1e-3 / self.seconds * 86400, 4)

    def update(self) -> None:
        """Write the merged manifest and report progress."""
        write_manifest(self.out, self.merged())
        total = total_steps(self.protocol) * self.protocol.replicas
        reached = format_quantity(round(sum(self.ps_done.values()), 6), "time")
        done = sum(self.steps_done.values())
        self.progress.update(
            done, total, {"simulated": reached, "speed": f"{self.ns_per_day:.3g} ns/day"}
        )


def replica_folder(out: Path, replica: int) -> Path:
    """Where one replica keeps its shards and its checkpoint."""
    return out / f"replica-{replica:03d}"


def _run_replicas(jobs: list[tuple[Any, ...]], executor: Executor | None, watch: _Watch) -> None:
    if executor is None and len(jobs) == 1:
        _run_replica(*jobs[0], watch=watch)
        return
    if executor is None:
        jobs = [(*job, watch) for job in jobs]
    outcomes = run_all(executor, _run_replica, jobs, tell=lambda _: watch.update())
    settle(outcomes, [replica_folder(watch.out, r).name for r in range(len(jobs))], watch.out)


def _run_replica(
    spec: SystemSpec,
    folder: Path,
    protocol: GenerateProtocol,
    seed: int,
    replica: int,
    out: Path,
    watch: _Watch | None = None,
) -> None:
    """Run or continue one replica in its own store."""
    root = replica_folder(out, replica)
    with hold(root, HOLD_SECONDS):
        _continue_replica(build_system(spec, folder), root, protocol, seed, replica, watch)


def _continue_replica(
    built: BuiltSystem,
    root: Path,
    protocol: GenerateProtocol,
    seed: int,
    replica: int,
    watch: _Watch | None,
) -> None:
    engine = new_engine(built, protocol, replica_seed(seed, replica))
    try:
        manifest = read_manifest(root)
    except DataError:
        manifest = new_manifest(
            built.system,
            "generate",
            protocol.sampling.frame_spacing,
            platform=engine.platform,
            steps=0,
            ps=0.0,
        )
    writer = StoreWriter(root, manifest, built.system.topology)
    done = len(manifest.shards)
    saved = root / _checkpoint_name(done)
    checkpoint = saved.read_bytes() if saved.is_file() else None
    if done and checkpoint is None:
        raise DataError(
            f"{saved}: missing, so {root} cannot be continued. Start again with --overwrite."
        )
    for piece in generate(engine, protocol, done if checkpoint else 0, checkpoint):
        done = _keep(piece, root, writer, done)
        if watch is not None:
            watch.update()
    writer.finish()


def _keep(piece: Piece, root: Path, writer: StoreWriter, done: int) -> int:
    """Write the checkpoint, then the shard: a kill in between loses only the shard."""
    after = done + (piece.trajectory is not None)
    partial = root / "checkpoint.partial"
    partial.write_bytes(piece.checkpoint)
    partial.replace(root / _checkpoint_name(after))
    before = writer.manifest.provenance
    totals = {"steps": before["steps"] + piece.steps, "ps": before["ps"] + piece.duration}
    if piece.trajectory is None:
        writer.annotate(**totals)
    else:
        writer.append(piece.trajectory, piece.chain, **totals)
        (root / _checkpoint_name(done)).unlink(missing_ok=True)
    return after


def _checkpoint_name(pieces: int) -> str:
    return f"checkpoint-{pieces:06d}.chk"
