"""What became of the runs of an ensemble: their values, or which failed and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from egno_md.core.errors import EnsembleError
from egno_md.core.fanout import Done, Failed, Outcome
from egno_md.data.store import write_json

FAILURES = "failures.json"


def settle(outcomes: Sequence[Outcome], names: Sequence[str], out: Path) -> list[Any]:
    """The values of an ensemble whose runs have all ended well.

    Args:
        outcomes: one a run.
        names: of the runs.
        out: gets `failures.json`, with a traceback a failed run.

    Raises:
        EnsembleError: some failed.
    """
    failed = [o for o in outcomes if isinstance(o, Failed)]
    if not failed:
        (out / FAILURES).unlink(missing_ok=True)
        return [o.value for o in outcomes if isinstance(o, Done)]
    write_json(out / FAILURES, {names[f.number]: asdict(f) for f in failed})
    raise EnsembleError(
        f"{len(failed)} of {len(outcomes)} runs failed, the first is {names[failed[0].number]}: "
        f"{failed[0].error} The others are kept, and {out / FAILURES} holds every traceback. "
        "Give the same command with --resume to try the failed ones again."
    )
