"""Rollouts of every kind give what they gave when they were recorded, and resume to the bit.

`python -m tests.golden.record NAME` writes a record anew, where a change of results is meant.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.golden import killing
from tests.golden.content import Content, kinds
from tests.golden.record import RECORDS, fingerprint, read_record
from tests.golden.scenarios import BUNDLES, SCENARIOS, Scenario, of_workers

ELSEWHERE_NM = 1e-4
"""Positions on another machine or with other libraries. Other instructions round differently,
1e-7 of a window in float32 and 1e-9 nm in a self-consistent potential; chaos multiplies that by
about ten in 100 fs, and a refinement's minimiser stops an iteration sooner or later. A changed
random number, kick or decision moves atoms by more than 1e-3 nm."""

LATER_SHARE = 0.7
"""Of the windows of a run after which it is killed: between two checkpoints, or as one is due."""

LARGEST_BUNDLE = 200_000


@cache
def here() -> dict[str, str]:
    return fingerprint()


def assert_same(ours: Content, theirs: Content) -> None:
    """To the bit, in every file."""
    assert ours.text == theirs.text
    assert ours.arrays.keys() == theirs.arrays.keys()
    for name, array in theirs.arrays.items():
        np.testing.assert_array_equal(ours.arrays[name], array, err_msg=name, strict=True)


def assert_close(ours: Content, theirs: Content) -> None:
    """The same decisions, and positions within `ELSEWHERE_NM`."""
    assert kinds(ours) == kinds(theirs)
    for key in ("summary", "statistics"):
        counts = [c.text.get(key, {}) for c in (ours, theirs)]
        for name in ("windows", "events", "steps", "replicas", "simulated_ps", "ensemble"):
            assert counts[0].get(name) == counts[1].get(name), name
    assert ours.arrays.keys() == theirs.arrays.keys()
    for name, array in theirs.arrays.items():
        assert ours.arrays[name].shape == array.shape, name
        if name.endswith((".positions", ".times")):
            np.testing.assert_allclose(
                ours.arrays[name], array, rtol=0, atol=ELSEWHERE_NM, err_msg=name
            )


@pytest.fixture(scope="module", params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    if request.param.startswith("window-dynamics"):
        pytest.importorskip("ase", reason="ASE is an optional extra")
    return SCENARIOS[request.param]


@pytest.fixture(scope="module")
def whole(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """The scenario from its beginning to its end, run once for both tests of it."""
    return scenario.run(tmp_path_factory.mktemp("golden") / "whole", "new")


def test_a_run_gives_what_was_recorded(scenario: Scenario, whole: Content) -> None:
    where, recorded = read_record(scenario.name)
    compare = assert_same if where == here() else assert_close
    compare(whole, recorded)


def test_an_interrupted_run_gives_the_bits_of_a_whole_one(
    scenario: Scenario, whole: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if scenario.restart == "checkpoint":
        assert_same(scenario.run(tmp_path / "continued", "checkpoint"), whole)
        return
    if scenario.restart == "again":
        assert_same(scenario.run(tmp_path / "again", "resume"), whole)
        return
    killing.flush_every(monkeypatch, scenario.flush)
    if scenario.depends_on_flushes:
        whole = scenario.run(tmp_path / "whole", "new")
    call = 1 + int(LATER_SHARE * len(kinds(whole)))
    killed = tmp_path / "killed"
    killing.run_killed(monkeypatch, lambda: scenario.run(killed, "new"), call)
    assert_same(scenario.run(killed, "resume"), whole)


def test_energies_from_processes_give_the_bits_of_one(tmp_path: Path) -> None:
    assert_same(of_workers(tmp_path / "spread", "new", 2), of_workers(tmp_path / "one", "new", 1))


def test_every_record_has_its_scenario_and_shows_what_it_is_for() -> None:
    """A record of windows that were all accepted would not notice a change of the others."""
    assert {p.stem for p in RECORDS.iterdir()} == set(SCENARIOS)
    seen: dict[str, set[str]] = {name: {*kinds(read_record(name)[1])} for name in SCENARIOS}
    assert set.union(*seen.values()) == {"accept", "stay", "prefix", "refine", "fallback", "stop"}
    assert seen["ethanol-monitor"] == {"accept", "stop"}
    assert seen["ethanol-refine"] == {"accept", "refine"}
    assert seen["ethanol-strict"] == {"accept", "prefix", "fallback"}
    assert seen["ala2-sampler-refined"] == {"accept", "refine", "fallback"}
    assert seen["ala2-metropolis"] == {"accept", "stay"}
    assert seen["chignolin-fallback"] == {"refine", "fallback"}


@pytest.mark.parametrize("name", sorted(p.name for p in BUNDLES.iterdir()))
def test_bundles_stay_small(name: str) -> None:
    assert sum(p.stat().st_size for p in (BUNDLES / name).iterdir()) < LARGEST_BUNDLE
