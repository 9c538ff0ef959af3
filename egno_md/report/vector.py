"""Figures as SVG inside the page: theme colours, unique ids, tooltips."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping

SVG = "http://www.w3.org/2000/svg"
XLINK = "{http://www.w3.org/1999/xlink}href"
TAGS = frozenset(
    [
        "svg",
        "g",
        "defs",
        "path",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polyline",
        "polygon",
        "text",
        "tspan",
        "use",
        "clipPath",
        "pattern",
        "image",
    ]
)
THEME = {
    "#000000": "currentColor",
    "#3b3b3b": "currentColor",
    "#ffffff": "var(--paper)",
    "#0072b2": "var(--blue)",
}
"""Colours that change between light and dark; all others read on both."""
REFERENCE_TO_ID = re.compile(r"url\(#([^)]+)\)")
WIDTH = re.compile(r"([0-9.]+)pt")
PIXELS = 1.45
"""On screen per point of a figure."""
TIP = re.compile(r"tip_(\d+)")


def inline_svg(text: str, prefix: str, tips: Mapping[int, str] | None = None) -> str | None:
    """An SVG file as markup for the page.

    Only shapes, text and embedded PNG pass: no script, style sheet, link or event
    handler. Ids get a prefix, because all figures share the page.

    Args:
        text: of the file.
        prefix: of every id; one per figure.
        tips: tooltips of the elements with the id ``tip_N``.

    Returns:
        Markup that starts with ``<svg``, or None where it cannot be parsed.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    if _local(root) != "svg":
        return None
    _clean(root, prefix, tips or {})
    width = WIDTH.match(root.attrib.pop("width", ""))
    root.attrib.pop("height", None)
    if width:
        root.set("style", f"width:min(100%, {PIXELS * float(width.group(1)):.0f}px)")
    root.set("aria-hidden", "true")  # the figure around it carries the text
    return ElementTree.tostring(root, encoding="unicode")


def _local(element: ElementTree.Element) -> str:
    return element.tag.removeprefix(f"{{{SVG}}}")


def _clean(element: ElementTree.Element, prefix: str, tips: Mapping[int, str]) -> None:
    element.tag = _local(element)
    tip = TIP.fullmatch(element.get("id", ""))
    attributes = {}
    for name, value in element.attrib.items():
        if name == XLINK:
            name = "href"
        if name.startswith(("on", "{")) or name in ("class", "base"):
            continue
        if name == "id":
            value = prefix + value
        elif name == "href":
            if value.startswith("#"):
                value = f"#{prefix}{value[1:]}"
            elif not value.startswith("data:image/png;base64,"):
                continue
        elif name == "style" and ("@import" in value or ("url(" in value and "url(#" not in value)):
            continue
        attributes[name] = _themed(REFERENCE_TO_ID.sub(rf"url(#{prefix}\1)", value))
    element.attrib.clear()
    element.attrib.update(attributes)
    if tip and int(tip.group(1)) in tips:
        element.set("data-tip", tips[int(tip.group(1))])
    element.tail = None if element.tag not in ("tspan",) else element.tail
    for child in list(element):
        if _local(child) in TAGS:
            _clean(child, prefix, tips)
        else:
            element.remove(child)


def _themed(value: str) -> str:
    if "#" not in value or value.startswith("data:"):
        return value
    for colour, theme in THEME.items():
        value = value.replace(colour, theme)
    return value
