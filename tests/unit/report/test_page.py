from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from egno_md.core.errors import DataError
from egno_md.report.account import accounts
from egno_md.report.folders import read_folders
from egno_md.report.movies import make_movie, select_atoms, thin
from egno_md.report.numbers import interval, number, percent, seconds
from egno_md.report.page import render_page

from .conftest import comparison, write, write_run

VOID = {"meta", "img", "br", "link", "hr", "input"}


def html_of(paths, **rest) -> str:
    return render_page(paths, **rest).html


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
        if values.get("role") == "img":
            self.alts.append(values.get("aria-label") or "")
        self.links += [values[k] for k in ("href", "src") if k in values]
        self.ids |= {values["id"]} if "id" in values else set()

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def test_a_page_with_every_piece_is_self_contained(folders):
    html = html_of(list(folders.values()))
    page = Outline(html)
    assert page.open == []
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert "link" not in page.tags
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_every_picture_has_a_text_and_headings_follow_in_order(folders):
    page = Outline(html_of(list(folders.values())))
    # timeline, speed, errors, loss, distances, and an interval per observable
    assert len(page.alts) == 5 + 3
    assert all(page.alts)
    assert page.headings[:2] == [1, 2]
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids


def test_every_input_has_a_label_and_every_table_a_caption(folders):
    html = html_of(list(folders.values()))
    assert html.count("<table") == html.count("<caption>")
    fields = re.findall(r"<(?:select|input)[ >]", html)
    assert fields
    assert len(re.findall(r"<label>[^<]+<(?:select|input)[ >]", html)) == len(fields)


def test_verdicts_come_first(folders):
    html = html_of(list(folders.values()))
    body = html[html.index("<main>") :]
    assert body.index("Different from the reference: Temperature.") < body.index(
        "Rollouts side by side"
    )
    assert "6.00×" in body
    assert "different by +100 K" in body
    assert "no forces in the rollout." in body
    assert "egno-md train &#39;my data&#39;" in body


def test_the_speed_account_adds_up(folders):
    account = accounts(read_folders([folders["checked"]]))[0]
    assert sum(account.parts.values()) == pytest.approx(account.total)
    assert account.parts["other"] == pytest.approx(0.08)
    assert account.reference / account.total == pytest.approx(0.032 / 5 * 86.4 / 1.6)


def test_what_a_later_comparison_adds_is_shown(folders):
    content = comparison()
    rollout = content["rollouts"][0]
    rollout["observables"][0] |= {
        "group": "thermodynamics", "source": "Merz 2018", "p_value": 0.01,
        "is_negligible": True, "needed_ps": [10.0, 20.0],
    }  # fmt: skip
    rollout["exact"] = [
        {
            "name": "Width", "unit": "K", "exact": 1.0, "reference": 1.0,
            "reference_interval": None, "reference_verdict": "not enough data", "rollout": 1.0,
            "rollout_interval": [0.5, 1.5], "rollout_verdict": "indistinguishable",
            "definition": "x", "source": "y", "rollout_exact": 1.25,
        }
    ]  # fmt: skip
    rollout["stability"] = {
        "limit": 0.05, "reference_ps": [1.0], "reference_broken": [False], "rollout_ps": [0.5],
        "rollout_broken": [True],
    }  # fmt: skip
    rollout["efficiency"] = {
        "slowest": "Torsion", "unit": "1/s", "reference": 0.1, "rollout": 0.2, "ratio": 2.0,
        "reference_seconds": 1.0, "rollout_seconds": 1.0, "reference_samples": 3.0,
        "rollout_samples": 4.0, "definition": "x",
    }  # fmt: skip
    write(folders["comparison"] / "comparison.json", content)
    html = html_of([folders["comparison"]])
    for words in (
        "different by +100 K, negligible", "About 10.0 ps of reference", "Merz 2018",
        "thermodynamics", "against exact laws", "[0.5000, 1.500]", "of the rollout 1.250",
        "Stability of checked", "Sampling efficiency of checked", "200.0\u202f%",
    ):  # fmt: skip
        assert words in html


def test_a_script_in_a_figure_or_a_name_does_not_reach_the_page(folders):
    figures = folders["comparison"] / "figures"
    (figures / "distances.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="90pt" onload="a()"><script>bad()</script>'
        '<g id="tip_0" style="fill: url(http://x)"><path d="M0 0" style="fill: #000000" '
        'clip-path="url(#c)"/></g><image href="http://x/y.png"/></svg>'
    )
    html = html_of([folders["comparison"]])
    for word in ("bad()", "onload", "http://x"):
        assert word not in html
    assert re.search(r'clip-path="url\(#f\d+-c\)"', html)
    assert "fill: currentColor" in html


def test_movies_travel_as_whole_picometres(ethanol, folders):
    selection = select_atoms(ethanol)
    frames = np.stack([ethanol.positions, ethanol.positions[:, [1, 2, 0]] + 3.0])
    movie = make_movie("a </script>", np.array([1.0, 1.5]), frames, selection)
    sent = movie.to_json()
    back = np.frombuffer(base64.b64decode(sent["positions"]), "<i2").reshape(frames.shape) / 1e3
    bond = np.linalg.norm(back[:, 0] - back[:, 1], axis=1)
    assert bond == pytest.approx(np.linalg.norm(frames[:, 0] - frames[:, 1], axis=1), abs=2e-3)
    assert np.abs(back[0] - back[1]).max() < 2e-3  # superposed
    assert sent["times"] == [0.0, 0.5]
    html = html_of([folders["checked"]], movies=[movie])
    assert "a </script>" not in html
    assert "u003c/script" in html


def test_a_long_trajectory_is_thinned_evenly_across_files():
    chosen = thin([150, 250, 100])
    frames = np.concatenate([c + s for c, s in zip(chosen, (0, 150, 400), strict=True)])
    assert np.array_equal(frames, np.arange(0, 500, 3))


def test_text_from_disk_is_escaped(folders):
    html = html_of([folders["comparison"]])
    assert "&lt;too&gt;" in html
    assert "<too>" not in html


@pytest.mark.parametrize(
    "name", ["reference", "operator", "evaluation", "checked", "unchecked", "comparison"]
)
def test_a_page_renders_without_any_one_folder_and_with_only_it(folders, name):
    rest = [path for other, path in folders.items() if other != name]
    for paths in (rest, [folders[name]]):
        assert Outline(html_of(paths)).open == []


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
    html = html_of([folders[folder]])
    assert "missing" in html


def test_a_damaged_file_and_an_unfinished_run_are_sentences(folders):
    (folders["checked"] / "summary.json").write_text("{")
    write_run(folders["checked"], "propagate", status="running")
    html = html_of([folders["checked"]])
    assert "summary.json (damaged) missing" in html
    assert "this run has not ended" in html


def test_a_foreign_folder_is_refused(tmp_path, folders):
    with pytest.raises(DataError, match=r"no readable run\.json"):
        html_of([tmp_path])
    write_run(tmp_path / "other", "load")
    with pytest.raises(DataError, match="written by 'egno-md load'"):
        html_of([tmp_path / "other"])


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


def test_folders_with_the_same_parent_and_name_have_different_labels(tmp_path: Path) -> None:
    paths = [tmp_path / place / "run" / "rollout" for place in "ab"]
    for path in paths:
        path.mkdir(parents=True)
        (path / "run.json").write_text('{"verb": "propagate", "status": "complete"}')
    assert [f.label for f in read_folders(paths)] == ["run/rollout (1)", "run/rollout (2)"]
