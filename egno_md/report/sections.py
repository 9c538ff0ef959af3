"""The sections of the page, each from the folders it concerns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from egno_md.report.blocks import Block, Fold, Image, Section, Text, images, table
from egno_md.report.folders import Folder
from egno_md.report.numbers import interval, number, percent, seconds
from egno_md.report.timeline import KINDS, draw_timeline

Folders = Sequence[Folder]

SPEED_PARTS = ("network", "checks", "refinement", "fallback", "thermostat", "output", "total")


def of_verb(folders: Folders, verb: str) -> list[Folder]:
    """Folders written by one verb, in the order given."""
    return [f for f in folders if f.verb == verb]


def rollouts(folders: Folders) -> Section | None:
    """Rollouts side by side: results, where the time went, and the timeline."""
    found = of_verb(folders, "propagate")
    if not found:
        return None
    shown = [f for f in found if "summary" in f.content]
    blocks: list[Block] = [*_gaps(found)]
    if shown:
        columns = ("", *(f.label for f in shown))
        blocks.append(table("Rollouts side by side", columns, _rollout_rows(shown)))
        rows = [
            (part, *(seconds(f.content["summary"].get("seconds", {}).get(part)) for f in shown))
            for part in SPEED_PARTS
        ]
        rows += [
            (title, *(number(f.content["summary"].get(key)) for f in shown))
            for key, title in (
                ("rollout_ns_per_day", "rollout, ns/day"),
                ("reference_ns_per_day", "reference MD, ns/day"),
                ("speed_up", "speed-up, everything included"),
            )
        ]
        blocks.append(table("Where the time went", columns, rows))
    timeline = draw_timeline(found)
    if timeline is not None:
        blocks.append(Image(timeline))
        blocks.append(
            Text(
                "Each window is one mark: above at its energy error, below in the row of what the "
                "controller decided. Where errors span decades, the axis is linear near zero and logarithmic beyond."
            )
        )
    return Section("rollouts", "Rollouts", tuple(blocks))


def _rollout_rows(shown: Folders) -> list[tuple[str, ...]]:
    summaries = [f.content["summary"] for f in shown]

    def row(title: str, read) -> tuple[str, ...]:
        return (title, *(read(s) for s in summaries))

    elements = list(
        dict.fromkeys(e for s in summaries for e in s.get("temperature_by_element", {}))
    )
    rows = [
        row("policy", lambda s: str(s.get("policy", "–"))),
        row("ensemble", lambda s: f"{s.get('ensemble', '–')}, {s.get('mode', '–')}"),
        row("replicas", lambda s: number(s.get("replicas"))),
        row("windows, all replicas", lambda s: number(s.get("windows"))),
        row("simulated, ps", lambda s: number(s.get("simulated_ps"))),
        row("temperature target, K", lambda s: number(s.get("temperature_target"), 4)),
        row("temperature, K", lambda s: number(s.get("temperature_mean"), 4)),
    ]
    rows += [
        row(
            f"temperature of {e}, K",
            lambda s, e=e: number(s.get("temperature_by_element", {}).get(e), 4),
        )
        for e in elements
    ]
    rows += [
        row(
            f"excess friction of {e}, 1/ps",
            lambda s, e=e: number(s.get("excess_friction_by_element", {}).get(e)),
        )
        for e in elements
    ]
    rows += [
        row(f"windows {KINDS[k][2]}", lambda s, k=k: number(s.get("events", {}).get(k)))
        for k in KINDS
    ]
    rows += [
        row("share of MD fallback", lambda s: percent(s.get("fallback_share"))),
        row(
            "energy error per window, kJ/mol",
            lambda s: f"{number(s.get('energy_error_mean'))} ± {number(s.get('energy_error_std'))}",
        ),
        row("energy drift of kept windows, kJ/mol/ps", lambda s: number(s.get("energy_drift"))),
        row("largest bond deviation, nm", lambda s: number(s.get("largest_bond_deviation"))),
        row("stopped early", lambda s: "; ".join(filter(None, s.get("stop_reasons", []))) or "no"),
    ]
    return rows


def observables(folders: Folders) -> Section | None:
    """What the comparisons found."""
    found = of_verb(folders, "compare")
    if not found:
        return None
    blocks: list[Block] = [*_gaps(found)]
    for folder in found:
        content = folder.content.get("comparison")
        if content is None:
            continue
        if len(found) > 1:
            blocks.append(Text(f"{folder.label}: {content.get('system', '')}", "heading"))
        blocks.append(
            Text(
                "The interval is the 95% block-bootstrap confidence interval of the difference. "
                "The noise floor is the same difference between the two halves of the reference. "
                "About one scalar in twenty is called different by chance."
            )
        )
        for rollout in content.get("rollouts", []):
            blocks += _one_rollout(rollout)
        figures = [(f"{f['name']}.png", f["title"], f["alt"]) for f in content.get("figures", [])]
        if figures:
            blocks.append(Text("Figures", "heading"))
            blocks += images(folder.path / "figures", figures)
    return Section("observables", "Observables against the reference", tuple(blocks))


def _one_rollout(rollout: dict[str, Any]) -> list[Block]:
    label = rollout["label"]
    sizes = " against ".join(
        f"{number(s['frames'])} frames in {number(s['chains'])} {'chain' if s['chains'] == 1 else 'chains'}, {number(s['picoseconds'])} ps"
        for s in (rollout["rollout_sampling"], rollout["reference_sampling"])
    )
    blocks: list[Block] = [Text(label, "heading"), Text(f"{sizes} of reference.")]
    blocks += [Text(note, "note") for note in rollout.get("notes", [])]
    columns = (
        "",
        "unit",
        "reference",
        "rollout",
        "difference",
        "interval",
        "noise floor",
        "verdict",
    )
    rows = [
        (
            o["name"], o["unit"], number(o["reference"], 4), number(o["rollout"], 4),
            number(o["difference"]), interval(o["interval"]), number(o["noise_floor"]),
            o["verdict"],
        )
        for o in rollout["observables"]
    ]  # fmt: skip
    blocks.append(table(f"Observables of {label}", columns, rows))
    blocks.append(_profiles(rollout))
    blocks.append(_distributions(rollout))
    definitions = [
        (i["name"], i["definition"])
        for i in (*rollout["observables"], *rollout["profiles"], *rollout["distributions"][:2])
    ]
    blocks.append(
        Fold("How each is computed", (table("Definitions", ("", "definition"), definitions),))
    )
    if rollout.get("unavailable"):
        rows = [(u["name"], u["reason"]) for u in rollout["unavailable"]]
        blocks.append(table(f"Not available for {label}", ("", "reason"), rows))
    return blocks


def _profiles(rollout: dict[str, Any]) -> Block:
    rows = []
    for p in rollout["profiles"]:
        worst = max(range(len(p["labels"])), key=lambda k: abs(p["difference"][k]))
        rows.append(
            (
                p["name"], p["unit"], number(len(p["labels"])),
                number(p["verdicts"].count("different")),
                f"{number(p['difference'][worst])} ({p['labels'][worst]})", p["verdict"],
            )
        )  # fmt: skip
    columns = ("", "unit", "members", "different", "largest difference", "verdict")
    return table(f"Bonds, angles and atoms of {rollout['label']}", columns, rows)


def _distributions(rollout: dict[str, Any]) -> Block:
    rows = [
        (
            d["name"], d["measure"], number(d["distance"]), number(d["expected"]),
            number(d["noise_floor"]), d["verdict"],
        )
        for d in rollout["distributions"]
    ]  # fmt: skip
    columns = ("", "measure", "distance", "95% by chance", "noise floor", "verdict")
    caption = f"Distributions of {rollout['label']}"
    return Fold(f"{caption} ({len(rows)})", (table(caption, columns, rows),))


def operator(folders: Folders) -> Section | None:
    """Training, the operator's card and its one-window errors."""
    trained, evaluated = of_verb(folders, "train"), of_verb(folders, "evaluate")
    if not trained and not evaluated:
        return None
    blocks: list[Block] = [*_gaps([*trained, *evaluated])]
    for folder in evaluated:
        if "evaluation" in folder.content:
            blocks += _evaluation(folder)
    for folder in trained:
        blocks += _training(folder)
    return Section("operator", "Operator", tuple(blocks))


def _evaluation(folder: Folder) -> list[Block]:
    e = folder.content["evaluation"]
    blocks: list[Block] = [Text(f"One-window errors ({folder.label})", "heading")]
    blocks.append(
        Text(
            f"{number(e.get('windows'))} held-out windows: final-frame error F-MSE "
            f"{number(e.get('f_mse'))} Å², average A-MSE {number(e.get('a_mse'))} Å²."
        )
    )
    methods = ("operator", "persistence", "ballistic", "half_a_tau_squared")
    names = ("operator", "persistence", "ballistic", "ballistic + ½aτ²")
    for key, caption, show in (
        ("position_rmse", "Position error in Å, by time", number),
        ("velocity_error", "Velocity error as a share of the thermal velocity, by time", percent),
    ):
        rows = [
            (f"{1e3 * t['time']:g} fs", *(show(t[key].get(m)) for m in methods))
            for t in e.get("by_time", [])
        ]
        blocks.append(table(caption, ("time", *names), rows))
    symmetry = [(k, number(v)) for k, v in e.get("equivariance", {}).items()]
    if symmetry:
        blocks.append(table("Equivariance, largest relative error", ("", "error"), symmetry))
    figures = sorted((folder.path / "figures").glob("*.png"))
    named = [
        (f.name, f.stem.replace("_", " ").replace("-", " "), f"{f.stem} of the operator")
        for f in figures
    ]
    return blocks + list(images(folder.path / "figures", named))


def _training(folder: Folder) -> list[Block]:
    blocks: list[Block] = [Text(f"Training ({folder.label})", "heading")]
    summary = folder.content.get("summary")
    if summary:
        rows = [
            (k.replace("_", " "), seconds(v) if k == "seconds" else number(v, 4))
            for k, v in {**summary, **(summary.get("validation") or {})}.items()
            if not isinstance(v, (dict, list))
        ]
        blocks.append(table("Training in short", ("", "value"), rows))
    if (folder.path / "loss.png").is_file():
        last = folder.metrics[-1] if folder.metrics else {}
        alt = f"Training loss over {last.get('step', 'all')} steps"
        blocks += images(folder.path, [("loss.png", "Loss during training", alt)])
    card = folder.content.get("card")
    if card:
        short = {k: v for k, v in card.items() if k not in ("atomic_numbers", "masses", "bonds")}
        text = json.dumps(short, indent=1, ensure_ascii=False)
        blocks.append(Fold("Operator card", (Text(text, "code"),)))
    return blocks


def reference(folders: Folders) -> Section | None:
    """The reference molecular dynamics."""
    found = of_verb(folders, "generate")
    if not found:
        return None
    rows = []
    for f in found:
        m = f.content.get("manifest", {})
        shards = m.get("shards", [])
        protocol = f.run.get("request", {}).get("protocol", {})
        rows.append(
            (
                f.label, str(m.get("system", "–")),
                str(m.get("provenance", {}).get("potential") or "–"),
                str(protocol.get("temperature", "–")), number(sum(s["frames"] for s in shards)),
                number(len({s["chain"] for s in shards})), number(f.run.get("ns_per_day")),
            )
        )  # fmt: skip
    columns = ("", "system", "potential", "temperature", "frames", "chains", "ns/day")
    blocks = (*_gaps(found), table("Reference molecular dynamics", columns, rows))
    return Section("reference", "Reference", blocks)


def _gaps(folders: Folders) -> list[Block]:
    blocks: list[Block] = [
        Text(f"{f.label}: {', '.join(f.missing)} missing, so that part is left out.", "note")
        for f in folders
        if f.missing
    ]
    blocks += [
        Text(f"{f.label}: this run has not ended; what it wrote so far is shown.", "note")
        for f in folders
        if not f.is_complete
    ]
    return blocks
