"""A sampler corrected by Metropolis moves, tiny, as a user would run it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from egno_md.data.store import Store
from egno_md.nn.bundle import save_bundle
from egno_md.nn.sampler_card import CORRECTED, STATEMENT
from egno_md.propagate import rollout
from egno_md.propagate.metropolis_move import MetropolisMove
from tests.cli.test_sampler import settings
from tests.cli.test_verbs import egno
from tests.conftest import make_operator, make_sampler

MOVE = settings(
    source__steps=2, source__draws=2, source__dynamics="'20 fs'", record__reference_steps=20,
    equilibration="'40 fs'",
)  # fmt: skip


def saved(operator, folder: Path) -> Path:
    save_bundle(folder / "bundle", operator)
    return folder / "bundle"


@pytest.fixture(scope="module")
def bundle(ala2, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sampler that has learned nothing: the correction does not ask."""
    return saved(make_sampler(ala2), tmp_path_factory.mktemp("operator"))


def move(bundle: Path, out: Path, *options: object, system: str = "ala2/hmr", code: int = 0):
    return egno(
        "propagate", system, "--operator", bundle, "--protocol", "sampler-exact-300k",
        *MOVE, *options, "--out", out, "--quiet", code=code,
    )  # fmt: skip


def test_a_corrected_rollout_says_so_everywhere(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "rollout"
    result = move(bundle, out, "--windows", 6, "--replicas", 3)
    assert CORRECTED in result.output
    assert STATEMENT not in result.output
    assert "Acceptance" in result.output
    summary = json.loads((out / "summary.json").read_text())
    assert summary["corrected"] == "metropolis"
    assert summary["statement"] == CORRECTED
    assert summary["mode"] == "sampler"
    assert summary["correction"]["draws"] == 2
    events = summary["events"]
    assert events["accept"] + events["stay"] == 18 == summary["windows"]
    assert summary["acceptance"] == pytest.approx(events["accept"] / 18, abs=1e-4)
    assert summary["window_ps"] == 0.02
    assert "speed_up" not in summary
    assert summary["seconds"]["network"] > 0 < summary["seconds"]["dynamics"]
    store = Store(out)
    assert store.manifest.provenance["statement"] == CORRECTED
    chains = list(store)
    assert [len(c) for c in chains] == [6, 6, 6]
    assert np.allclose(np.diff(chains[0].times), 0.02)
    compared = egno("compare", out, out, "--out", tmp_path / "comparison", "--quiet")
    assert "sampler" in compared.output
    assert "model's" not in compared.output
    egno("report", out, tmp_path / "comparison", "--out", tmp_path / "report", "--quiet")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "distribution is the force field&#39;s" in page or CORRECTED in page
    assert "acceptance of moves" in page
    assert "Windows not simply accepted" not in page


def test_a_broken_off_rollout_resumes_to_the_bit(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "DRAWS_PER_FLUSH", 2)
    given = ("--windows", 5, "--replicas", 2)
    move(bundle, tmp_path / "whole", *given)
    step = MetropolisMove.step

    def killed(self, states):
        if states[0].window == 3:
            raise KeyboardInterrupt
        return step(self, states)

    with monkeypatch.context() as patch:
        patch.setattr(MetropolisMove, "step", killed)
        move(bundle, tmp_path / "broken", *given, code=130)
    move(bundle, tmp_path / "broken", *given, "--resume")
    for whole, mended in zip(Store(tmp_path / "whole"), Store(tmp_path / "broken"), strict=True):
        for a, b in zip(whole.arrays(), mended.arrays(), strict=True):
            assert (a is None and b is None) or np.array_equal(a, b)
    counts = [
        json.loads((tmp_path / n / "summary.json").read_text())["events"]
        for n in ("whole", "broken")
    ]
    assert counts[0] == counts[1]


def test_batches_share_one_summary(bundle: Path, tmp_path: Path) -> None:
    move(bundle, tmp_path / "out", "--windows", 3, "--replicas", 3, "--batch", 2)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["corrected"] == "metropolis"
    assert summary["windows"] == 9
    assert summary["simulated_ps"] == pytest.approx(0.18)
    assert "speed_up" not in summary


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--policy", "fallback"], "Set judge.kind: none and no correct (--policy off)."),
        (["--refine", "every=1"], "Leave out refine (--refine never)"),
        (["--set", "record.save=points"], "Set save: windows"),
        (["--set", "source.dynamics='10 fs'"], "Use 8 fs or 12 fs"),
        (["--set", "source.kind=weights"], "source.kind"),
        (["--set", "source.uniform=1.5"], "source.uniform"),
        (["--set", "source.draw=3"], "draws"),
        (["--set", "temperature='310 K'"], "learned the distribution at 300 K"),
        (["--length", "30 fs"], "is not a whole number of 20 fs windows"),
    ],
)
def test_what_would_not_be_exact_is_refused_with_a_remedy(
    bundle: Path, tmp_path: Path, options: list, words: str
) -> None:
    given = options if "--length" in options else [*options, "--windows", 2]
    said = move(bundle, tmp_path / "out", *given, code=2).stderr
    assert words in said
    assert len(said.strip().splitlines()) == 1


def test_molecules_in_which_nothing_turns_are_refused(ethanol, tmp_path: Path) -> None:
    bundle = saved(make_sampler(ethanol), tmp_path)
    said = move(
        bundle, tmp_path / "out", "--windows", 1, "--set", "timestep='0.5 fs'", system="ethanol",
        code=2,
    ).stderr  # fmt: skip
    assert "no rotatable bond among the atoms" in said


def test_deterministic_operators_have_nothing_to_weigh(ethanol, tmp_path: Path) -> None:
    bundle = saved(make_operator(ethanol), tmp_path)
    said = egno(
        "propagate", "ethanol", "--operator", bundle, "--protocol", "nvt-500k", "--windows", 1,
        "--set", "source={kind: metropolis}", "--policy", "off", "--out", tmp_path / "out", code=2,
    ).stderr  # fmt: skip
    assert "is deterministic" in said
