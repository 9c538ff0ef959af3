"""A sampler from MD to a comparison, tiny, as a user would run it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from egno_md.data.store import Store
from egno_md.nn.sampler_card import STATEMENT
from egno_md.propagate import rollout
from egno_md.propagate.step import WindowMove
from tests.cli.test_verbs import egno


def settings(**keys: object) -> list[str]:
    return [x for k, v in keys.items() for x in ("--set", f"{k.replace('__', '.')}={v}")]


TRAIN = settings(
    window__length="'80 fs'", window__points=2, network__layers=1, network__hidden=8,
    network__vectors=3, network__noise="'0.002 nm'", optimisation__max_time="null",
    optimisation__max_steps=4, optimisation__validate_every=2, optimisation__batch_size=4,
    split__validation=0.2, split__test=0.2,
)  # fmt: skip
DRAW = settings(
    source__steps=2, refine__dynamics="'20 fs'", record__reference_steps=20,
    judge__tolerances__bond="'0.08 nm'",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and a sampler, once for all tests."""
    root = tmp_path_factory.mktemp("sampler")
    generate = settings(
        equilibration="'200 fs'", sampling__length="'2 ps'", sampling__frame_spacing="'20 fs'"
    )
    egno("generate", "ala2/hmr", "--protocol", "nvt-300k-4fs", *generate, "--out", root / "data",
         "--quiet")  # fmt: skip
    egno("train", root / "data", "--protocol", "sampler-40ps", *TRAIN, "--out",
         root / "operator", "--quiet")  # fmt: skip
    return root


def draw(runs: Path, out: Path, *options: object, code: int = 0):
    return egno(
        "propagate", "ala2/hmr", "--operator", runs / "operator" / "bundle", "--start",
        runs / "data", "--replicas", 2, *DRAW, *options, "--out", out, "--quiet", code=code,
    )  # fmt: skip


def test_training_says_what_it_made(runs: Path) -> None:
    summary = json.loads((runs / "operator" / "summary.json").read_text())
    assert summary["mode"] == "sampler"
    assert 0 < summary["validation"]["flow_loss"] < 2
    assert (runs / "operator" / "loss.png").is_file()
    shown = egno("card", runs / "operator" / "bundle").output
    assert "10 heavy atoms" in shown
    assert "not kinetics" in shown


def test_a_rollout_is_refined_told_as_a_sampler_and_compared(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "rollout"
    result = draw(runs, out, "--windows", 4, "--refine", "every=2")
    assert STATEMENT in result.output
    summary = json.loads((out / "summary.json").read_text())
    assert summary["mode"] == "sampler"
    assert summary["corrected"] is False
    assert summary["events"]["refine"] == 4
    assert summary["events"]["accept"] == 4
    assert summary["seconds"]["network"] > 0 < summary["seconds"]["lift"]
    assert summary["seconds"]["refinement"] > 0
    assert summary["windows"] == 8
    chains = list(Store(out))
    assert [len(c) for c in chains] == [4, 4]
    assert np.allclose(chains[0].times[-1], 4 * 0.08)
    compared = egno("compare", runs / "data", out, "--out", tmp_path / "comparison", "--quiet")
    assert "sampler" in compared.output
    page = egno("report", runs / "operator", out, tmp_path / "comparison", "--out",
                tmp_path / "report", "--quiet")  # fmt: skip
    assert "report.html" in page.output
    assert "not kinetics" in (tmp_path / "report" / "report.html").read_text()


def test_an_interrupted_rollout_resumes_to_the_bit(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "DRAWS_PER_FLUSH", 2)
    draw(runs, tmp_path / "whole", "--windows", 4)
    step = WindowMove.step

    def killed(self, states):
        if states[0].window == 3:
            raise KeyboardInterrupt
        return step(self, states)

    with monkeypatch.context() as patch:
        patch.setattr(WindowMove, "step", killed)
        draw(runs, tmp_path / "broken", "--windows", 4, code=130)
    draw(runs, tmp_path / "broken", "--windows", 4, "--resume")
    for whole, mended in zip(Store(tmp_path / "whole"), Store(tmp_path / "broken"), strict=True):
        assert np.array_equal(whole.positions, mended.positions)
        assert np.array_equal(whole.velocities, mended.velocities)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--refine", "often", "--windows", 1], "write every=N"),
        (["--windows", 1, "--length", "80 fs"], "exclude each other"),
        (["--windows", 1, "--set", "temperature='310 K'"], "learned the distribution at 300 K"),
        (["--windows", 1, "--set", "boundary={kind: none}"], "Set kind: langevin"),
        (["--length", "100 fs"], "is not a whole number of"),
    ],
)
def test_what_a_sampler_cannot_do_is_said_with_a_remedy(
    runs: Path, tmp_path: Path, options: list, words: str
) -> None:
    assert words in draw(runs, tmp_path / "out", *options, code=2).stderr


def test_free_bonds_and_long_steps_are_refused(runs: Path, tmp_path: Path) -> None:
    result = egno(
        "propagate", "ala2", "--operator", runs / "operator" / "bundle", "--windows", 1, "--out",
        tmp_path / "out", code=2,
    )  # fmt: skip
    assert "too long for ala2" in result.stderr


def test_other_verbs_refuse_a_sampler_and_samplers_refuse_other_data(
    runs: Path, tmp_path: Path
) -> None:
    bundle = runs / "operator" / "bundle"
    refused = egno("evaluate", bundle, runs / "data", "--out", tmp_path / "e", code=2)
    assert "holds a sampler of ala2" in refused.stderr
    draw(runs, tmp_path / "drawn", "--windows", 2)
    again = egno("train", tmp_path / "drawn", "--protocol", "sampler-40ps", *TRAIN, "--out",
                 tmp_path / "again", code=2)  # fmt: skip
    assert "was drawn by a sampler" in again.stderr
