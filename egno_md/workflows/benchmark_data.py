"""The data of a benchmark protocol."""

from __future__ import annotations

from pathlib import Path

from egno_md.core.errors import DataError
from egno_md.data.adk import adk_offsets, adk_task, fetch_adk
from egno_md.data.md17_task import md17_task
from egno_md.data.mocap import mocap_task
from egno_md.data.nbody import nbody_task
from egno_md.data.tasks import TaskData
from egno_md.spec.benchmark import (
    AdkData,
    BenchmarkModel,
    Md17Data,
    MocapData,
    NbodyData,
    TaskDataSpec,
)
from egno_md.spec.network import PublishedEgno


def load_task(
    spec: TaskDataSpec, model: BenchmarkModel, data: Path | str | None = None
) -> TaskData:
    """Windows of a data set with the time points of a row.

    Args:
        spec: which data.
        model: its P, whether uniform or last, and whether it reads past frames.
        data: files, where the data are not generated and `spec` names none; for
            adenylate kinase a folder with one PSF and one DCD file, else both are
            fetched.

    Raises:
        DataError: missing or unusable.
    """
    past = reads_past(model)
    match spec:
        case NbodyData():
            return nbody_task(
                spec.train,
                spec.validation,
                spec.test,
                points=model.points,
                kind=model.window,
                seed=spec.seed,
            )
        case MocapData():
            return mocap_task(
                _given(spec.kind, data, spec.path),
                spec.subject,
                points=model.points,
                targets=model.window,
                past=past,
            )
        case Md17Data():
            return md17_task(
                _given(spec.kind, data, spec.path),
                length=spec.length,
                points=model.points,
                targets=model.window,
                split=spec.split,
                sizes=(spec.train, spec.validation, spec.test),
                seed=spec.seed,
                past=past,
            )
        case AdkData():
            topology, trajectory = _adk_files(spec, data)
            return adk_task(
                topology,
                trajectory,
                offsets=adk_offsets(spec.offsets, model.points, model.window),
                cutoff=spec.cutoff,
                velocity=spec.velocity,
                past=past,
            )


def reads_past(model: BenchmarkModel) -> bool:
    """Whether windows must come with the frames before their start."""
    return isinstance(model.network, PublishedEgno) and model.network.reads == "sequence"


def _given(kind: str, data: Path | str | None, path: Path | None) -> Path:
    source = data or path
    if source is None:
        raise DataError(
            f"the {kind} benchmark needs its data. Give them with '--data', or as data.path in the "
            "protocol."
        )
    return Path(source)


def _adk_files(spec: AdkData, data: Path | str | None) -> tuple[Path, Path]:
    if data is None and spec.topology is not None and spec.trajectory is not None:
        return spec.topology, spec.trajectory
    if data is None:
        return fetch_adk()
    found = [sorted(Path(data).glob(pattern)) for pattern in ("*.psf", "*.dcd")]
    if any(len(files) != 1 for files in found):
        raise DataError(
            f"{data}: has {len(found[0])} .psf and {len(found[1])} .dcd files, one of each was "
            "expected. Give a folder with the two files of adenylate kinase."
        )
    return found[0][0], found[1][0]
