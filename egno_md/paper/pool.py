"""Many trainings, in sequence or shared by processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from typing import Any, Protocol, TypeVar

from egno_md.core.errors import SpecError
from egno_md.core.executors import LocalProcesses
from egno_md.core.progress import Progress, Silent, Values
from egno_md.spec.files import suggest


class WithLabel(Protocol):
    """A training with a name for people."""

    @property
    def label(self) -> str:
        """In progress and notes."""
        ...


Work = TypeVar("Work", bound=WithLabel)
Result = dict[str, Any]


def run_all(
    trainings: Sequence[Work],
    run: Callable[[Work, Progress], Result],
    words: Callable[[Work, Result], str],
    workers: int,
    progress: Progress,
) -> list[Result]:
    """Results in the order of the trainings.

    Args:
        trainings: independent of each other, picklable.
        run: trains one, or reads the result of an earlier run; picklable.
        words: the note of a result.
        workers: processes that share the trainings; one works in this process.
        progress: receives updates and notes.
    """
    results: dict[int, Result] = {}
    if workers <= 1 or len(trainings) <= 1:
        for index, training in enumerate(trainings):
            part = PartOf(progress, index, len(trainings), training.label)
            results[index] = run(training, part)
            progress.note(words(training, results[index]))
        return list(results.values())
    with LocalProcesses(workers) as pool:
        waiting = {pool.submit(_in_worker, run, t): i for i, t in enumerate(trainings)}
        for answer in as_completed(waiting):
            index = waiting[answer]
            results[index] = answer.result()
            progress.note(words(trainings[index], results[index]))
            progress.update(len(results), len(trainings))
    return [results[index] for index in range(len(trainings))]


def _in_worker(run: Callable[[Work, Progress], Result], training: Work) -> Result:
    import torch

    torch.set_num_threads(1)
    return run(training, Silent())


class PartOf:
    """Reports the progress of one job as a part of many.

    Args:
        progress: receives updates and notes of all of them.
        done: jobs that are behind.
        total: jobs in all.
        label: of this job.
    """

    def __init__(self, progress: Progress, done: int, total: int, label: str) -> None:
        self.progress, self.done, self.total, self.label = progress, done, total, label

    def update(self, done: float, total: float, values: Values = "") -> None:
        """Report the share of this job that is done."""
        words = values if isinstance(values, str) else {"model": self.label, **values}
        self.progress.update(self.done + done / total, self.total, words)

    def note(self, text: str) -> None:
        """Report one line of text."""
        self.progress.note(f"{self.label}: {text}")


def check_names(kind: str, names: Sequence[str], choices: Sequence[str]) -> None:
    """Refuse names of rows or questions that are not in the protocol.

    Args:
        kind: what they name, for the message.
        names: to check.
        choices: the valid names.

    Raises:
        SpecError: with the nearest one.
    """
    for name in names:
        if name not in choices:
            near = suggest(name, list(choices))
            raise SpecError(f"no {kind} '{name}'.{near} Known: {', '.join(choices)}.")
