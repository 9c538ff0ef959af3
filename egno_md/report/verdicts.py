"""Comparisons with a reference: every verdict in one table, then the details."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import quoteattr

from egno_md.report.blocks import Block, Cell, Fold, Text, images, table
from egno_md.report.folders import Folder
from egno_md.report.numbers import NONE, interval, number, percent

TONES = {"indistinguishable": "same", "different": "differ", "not enough data": "unknown"}
Json = dict[str, Any]


def comparison_blocks(folder: Folder, place: int) -> list[Block]:
    """Blocks of one comparison."""
    content = folder.content["comparison"]
    rollouts = content.get("rollouts", [])
    blocks: list[Block] = [
        Text(
            "The plot shows the difference (rollout minus reference) with its 95% block-bootstrap "
            "interval around zero; the grey band is the noise floor, the same difference between "
            "two stretches of the reference. For distributions it shows the distance, and a tick "
            "where sampling alone puts 95 of 100."
        )
    ]
    for rollout in rollouts:
        blocks += [Text(f"{rollout['label']}: {n}", "note") for n in rollout.get("notes", [])]
    rows = [row for r in rollouts for row in _rows(r)]
    columns = (
        "observable", "verdict", "difference", "reference", "value", "rollout", "group",
    )  # fmt: skip
    if not any(i.get("group") for r in rollouts for i in judged(r)):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    blocks += [Text(f"{r['label']}: {_sizes(r)}.") for r in rollouts]
    blocks.append(
        table(
            "Verdicts, observable by observable", columns, rows, filters=(1, *range(5, len(columns))),
            anchor=f"verdicts-{place}",
        )
    )  # fmt: skip
    for rollout in rollouts:
        blocks += _details(rollout)
    figures = [(f["name"], f["title"], f["alt"]) for f in content.get("figures", [])]
    if figures:
        blocks.append(Text("Figures", "heading"))
        blocks += images(folder.path / "figures", figures)
    return blocks


def judged(rollout: Json) -> list[Json]:
    """All that has a verdict."""
    return [*rollout["observables"], *rollout["profiles"], *rollout["distributions"]]


def short_differences(rollout: Json, limit: int = 6) -> str:
    """Names of what differs, the negligible left out."""
    names = [
        i["name"] for i in judged(rollout)
        if i["verdict"] == "different" and not i.get("is_negligible")
    ]  # fmt: skip
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _sizes(rollout: Json) -> str:
    def one(s: Json) -> str:
        chains = "chain" if s["chains"] == 1 else "chains"
        return (
            f"{number(s['frames'])} frames in {number(s['chains'])} {chains}, "
            f"{number(s['picoseconds'])} ps"
        )

    return (
        f"{one(rollout['rollout_sampling'])}; of the reference {one(rollout['reference_sampling'])}"
    )


def _rows(rollout: Json) -> Iterator[tuple[str | Cell, ...]]:
    label = rollout["label"]
    for o in rollout["observables"]:
        low, high = o["interval"] or (None, None)
        yield (
            _name(o), _verdict(o, f"different by {_signed(o['difference'])} {o['unit']}".rstrip()),
            _difference(o["difference"], low, high, o["noise_floor"], o),
            _value(o["reference"]), _value(o["rollout"]), label, o.get("group", ""),
        )  # fmt: skip
    for p in rollout["profiles"]:
        k = _most_telling(p)
        many = len(p["labels"])
        count = p["verdicts"].count("different")
        label_of = f"{p['labels'][k]}: " if many > 1 else ""
        yield (
            _name(p), _verdict(p, f"different in {count} of {many}"),
            _difference(p["difference"][k], p["lower"][k], p["upper"][k], p["noise_floor"][k], p),
            _value(p["reference"][k], label_of), _value(p["rollout"][k], label_of), label,
            p.get("group", ""),
        )  # fmt: skip
    for d in rollout["distributions"]:
        yield (
            _name(d), _verdict(d, f"different by {number(d['distance'])}"), _distance(d), NONE,
            NONE, label, d.get("group", ""),
        )  # fmt: skip


def _name(item: Json) -> Cell:
    unit = f" ({item['unit']})" if item["unit"] else ""
    source = f" Source: {item['source']}." if item.get("source") else ""
    return Cell(item["name"] + unit, tip=item["definition"] + source)


def _value(value: float | None, before: str = "") -> Cell:
    return Cell(before + number(value, 4), sort=value)


def _signed(value: float | None) -> str:
    return ("+" if value is not None and value > 0 else "") + number(value)


def _most_telling(profile: Json) -> int:
    """The member farthest outside its interval, else with the largest difference."""

    def key(k: int) -> tuple[bool, float]:
        return profile["verdicts"][k] == "different", abs(profile["difference"][k] or 0.0)

    return max(range(len(profile["labels"])), key=key)


def _verdict(item: Json, different: str) -> Cell:
    verdict = item["verdict"]
    text = different if verdict == "different" else verdict
    tips = []
    if verdict == "different" and item.get("is_negligible"):
        text += ", negligible"
        tips.append("Below the size that would matter in practice.")
    if item.get("needed_ps"):
        reference, rollout = item["needed_ps"]
        tips.append(
            f"About {number(reference)} ps of reference and {number(rollout)} ps of rollout would "
            "settle it."
        )
    if item.get("p_value") is not None:
        tips.append(f"p = {number(item['p_value'])} for no difference.")
    tone = TONES.get(verdict, "")
    if item.get("is_negligible") and verdict == "different":
        tone = "unknown"
    return Cell(text, group=verdict, tone=tone, tip=" ".join(tips))


WIDTH, HEIGHT = 110, 16


def _difference(
    value: float | None, low: float | None, high: float | None, noise: float | None, item: Json
) -> Cell:
    bounds = None if low is None or high is None else (low, high)
    text = _signed(value)
    tip = f"{text} {item['unit']}, 95% interval {interval(bounds)}, noise floor {number(noise)}"
    if value is None:
        return Cell(NONE)
    size = max(abs(v) for v in (value, low or 0.0, high or 0.0, noise or 0.0)) or 1.0

    def at(x: float) -> float:
        return round(WIDTH / 2 + 0.46 * WIDTH * x / size, 1)

    band = abs(noise or 0.0)
    shapes = (
        f'<rect class="noise" x="{at(-band)}" y="3" width="{round(at(band) - at(-band), 1)}" '
        f'height="{HEIGHT - 6}"/><path class="zero" d="M{at(0)} 0V{HEIGHT}"/>'
    )
    if bounds:
        shapes += f'<path class="span" d="M{at(bounds[0])} {HEIGHT / 2}H{at(bounds[1])}"/>'
    shapes += f'<circle cx="{at(value)}" cy="{HEIGHT / 2}" r="3.4"/>'
    return Cell(text, sort=value, tip=tip, plot=_plot(shapes, item, tip))


def _distance(item: Json) -> Cell:
    value, expected = item["distance"], item["expected"]
    if value is None:
        return Cell(NONE)
    text = f"distance {number(value)}"
    tip = f"{item['measure']} {number(value)}; 95% by chance {number(expected)}, noise floor {number(item['noise_floor'])}"
    size = max(value, expected or 0.0, item["noise_floor"] or 0.0) or 1.0

    def at(x: float) -> float:
        return round(2 + 0.94 * WIDTH * x / size, 1)

    shapes = (
        f'<rect class="noise" x="2" y="3" width="{at(item["noise_floor"] or 0.0) - 2:.1f}" '
        f'height="{HEIGHT - 6}"/><path class="span" d="M2 {HEIGHT / 2}H{at(value)}"/>'
        f'<circle cx="{at(value)}" cy="{HEIGHT / 2}" r="3.4"/>'
    )
    if expected is not None:
        shapes += f'<path class="zero" d="M{at(expected)} 0V{HEIGHT}"/>'
    return Cell(text, sort=value, tip=tip, plot=_plot(shapes, item, tip))


def _plot(shapes: str, item: Json, tip: str) -> str:
    tone = TONES.get(item["verdict"], "")
    return (
        f'<svg class="mini {tone}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-label={quoteattr(tip)}>{shapes}</svg>'
    )


def _details(rollout: Json) -> Iterator[Block]:
    label = rollout["label"]
    inner: list[Block] = [_members(p, label) for p in rollout["profiles"]]
    if rollout.get("exact"):
        inner.append(_exact(rollout))
    if inner:
        yield Fold(f"{label}: bond by bond, atom by atom, and exact laws", tuple(inner), False)
    if rollout.get("stability"):
        yield _stability(rollout)
    if rollout.get("efficiency"):
        yield _efficiency(rollout)
    if rollout.get("unavailable"):
        rows = [(u["name"], u["reason"]) for u in rollout["unavailable"]]
        caption = f"Not applicable or not available for {label}"
        yield Fold(f"{caption} ({len(rows)})", (table(caption, ("observable", "reason"), rows),))
    definitions = {i["name"]: (i["definition"], i.get("source", "")) for i in judged(rollout)}
    rows = [(name, *texts) for name, texts in definitions.items()]
    caption = f"How each is computed ({label})"
    columns = ("observable", "definition", "source")
    yield Fold(caption, (table(caption, columns, rows),), False)


def _members(p: Json, label: str) -> Block:
    rows = []
    for k, name in enumerate(p["labels"]):
        bounds = None if p["lower"][k] is None else (p["lower"][k], p["upper"][k])
        rows.append(
            (
                name, number(p["reference"][k], 4), number(p["rollout"][k], 4),
                _signed(p["difference"][k]), interval(bounds), number(p["noise_floor"][k]),
                Cell(p["verdicts"][k], tone=TONES.get(p["verdicts"][k], "")),
            )
        )  # fmt: skip
    columns = ("", "reference", "rollout", "difference", "95% interval", "noise floor", "verdict")
    unit = f", {p['unit']}" if p["unit"] else ""
    return table(
        f"{p['name']}{unit} ({label})",
        columns,
        rows,
        anchor=re.sub(r"\W+", "-", f"profile-{label}-{p['name']}"),
    )


def _exact(rollout: Json) -> Block:
    rows = []
    for e in rollout["exact"]:
        exact = number(e["exact"], 4)
        if e.get("rollout_exact") is not None:
            exact += f"; of the rollout {number(e['rollout_exact'], 4)}"
        row: list[str | Cell] = [f"{e['name']} ({e['unit']})", exact]
        for side in ("reference", "rollout"):
            verdict = e[f"{side}_verdict"]
            value = f"{number(e[side], 4)} {interval(e[f'{side}_interval'], 4)}"
            row += [value, Cell(verdict, tone=TONES.get(verdict, ""))]
        rows.append(row)
    columns = ("", "exact", "reference", "verdict", "rollout", "verdict")
    return table(f"Each side against exact laws ({rollout['label']})", columns, rows)


def _stability(rollout: Json) -> Block:
    s = rollout["stability"]
    rows = [
        (
            side, number(len(s[f"{side}_ps"])), number(sum(s[f"{side}_broken"])),
            number(min(s[f"{side}_ps"], default=None)),
        )
        for side in ("reference", "rollout")
    ]  # fmt: skip
    caption = (
        f"Stability of {rollout['label']}: a chain is broken where a bond is off by more than "
        f"{number(s['limit'])} nm"
    )
    return table(caption, ("", "chains", "broken", "shortest, ps"), rows)


def _efficiency(rollout: Json) -> Block:
    e = rollout["efficiency"]
    rows = [
        (side, number(e[f"{side}_samples"]), number(e[f"{side}_seconds"]), number(e[side]))
        for side in ("reference", "rollout")
    ]
    rows.append(("rollout over reference", "", "", percent(e["ratio"])))
    caption = f"Sampling efficiency of {rollout['label']}, by its slowest: {e['slowest']}"
    columns = ("", "independent samples", "wall seconds", f"samples, {e['unit']}")
    return table(caption, columns, rows)
