"""What a page is made of: sections of paragraphs, tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from egno_md.report.timeline import Picture, picture


@dataclass(frozen=True)
class Text:
    """A paragraph ("text"), a warning ("note"), a heading or a code block."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """A table whose first column heads its rows."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kind: str = "table"


@dataclass(frozen=True)
class Image:
    """A picture with caption."""

    picture: Picture
    kind: str = "picture"


@dataclass(frozen=True)
class Fold:
    """Blocks a reader opens on demand."""

    text: str
    blocks: tuple[Block, ...]
    kind: str = "fold"


Block = Text | Table | Image | Fold


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: its id.
        title: its heading.
        blocks: its content.
        lead: sentences set off above the content.
    """

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    lead: tuple[str, ...] = ()


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of strings."""
    return Table(caption, tuple(columns), tuple(tuple(r) for r in rows))


def images(folder: Path, figures: Sequence[tuple[str, str, str]]) -> tuple[Block, ...]:
    """Pictures of a folder by (file, title, alt); a missing one becomes a sentence."""
    blocks: list[Block] = []
    for name, title, alt in figures:
        try:
            png = (folder / name).read_bytes()
        except OSError:
            blocks.append(Text(f"The figure {name} is missing from {folder.name}."))
            continue
        blocks.append(Image(picture(png, title, alt)))
    return tuple(blocks)
