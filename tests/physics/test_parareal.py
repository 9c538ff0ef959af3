"""Parareal of real systems: serial to the tolerance, readable by the other verbs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from egno_md import api as em
from egno_md.cli import main
from egno_md.core.errors import BundleMismatch, SpecError, WindowMismatch
from egno_md.data.store import Store
from egno_md.md.build import load_system
from egno_md.nn.bundle import save_bundle
from tests.conftest import make_operator

TINY = {"equilibration": "20 fs", "length": "64 fs", "slab": "16 fs", "width": 4}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained operator of a force field: a poor guide, which costs sweeps, not exactness."""
    folder = tmp_path_factory.mktemp("bundle")
    save_bundle(folder, make_operator(load_system("ala2").system))
    return folder


def protocol(**changes: object):
    return em.protocol("parareal", "nve-300k", {**TINY, **changes})


def test_a_poor_guide_still_ends_at_the_serial_answer(tmp_path: Path, bundle: Path) -> None:
    spec = protocol(when_it_does_not_pay="continue", tolerance="1e-9 nm")
    done = em.parareal("ala2", bundle, spec, tmp_path / "a", verify=True)
    assert done.result["verified"]["deviation_nm"] <= 1e-9
    assert done.result["iterations"] <= 4
    assert done.result["slabs"] == 4
    store = done.store
    assert store.manifest.frames == 32
    times = store.chain("parareal").times
    np.testing.assert_allclose(np.diff(times), 0.002)
    assert done.result["modelled_speed_up"].keys() == {"1", "2", "4"}
    again = em.parareal("ala2", bundle, spec, tmp_path / "a", verify=True, mode="resume")
    assert again.result == json.loads((tmp_path / "a" / "parareal.json").read_text())


def test_a_trained_guide_needs_fewer_sweeps_than_slabs(tmp_path: Path) -> None:
    """Ethanol with the shipped operator, from a start whose chaos is short."""
    spec = em.protocol(
        "parareal",
        "nve-300k",
        {"equilibration": "50 fs", "length": "128 fs", "slab": "16 fs", "width": 8,
         "when_it_does_not_pay": "continue"},
    )  # fmt: skip
    done = em.parareal("ethanol", None, spec, tmp_path / "a", verify=True)
    assert done.result["verified"]["deviation_nm"] <= 1e-4
    assert done.result["iterations"] < done.result["slabs"]
    corrections = [s["largest_correction_nm"] for s in done.result["sweeps"][1:]]
    assert corrections[-1] < corrections[0]


def test_processes_give_the_bits_of_one(tmp_path: Path, bundle: Path) -> None:
    spec = protocol(when_it_does_not_pay="continue", length="48 fs")
    alone = em.parareal("ala2", bundle, spec, tmp_path / "alone")
    spread = em.parareal("ala2", bundle, spec, tmp_path / "spread", workers=2)
    for ours, theirs in zip(alone.store, spread.store, strict=True):
        np.testing.assert_array_equal(ours.positions, theirs.positions)
        np.testing.assert_array_equal(ours.velocities, theirs.velocities)
    assert spread.result["workers"] == 2


def test_the_verb_gives_up_where_it_does_not_pay_and_others_read_it(
    tmp_path: Path, bundle: Path
) -> None:
    def egno(*arguments: object) -> str:
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    out = tmp_path / "parareal"
    said = egno(
        "parareal", "ala2", "--operator", bundle, "--protocol", "nve-300k", "--length", "160 fs",
        "--slab", "16 fs", "--tolerance", "1e-5 nm", "--set", "equilibration='20 fs'",
        "--set", "width=3", "--out", out, "--verify",
    )  # fmt: skip
    assert "speed-up" in said
    assert "It did not pay: serial from slab" in said
    result = json.loads((out / "parareal.json").read_text())
    assert result["serial_from_slab"] is not None
    assert result["verified"]["deviation_nm"] <= 1e-5
    egno("compare", out, out, "--out", tmp_path / "comparison", "--quiet")
    egno("report", out, "--out", tmp_path / "report", "--quiet")
    page = next((tmp_path / "report").glob("*.html")).read_text()
    assert "Parallel in time" in page
    assert len(Store(out).chain("parareal")) == 80


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"slab": "12 fs", "length": "48 fs"}, WindowMismatch, "the slab 12 fs .* Use 8 fs or 16"),
        ({"length": "70 fs"}, SpecError, "length .* not a whole number"),
        ({"frame_spacing": "3 fs"}, SpecError, "slab .* not a whole number"),
        ({"width": 1}, SpecError, "width"),
        ({"tolerance": "0.1"}, SpecError, "tolerance: '0.1' has no unit"),
        ({"when_it_does_not_pay": "cry"}, SpecError, "is not one of"),
        ({"slabs": 3}, SpecError, "Did you mean 'slab'"),
    ],
)
def test_bad_protocols_say_what_to_write(
    tmp_path: Path, bundle: Path, changes: dict, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        em.parareal("ala2", bundle, protocol(**changes), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_an_operator_of_other_atoms_is_refused(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(BundleMismatch):
        em.parareal("ethanol", bundle, protocol(), tmp_path / "a")
