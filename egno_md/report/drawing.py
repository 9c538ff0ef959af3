"""Figures drawn for the page, as SVG and PNG with tooltips."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from egno_md.core.plotting import STYLE, new_figure


@dataclass(frozen=True)
class Drawing:
    """A figure of the page.

    Attributes:
        name: of its files, without ending.
        title: caption.
        alt: the same in words.
        svg: the file's text, or None.
        png: the file's bytes, or None.
        tips: tooltips of parts of the SVG, by number.
    """

    name: str
    title: str
    alt: str
    svg: str | None = None
    png: bytes | None = None
    tips: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tips:
    """Collects the tooltips of a figure."""

    texts: dict[int, str] = field(default_factory=dict)

    def put(self, artist: Artist, text: str) -> None:
        """Give an artist a tooltip."""
        number = len(self.texts)
        self.texts[number] = text
        artist.set_gid(f"tip_{number}")


def draw(
    name: str,
    title: str,
    alt: str,
    size: tuple[float, float],
    paint: Callable[[Figure, Tips], None],
) -> Drawing:
    """A figure of `size` inches that `paint` fills."""
    tips = Tips()
    with mpl.rc_context(STYLE):
        figure = new_figure(*size)
        paint(figure, tips)
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    return Drawing(name, title, alt, svg.getvalue(), png.getvalue(), tips.texts)
