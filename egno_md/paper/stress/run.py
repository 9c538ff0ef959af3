"""`benchmark stress`: questions that the EGNO paper leaves open, measured on small operators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from egno_md.core.progress import Progress, Silent
from egno_md.data.output import OutputMode, provenance, run_folder
from egno_md.data.store import write_json
from egno_md.nn.device import resolve_device
from egno_md.nn.native import described
from egno_md.paper.pool import check_names, run_all
from egno_md.paper.stress import collisions, equivariance, ladder, modes, resolution
from egno_md.paper.stress.figure import draw_stress
from egno_md.paper.stress.findings import findings
from egno_md.paper.stress.lab import Lab, Training
from egno_md.paper.stress.spec import StressProtocol

QUESTIONS = {
    "equivariance": equivariance,
    "resolution": resolution,
    "collisions": collisions,
    "ladder": ladder,
    "modes": modes,
}


def run_stress(
    protocol: StressProtocol,
    out: Path | str,
    *,
    questions: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    device: str = "auto",
    workers: int = 1,
    mode: OutputMode = "new",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train what the questions need, measure, and report findings.

    Resuming may add questions and seeds to those of earlier runs; finished trainings are kept.

    Args:
        protocol: sizes, budget, questions and operators.
        out: for every training, `results.json` and the figure.
        questions: names in `QUESTIONS`; all of them by default.
        seeds: of weights and batches.
        device: ``auto``, ``cpu`` or ``gpu``, for the trainings.
        workers: processes that share the trainings.
        mode: see `run_folder`.
        progress: receives updates and notes.

    Returns:
        What `results.json` says.

    Raises:
        SpecError: no such question.
    """
    progress, out = progress or Silent(), Path(out)
    names = _names(questions)
    target = "gpu" if resolve_device(device).type == "cuda" else "cpu"
    with run_folder(out, "benchmark stress", protocol.model_dump(mode="json"), mode) as run:
        names = _names([*names, *run.record.get("questions", [])])
        seeds = sorted({*seeds, *run.record.get("seeds", [])})
        lab = Lab(protocol, out, seeds, target)
        trainings = _by_case([t for name in names for t in QUESTIONS[name].needs(lab)])
        results = run_all(trainings, lab.train, _in_words, workers, progress)
        answers = {name: QUESTIONS[name].measure(lab) for name in names}
        titles = {name: model.title for name, model in protocol.models.items()}
        content = {
            "task": "stress",
            "models": titles,
            "sizes": protocol.sizes.model_dump(),
            "epochs": protocol.epochs,
            "seeds": list(seeds),
            "findings": findings(answers, titles),
            "questions": answers,
            "trainings": [_short(t, r) for t, r in zip(trainings, results, strict=True)],
            "provenance": provenance() | {"loops": described()},
        }
        write_json(out / "results.json", content)
        draw_stress(content, out)
        run.finish(questions=names, seeds=list(seeds))
        return content


def _names(questions: Sequence[str]) -> list[str]:
    check_names("question", questions, list(QUESTIONS))
    return [name for name in QUESTIONS if name in questions or not questions]


def _by_case(trainings: Sequence[Training]) -> list[Training]:
    """Each once, those on the same data after one another."""
    cases = list(dict.fromkeys(t.case for t in trainings))
    return sorted(dict.fromkeys(trainings), key=lambda t: cases.index(t.case))


def _in_words(training: Training, result: dict[str, Any]) -> str:
    return (
        f"{training.label}: test F-MSE {result['f_mse']:.4g} after {result['epochs']:g} epochs, "
        f"{result['seconds']:.0f} s"
    )


def _short(training: Training, result: dict[str, Any]) -> dict[str, Any]:
    columns = ("f_mse", "a_mse", "parameters", "epochs", "best_epoch", "seconds", "device")
    return {
        "model": training.model,
        "data": training.case.name,
        "modes": training.modes,
        "seed": training.seed,
        **{k: result[k] for k in columns},
    }
