"""The page: verdicts, the viewer, the sections, provenance, in one HTML file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from egno_md.report import parareal, sections
from egno_md.report.blocks import Block, Fold, Image, Section, Table, Text, Viewer, table
from egno_md.report.drawing import Drawing
from egno_md.report.folders import Folder, flat_card, read_folders
from egno_md.report.movies import Movie
from egno_md.report.pictures import figure_markup
from egno_md.report.rollouts import rollouts
from egno_md.report.summary import summary

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """A rendered report.

    Attributes:
        html: everything inline; nothing is fetched.
        drawings: its figures, for files of their own.
        tables: its tables, likewise.
        numbers: results of the folders, for machines.
    """

    html: str
    drawings: tuple[Drawing, ...]
    tables: tuple[Table, ...]
    numbers: dict[str, Any]


def render_page(
    paths: Sequence[Path],
    title: str | None = None,
    movies: Sequence[Movie] = (),
    notes: Sequence[str] = (),
) -> Page:
    """Render the folders' results.

    Args:
        paths: output folders of generate, train, evaluate, propagate, compare.
        title: of the page; names the systems if left out.
        movies: trajectories to play side by side.
        notes: why other trajectories cannot be played.

    Raises:
        DataError: a folder was not written by one of these verbs.
    """
    folders = read_folders(paths)
    candidates = [
        summary(folders),
        _dynamics(movies, notes),
        rollouts(folders),
        parareal.parareal(folders),
        sections.observables(folders),
        sections.operator(folders),
        sections.reference(folders),
        provenance(folders),
    ]
    parts = [p for p in candidates if p is not None]
    systems = ", ".join(dict.fromkeys(s for f in folders if (s := _system(f))))
    blocks = [b for p in parts for b in _walk(p.blocks)]
    html = _template().render(
        title=title or f"egno-md report: {systems or 'results'}",
        subtitle=" · ".join([*([systems] if systems else []), f"{len(folders)} result folders"]),
        sections=parts,
        css=Markup(_asset("page.css")),
        scripts=[Markup(_asset(n)) for n in ("page.js", "viewer.js")],
        movies=Markup(_embedded([m.to_json() for m in movies])) if movies else "",
        figure=figure_markup,
    )
    return Page(
        html.strip() + "\n",
        tuple(b.drawing for b in blocks if isinstance(b, Image)),
        tuple(b for b in blocks if isinstance(b, Table)),
        {"folders": [_numbers(f) for f in folders]},
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_asset("page.html.j2"))


def _asset(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _embedded(content: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")


def _walk(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from _walk(block.blocks)


def _dynamics(movies: Sequence[Movie], notes: Sequence[str]) -> Section | None:
    if not movies and not notes:
        return None
    blocks: list[Block] = [Text(n, "note") for n in notes]
    if movies:
        blocks.append(Viewer(tuple(f"{m.label}: {m.note}" for m in movies if m.note)))
    return Section("dynamics", "Trajectories side by side", tuple(blocks))


def provenance(folders: Sequence[Folder]) -> Section:
    """Versions, machines, seeds, digests and commands."""
    records = [f.run.get("provenance", {}) for f in folders]
    packages = list(dict.fromkeys(p for r in records for p in r.get("versions", {})))
    columns = ("", *(f.label for f in folders))
    rows = [("verb", *(f.verb for f in folders))]
    rows += [("seed", *(str(f.run.get("request", {}).get("seed", "–")) for f in folders))]
    rows += [("request digest", *(str(f.run.get("fingerprint", "–"))[:12] for f in folders))]
    rows += [("system digest", *(_digest(f)[:12] or "–" for f in folders))]
    rows += [(k, *(str(f.run.get(k, "–")) for f in folders)) for k in ("started", "finished")]
    rows += [(p, *(str(r.get("versions", {}).get(p, "–")) for r in records)) for p in packages]
    rows += [(k, *(str(r.get(k, "–")) for r in records)) for k in ("python", "machine", "system")]
    blocks: list[Block] = [table("Versions, seeds and digests", columns, rows)]
    commands = [(f, c) for f in _by_start(folders) if (c := f.run.get("command"))]
    if commands:
        lines = [c if isinstance(c, str) else shlex.join(map(str, c)) for _, c in commands]
        blocks += [
            Text("How to reproduce", "heading"),
            Text(
                "These commands, in the order they ran, with the versions above. The same seed "
                "gives the same numbers on the same machine."
            ),
            Text("\n".join(dict.fromkeys(lines)), "command"),
        ]
    for f in folders:
        request = json.dumps(f.run.get("request", {}), indent=1, ensure_ascii=False)
        text = f"{f.label}: request of egno-md {f.verb}"
        blocks.append(Fold(text, (Text(request, "code"),), is_printed=False))
    return Section("provenance", "Provenance", tuple(blocks))


def _by_start(folders: Sequence[Folder]) -> list[Folder]:
    return sorted(folders, key=lambda f: str(f.run.get("started", "")))


def _digest(folder: Folder) -> str:
    card = folder.run.get("request", {}).get("operator")
    for content in (*folder.content.values(), card):
        digest = flat_card(content).get("digest") if isinstance(content, dict) else None
        if isinstance(digest, str):
            return digest
    return ""


def _system(folder: Folder) -> str:
    for content in folder.content.values():
        if isinstance(content.get("system"), str):
            return content["system"]
    return ""


def _numbers(folder: Folder) -> dict[str, Any]:
    content = {k: v for k, v in folder.content.items() if k != "manifest"}
    return {"label": folder.label, "verb": folder.verb, "path": str(folder.path), **content}
