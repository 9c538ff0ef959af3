"""What trainings of every kind share: the request, the summary, the bundle on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from egno_md.core.errors import DataError
from egno_md.core.processes import rank
from egno_md.core.system import System
from egno_md.core.units import parse_quantity
from egno_md.data.frames import frame_bytes
from egno_md.data.output import Output, OutputMode, open_output, provenance, read_run
from egno_md.data.store import Store, write_json
from egno_md.nn.bundle import save_bundle
from egno_md.nn.card import OneSystem, Validity
from egno_md.nn.native import described
from egno_md.nn.operator import Operator
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
    operator: Operator
    summary: dict[str, Any]


def training_request(store: Store, protocol: TrainProtocol, seed: int) -> dict[str, Any]:
    """All that decides what is trained."""
    return {
        "data": store.identity,
        # frames are the same wherever they are kept
        "protocol": protocol.model_dump(mode="json", exclude={"data_memory"}),
        "seed": seed,
    }


def open_training(
    out: Path, request: dict[str, Any], mode: OutputMode, store: Store
) -> tuple[Output | None, dict[str, Any]]:
    """Claim the folder of a training; of processes that train together one alone writes.

    Returns:
        What is to be finished, None in the others, and the record of the run, which may be
        an earlier one that is complete.

    Raises:
        OutputError: see `open_output`.
    """
    if rank() > 0:
        return None, (mode == "resume" and read_run(out)) or {}
    output = open_output(out, "train", request, mode, inputs=[store.root])
    return output, output.record


def finish_training(
    operator: Operator,
    fitted: FitResult,
    found: dict[str, Any],
    request: dict[str, Any],
    out: Path,
    output: Output | None,
) -> Training:
    """Write bundle, loss plot and summary.

    Args:
        operator: trained; its card is told of the training.
        fitted: how that ended.
        found: what the summary says besides.
        request: from `training_request`.
        out: folder of the run.
        output: to finish; None for a process that trains along and writes nothing.
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
    operator.card = operator.card.model_copy(update={"training": training})
    bundle = out / "bundle"
    if output is not None:
        save_bundle(bundle, operator)
        plot_training(read_metrics(out / "metrics.csv"), out)
        write_json(out / "summary.json", summary)
        output.finish(summary=summary)
    return Training(bundle, operator, summary)


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


def validity_of(store: Store, system: System, one: OneSystem) -> Validity:
    """Of an operator that was trained on one store, and asks for the system in it.

    Args:
        store: the training data.
        system: in it.
        one: as the operator sees it.
    """
    return Validity.of_one(
        one,
        charges=None if system.charge is None else (system.charge,),
        periodic=system.box is not None,
        kelvin=temperature_of(store),
        potential=system.potential,
    )


def temperature_of(store: Store) -> float | None:
    """At which the frames of a store were generated, K; None where unknown."""
    kelvin = store.manifest.provenance.get("protocol", {}).get("temperature")
    return None if kelvin is None else parse_quantity(kelvin, "temperature")
