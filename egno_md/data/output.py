"""The output directory of one verb: its lock, its record, and when it may be used again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from filelock import AcquireReturnProxy, FileLock, Timeout

from egno_md.core.errors import OutputError
from egno_md.core.progress import Progress, Silent
from egno_md.data.store import write_json

RUN, LOCK = "run.json", ".lock"
PACKAGES = ("egno-md", "openmm", "mdtraj", "torch", "lightning", "tblite", "torchmd-net", "numpy")
OutputMode = Literal["new", "resume", "overwrite"]


@dataclass(frozen=True)
class Output:
    """A directory that belongs to one run.

    Attributes:
        root: the directory.
        record: what `run.json` says: verb, request, seed, versions, status.
    """

    root: Path
    record: dict[str, Any]

    @property
    def is_complete(self) -> bool:
        """Whether the run that owns the directory has ended well."""
        return self.record["status"] == "complete"

    def finish(self, **results: Any) -> None:
        """Mark the run complete, with its results in short."""
        record = {**self.record, **results, "status": "complete", "finished": _now()}
        write_json(self.root / RUN, record)


@contextmanager
def run_folder(
    root: Path,
    verb: str,
    request: dict[str, Any],
    mode: OutputMode,
    inputs: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Iterator[Output]:
    """A directory claimed for one run, its lock released however the run ends.

    What is inside asks `Output.is_complete` and returns the earlier results if so;
    else it computes and calls `Output.finish`. A run that raises before that stays
    ``running`` in `run.json`, and resume continues it.

    Args:
        root: created if needed.
        verb: the command.
        request: everything that decides the result; a resumed run must repeat it.
        mode: new refuses a directory with anything in it; resume continues the
            same request; overwrite removes an earlier run of this verb first.
        inputs: what the run reads; the directory may not hold any of it.
        progress: gets a note where the run is complete already.

    Raises:
        OutputError: the directory holds something else, cannot be written, or
            another process is writing there.
    """
    fingerprint = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    try:
        if (root / LOCK).is_file():
            with hold(root):
                pass  # nobody writes there
        earlier = _claim(Path(root), verb, request, fingerprint, mode, inputs)
        lock = hold(root)
    except OSError as error:
        raise OutputError(f"{root}: cannot be used for results: {error.strerror}.") from None
    with lock:
        output = Output(root, earlier or _new_record(verb, request, fingerprint))
        if earlier is None:
            write_json(root / RUN, output.record)
        if output.is_complete:
            (progress or Silent()).note(f"{root} is complete already.")
        yield output


def hold(root: Path, patience: float = 0.0) -> AcquireReturnProxy[FileLock]:
    """Hold the directory's lock, in a `with` block or until it is released.

    The same process may hold it twice.

    Args:
        root: the directory, created if needed.
        patience: seconds to wait for another that holds it.

    Raises:
        OutputError: another process holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / LOCK, is_singleton=True)
    try:
        return lock.acquire(timeout=patience)
    except Timeout:
        raise OutputError(
            f"{root}: another egno-md is writing there. Wait for it, or choose another --out."
        ) from None


def _claim(
    root: Path,
    verb: str,
    request: dict[str, Any],
    fingerprint: str,
    mode: OutputMode,
    inputs: Sequence[Path],
) -> dict[str, Any] | None:
    """The record of the run to continue, or None for a fresh directory."""
    if root.is_symlink():
        raise OutputError(f"{root}: is a link. Give the directory itself.")
    for path in inputs:
        if Path(path).resolve().is_relative_to(root.resolve()):
            raise OutputError(f"{root}: holds the input {path}. Choose another --out.")
    earlier = read_run(root)
    if mode == "resume" and earlier is not None:
        if earlier["verb"] != verb or earlier["fingerprint"] != fingerprint:
            raise OutputError(
                f"{root}: holds another run of 'egno-md {earlier['verb']}'"
                f"{_difference(earlier['request'], request)}. Repeat its options, or choose "
                "another --out."
            )
        return earlier
    if not root.exists() or (root.is_dir() and all(p.name == LOCK for p in root.iterdir())):
        return None
    if earlier is None:
        raise OutputError(
            f"{root}: already holds something that was not written by egno-md, so it is left "
            "alone. Choose another --out."
        )
    if mode != "overwrite":
        raise OutputError(
            f"{root}: already holds results. Use --resume to continue it, --overwrite to replace "
            "it, or another --out."
        )
    if earlier["verb"] != verb:
        raise OutputError(
            f"{root}: holds results of 'egno-md {earlier['verb']}', which 'egno-md {verb}' does "
            "not replace. Choose another --out."
        )
    shutil.rmtree(root)
    return None


def _new_record(verb: str, request: dict[str, Any], fingerprint: str) -> dict[str, Any]:
    return {
        "verb": verb,
        "status": "running",
        "started": _now(),
        "fingerprint": fingerprint,
        "request": request,
        "command": _command(),
        "provenance": provenance(),
    }


def read_run(root: Path) -> dict[str, Any] | None:
    """The record of an earlier run, or None."""
    try:
        record = json.loads((root / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    needed = {"verb", "status", "fingerprint", "request"}
    return record if isinstance(record, dict) and needed <= record.keys() else None


def provenance() -> dict[str, Any]:
    """Versions of the packages used, and the machine."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "versions": versions,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "system": platform.system(),
    }


def _command() -> str | None:
    """The command line; None in a Python session."""
    name = Path(sys.argv[0]).name
    return shlex.join([name, *sys.argv[1:]]) if name == "egno-md" else None


def _difference(earlier: dict[str, Any], now: dict[str, Any]) -> str:
    keys = [k for k in sorted({*earlier, *now}) if earlier.get(k) != now.get(k)]
    return f" with different {', '.join(keys)}" if keys else ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
