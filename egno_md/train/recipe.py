"""The steps of every training: request, fit, bundle on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch

from egno_md.core.errors import DataError
from egno_md.core.processes import rank
from egno_md.core.progress import Progress
from egno_md.core.system import System
from egno_md.core.units import parse_quantity
from egno_md.data.framed import FramedWindows
from egno_md.data.frames import frame_bytes
from egno_md.data.output import Output, OutputMode, provenance, read_run, run_folder
from egno_md.data.store import Store, write_json
from egno_md.nn.bundle import save_bundle
from egno_md.nn.card import OneSystem, Validity
from egno_md.nn.device import resolve_device
from egno_md.nn.native import described
from egno_md.nn.operator import Operator
from egno_md.spec.train import TrainProtocol
from egno_md.train.loop import FitResult, read_metrics
from egno_md.train.training_plot import plot_training

Trainee = TypeVar("Trainee", bound=Operator)
Windows = TypeVar("Windows", bound=FramedWindows)

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


class Recipe(ABC, Generic[Trainee, Windows]):
    """How operators of one kind are trained on a store.

    Args:
        store: frames to learn from.
        protocol: window, network, optimisation.
        progress: receives updates and notes.

    Attributes:
        system: what the windows are of.
        sets: windows by the part of the split.
        noun: what the windows are called.
        fit: trains in place; see `egno_md.train.fit.fit`.
    """

    system: System
    sets: dict[str, Windows]
    noun = "windows"
    fit: ClassVar[Callable[..., FitResult]]

    def __init__(self, store: Store, protocol: TrainProtocol, progress: Progress) -> None:
        self.store, self.protocol, self.progress = store, protocol, progress

    @abstractmethod
    def build(self) -> Trainee:
        """An operator with freshly drawn weights."""

    @abstractmethod
    def describe(self, operator: Trainee) -> dict[str, Any]:
        """Entries of the summary that this kind of operator adds."""

    @abstractmethod
    def validate(self, operator: Trainee, folder: Path) -> dict[str, Any]:
        """Errors on validation windows, for the summary."""

    def train(self, out: Path, *, seed: int, device: str, mode: OutputMode) -> Training:
        """Train, and write bundle, loss plot and summary; see `run_train`."""
        request = {
            "data": self.store.identity,
            # frames are the same wherever they are kept
            "protocol": self.protocol.model_dump(mode="json", exclude={"data_memory"}),
            "seed": seed,
        }
        target = "gpu" if resolve_device(device).type == "cuda" else "cpu"
        bundle = out / "bundle"
        with _training_folder(out, request, mode, self.store, self.progress) as run:
            if run.is_complete:
                return Training(bundle, Operator.load(bundle), run.record["summary"])
            torch.manual_seed(seed)
            operator = self.build()
            parameters = sum(p.numel() for p in operator.parameters())
            train, validation = (self.sets[part] for part in TRAINING)
            self.progress.note(
                f"{parameters:,} parameters, {len(train):,} training and {len(validation):,} "
                f"validation {self.noun}"
            )
            fit = self.fit(
                operator,
                train,
                validation,
                self.protocol,
                out,
                seed=seed,
                device=target,
                progress=self.progress,
            )
            summary = {
                "system": self.system.name,
                **self.describe(operator),
                "parameters": parameters,
                "training_windows": len(train),
                "validation": self.validate(operator, out),
                **asdict(fit),
                "seed": seed,
            }
            training = {**request, **summary, "provenance": provenance() | {"loops": described()}}
            operator.card = operator.card.model_copy(update={"training": training})
            if rank() == 0:
                save_bundle(bundle, operator)
                plot_training(read_metrics(out / "metrics.csv"), out)
                write_json(out / "summary.json", summary)
                run.finish(summary=summary)
            return Training(bundle, operator, summary)


@contextmanager
def _training_folder(
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
        yield Output(out, earlier or {"status": "running"})


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


def memory_for(store: Store, columns: Sequence[str], atoms: int, gibibytes: float) -> float | None:
    """Bytes of frames that may be read ahead from files; None where all fit into memory.

    Args:
        store: the frames.
        columns: to read of them.
        atoms: to read of a frame.
        gibibytes: of memory that they may take.
    """
    size = store.manifest.frames * frame_bytes(columns, atoms)
    return None if size <= gibibytes * 2**30 else gibibytes * 2**30


def validity_of(store: Store, system: System, one: OneSystem) -> Validity:
    """Validity of an operator trained on one store, for the system in it.

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
