"""Notes on missing and unfinished results."""

from __future__ import annotations

from collections.abc import Sequence

from egno_md.report.blocks import Block, Text
from egno_md.report.folders import Folder


def gaps(folders: Sequence[Folder]) -> list[Block]:
    """Notes on missing files and on runs that have not ended."""
    blocks: list[Block] = [
        Text(f"{f.label}: {', '.join(f.missing)} missing, so that part is left out.", "note")
        for f in folders
        if f.missing
    ]
    blocks += [
        Text(f"{f.label}: this run has not ended; what it wrote so far is shown.", "note")
        for f in folders
        if not f.is_complete
    ]
    return blocks
