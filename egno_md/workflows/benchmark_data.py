"""The data of a benchmark protocol."""

from __future__ import annotations

from pathlib import Path

from egno_md.data.nbody import nbody_task
from egno_md.data.tasks import TaskData
from egno_md.spec.benchmark import BenchmarkModel, NbodyData, TaskDataSpec


def load_task(
    spec: TaskDataSpec, model: BenchmarkModel, data: Path | str | None = None
) -> TaskData:
    """Windows of a data set with the time points of a row.

    Args:
        spec: which data.
        model: its P, and whether uniform or last.
        data: files, where the data are not generated and `spec` names none.

    Raises:
        DataError: missing or unusable.
    """
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
        case _:
            raise NotImplementedError(spec.kind)
