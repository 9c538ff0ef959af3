"""What MkDocs asks for while it builds: generated reference pages, equations, a check."""

from __future__ import annotations

import html
import re
from pathlib import Path

import capacity_table
import cli_reference
import errors_reference
import layers_reference
import mutant_tables
import observables_reference
import protocols_reference
import results_tables
import shipped_reference
import stress_tables
from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

GENERATED = {
    "capacity": capacity_table.page,
    "cli": cli_reference.page,
    "protocols": protocols_reference.page,
    "results": results_tables.page,
    "errors": errors_reference.page,
    "observables": observables_reference.page,
    "shipped": shipped_reference.page,
    "stress": stress_tables.page,
    "mutants": mutant_tables.page,
    "layers": layers_reference.page,
    "layer_accuracy": layers_reference.accuracy,
}
"""What stands for ``<!-- generated: name -->`` in a page."""

EQUATION = re.compile(r'<(span|div) class="arithmatex">\\(?:\(|\[)(.*?)\\(?:\)|\])</\1>', re.DOTALL)
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//|"
    r"<link\b(?![^>]*rel=[\"']?(?:canonical|next|prev))[^>]*\bhref=[\"']?(?:https?:)?//|"
    r"@import\s+(?:url\()?[\"']?https?:|url\([\"']?https?:",
    re.IGNORECASE,
)
"""What a browser would fetch from elsewhere; links that a reader follows are not."""


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill in what is generated."""
    return re.sub(
        r"^<!-- generated: (\w+) -->$", lambda m: GENERATED[m[1]](), markdown, flags=re.MULTILINE
    )


def on_page_content(page_html: str, **_: object) -> str:
    """Equations as MathML: no script, no font, no network."""

    def equation(match: re.Match[str]) -> str:
        display = "block" if match[1] == "div" else "inline"
        return convert(html.unescape(match[2]).strip(), display=display)

    return EQUATION.sub(equation, page_html)


def on_post_build(config: dict, **_: object) -> None:
    """A page that fetches anything from a network is an error."""
    site = Path(config["site_dir"])
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        found = FETCHED.search(path.read_text(encoding="utf-8"))
        if found is not None:
            raise PluginError(f"{path.relative_to(site)} fetches from a network: {found[0]}")
