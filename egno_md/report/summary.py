"""Verdicts first: one card per rollout, comparison and operator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from egno_md.report import parareal
from egno_md.report.blocks import Card, Section, Text
from egno_md.report.folders import Folder
from egno_md.report.numbers import number, percent
from egno_md.report.verdicts import judged, short_differences

Json = dict[str, Any]
HOT = 0.02
"""A mean temperature off its target by more than this share is marked."""


def summary(folders: Sequence[Folder]) -> Section:
    """The cards, and a sentence for each missing verb."""
    compared = {
        r["label"]: r
        for f in folders
        if f.verb == "compare"
        for r in f.content.get("comparison", {}).get("rollouts", [])
    }
    cards = [
        *(c for f in folders if f.verb == "propagate" for c in _rollout(f, compared)),
        *(c for f in folders if f.verb == "parareal" for c in _parareal(f)),
        *(_compared(r) for r in compared.values()),
        *(c for f in folders if f.verb == "evaluate" for c in _operator(f)),
    ]
    absent = [
        text
        for verb, text in (
            ("propagate", "No rollout is among the folders."),
            ("compare", "No comparison with a reference is among the folders."),
        )
        if not any(f.verb == verb for f in folders)
    ]
    return Section("summary", "Summary", tuple(Text(t) for t in absent), tuple(cards))


def _rollout(folder: Folder, compared: dict[str, Json]) -> Iterator[Card]:
    s = folder.content.get("summary")
    if s is None:
        return
    stops = [r for r in s.get("stop_reasons", []) if r]
    pace, kelvin, target = s.get("speed_up"), s.get("temperature_mean"), s.get("temperature_target")
    speed = (
        "–" if pace is None else f"{number(pace)}×",
        "the speed of reference MD, all costs inside",
        # speed at windows that are means of all futures is no merit
        "" if pace is None else "differ" if pace < 1 else "" if s.get("caveat") else "same",
    )
    if s.get("corrected"):
        speed = (percent(s.get("acceptance")), "of Metropolis moves accepted", "")
    figures = [
        speed,
        (
            f"{number(kelvin, 4)} K",
            "mean temperature" + ("" if target is None else f", target {number(target, 4)} K"),
            "differ" if kelvin and target and abs(kelvin / target - 1) > HOT else "",
        ),
        (percent(s.get("fallback_share")), "of windows fell back to MD", ""),
    ]
    comparison = compared.pop(folder.label, None)
    lines = []
    if stops:
        lines.append(
            f"{len(stops)} of {s['replicas']} replicas stopped early: {'; '.join(sorted(set(stops)))}."
        )
    if comparison is not None:
        figures.append(_agreement(comparison))
        lines.append(_sentence(comparison))
    replicas = "1 replica" if s.get("replicas") == 1 else f"{number(s.get('replicas'))} replicas"
    lines.append(
        f"{number(s.get('simulated_ps'))} ps in {replicas}; largest bond "
        f"deviation {number(s.get('largest_bond_deviation'))} nm."
    )
    lines += [text for key in ("statement", "caveat") if (text := s.get(key))]
    yield Card(f"{folder.label} (policy {s.get('policy')})", tuple(figures), tuple(lines))


def _parareal(folder: Folder) -> Iterator[Card]:
    lines = parareal.verdict(folder)
    if lines:
        gain = max(folder.content["parareal"]["modelled_speed_up"].values())
        figures = ((f"{number(gain)}×", "the speed of serial MD at best, modelled", ""),)
        yield Card(f"{folder.label} (parareal)", figures, tuple(lines))


def _compared(rollout: Json) -> Card:
    return Card(rollout["label"], (_agreement(rollout),), (_sentence(rollout),))


def _agreement(rollout: Json) -> tuple[str, str, str]:
    verdicts = rollout["verdicts"]
    settled = verdicts["indistinguishable"] + verdicts["different"]
    return (
        f"{verdicts['indistinguishable']} of {settled}",
        "observables indistinguishable from the reference",
        "differ" if short_differences(rollout) else "same" if settled else "unknown",
    )


def _sentence(rollout: Json) -> str:
    verdicts, names = rollout["verdicts"], short_differences(rollout)
    text = f"Different from the reference: {names}." if names else ""
    slight = sum(
        i["verdict"] == "different" and bool(i.get("is_negligible")) for i in judged(rollout)
    )
    if slight:
        text += f" {slight} differ, but by less than matters in practice."
    unknown = verdicts["not enough data"]
    if unknown:
        text += f" {unknown} observables have not enough data for a verdict."
    return text.strip() or "No observable differs."


def _operator(folder: Folder) -> Iterator[Card]:
    e = folder.content.get("evaluation", {})
    if not e.get("by_time"):
        return
    last = e["by_time"][-1]
    operator = last["position_rmse"].get("operator")
    baselines = [v for k, v in last["position_rmse"].items() if k != "operator" and v is not None]
    best = f", best baseline {number(min(baselines))} Å" if baselines else ""
    figures = (
        (f"{number(operator)} Å", f"position error over one window{best}", ""),
        (
            percent(last["velocity_error"].get("operator")),
            "velocity error, of the thermal velocity",
            "",
        ),
    )
    line = f"One window of {1e3 * last['time']:g} fs, {number(e.get('windows'))} held-out windows."
    yield Card(f"Operator ({folder.label})", figures, (line,))
