"""Content of a page: sections of cards, paragraphs, tables, figures and the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from egno_md.report.drawing import Drawing


@dataclass(frozen=True)
class Text:
    """A paragraph ("text"), a warning ("note"), a heading, a code block or a command."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Cell:
    """A cell of a table with more than its text.

    Attributes:
        text: shown.
        sort: key of sorting; the text if None.
        group: value of filters; the text if empty.
        tone: same, differ or unknown; empty for plain.
        tip: tooltip.
        plot: trusted SVG markup before the text.
    """

    text: str
    sort: float | None = None
    group: str = ""
    tone: str = ""
    tip: str = ""
    plot: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column heads its rows.

    Attributes:
        caption: above it.
        columns: their heads.
        rows: cells.
        filters: columns with a drop-down; a table with any also has a search field.
        anchor: its id, where it sorts and filters.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    filters: tuple[int, ...] = ()
    anchor: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Image:
    """A figure with caption."""

    drawing: Drawing
    kind: str = "picture"


@dataclass(frozen=True)
class Viewer:
    """Player of trajectories; `notes` say what it leaves out."""

    notes: tuple[str, ...] = ()
    kind: str = "viewer"


@dataclass(frozen=True)
class Fold:
    """Blocks a reader opens on demand; `is_printed` opens them on paper."""

    text: str
    blocks: tuple[Block, ...]
    is_printed: bool = True
    kind: str = "fold"


Block = Text | Table | Image | Fold | Viewer


@dataclass(frozen=True)
class Card:
    """One result in large numbers.

    Attributes:
        title: what it is about.
        figures: value, what it is, and its tone.
        lines: sentences below.
    """

    title: str
    figures: tuple[tuple[str, str, str], ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: its id.
        title: its heading.
        blocks: its content.
        cards: results set off above the content.
    """

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    cards: tuple[Card, ...] = ()


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Cell]],
    *,
    filters: Sequence[int] = (),
    anchor: str = "",
) -> Table:
    """A table; strings become plain cells."""
    cells = tuple(tuple(c if isinstance(c, Cell) else Cell(c) for c in row) for row in rows)
    return Table(caption, tuple(columns), cells, tuple(filters), anchor)


def images(folder: Path, figures: Sequence[tuple[str, str, str]]) -> tuple[Block, ...]:
    """Figures of a folder by (name without ending, title, alt).

    SVG where there is one, else PNG; a missing one becomes a sentence.
    """
    blocks: list[Block] = []
    for name, title, alt in figures:
        svg, png = _read(folder / f"{name}.svg"), _read(folder / f"{name}.png")
        if svg is None and png is None:
            blocks.append(Text(f"The figure {name} is missing from {folder.name}.", "note"))
            continue
        text = None if svg is None else svg.decode("utf-8", errors="replace")
        blocks.append(Image(Drawing(name, title, alt, text, png)))
    return tuple(blocks)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
