"""MD as the source of windows, and protocols of earlier versions, as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from egno_md.data.store import Store
from egno_md.spec.propagate_former import RENAMED
from tests.cli.test_errors import fails
from tests.cli.test_verbs import egno

PROTOCOL = """\
length: 160 fs
temperature: 300 K
timestep: 0.5 fs
source: {kind: exact, window: 8 fs, points: 4}
boundary: {kind: langevin, friction: 5 /ps}
equilibration: 20 fs
replicas: 2
record: {save: points, reference_steps: 10}
"""
QUICK = [
    "--length", "32 fs", "--set", "equilibration='10 fs'", "--set", "record.reference_steps=10",
]  # fmt: skip


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rollout that needs no operator, and the protocol beside it."""
    root = tmp_path_factory.mktemp("exact")
    (root / "exact.yaml").write_text(PROTOCOL)
    result = egno(
        "propagate", "ethanol", "--protocol", root / "exact.yaml", "--out", root / "rollout",
        "--quiet",
    )  # fmt: skip
    (root / "said.txt").write_text(result.output)
    return root


def test_md_is_rolled_out_in_windows_of_its_own(exact: Path) -> None:
    said = (exact / "said.txt").read_text()
    assert "40 exact" in said
    assert "This is MD itself" in said
    assert "Train a better operator" not in said
    assert "longer windows" not in said
    summary = json.loads((exact / "rollout" / "summary.json").read_text())
    assert summary["mode"] == "dynamics"
    assert summary["events"]["exact"] == summary["windows"] == 40
    assert summary["fallback_share"] == 0
    assert "network_device" not in summary
    seconds = summary["seconds"]
    assert seconds["dynamics"] > 0 == seconds["network"]
    parts = sum(v for k, v in seconds.items() if k != "total")
    assert parts <= seconds["total"]
    events = [json.loads(x) for x in (exact / "rollout" / "events.jsonl").read_text().splitlines()]
    assert {e["kind"] for e in events} == {"exact"}
    # GFN2-xTB in steps of 0.5 fs: an operator's windows are off by kJ/mol
    assert max(abs(e["energy_error"]) for e in events) < 0.5
    for chain in Store(exact / "rollout"):
        assert len(chain) == 80
        np.testing.assert_allclose(np.diff(chain.times), 0.002, atol=1e-9)


def test_a_finished_rollout_is_not_done_again(exact: Path) -> None:
    before = (exact / "rollout" / "events.jsonl").read_bytes()
    result = egno(
        "propagate", "ethanol", "--protocol", exact / "exact.yaml", "--out", exact / "rollout",
        "--resume",
    )  # fmt: skip
    assert "is complete already" in result.stderr
    assert "40 exact" in result.stdout
    assert (exact / "rollout" / "events.jsonl").read_bytes() == before


def test_exact_windows_are_drawn_counted_and_compared(exact: Path, tmp_path: Path) -> None:
    egno(
        "propagate", "ethanol", "--operator", "egno-8fs-500k", "--protocol", "nvt-500k", *QUICK,
        "--out", tmp_path / "rollout", "--quiet",
    )  # fmt: skip
    compared = egno(
        "compare", exact / "rollout", tmp_path / "rollout", "--out", tmp_path / "comparison",
        "--quiet",
    )  # fmt: skip
    assert "rollout:" in compared.output
    folders = [exact / "rollout", tmp_path / "rollout", tmp_path / "comparison"]
    egno("report", *folders, "--out", tmp_path / "report", "--quiet")
    page = (tmp_path / "report" / "report.html").read_text()
    for words in ("40 exact MD", "windows exact MD", r"exact MD \d"):
        assert re.search(words, page), words
    assert "Windows not simply accepted" not in page, "MD itself is no intervention"


def test_windows_count_the_length_of_exact_windows_too(exact: Path, tmp_path: Path) -> None:
    result = egno(
        "propagate", "ethanol", "--protocol", exact / "exact.yaml", "--windows", 2, "--out",
        tmp_path / "out", "--quiet",
    )  # fmt: skip
    assert "4 exact" in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--operator", "egno-8fs-500k"], "source.kind: exact is MD itself and needs no operator"),
        (["--set", "source.window='7.3 fs'"], "Use 6 fs or 8 fs"),
        (["--set", "correct={kind: redraw}"], "source.kind: exact proposes the same window again"),
        (["--set", "source.kind=exakt"], "Did you mean 'exact'?"),
        (["--set", "judge={kind: none}", "--set", "correct={kind: monitor}"], "Leave out correct"),
        (["--length", "20 fs"], "is not a whole number of 8 fs windows"),
    ],
)
def test_what_exact_windows_are_not_is_one_line(
    exact: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    out = ("--protocol", exact / "exact.yaml", "--out", tmp_path / "out")
    assert words in fails("propagate", "ethanol", *out, *options)
    assert not (tmp_path / "out").exists()


def test_a_former_protocol_is_answered_by_one_that_works(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(
        "length: 32 fs\ntemperature: 500 K\ntimestep: 0.5 fs\npolicy: monitor\ncheck_every: 2\n"
        "tolerances: {bond: 0.5 angstrom}\nthermostat: {kind: langevin, friction: 5 /ps}\n"
        "save: points\nreference_steps: 10\nequilibration: 10 fs\n"
    )
    words = ("propagate", "ethanol", "--operator", "egno-8fs-500k", "--out", tmp_path / "out")
    result = egno(*words, "--protocol", tmp_path / "old.yaml", code=2)
    first, _, form = result.stderr.partition("\n")
    assert first.startswith("SpecError:")
    assert first.endswith("which says the same:")
    content = yaml.safe_load(form)
    assert content["judge"] == {
        "kind": "energy",
        "every": 2,
        "tolerances": {"bond": "0.5 angstrom"},
    }
    assert content["correct"] == {"kind": "monitor"}
    (tmp_path / "new.yaml").write_text(form)
    said = egno(*words, "--protocol", tmp_path / "new.yaml", "--quiet").output
    assert "policy monitor" in said
    assert "4 accept" in said


@pytest.mark.parametrize("key", RENAMED)
def test_a_former_key_beside_todays_is_refused_by_its_new_name(key: str, tmp_path: Path) -> None:
    message = fails("propagate", "ethanol", "--set", f"{key}=1", "--out", tmp_path / "out")
    assert f"{key}: a key of an earlier egno-md. Today it is {RENAMED[key]}." in message
