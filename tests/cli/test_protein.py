"""`prepare`, and the options of `propagate` for proteins, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from egno_md.cli import main, shorthands
from egno_md.spec.files import shipped

SOURCE = shipped("systems") / "chignolin" / "5awl.pdb"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(words))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_prepare_writes_a_system_and_its_recipe_as_json(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    code, text = run("prepare", str(SOURCE), "--out", str(out), "--no-minimise", "--json")
    assert code == 0, text
    recipe = json.loads(text.splitlines()[0])
    assert recipe["atoms"] == 166
    assert {p.name for p in out.iterdir()} == {"system.yaml", "structure.pdb", "recipe.json"}


def test_refusals_are_one_line_with_exit_code_two(tmp_path: Path) -> None:
    bad = tmp_path / "two.pdb"
    lines = [x for x in SOURCE.read_text().splitlines() if x.startswith("ATOM")]
    bad.write_text("\n".join([*lines, *(x[:21] + "B" + x[22:] for x in lines), ""]))
    code, text = run("prepare", str(bad), "--out", str(tmp_path / "out"))
    assert code == 2
    assert text.strip().count("\n") == 0
    assert text.startswith("DataError:")
    assert "--chains A" in text


def test_options_of_propagate_are_read_or_refused() -> None:
    words = ("propagate", "ethanol", "--operator", "egno-8fs-500k", "--out", "nowhere")
    code, text = run(*words, "--refine", "each=1")
    assert code == 2
    assert "write every=N" in text
    code, text = run(*words, "--windows", "3", "--length", "24 fs")
    assert code == 2
    assert "exclude each other" in text


def test_the_default_protocol_suits_what_an_operator_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    card = shorthands.read_card(shorthands.find_operator("ethanol", None))
    assert shorthands.default_protocol("ethanol", None) == "nvt-300k"
    backbone = card.model_copy(update={"atoms": "backbone"})
    monkeypatch.setattr(shorthands, "read_card", lambda _: backbone)
    assert shorthands.default_protocol("ethanol", None) == "protein-300k"
