"""The sections of the page, each from the folders it concerns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from egno_md.report.blocks import Block, Fold, Section, Text, images, table
from egno_md.report.folders import Folder, flat_card, of_verb
from egno_md.report.gaps import gaps
from egno_md.report.numbers import number, percent, seconds
from egno_md.report.verdicts import comparison_blocks

Folders = Sequence[Folder]


def observables(folders: Folders) -> Section | None:
    """The comparisons with the reference."""
    comparisons = of_verb(folders, "compare")
    if not comparisons:
        return None
    blocks: list[Block] = [*gaps(comparisons)]
    for place, folder in enumerate(comparisons):
        if "comparison" not in folder.content:
            continue
        if len(comparisons) > 1:
            system = folder.content["comparison"].get("system", "")
            blocks.append(Text(f"{folder.label}: {system}", "heading"))
        blocks += comparison_blocks(folder, place)
    return Section("observables", "Observables against the reference", tuple(blocks))


def operator(folders: Folders) -> Section | None:
    """Training, the operator's card and its one-window errors."""
    trainings, evaluations = of_verb(folders, "train"), of_verb(folders, "evaluate")
    cards = {} if trainings else _cards_used(folders)
    if not trainings and not evaluations and not cards:
        return None
    blocks: list[Block] = [*gaps([*trainings, *evaluations])]
    for folder in evaluations:
        if "evaluation" in folder.content:
            blocks += _evaluation(folder)
    for folder in trainings:
        blocks += _training(folder)
    for label, card in cards.items():
        blocks += _card(card, label)
    return Section("operator", "Operator", tuple(blocks))


def _cards_used(folders: Folders) -> dict[str, dict[str, Any]]:
    """Cards of the operators that rollouts used, one each, by the first rollout's label."""
    cards: dict[str, dict[str, Any]] = {}
    for folder in of_verb(folders, "propagate"):
        card = folder.run.get("request", {}).get("operator")
        if isinstance(card, dict) and card not in cards.values():
            cards[f"used by {folder.label}"] = card
    return cards


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
        (f.stem, f.stem.replace("_", " ").replace("-", " "), f"{f.stem} of the operator")
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
        blocks += images(folder.path, [("loss", "Loss during training", alt)])
    card = folder.content.get("card")
    if card:
        blocks += _card(card, folder.label)
    return blocks


def _time(ps: float) -> str:
    return f"{ps:g} ps" if ps >= 1 else f"{1e3 * ps:g} fs"


def _card(card: dict[str, Any], label: str) -> Iterator[Block]:
    card = flat_card(card)
    network, training = card.get("network", {}), card.get("training") or {}
    points = card.get("time_points") or []
    facts = {
        "system": card.get("system"),
        "mode": card.get("statement") or card.get("mode"),
        "window": f"{_time(points[-1])} in {len(points)} points" if points else None,
        "trained at": f"{card['kelvin']:g} K" if card.get("kelvin") else None,
        "network": network.get("kind"),
        "layers, scalars, vectors": ", ".join(
            str(network[k]) for k in ("layers", "hidden", "vectors") if k in network
        ),
        "force channel": {True: "yes", False: "no"}.get(network.get("force_channel")),
        "parameters": number(training.get("parameters")) if training else None,
        "training windows": number(training.get("training_windows")) if training else None,
        "training time": seconds(training.get("seconds")) if training else None,
        "system digest": str(card.get("digest") or "")[:16],
    }
    rows = [(k, str(v)) for k, v in facts.items() if v]
    yield table(f"Operator card ({label})", ("", "value"), rows)
    short = {k: v for k, v in card.items() if k not in ("atomic_numbers", "masses", "bonds")}
    text = json.dumps(short, indent=1, ensure_ascii=False)
    yield Fold("Operator card, all of it", (Text(text, "code"),), is_printed=False)


def reference(folders: Folders) -> Section | None:
    """The reference molecular dynamics."""
    runs = of_verb(folders, "generate")
    if not runs:
        return None
    rows = []
    for f in runs:
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
    blocks = (*gaps(runs), table("Reference molecular dynamics", columns, rows))
    return Section("reference", "Reference", blocks)
