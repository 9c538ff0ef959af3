"""What a card says, of one system or of many, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from egno_md.cli.tables import card_lines
from egno_md.nn.bundle import read_card
from egno_md.nn.card import symbols
from egno_md.report.folders import flat_card

BUNDLES = Path(__file__).parent / "bundles"


def lines(bundle: str) -> dict[str, str]:
    told = (line.split(":", 1) for line in card_lines(read_card(BUNDLES / bundle)))
    return {key: value.strip() for key, value in told}


def test_cards_tell_of_one_system_or_of_many() -> None:
    assert lines("format-1/operator")["system"] == "ethanol, 9 atoms"
    assert lines("format-1/operator") == lines("format-2/operator")
    assert lines("format-2/sampler")["system"] == "ala2, 10 heavy atoms"
    general = lines("format-2/general")
    assert general["system"] == "molecules of H, C, N, O, 2 to 30 atoms"
    assert general["limits"].startswith("these elements and sizes and potential alone, up to 550 K")


def test_elements_are_told_by_their_symbols() -> None:
    assert symbols((1, 6, 17)) == "H, C, Cl"


@pytest.mark.parametrize("version", ["format-1", "format-2"])
def test_a_report_reads_cards_of_every_format(version: str) -> None:
    flat = flat_card(json.loads((BUNDLES / version / "operator" / "card.json").read_text()))
    assert flat["system"] == "ethanol"
    assert flat["kelvin"] == 500.0
    assert len(flat["digest"]) == 64
    assert len(flat["atomic_numbers"]) == 9
