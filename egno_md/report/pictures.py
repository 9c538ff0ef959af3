"""Markup of figures in the page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import count

from markupsafe import Markup

from egno_md.report.drawing import Drawing
from egno_md.report.vector import inline_svg

LARGEST_SVG = 600_000
"""Characters; a larger one costs more than its PNG."""
_numbers: Iterator[int] = count()


def figure_markup(drawing: Drawing) -> Markup:
    """SVG inline where there is a small one that can be read, else PNG."""
    if drawing.svg is not None and (len(drawing.svg) < LARGEST_SVG or drawing.png is None):
        markup = inline_svg(drawing.svg, f"f{next(_numbers)}-", drawing.tips)
        if markup is not None:
            return Markup('<div class="drawing" role="img" aria-label="{}">{}</div>').format(
                drawing.alt, Markup(markup)
            )
    data = base64.b64encode(drawing.png or b"").decode("ascii")
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, drawing.alt)
