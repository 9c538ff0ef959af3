"""What trainings of every kind share: the request, the summary, the bundle on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from egno_md.core.errors import DataError
from egno_md.core.processes import rank
from egno_md.core.progress import Progress
from egno_md.core.units import parse_quantity
from egno_md.data.frames import frame_bytes
from egno_md.data.output import LOCK, Output, OutputMode, provenance, read_run, run_folder
from egno_md.data.store import Store, write_json
from egno_md.nn.bundle import load_any_bundle, save_bundle
from egno_md.nn.native import described
from egno_md.nn.operator import WindowOperator
from egno_md.nn.sampler import SamplerOperator
from egno_md.spec.train import TrainProtocol
from egno_md.train.loop import FitResult, read_metrics
from egno_md.train.training_plot import plot_training

TRAINING = ("train", "validation")
"""The parts of a split that training reads."""


@dataclass(frozen=True, eq=False)
class Training:
    """A finished training.

    Attributes:
        bundle: folder of the operator.
        operator: ready for inference, on CPU.
        summary: what `summary.json` says.
    """

    bundle: Path
    operator: WindowOperator | SamplerOperator
    summary: dict[str, Any]


def training_request(store: Store, protocol: TrainProtocol, seed: int) -> dict[str, Any]:
    """All that decides what is trained."""
    return {
        "data": store.identity,
        # frames are the same wherever they are kept
        "protocol": protocol.model_dump(mode="json", exclude={"data_memory"}),
        "seed": seed,
    }


@contextmanager
def training_folder(
    out: Path, request: dict[str, Any], mode: OutputMode, store: Store, progress: Progress
) -> Iterator[Output]:
    """The folder of a training; of processes that train together one alone claims it.

    Raises:
        OutputError: see `run_folder`.
    """
    if rank() == 0:
        with run_folder(out, "train", request, mode, [store.root], progress) as run:
            yield run
    else:
        earlier = read_run(out) if mode == "resume" else None
        yield Output(out, earlier or {"status": "running"}, FileLock(out / LOCK))


def finish_training(
    operator: WindowOperator | SamplerOperator,
    fitted: FitResult,
    found: dict[str, Any],
    request: dict[str, Any],
    run: Output,
) -> Training:
    """Write bundle, loss plot and summary.

    Args:
        operator: trained; its card is told of the training.
        fitted: how that ended.
        found: what the summary says besides.
        request: from `training_request`.
        run: from `training_folder`; a process that trains along writes nothing.
    """
    summary = {
        **found,
        "steps": fitted.steps,
        "seconds": fitted.seconds,
        "best_step": fitted.best_step,
        "stopped": fitted.stopped,
        "seed": request["seed"],
    }
    training = {**request, **summary, "provenance": provenance() | {"loops": described()}}
    told = operator.card.model_copy(update={"training": training})
    operator.card = told  # type: ignore[assignment]  # of the operator's own kind
    bundle = run.root / "bundle"
    if rank() == 0:
        save_bundle(bundle, operator)
        plot_training(read_metrics(run.root / "metrics.csv"), run.root)
        write_json(run.root / "summary.json", summary)
        run.finish(summary=summary)
    return Training(bundle, operator, summary)


def earlier_training(run: Output) -> Training:
    """A training that is complete already."""
    bundle = run.root / "bundle"
    return Training(bundle, load_any_bundle(bundle), run.record["summary"])


def frame_spacing(store: Store) -> float:
    """Time between the frames of a store, ps.

    Raises:
        DataError: they are scattered in time.
    """
    if store.manifest.spacing is None:
        raise DataError(
            f"{store.root}: its frames are not contiguous, so no window can be cut from them. "
            "Use contiguous frames (revised MD17 files are scattered in time)."
        )
    return store.manifest.spacing


def memory_for(store: Store, columns: Sequence[str], atoms: int, allowed: float) -> float | None:
    """Bytes of frames that may be read ahead from files; None where all fit into memory.

    Args:
        store: the frames.
        columns: that are wanted of them.
        atoms: likewise.
        allowed: GiB.
    """
    needed = store.manifest.frames * frame_bytes(columns, atoms)
    return None if needed <= allowed * 2**30 else allowed * 2**30


def temperature_of(store: Store) -> float | None:
    """At which the frames of a store were generated, K; None where unknown."""
    kelvin = store.manifest.provenance.get("protocol", {}).get("temperature")
    return None if kelvin is None else parse_quantity(kelvin, "temperature")
