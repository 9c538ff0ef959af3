"""Bundles of every format that was ever shipped load, and predict what they always did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from egno_md.core.errors import BundleMismatch, DataError
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.nn.bundle import read_card, save_bundle
from egno_md.nn.card import FORMAT
from egno_md.nn.operator import Operator, WindowOperator
from egno_md.nn.sampler import SamplerOperator

BUNDLES = Path(__file__).parent / "bundles"
"""Written once, with the code of their time: never write them again."""

FORMATS = ("format-1", "format-2")

ANOTHER_CPU = 1e-6
"""nm, and relative: rounding of float32 on another processor than the recording one."""


def recorded(name: str) -> dict[str, np.ndarray]:
    content = json.loads((BUNDLES / "recorded.json").read_text())
    return {k: np.array(v) for k, v in content[name].items()}


def a_frame(system: System) -> Frame:
    random, x = np.random.default_rng(0), system.positions
    return Frame(x, random.normal(size=x.shape), forces=500 * random.normal(size=x.shape))


@pytest.mark.parametrize("bundle", [*(f"{f}/operator" for f in FORMATS), "format-2/general"])
def test_operators_predict_what_was_recorded(bundle: str, ethanol: System) -> None:
    operator = WindowOperator.load(BUNDLES / bundle)
    assert operator.card.format == FORMAT
    window = operator.bind(ethanol).predict([a_frame(ethanol)])
    expected = recorded(Path(bundle).name)
    for name, found in (("positions", window.positions), ("velocities", window.velocities)):
        assert np.allclose(found[0, -1].numpy(), expected[name], rtol=ANOTHER_CPU, atol=ANOTHER_CPU)


@pytest.mark.parametrize("version", FORMATS)
def test_samplers_draw_what_was_recorded(version: str, ala2: System) -> None:
    bound = SamplerOperator.load(BUNDLES / version / "sampler").bind(ala2)
    start = torch.tensor(ala2.positions[bound.atoms]).float()[None]
    noise = np.random.default_rng(1).standard_normal((1, 4, len(bound.atoms), 3))
    drawn = bound.draw(start, torch.tensor(noise).float(), 3)
    expected = recorded("sampler")["positions"]
    assert np.allclose(drawn[0, -1].numpy(), expected, atol=ANOTHER_CPU)


@pytest.mark.parametrize("name", ["operator", "sampler"])
def test_an_upgraded_card_is_the_one_that_is_written_today(name: str, tmp_path: Path) -> None:
    card = read_card(BUNDLES / "format-1" / name)
    assert card == read_card(BUNDLES / "format-2" / name)
    save_bundle(tmp_path, Operator.load(BUNDLES / "format-1" / name))
    assert json.loads((tmp_path / "card.json").read_text())["format"] == FORMAT
    assert read_card(tmp_path) == card


def test_a_bundle_of_another_mode_is_refused() -> None:
    assert isinstance(Operator.load(BUNDLES / "format-1" / "sampler"), SamplerOperator)
    assert isinstance(Operator.load(BUNDLES / "format-1" / "operator"), WindowOperator)
    with pytest.raises(BundleMismatch, match="whose windows are draws and no dynamics"):
        WindowOperator.load(BUNDLES / "format-2" / "sampler")
    with pytest.raises(BundleMismatch, match="of dynamics of ethanol, which draws nothing"):
        SamplerOperator.load(BUNDLES / "format-2" / "operator")


def damaged(version: str, name: str, folder: Path, **changes: object) -> str:
    """What is said of a card with other values; None leaves a key out."""
    content = json.loads((BUNDLES / version / name / "card.json").read_text()) | changes
    content = {k: v for k, v in content.items() if v is not None}
    (folder / "card.json").write_text(json.dumps(content))
    with pytest.raises(DataError) as raised:
        read_card(folder)
    return str(raised.value)


def test_a_damaged_card_is_told_by_its_key(tmp_path: Path) -> None:
    assert "damaged card: digest:" in damaged("format-1", "operator", tmp_path, digest=None)
    assert "beyond the 9 there are" in damaged("format-1", "operator", tmp_path, bonds=[[0, 99]])
    assert "damaged card: vocabulary:" in damaged("format-2", "general", tmp_path, vocabulary=[])
    assert "lacks C, which validity names" in damaged(
        "format-2", "general", tmp_path, vocabulary=[1, 7, 8]
    )
    assert "a sampler knows one system" in damaged(
        "format-2", "sampler", tmp_path, validity={"elements": [6], "sizes": [10, 10]}
    )
    assert "damaged card: format:" in damaged(
        "format-2", "operator", tmp_path, format="egno-md operator 3"
    )
    assert "tells the atoms of one system apart" in damaged(
        "format-2", "general", tmp_path, network={"kind": "egno", "identities": True}
    )
