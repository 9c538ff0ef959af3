"""The page: a summary, the sections, provenance, in one HTML file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import jinja2

from egno_md.report import parareal, sections
from egno_md.report.blocks import Block, Fold, Section, Text, table
from egno_md.report.folders import Folder, read_folders
from egno_md.report.numbers import number, percent

TEMPLATE = Path(__file__).with_name("page.html.j2")
VERDICT_CLASSES = {
    "indistinguishable": "same",
    "different": "differ",
    "not enough data": "unknown",
}


def render_page(paths: Sequence[Path], title: str | None = None) -> str:
    """Render the folders' results.

    Args:
        paths: output folders of generate, train, evaluate, propagate, compare.
        title: of the page; names the systems if left out.

    Returns:
        HTML with everything inline: no script, no network.

    Raises:
        DataError: a folder was not written by one of these verbs.
    """
    folders = read_folders(paths)
    parts = [
        summary(folders),
        sections.rollouts(folders),
        parareal.parareal(folders),
        sections.observables(folders),
        sections.operator(folders),
        sections.reference(folders),
        provenance(folders),
    ]
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    systems = ", ".join(dict.fromkeys(s for f in folders if (s := _system(f))))
    html = template.render(
        title=title or f"egno-md report: {systems or 'results'}",
        subtitle=" · ".join([*([systems] if systems else []), f"{len(folders)} result folders"]),
        sections=[p for p in parts if p is not None],
        marks=VERDICT_CLASSES,
    )
    return html.strip() + "\n"


def summary(folders: Sequence[Folder]) -> Section:
    """Verdicts first: one sentence per result."""
    lines = [
        *(line for f in folders if f.verb == "propagate" for line in _rollout_verdict(f)),
        *(line for f in folders if f.verb == "parareal" for line in parareal.verdict(f)),
        *(line for f in folders if f.verb == "compare" for line in _comparison_verdict(f)),
        *(line for f in folders if f.verb == "evaluate" for line in _operator_verdict(f)),
    ]
    absent = [
        text
        for verb, text in (
            ("propagate", "No rollout is among the folders."),
            ("compare", "No comparison with a reference is among the folders."),
        )
        if not any(f.verb == verb for f in folders)
    ]
    return Section("summary", "Summary", tuple(Text(t) for t in absent), tuple(lines))


def _rollout_verdict(folder: Folder) -> list[str]:
    s = folder.content.get("summary")
    if s is None:
        return []
    speed, stops = s.get("speed_up"), [r for r in s.get("stop_reasons", []) if r]
    fate = f"{len(stops)} of {s['replicas']} replicas stopped early" if stops else "ran to its end"
    pace = "speed unknown"
    if speed is not None:
        pace = f"{number(speed)} times the speed of its reference MD, everything included"
    target = s.get("temperature_target")
    aim = "" if target is None else f" (target {number(target, 4)} K)"
    return [
        f"{folder.label} (policy {s.get('policy')}): {fate}; {pace}; "
        f"{percent(s.get('fallback_share'))} of windows fell back to MD; "
        f"{number(s.get('temperature_mean'), 4)} K{aim}."
    ]


def _comparison_verdict(folder: Folder) -> list[str]:
    content = folder.content.get("comparison", {})
    lines = []
    for r in content.get("rollouts", []):
        different = [
            i["name"]
            for i in (*r["observables"], *r["profiles"], *r["distributions"])
            if i["verdict"] == "different"
        ]
        v = r["verdicts"]
        named = "; ".join(different[:6]) + ("; and more" if len(different) > 6 else "")
        lines.append(
            f"{r['label']} against {content.get('reference', 'the reference')}: "
            f"{v['indistinguishable']} observables indistinguishable, {v['different']} different"
            f"{f' ({named})' if named else ''}, {v['not enough data']} without enough data."
        )
    return lines


def _operator_verdict(folder: Folder) -> list[str]:
    e = folder.content.get("evaluation", {})
    if not e.get("by_time"):
        return []
    last = e["by_time"][-1]
    operator = last["position_rmse"].get("operator")
    baselines = [v for k, v in last["position_rmse"].items() if k != "operator" and v is not None]
    best = f" (best baseline {number(min(baselines))} Å)" if baselines else ""
    return [
        f"{folder.label}: over one window of {1e3 * last['time']:g} fs the operator errs by "
        f"{number(operator)} Å{best} and by "
        f"{percent(last['velocity_error'].get('operator'))} of the thermal velocity."
    ]


def provenance(folders: Sequence[Folder]) -> Section:
    """Versions, machines and commands."""
    records = [f.run.get("provenance", {}) for f in folders]
    packages = list(dict.fromkeys(p for r in records for p in r.get("versions", {})))
    columns = ("", *(f.label for f in folders))
    rows = [(p, *(str(r.get("versions", {}).get(p, "–")) for r in records)) for p in packages]
    rows += [(k, *(str(r.get(k, "–")) for r in records)) for k in ("python", "machine", "system")]
    rows += [(k, *(str(f.run.get(k, "–")) for f in folders)) for k in ("started", "finished")]
    blocks: list[Block] = [table("Versions and machines", columns, rows)]
    blocks.append(Text("How to reproduce", "heading"))
    for f in folders:
        command = f.run.get("command")
        if command:
            spelled = command if isinstance(command, str) else shlex.join(map(str, command))
            blocks += [Text(f"{f.label}:"), Text(spelled, "code")]
        request = json.dumps(f.run.get("request", {}), indent=1, ensure_ascii=False)
        blocks.append(Fold(f"{f.label}: request of egno-md {f.verb}", (Text(request, "code"),)))
    return Section("provenance", "Provenance", tuple(blocks))


def _system(folder: Folder) -> str:
    for content in folder.content.values():
        if isinstance(content.get("system"), str):
            return content["system"]
    return ""
