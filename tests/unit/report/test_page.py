from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from egno_md.core.errors import DataError
from egno_md.report.numbers import interval, number, percent, seconds
from egno_md.report.page import render_page

from .conftest import write_run

VOID = {"meta", "img", "br", "link", "hr"}


class Outline(HTMLParser):
    """Collects what the claims below are about, and that tags close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.links: list[str] = []
        self.alts: list[str] = []
        self.ids: set[str] = set()
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.alts.append(values.get("alt") or "")
        self.links += [values[k] for k in ("href", "src") if k in values]
        self.ids |= {values["id"]} if "id" in values else set()

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def test_a_page_with_every_piece_is_self_contained(folders):
    html = render_page(list(folders.values()))
    page = Outline(html)
    assert page.open == []
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "url(" not in html
    assert "@import" not in html


def test_every_picture_has_a_text_and_headings_follow_in_order(folders):
    page = Outline(render_page(list(folders.values())))
    assert len(page.alts) == 4
    assert all(page.alts)
    assert page.headings[:2] == [1, 2]
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids


def test_verdicts_come_first(folders):
    html = render_page(list(folders.values()))
    body = html[html.index("<main>") :]
    assert body.index("1 different (Temperature)") < body.index("Rollouts side by side")
    assert "6.00 times the speed" in body
    assert "no forces in the rollout." in body
    assert "egno-md train &#39;my data&#39;" in body


def test_text_from_disk_is_escaped(folders):
    html = render_page([folders["comparison"]])
    assert "&lt;too&gt;" in html
    assert "<too>" not in html


@pytest.mark.parametrize(
    "name", ["reference", "operator", "evaluation", "checked", "unchecked", "comparison"]
)
def test_a_page_renders_without_any_one_folder_and_with_only_it(folders, name):
    rest = [path for other, path in folders.items() if other != name]
    for paths in (rest, [folders[name]]):
        assert Outline(render_page(paths)).open == []


@pytest.mark.parametrize(
    "file",
    [
        "reference/manifest.json", "operator/summary.json", "operator/metrics.csv",
        "operator/loss.png", "operator/bundle/card.json", "evaluation/evaluation.json",
        "checked/summary.json", "checked/events.jsonl", "comparison/comparison.json",
        "comparison/figures/distances.png",
    ],
)  # fmt: skip
def test_a_missing_file_is_a_sentence(folders, tmp_path, file):
    (tmp_path / file).unlink()
    folder = file.split("/")[0]
    html = render_page([folders[folder]])
    assert "missing" in html


def test_a_damaged_file_and_an_unfinished_run_are_sentences(folders):
    (folders["checked"] / "summary.json").write_text("{")
    write_run(folders["checked"], "propagate", status="running")
    html = render_page([folders["checked"]])
    assert "summary.json (damaged) missing" in html
    assert "this run has not ended" in html


def test_a_foreign_folder_is_refused(tmp_path, folders):
    with pytest.raises(DataError, match=r"no readable run\.json"):
        render_page([tmp_path])
    write_run(tmp_path / "other", "load")
    with pytest.raises(DataError, match="written by 'egno-md load'"):
        render_page([tmp_path / "other"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (300.04, "300"), (0.01234, "0.0123"), (-1.5, "−1.50"), (1234567, "1\u202f234\u202f567"),
        (1.5e-6, "1.50·10⁻⁶"), (0.0, "0"), (0.99996, "1.000"), ("text", "text"),
    ],
)  # fmt: skip
def test_numbers_read_well(value, text):
    assert number(value) == text


def test_intervals_shares_and_durations_read_well():
    assert interval([1.0, 2.0]) == "[1.00, 2.00]"
    assert interval(None) == "–"
    assert percent(0.123) == "12.3\u202f%"
    assert [seconds(s) for s in (0.02, 3, 300, 9000, None)] == [
        "20 ms", "3.0 s", "5.0 min", "2.5 h", "–",
    ]  # fmt: skip
