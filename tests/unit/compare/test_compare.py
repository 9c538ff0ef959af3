from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from egno_md.compare.comparison import Reference, compare
from egno_md.compare.figures import draw_figures
from egno_md.compare.observable import DIFFERENT, INDISTINGUISHABLE, comparison_from_json
from egno_md.compare.sides import Side
from egno_md.core.errors import DataError
from egno_md.core.system import System

from .conftest import BUTANE, new_topology


@pytest.fixture
def compared(system, sample):
    return compare(Side(system, [sample(0)]), Side(system, [sample(1)]), label="same")


def test_two_samples_of_one_distribution_are_mostly_indistinguishable(compared):
    verdicts = compared.verdicts
    assert verdicts[INDISTINGUISHABLE] >= 0.8 * sum(verdicts.values())
    assert "h(r)" not in {u.name for u in compared.unavailable}


def test_a_hotter_rollout_differs_in_every_temperature(system, sample):
    hot = compare(Side(system, [sample(0)]), Side(system, [sample(1, kelvin=400.0)]))
    found = {o.name: o for o in hot.observables}
    for name in ("Temperature", "Temperature of C", "Temperature of H"):
        assert found[name].verdict == DIFFERENT
    assert found["Temperature"].difference == pytest.approx(100.0, abs=20.0)
    assert found["Radius of gyration"].verdict == INDISTINGUISHABLE


def test_wider_bonds_and_h_r_are_noticed(system, sample):
    wide = compare(Side(system, [sample(0)]), Side(system, [sample(1, width=0.008)]))
    widths = next(p for p in wide.profiles if p.name == "Bond length, width")
    assert set(widths.verdicts) == {DIFFERENT}
    assert wide.distributions[0].name == "h(r)"
    assert wide.distributions[0].verdict == DIFFERENT
    assert wide.distributions[0].distance > wide.distributions[0].expected


def test_densities_have_unit_area(compared):
    for d in compared.distributions:
        for density in (d.reference, d.rollout):
            assert np.dot(density, np.diff(d.edges)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("velocities", "Temperature"),
        ("potential_energy", "Potential energy"),
        ("forces", "Force, root mean square"),
    ],
)
def test_what_is_missing_is_listed_with_the_reason(system, sample, field, name):
    poor = replace(sample(1), **{field: None})
    found = compare(Side(system, [sample(0)]), Side(system, [poor]))
    reasons = {u.name: u.reason for u in found.unavailable}
    assert "in the rollout" in reasons[name]
    assert name not in {o.name for o in found.observables}


def test_constraints_leave_no_temperature_per_element(system, sample):
    rigid = replace(system, degrees_of_freedom=8)
    found = compare(Side(rigid, [sample(0)]), Side(rigid, [sample(1)]))
    assert "Temperature of *" in {u.name for u in found.unavailable}


def test_one_frame_gives_no_verdict_and_no_error(system, sample):
    found = compare(Side(system, [sample(0)]), Side(system, [sample(1, frames=1)]))
    judged = {o.verdict for o in found.observables if o.name != "Bond breaking rate"}
    assert judged == {"not enough data"}
    json.dumps(found.to_json(), allow_nan=False)


def test_json_comes_back(compared):
    text = json.dumps(compared.to_json(), allow_nan=False)
    again = comparison_from_json(json.loads(text))
    assert again.verdicts == compared.verdicts
    assert json.dumps(again.to_json()) == text


def test_chains_are_pooled(system, sample):
    chains = [sample(0, frames=150), sample(2, frames=150)]
    found = compare(Side(system, chains), Side(system, [sample(1)]))
    assert (found.reference_sampling.chains, found.reference_sampling.frames) == (2, 300)
    pooled = np.concatenate([c.potential_energy for c in chains]).mean()
    value = next(o for o in found.observables if o.name == "Potential energy").reference
    assert value == pytest.approx(pooled)


def test_different_atoms_are_refused_by_name(system, sample):
    topology = new_topology("CCSCH")
    other = System("other", topology, system.masses, BUTANE, 12)
    with pytest.raises(DataError, match="atom 2 is O in the reference and S in rollout"):
        compare(Side(system, [sample(0)]), Side(other, [sample(1)]))


def test_positions_that_are_not_finite_are_refused(system, sample):
    bad = sample(1)
    bad.positions[3] = np.nan
    with pytest.raises(DataError, match=r"0\.03 ps are not finite"):
        compare(Side(system, [sample(0)]), Side(system, [bad]))


def test_temperatures_are_drawn_beside_a_rollout_with_constraints(system, sample, tmp_path):
    reference = Reference(Side(system, [sample(0)]))
    rigid = replace(system, degrees_of_freedom=8)
    rollouts = (Side(system, [sample(1)]), Side(rigid, [sample(2)]))
    drawn = draw_figures([reference.compare(r) for r in rollouts], tmp_path)
    assert "temperature" in {f.name for f in drawn}


def test_figures_are_drawn_for_two_rollouts(compared, tmp_path):
    drawn = draw_figures([compared, replace(compared, label="again")], tmp_path)
    names = {f.name for f in drawn}
    expected = {"distances", "torsions", "temperature", "energy", "rmsf", "bonds", "angles"}
    assert expected <= names
    for figure in drawn:
        assert imread(tmp_path / f"{figure.name}.png").std() > 0
        assert "<svg" in (tmp_path / f"{figure.name}.svg").read_text()
        assert "same and again" in figure.alt
