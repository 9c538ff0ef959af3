"""`benchmark`: a published table, run and printed beside ours."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from egno_md.core.progress import Progress, Silent
from egno_md.data.output import OutputMode, provenance, run_folder
from egno_md.data.store import write_json
from egno_md.nn.device import resolve_device
from egno_md.nn.native import described
from egno_md.paper.datasets.load import TaskLoader
from egno_md.paper.figure import draw_benchmark
from egno_md.paper.job import RESULT, Job, data_identity, earlier_result, run_job
from egno_md.paper.pool import check_names, run_all
from egno_md.paper.spec import BenchmarkModel, BenchmarkProtocol
from egno_md.paper.table import standing_still, summarise


def run_benchmark(
    protocol: BenchmarkProtocol,
    out: Path | str,
    *,
    models: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    data: Path | str | None = None,
    device: str = "auto",
    workers: int = 1,
    mode: OutputMode = "new",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train and test the models of a table, every seed by itself.

    Resuming may add models and seeds; finished runs of the same settings are kept, and
    stay in the table.

    Args:
        protocol: data, budget and models.
        out: for every run, `results.json` and the figure.
        models: names in the protocol; all of them by default.
        seeds: of weights and batches.
        data: files of the data set, where it is not generated.
        device: ``auto``, ``cpu`` or ``gpu``.
        workers: processes that share the runs.
        mode: see `run_folder`.
        progress: receives updates and notes.

    Returns:
        What `results.json` says.

    Raises:
        SpecError: no such model.
        DataError: the data are missing or unusable.
    """
    progress, out = progress or Silent(), Path(out)
    names = _names(protocol, models)
    target = "gpu" if resolve_device(device).type == "cuda" else "cpu"
    load = TaskLoader(protocol.data, data)
    task = load(protocol.models[names[0]])  # before anything is written
    rules = protocol.model_dump(mode="json", exclude={"models"})
    rules["data"] |= data_identity(task)
    inputs = [Path(data)] if data is not None else []
    with run_folder(out, "benchmark", rules, mode, inputs) as run:
        jobs = [
            Job(name, protocol.models[name], seed, out / name / f"seed-{seed}", target)
            for name in names
            for seed in seeds
        ]
        results = _earlier(jobs, protocol, out, load)
        results += run_all(jobs, partial(_train, protocol, load), _in_words, workers, progress)
        task = load(_widest(protocol, {r["model"] for r in results}))
        rows = summarise(protocol, results, task)
        content = {
            "task": protocol.data.kind,
            "unit": protocol.unit,
            "data": {"source": task.source, **task.settings},
            "epochs": protocol.epochs,
            "rows": rows,
            "still": standing_still(task.test),
            "provenance": provenance() | {"loops": described()},
        }
        write_json(out / "results.json", content)
        runs = {r["model"]: [out / r["model"] / f"seed-{s}" for s in r["seeds"]] for r in rows}
        draw_benchmark(content, runs, out)
        run.finish(models=list(runs), seeds=sorted({r["seed"] for r in results}))
        return content


def _names(protocol: BenchmarkProtocol, models: Sequence[str]) -> list[str]:
    check_names("model", models, list(protocol.models))
    return list(dict.fromkeys(models)) or list(protocol.models)


def _widest(protocol: BenchmarkProtocol, names: Container[str]) -> BenchmarkModel:
    """The first of some rows that decodes as many time points as any."""
    models = (model for name, model in protocol.models.items() if name in names)
    return max(models, key=lambda model: model.points)


def _earlier(
    jobs: Sequence[Job], protocol: BenchmarkProtocol, out: Path, load: TaskLoader
) -> list[dict[str, Any]]:
    """Results of finished runs of the same protocol that are not among `jobs`."""
    folders = {job.folder for job in jobs}
    results = []
    for name, model in protocol.models.items():
        for folder in (path.parent for path in (out / name).glob(f"seed-*/{RESULT}")):
            if folder in folders:
                continue
            seed = int(folder.name.removeprefix("seed-"))
            job = Job(name, model, seed, folder, jobs[0].device)
            results.append(earlier_result(job, job.request(protocol, load(model))))
    return [result for result in results if result is not None]


def _train(
    protocol: BenchmarkProtocol, load: TaskLoader, job: Job, progress: Progress
) -> dict[str, Any]:
    return run_job(job, protocol, load(job.model), progress)


def _in_words(job: Job, result: dict[str, Any]) -> str:
    if "failed" in result:
        return f"{job.label}: failed: {result['failed']}"
    a_mse = "" if result["a_mse"] is None else f", A-MSE {result['a_mse']:.4g}"
    return (
        f"{job.label}: test F-MSE {result['f_mse']:.4g}{a_mse} after {result['epochs']:g} epochs, "
        f"{result['seconds']:.0f} s"
    )
