"""What the documentation shows, works: every block of every page is run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from egno_md.cli import doctor
from tests.docs.blocks import PAGES, ROOT, RUN, SHOWN, Block, Reader, blocks

ALL = [block for page in PAGES for block in blocks(page)]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def chosen(page: str, *what: str) -> list[Block]:
    return [b for b in ALL if b.page == page and b.what in what and b.language in RUN]


FAST = [name for name in NAMES if chosen(name, "run")]
SLOW = [name for name in NAMES if chosen(name, "slow")]


def test_every_block_is_run_or_says_why_not() -> None:
    assert len(ALL) > 30
    for block in ALL:
        where = f"{block.page}:{block.line}"
        assert block.language in RUN + SHOWN, (
            f"{where}: ```{block.language} is neither run nor shown"
        )
        if block.what != "run":
            assert len(block.why.split()) >= 3, f"{where}: give a reason"
    run = [b for b in ALL if b.what == "run" and b.language in RUN]
    assert len(run) > 0.8 * len([b for b in ALL if b.language in RUN])


@pytest.mark.parametrize("page", FAST)
def test_the_blocks_of_a_page_run_in_order(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # tests/cli runs all of its checks; here it is only asked to speak
    quick = {name: doctor.CHECKS[name] for name in ("Python", "packages", "disk")}
    monkeypatch.setattr(doctor, "CHECKS", quick)
    reader = Reader(tmp_path)
    for block in chosen(page, "run"):
        reader.follow(block)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_a_page_runs_with_its_slow_blocks(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path)
    for block in chosen(page, "run", "slow"):
        reader.follow(block)


@pytest.mark.slow
def test_the_five_minute_start_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path, make_small=False)
    for block in chosen("docs/start.md", "run"):
        reader.follow(block)


def test_make_targets_that_pages_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = [line for b in ALL if b.language == "bash" for line in b.text.splitlines()]
    targets = {line.split()[1] for line in lines if line.startswith("make ")}
    assert targets
    for target in targets:
        assert f"\n{target}:" in makefile, target


def test_the_md17_tutorial_runs_on_the_published_file(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same blocks, with the published frames in place of our own."""
    published = shared_data / "md17" / "md17_ethanol_first2000.npz"
    if not published.is_file():
        pytest.skip(f"no {published.name} in the shared data")
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path)
    shutil.copyfile(published, tmp_path / "ethanol.npz")
    blocks_of_page = chosen("docs/tutorials/md17.md", "run")
    first = next(i for i, b in enumerate(blocks_of_page) if "load ethanol.npz" in b.text)
    for block in blocks_of_page[first:]:
        reader.follow(block)
    assert reader.names["frames"].spacing == pytest.approx(0.0005)
    assert 400 < reader.names["kelvin"].mean() < 600
