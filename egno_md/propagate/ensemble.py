"""`propagate` for more replicas than one batch: a run for every batch, joined at the end."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import torch

from egno_md.core.errors import DataError, SpecError
from egno_md.core.executors import LocalProcesses
from egno_md.core.fanout import run_all
from egno_md.core.progress import Progress, Silent
from egno_md.core.units import SECONDS_PER_DAY
from egno_md.data.outcomes import settle
from egno_md.data.output import OutputMode
from egno_md.data.store import Store, read_manifest, write_json, write_manifest
from egno_md.nn.operator import Operator
from egno_md.propagate.describe import describe
from egno_md.propagate.record import EVENTS, chain_name, load_state
from egno_md.propagate.requirements import Model
from egno_md.propagate.rollout import SUMMARY, Request, Rollout, run_propagate
from egno_md.propagate.run import Finished
from egno_md.propagate.start import spread_frames
from egno_md.propagate.summary import RolloutSummary, summarise
from egno_md.spec.files import find_system
from egno_md.spec.propagate import PropagateProtocol

LAST_BYTES = 65536
"""In which the last event of a rollout lies."""


def run_ensemble(
    system: str,
    operator: Path | str | Operator | Model | None,
    protocol: PropagateProtocol,
    out: Path | str,
    *,
    start: Path | str | None = None,
    frame: int | None = None,
    seed: int = 0,
    device: str = "auto",
    mode: OutputMode = "new",
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Rollout:
    """Propagate replicas by whole windows, in one batch or in many that share workers.

    With `protocol.batch` every batch is a run of its own, in a folder and with a seed of
    its own. Results do not depend on who runs them, nor on how many at the same time; a
    batch whose worker is lost goes on from its last checkpoint on another.

    Args:
        system: shipped name or folder.
        operator: see `run_propagate`; batches need a folder or a name, for their processes.
        protocol: how far, how judged, how repaired.
        out: for frames (HDF5 store and XTC), events and summary.
        start: a store to start from; else the system's structure, equilibrated.
        frame: which frame of the store; else the last one, or for several
            replicas evenly spread ones.
        seed: of every random stream.
        device: ``auto``, ``cpu`` or ``gpu``, for the network.
        mode: see `run_folder`.
        workers: processes of this machine that share the batches.
        executor: shares them instead, such as Dask's; see `egno_md.core.fanout.run_all`.
        progress: receives progress and notes.

    Raises:
        BundleMismatch: the operator moves other atoms.
        WindowMismatch: the length is no whole number of windows.
        EnsembleError: some batches failed; the others are kept.
    """
    progress, out = progress or Silent(), Path(out)
    if protocol.batch is None or protocol.batch >= protocol.replicas:
        _check_alone(protocol, workers, executor)
        return run_propagate(
            system,
            operator,
            protocol,
            out,
            start=start,
            frame=frame,
            seed=seed,
            device=device,
            mode=mode,
            progress=progress,
        )
    request = Request.of(system, operator, protocol, start, frame, seed)
    if request.bundle is None and request.model is not None:
        raise SpecError(
            "batch: the operator is an object of this process, and batches load theirs by themselves. "
            "Give the folder of a bundle, or leave out batch."
        )
    with request.folder(out, mode, progress) as output:
        if output.is_complete:
            return Rollout(out, RolloutSummary.model_validate(output.record["summary"]))
        summary = _run_batches(request, system, out, device, workers, executor, progress)
        write_json(out / SUMMARY, summary.to_json())
        output.finish(summary=summary.to_json())
    return Rollout(out, summary)


def _run_batches(
    request: Request,
    system: str,
    out: Path,
    device: str,
    workers: int,
    executor: Executor | None,
    progress: Progress,
) -> RolloutSummary:
    """A run for every batch, and their stores and summaries as one."""
    protocol, source = request.protocol, request.source
    sizes = batch_sizes(protocol)
    folders = [out.absolute() / f"batch-{number:04d}" for number in range(len(sizes))]
    where = (
        str(find_system(system).absolute()),
        None if request.bundle is None else request.bundle.absolute(),
    )
    frame = request.frame if isinstance(request.frame, int) else None
    same = {"start": source and source.root.absolute(), "device": device}
    tasks = [
        (
            *where,
            protocol.model_copy(update={"replicas": size, "batch": None, "workers": 1}),
            folder,
            same | {"frame": chosen, "seed": batch_seed(request.seed, number)},
        )
        for number, (size, folder, chosen) in enumerate(
            zip(sizes, folders, _frames(source, frame, sizes), strict=True)
        )
    ]

    def tell(done: int) -> None:
        values = {"batches done": f"{done:,} of {len(tasks):,}"}
        ended = sum(map(windows_done, folders))
        progress.update(ended, request.extent.windows * len(tasks), values)

    begun = time.perf_counter()
    with LocalProcesses(workers) if executor is None else nullcontext(executor) as chosen:
        outcomes = run_all(chosen, _run_batch, tasks, tell=tell)
    join_stores(out, folders, protocol, request.seed)
    summaries = settle(outcomes, [f.name for f in folders], out)
    return _merge(request, folders, summaries).model_copy(
        update={
            "batches": {"size": protocol.batch, "count": len(sizes)},
            "wall_seconds": round(time.perf_counter() - begun, 4),
        }
    )


def _check_alone(protocol: PropagateProtocol, workers: int, executor: Executor | None) -> None:
    """Refuse workers for whom there is nothing to do.

    Raises:
        SpecError: there is one batch.
    """
    if workers > 1 or executor is not None:
        raise SpecError(
            f"--workers and --scheduler share batches, and {protocol.replicas} replicas with batch: "
            f"{protocol.batch} are one. Give --replicas and a smaller --batch."
        )


def batch_sizes(protocol: PropagateProtocol) -> list[int]:
    """Replicas of every batch; only the last may have fewer."""
    size = protocol.batch or protocol.replicas
    whole, rest = divmod(protocol.replicas, size)
    return [size] * whole + [rest] * bool(rest)


def batch_seed(seed: int, number: int) -> int:
    """An independent seed per batch, as numpy spawns them."""
    sequence = np.random.SeedSequence(seed, spawn_key=(number,))
    return int(sequence.generate_state(1)[0] >> 1)


def _frames(source: Store | None, frame: int | None, sizes: list[int]) -> list[Any]:
    """Start frames of every batch: those of one batch of all replicas, dealt in order."""
    if source is None or frame is not None:
        return [frame] * len(sizes)
    every = spread_frames(source.manifest.frames, sum(sizes))
    ends = np.cumsum(sizes).tolist()
    return [every[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _run_batch(
    system: str, bundle: Path | None, protocol: PropagateProtocol, out: Path, given: dict[str, Any]
) -> RolloutSummary:
    """Run or continue one batch, in whatever process; its summary."""
    torch.set_num_threads(1)
    return run_propagate(system, bundle, protocol, out, mode="resume", **given).summary


def windows_done(folder: Path) -> int:
    """Windows of a batch at its last checkpoint, by its last event."""
    try:
        with (folder / EVENTS).open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - LAST_BYTES, 0))
            return json.loads(file.read().splitlines()[-1])["window"] + 1
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return 0  # nothing yet, or half a line


def join_stores(out: Path, folders: list[Path], protocol: PropagateProtocol, seed: int) -> None:
    """A store of all batches, replicas counted through; what failed batches have is in it."""
    first, shards = None, []
    for number, folder in enumerate(folders):
        try:
            manifest = read_manifest(folder)
        except DataError:
            continue
        first = first or manifest
        for shard in manifest.shards:
            replica = number * (protocol.batch or 0) + int(shard.chain.rpartition("-")[2])
            name = f"{folder.name}/{shard.file}"
            shards.append(replace(shard, file=name, chain=chain_name(replica)))
    if first is None:
        return
    said = {"protocol": protocol.model_dump(mode="json"), "seed": seed}
    provenance = {**first.provenance, **said}
    whole = all((f / SUMMARY).is_file() for f in folders)
    joined = replace(first, shards=tuple(shards), provenance=provenance, is_complete=whole)
    write_manifest(out, joined)


def _merge(
    request: Request, folders: list[Path], summaries: list[RolloutSummary]
) -> RolloutSummary:
    """The summary of all batches as one rollout; seconds and speed are those of one worker."""
    protocol = request.protocol
    saved = [state for state in map(load_state, folders) if state is not None]
    clocks: Counter[str] = Counter()
    for summary in summaries:
        clocks.update(summary.seconds)
    finished = Finished(
        tuple(replica for state in saved for replica in state.replicas),
        reduce(add, (state.totals for state in saved)),
        dict(clocks),
    )
    per_day = protocol.timestep * 1e-3 * SECONDS_PER_DAY
    return summarise(
        request.built.system,
        describe(protocol, request.extent.window_ps),
        finished,
        [per_day / summary.reference_ns_per_day for summary in summaries],
        summaries[0].of_machine,
    )
