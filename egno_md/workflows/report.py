"""`report`: results on disk to one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from egno_md.core.errors import DataError, OutputError
from egno_md.data.output import OutputMode, open_output
from egno_md.report.page import render_page

REPORT = "report.html"


def run_report(
    folders: Sequence[Path | str],
    out: Path | str,
    *,
    mode: OutputMode = "new",
    title: str | None = None,
) -> Path:
    """Write one self-contained page about output folders of other verbs.

    Args:
        folders: of generate, train, evaluate, propagate and compare, in any order.
        out: the page's folder.
        mode: see `open_output`.
        title: of the page.

    Returns:
        The page.

    Raises:
        DataError: no folders, or one that a report cannot show.
    """
    if not folders:
        raise DataError("nothing to report. Give at least one folder written by egno-md.")
    folders, out = [Path(f) for f in folders], Path(out)
    html = render_page(folders, title)
    output = open_output(
        out,
        "report",
        {"folders": [str(f) for f in folders], "title": title},
        mode,
        inputs=folders,
    )
    page = out / REPORT
    try:
        partial = page.with_suffix(".partial")
        partial.write_text(html, encoding="utf-8")
        partial.replace(page)
    except OSError as error:
        raise OutputError(f"{page}: cannot be written: {error.strerror}.") from None
    output.finish()
    return page
