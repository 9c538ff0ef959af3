"""The report as a reader opens it, in a browser without a network."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.test_verbs import egno

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu"]
CLOCK = "document.querySelector('[data-do=clock]').value"
SCREENS = [("light", 1400), ("dark", 1400), ("light", 400), ("dark", 400)]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a short reference and a short rollout by the shipped operator."""
    root = tmp_path_factory.mktemp("browser")
    settings = ("--set", "equilibration='20 fs'", "--quiet")
    egno("generate", "ethanol", "--protocol", "nvt-500k", "--set", "sampling.length='160 fs'",
         "--out", root / "reference", *settings)  # fmt: skip
    egno("propagate", "ethanol", "--length", "80 fs", "--replicas", 2, "--out", root / "rollout",
         "--set", "record.reference_steps=10", *settings)  # fmt: skip
    egno("compare", root / "reference", root / "rollout", "--out", root / "comparison", "--quiet")
    folders = [root / name for name in ("reference", "rollout", "comparison")]
    egno("report", *folders, "--out", root / "report", "--quiet")
    return root / "report" / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    program = next((p for n in NAMES if (p := shutil.which(n))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    with playwright.sync_playwright() as driver:
        # the display of a person at work is left alone
        environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
        opened = driver.chromium.launch(executable_path=program, args=FLAGS, env=environment)
        yield opened
        opened.close()


class Reader:
    """An open page, what it said, and what it asked the network for."""

    def __init__(self, browser: playwright.Browser, file: Path, scheme: str, width: int) -> None:
        self.page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=False
        )
        self.page.set_default_timeout(10_000)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda m: self.said.append(m.text))
        self.page.on("pageerror", lambda e: self.said.append(str(e)))
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.goto(file.as_uri())
        self.file = file
        self.until("document.querySelector('canvas').width != 300")  # its size before it is drawn

    def until(self, claim: str) -> None:
        """Wait for a claim; playwright's own waiting needs eval, which the page forbids."""
        for _ in range(400):
            if self.page.evaluate(claim):
                return
            self.page.wait_for_timeout(25)
        raise AssertionError(f"never: {claim}")

    def canvas(self, index: int) -> np.ndarray:
        """Pixels of one pane, ``(height, width, 3)``."""
        shot = self.page.locator("canvas").nth(index).screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)

    def clock(self) -> float:
        """Simulated time that the viewer shows, ps."""
        return float(self.page.locator("[data-do=clock]").inner_text().split()[0])


@pytest.fixture
def read(browser: playwright.Browser, report: Path) -> Iterator:
    readers: list[Reader] = []

    def opened(scheme: str = "light", width: int = 1400) -> Reader:
        readers.append(Reader(browser, report, scheme, width))
        return readers[-1]

    yield opened
    for reader in readers:
        reader.page.close()
        assert reader.said == []
        assert {u for u in reader.asked if not u.startswith("data:")} == {reader.file.as_uri()}


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_the_page_fits_and_its_figures_and_molecules_show(read, scheme, width):
    reader = read(scheme, width)
    wide, drawings = reader.page.evaluate(
        """[document.documentElement.scrollWidth,
            [...document.querySelectorAll('figure svg')].map(s => s.getBoundingClientRect().height)]"""
    )
    assert wide <= width
    assert len(drawings) >= 5
    assert min(drawings) > 80
    corner = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (corner == "rgb(255, 255, 255)") == (scheme == "light")
    for pane in (0, 1):
        pixels = reader.canvas(pane)
        differs = np.abs(pixels - pixels[8, 8]).max(axis=2) > 24
        assert 0.03 < differs.mean() < 0.6
        assert pixels[differs].std() > 20  # shaded atoms, not one flat patch


def test_text_in_figures_follows_the_colour_scheme(read):
    colours = []
    for scheme in ("light", "dark"):
        page = read(scheme).page
        colours.append(page.evaluate("getComputedStyle(document.querySelector('figure svg')).fill"))
    assert colours[0] != colours[1]


def test_playing_moves_both_sides_and_pausing_stops_them(read):
    reader = read()
    before = [reader.canvas(k) for k in (0, 1)]
    reader.page.locator("[data-do=speed]").select_option("0.25")
    reader.page.get_by_role("button", name="Play").click()
    reader.until(f"parseFloat({CLOCK}) > 0.015")
    reader.page.get_by_role("button", name="Pause").click()
    after = [reader.canvas(k) for k in (0, 1)]
    assert all(np.abs(b - a).max() > 30 for a, b in zip(before, after, strict=True))
    held = reader.clock()
    reader.page.wait_for_timeout(150)
    assert reader.clock() == held


def test_the_keyboard_steps_plays_turns_and_zooms(read):
    reader = read()
    reader.page.locator("#viewer").focus()
    keys = reader.page.keyboard
    keys.press("ArrowRight")
    reader.until(f"{CLOCK}.startsWith('0.008')")
    keys.press("Home")
    reader.until(f"{CLOCK}.startsWith('0.000')")
    views = [reader.canvas(0)]
    for key in ("Shift+ArrowUp", "+", "r"):
        keys.press(key)
        reader.page.wait_for_timeout(150)
        views.append(reader.canvas(0))
    assert np.abs(views[1] - views[0]).max() > 30
    assert np.abs(views[2] - views[1]).max() > 30
    assert np.abs(views[3] - views[0]).max() < 8
    keys.press("Space")
    assert reader.page.get_by_role("button", name="Pause").is_visible()


def test_dragging_turns_both_sides(read):
    reader = read()
    before = [reader.canvas(k) for k in (0, 1)]
    box = reader.page.locator("canvas").first.bounding_box()
    mouse = reader.page.mouse
    mouse.move(box["x"] + 100, box["y"] + 100)
    mouse.down()
    mouse.move(box["x"] + 200, box["y"] + 150, steps=4)
    mouse.up()
    reader.page.wait_for_timeout(80)
    assert all(np.abs(reader.canvas(k) - before[k]).max() > 30 for k in (0, 1))


def test_the_verdict_table_sorts_and_filters(read):
    page = read().page
    table = page.locator("#verdicts-0")
    names = table.locator("tbody th")
    table.get_by_role("button", name="observable").click()
    rising = names.all_inner_texts()
    assert rising[0] < rising[-1]
    assert table.locator("th[aria-sort=ascending]").inner_text() == "observable"
    table.get_by_role("button", name="observable").click()
    assert names.all_inner_texts() == rising[::-1]
    table.get_by_role("button", name="difference").click()
    found = table.locator("tbody td[data-sort]:nth-child(3)").evaluate_all(
        "cells => cells.map(c => Number(c.dataset.sort))"
    )
    assert found == sorted(found)
    page.get_by_label("Search").first.fill("Temperature")
    visible = table.locator("tbody tr:not([hidden]) th").all_inner_texts()
    assert visible
    assert all("Temperature" in t for t in visible)
    assert (
        f"{len(visible)} of {len(rising)} rows"
        in page.locator("form.filter output").all_inner_texts()
    )


def test_hovering_tells_the_values_of_a_figure(read):
    page = read().page
    bar = page.locator("[data-tip*='rollout, network']").first
    bar.scroll_into_view_if_needed()
    page.wait_for_timeout(200)  # scrolling takes a value away
    bar.hover()
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert "network" in tip.inner_text()


def test_paper_gets_no_controls(read):
    page = read("dark").page
    page.emulate_media(media="print")
    assert not page.locator(".controls").is_visible()
    assert page.locator("figure svg").first.is_visible()
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == "rgb(255, 255, 255)"
