from __future__ import annotations

from pathlib import Path

import pytest

from egno_md.report.folders import Folder
from egno_md.report.protein import draw_observed, draw_refined
from egno_md.report.summary import summary
from tests.unit.report.conftest import rollout_summary

MOVES = {"MET1": 0.09, "GLY10": 0.02, "ARG2": 0.04}


@pytest.fixture
def rollout() -> Folder:
    events = tuple(
        {
            "replica": r, "window": k, "time": k + 1.0, "kind": "refine",
            "observed": {"ca_rmsd.open": 0.1 + 0.01 * k, "ca_rmsd.closed": 0.7, "helix": 0.5,
                         "radius_of_gyration": 1.95, "potential_energy": None},
        }
        for k in range(3) for r in range(2)
    )  # fmt: skip
    summary = {"refined_by_residue_nm": MOVES}
    return Folder(Path("x"), "rollout", "propagate", {}, {"summary": summary}, events)


def test_what_was_observed_is_drawn_over_time(rollout: Folder) -> None:
    drawing = draw_observed([rollout])
    assert drawing is not None
    assert "ca rmsd.open 0.12" in drawing.alt
    tips = list(drawing.tips.values())
    assert "to open, replica 1: 1.10 ± 0.0816" in tips
    assert not any("energy" in t for t in tips)  # it was never known


def test_every_residue_has_a_bar_in_the_order_of_the_chain(rollout: Folder) -> None:
    drawing = draw_refined([rollout])
    assert drawing is not None
    assert list(drawing.tips.values()) == [
        "rollout, MET1: 0.900 Å", "rollout, ARG2: 0.400 Å", "rollout, GLY10: 0.200 Å",
    ]  # fmt: skip
    assert drawing.alt.startswith("Most moved. rollout: MET1")


def test_a_rollout_of_no_protein_has_neither(rollout: Folder) -> None:
    plain = Folder(Path("x"), "ethanol", "propagate", {}, {"summary": {}}, ({"kind": "accept"},))
    assert draw_observed([plain]) is None
    assert draw_refined([plain]) is None


def test_the_speed_of_refined_means_is_no_merit_and_the_page_says_what_they_are() -> None:
    caveat = "This operator is deterministic."
    cards = []
    for said in ("", caveat):
        content = {"summary": rollout_summary(caveat=said)}
        folder = Folder(Path("x"), "rollout", "propagate", {}, content)
        cards.append(summary([folder]).cards[0])
    plain, refined = cards
    assert plain.figures[0][2] == "same"
    assert refined.figures[0][2] == ""
    assert caveat in refined.lines
    assert "0.0320 ps in 1 replica;" in plain.lines[-1]
