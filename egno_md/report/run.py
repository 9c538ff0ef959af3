"""`report`: results on disk to one HTML page, its figures and its numbers."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from egno_md.core.errors import DataError, OutputError
from egno_md.data.output import OutputMode, run_folder
from egno_md.data.store import write_json
from egno_md.report.page import Page, render_page
from egno_md.report.reels import read_movies

REPORT = "report.html"
FIGURES = "figures"
NUMBERS = "numbers"


def run_report(
    folders: Sequence[Path | str],
    out: Path | str,
    *,
    mode: OutputMode = "new",
    title: str | None = None,
) -> Path:
    """Write one self-contained page about output folders of other verbs.

    Beside the page, its figures are SVG and PNG in ``figures/``, its tables CSV in
    ``numbers/``, and all results of the folders are in ``numbers/report.json``.

    Args:
        folders: of generate, train, evaluate, propagate and compare, in any order.
        out: the page's folder.
        mode: see `run_folder`.
        title: of the page.

    Returns:
        The page.

    Raises:
        DataError: no folders, or one that a report cannot show.
    """
    if not folders:
        raise DataError("nothing to report. Give at least one folder written by egno-md.")
    folders, out = [Path(f) for f in folders], Path(out)
    movies, notes = read_movies(folders)
    page = render_page(folders, title, movies, notes)
    path = out / REPORT
    request = {"folders": [str(f) for f in folders], "title": title}
    with run_folder(out, "report", request, mode, folders) as run:
        try:
            _write_figures_and_tables(page, out)
            partial = path.with_suffix(".partial")
            partial.write_text(page.html, encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}.") from None
        run.finish()
        return path


def _write_figures_and_tables(page: Page, out: Path) -> None:
    (out / FIGURES).mkdir(exist_ok=True)
    (out / NUMBERS).mkdir(exist_ok=True)
    names: set[str] = set()
    for drawing in page.drawings:
        name = _free(drawing.name, names)
        if drawing.svg is not None:
            (out / FIGURES / f"{name}.svg").write_text(drawing.svg, encoding="utf-8")
        if drawing.png is not None:
            (out / FIGURES / f"{name}.png").write_bytes(drawing.png)
    for table in page.tables:
        name = _free(table.anchor or table.caption, names)
        with (out / NUMBERS / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(table.columns)
            writer.writerows(
                [c.text if c.sort is None else c.sort for c in row] for row in table.rows
            )
    write_json(out / NUMBERS / "report.json", page.numbers)


def _free(text: str, names: set[str]) -> str:
    """A short file name that no other has."""
    short = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48].strip("-") or "table"
    name, again = short, 1
    while name in names:
        again += 1
        name = f"{short}-{again}"
    names.add(name)
    return name
