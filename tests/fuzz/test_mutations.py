"""Valid files with bytes changed, cut or doubled: a result or one line, never a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from egno_md.core.system import System
from egno_md.data.store import Store
from tests.cli.test_verbs import egno
from tests.fuzz.harness import check, run
from tests.fuzz.seeds import SEEDS, TINY, plant

QUICK, ALL = 16, 208
WORDS = (b"NaN", b"-1", b"1e309", b"null", b"[]", b"{}", b"../..", b"\x00", b"99999999999999999999")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory, harmonic_store: Store, ethanol: System) -> Path:
    root = plant(tmp_path_factory.mktemp("seeds") / "here", harmonic_store, ethanol)
    egno("load", root / "md17.npz", "--velocities", "none", "--out", root / "run")
    egno("train", root / "store", *TINY, "--out", root / "train-run", "--quiet")
    return root


def mutate(content: bytes, random: np.random.Generator) -> bytes:
    """One to four changes: bytes flipped, parts cut, doubled, or replaced by nasty words."""
    data = bytearray(content)
    for _ in range(random.integers(1, 5)):
        if not data:
            return b""
        where = int(random.integers(len(data)))
        length = int(random.integers(1, max(len(data) // 4, 2)))
        match random.integers(6):
            case 0:
                data[where] ^= 1 << int(random.integers(8))
            case 1:
                data[where : where + 8] = random.bytes(8)
            case 2:
                del data[where:]
            case 3:
                del data[where : where + length]
            case 4:
                data[where:where] = data[where : where + length]
            case _:
                data[where : where + 4] = WORDS[int(random.integers(len(WORDS)))]
    return bytes(data)


def _survives(number: int, seeds: Path, tmp_path: Path) -> None:
    random = np.random.default_rng([7, number])
    seed = SEEDS[number % len(SEEDS)]
    here = tmp_path / "here"
    shutil.copytree(seeds, here)
    path = here / seed.file
    path.write_bytes(mutate(path.read_bytes(), random))
    work = tmp_path / "work"
    work.mkdir()
    owns = here / "run" if "--resume" in seed.command else None
    if owns is not None:
        # the folder is the run's own: it may write there
        outcome = run(seed.words(here, owns), work)
        assert not outcome.problem, f"{seed.file} {number}: {outcome.problem}"
        return
    check(f"{seed.file} {number}", lambda out: seed.words(here, out), work)


@pytest.mark.parametrize("number", range(QUICK))
def test_a_mutated_file_ends_in_a_result_or_one_line(
    number: int, seeds: Path, tmp_path: Path
) -> None:
    _survives(number, seeds, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(QUICK, ALL))
def test_many_mutated_files_end_in_a_result_or_one_line(
    number: int, seeds: Path, tmp_path: Path
) -> None:
    _survives(number, seeds, tmp_path)
