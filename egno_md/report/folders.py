"""Output folders of the other verbs, read for the page."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from egno_md.compare.reading import folder_labels
from egno_md.core.errors import DataError

VERBS = ("generate", "train", "evaluate", "propagate", "parareal", "compare")
RUN = "run.json"


@dataclass(frozen=True)
class Folder:
    """One output folder.

    Attributes:
        path: where it is.
        label: its name on the page.
        verb: the command that wrote it.
        run: its run.json.
        content: its JSON results by file name without ending, where present.
        events: lines of events.jsonl.
        metrics: rows of metrics.csv.
        missing: files that should be there and are not, or are damaged.
    """

    path: Path
    label: str
    verb: str
    run: dict[str, Any]
    content: dict[str, Any] = field(default_factory=dict)
    events: tuple[dict[str, Any], ...] = ()
    metrics: tuple[dict[str, str], ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the run ended well."""
        return self.run.get("status") == "complete"


EXPECTED: dict[str, tuple[str, ...]] = {
    "generate": ("manifest.json",),
    "train": ("summary.json", "metrics.csv", "loss.png", "bundle/card.json"),
    "evaluate": ("evaluation.json",),
    "propagate": ("summary.json", "events.jsonl"),
    "parareal": ("parareal.json",),
    "compare": ("comparison.json",),
}


def read_folders(paths: Sequence[Path]) -> tuple[Folder, ...]:
    """Read every folder.

    Raises:
        DataError: one of them was not written by a verb a report knows.
    """
    labels = folder_labels(paths)
    return tuple(read_folder(p, label) for p, label in zip(paths, labels, strict=True))


def of_verb(folders: Sequence[Folder], verb: str) -> list[Folder]:
    """Folders written by one verb, in the order given."""
    return [f for f in folders if f.verb == verb]


def read_folder(path: Path, label: str) -> Folder:
    """Read one output folder; what is missing in it is listed, not an error.

    Raises:
        DataError: no run.json of ours, or one of another verb.
    """
    run = _json(path / RUN)
    verb = run.get("verb") if isinstance(run, dict) else None
    if verb not in VERBS:
        problem = f"was written by 'egno-md {verb}'" if verb else f"has no readable {RUN}"
        raise DataError(
            f"{path}: {problem}. A report shows folders written by egno-md {', '.join(VERBS)}."
        )
    content, missing = {}, []
    events: tuple[dict[str, Any], ...] = ()
    metrics: tuple[dict[str, str], ...] = ()
    for name in EXPECTED[verb]:
        file = path / name
        if file.suffix == ".jsonl" and not file.is_file():
            events = _of_batches(path, name, content)
            missing += [] if events else [name]
        elif not file.is_file():
            missing.append(name)
        elif file.suffix == ".json":
            value = _json(file)
            if isinstance(value, dict):
                content[file.stem] = value
            else:
                missing.append(f"{name} (damaged)")
        elif file.suffix == ".jsonl":
            events = _lines(file)
        elif file.suffix == ".csv":
            try:
                with file.open(encoding="utf-8", newline="") as stream:
                    metrics = tuple(csv.DictReader(stream))
            except (OSError, ValueError, csv.Error):
                missing.append(f"{name} (damaged)")
    return Folder(path, label, verb, run, content, events, metrics, tuple(missing))


def flat_card(card: dict[str, Any]) -> dict[str, Any]:
    """An operator's card of any format as one table; any other content as it is."""
    validity = card.get("validity") or {}
    one = validity.get("system") or {}
    limits = {k: v for k, v in {**validity, **one}.items() if k not in ("system", "name")}
    system = one.get("name", card.get("system"))
    rest = {k: v for k, v in card.items() if k != "validity"}
    return {**rest, **limits, "system": system}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _of_batches(path: Path, name: str, content: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Events of a rollout in batches, replicas counted through."""
    size = ((content.get("summary") or {}).get("batches") or {}).get("size", 0)
    return tuple(
        event | {"replica": number * size + int(event.get("replica") or 0)}
        for number, file in enumerate(sorted(path.glob(f"batch-*/{name}")))
        for event in _lines(file)
    )


def _lines(path: Path) -> tuple[dict[str, Any], ...]:
    """Whole lines; a run that was killed may have left half a one at the end."""
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return tuple(events)
