from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import mdtraj
import numpy as np
import pytest

from egno_md.compare import observables
from egno_md.compare.catalogue import Entry, catalogue, entry
from egno_md.compare.comparison import Reference, compare, topics
from egno_md.compare.context import Context
from egno_md.compare.findings import Bench, Findings
from egno_md.compare.observable import DIFFERENT, INDISTINGUISHABLE, NOT_ENOUGH_DATA
from egno_md.compare.observables import radial, thermal
from egno_md.compare.record import Probe
from egno_md.compare.sides import Side
from egno_md.compare.statistics import MEAN, WIDTH, series_estimate
from egno_md.compare.verdicts import settle
from egno_md.core.errors import DataError
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.core.units import BOLTZMANN


@pytest.fixture(scope="module")
def hot(sample_of, toy):
    """The same molecule 100 K hotter, both under a known thermostat."""
    return compare(
        Side(toy, [sample_of(0, frames=600)], kelvin=300.0),
        Side(toy, [sample_of(1, frames=600, kelvin=400.0)], kelvin=300.0, seconds=10.0),
    )


def test_every_observable_of_the_catalogue_is_compared_or_named_with_a_reason(hot):
    names = {j.name for j in hot.judged} | {u.name for u in hot.unavailable}
    names |= {s.name for s in hot.series} | {f"Exact {e.name.lower()}" for e in hot.exact}
    names |= {"Stability time"} if hot.stability else set()
    names |= {"Independent samples per second"} if hot.efficiency else set()
    covers = {"Potential energy": "Potential energy, width", "Total energy": "Total energy, width"}
    for known in catalogue():
        stem = known.name.rstrip("* ")
        assert any(n.startswith(stem) for n in names | set(covers)), known.name


def test_every_result_says_its_group_definition_and_source(hot):
    for found in hot.judged:
        known = entry(found.name)
        assert (found.group, found.source) == (known.group, known.source)
        assert found.definition == known.definition
    assert {f.group for f in hot.judged} == {"structure", "thermodynamics", "kinetics", "integrity"}


def test_catalogue_entries_are_unique_and_whole():
    names = [e.name for e in catalogue()]
    assert len(names) == len(set(names))
    for e in catalogue():
        assert e.definition.endswith("."), e.name
        assert all((e.kind, e.group, e.source, e.applies)), e.name
        assert e.threshold(10.0) >= 0.0


def test_kinetic_temperatures_are_held_against_the_exact_law(hot):
    found = {e.name: e for e in hot.exact}
    freedom = 12
    assert found["Temperature, width"].exact == pytest.approx(300.0 * np.sqrt(2 / freedom))
    for e in found.values():
        assert e.reference_verdict == INDISTINGUISHABLE, e.name
    assert found["Temperature, mean"].rollout_verdict == DIFFERENT
    assert found["Temperature, mean"].rollout == pytest.approx(400.0, rel=0.05)


def test_exact_widths_of_elements_are_those_of_maxwell_velocities(toy, sample_of):
    values = thermal.element_temperatures(toy, sample_of(3, frames=40_000))
    for element, width in thermal.element_widths(toy).items():
        assert values[element].std() / 300.0 == pytest.approx(width, rel=0.02), element


def test_the_exact_law_is_physical_validations(toy, sample_of):
    """Its deviations of mean and width, in standard errors, are those found here."""
    import physical_validation as pv

    trajectory = sample_of(4, frames=3000)
    kelvin = thermal.temperatures(toy, trajectory)
    kinetic = kelvin * 12 * BOLTZMANN / 2
    units = pv.data.UnitData(
        kb=BOLTZMANN, energy_str="kJ/mol", energy_conversion=1.0, length_str="nm",
        length_conversion=1.0, volume_str="nm^3", volume_conversion=1.0, temperature_str="K",
        temperature_conversion=1.0, pressure_str="bar", pressure_conversion=1.0, time_str="ps",
        time_conversion=1.0,
    )  # fmt: skip
    system = pv.data.SystemData(
        natoms=5, nconstraints=0, ndof_reduction_tra=3, ndof_reduction_rot=0
    )
    system.mass = toy.masses
    data = pv.data.SimulationData(
        units=units,
        ensemble=pv.data.EnsembleData(ensemble="NVT", natoms=5, volume=1.0, temperature=300.0),
        system=system,
        observables=pv.data.ObservableData(kinetic_energy=kinetic),
    )
    mean, width = pv.kinetic_energy.distribution(
        data, strict=False, verbosity=0, bootstrap_seed=1, bs_repetitions=300
    )
    generator = np.random.default_rng(0)
    ours = [
        (series_estimate([np.stack([kelvin, kelvin**2], -1)[:, None]], s, generator), exact)
        for s, exact in ((MEAN, 300.0), (WIDTH, 300.0 * np.sqrt(2 / 12)))
    ]
    for (found, exact), theirs in zip(ours, (mean, width), strict=True):
        assert abs(found.value[0] - exact) / found.error[0] == pytest.approx(abs(theirs), abs=0.4)


def test_free_energies_and_torsions_agree_where_the_dynamics_do(toy, sample_of):
    found = compare(Side(toy, [sample_of(5, frames=600)]), Side(toy, [sample_of(6, frames=600)]))
    names = {d.name for d in found.distributions}
    assert any(n.startswith("Free energy along C") for n in names)
    assert {d.verdict for d in found.distributions} <= {INDISTINGUISHABLE, NOT_ENOUGH_DATA}


def test_kinetics_of_a_sampler_are_not_compared_and_it_says_why(toy, sample_of):
    rollout = Side(toy, [sample_of(1, frames=600)], mode="sampler")
    found = compare(Side(toy, [sample_of(0, frames=600)]), rollout)
    assert found.mode == "sampler"
    assert any("sampler" in note for note in found.notes)
    reasons = {u.name: u.reason for u in found.unavailable}
    for name in ("Torsion decorrelation times", "Vibrational spectrum", "TICA timescales"):
        assert "rollout is a sampler" in reasons[name]
    assert {j.group for j in found.judged if j.group == "kinetics"} <= {"kinetics"}
    assert not [j for j in found.judged if "time" in j.name.lower()]
    assert found.efficiency is None


def test_frames_without_times_leave_out_kinetics_with_the_remedy(toy, sample_of):
    rollout = Side(toy, [sample_of(1)], has_times=False)
    found = compare(Side(toy, [sample_of(0)]), rollout)
    reasons = {u.name: u.reason for u in found.unavailable}
    assert "--spacing" in reasons["Torsion decorrelation times"]
    assert all(o.needed_ps is None for o in found.observables)


def test_samples_per_second_are_samples_over_seconds(toy, sample_of):
    a = Side(toy, [sample_of(0, frames=500)], seconds=100.0)
    b = Side(toy, [sample_of(1, frames=500)], seconds=10.0)
    found = compare(a, b).efficiency
    assert found.reference == pytest.approx(found.reference_samples / 100.0)
    assert found.ratio == pytest.approx(10.0, rel=0.25)  # as many samples in a tenth of the time
    assert found.slowest.startswith(("Torsion", "Potential energy"))


def test_a_real_but_small_difference_is_marked_negligible(hot):
    found = next(o for o in hot.observables if o.name == "Temperature")
    tiny = replace(found, difference=0.1, interval=(0.05, 0.15), noise_floor=0.0, p_value=1e-6)
    again = settle(replace(hot, observables=(tiny,), profiles=(), distributions=()))
    assert again.observables[0].verdict == DIFFERENT
    assert again.observables[0].is_negligible
    assert not found.is_negligible


def test_a_difference_below_the_noise_floor_is_not_called_one(hot):
    found = next(o for o in hot.observables if o.name == "Temperature")
    noisy = replace(found, noise_floor=2 * found.difference)
    again = settle(replace(hot, observables=(noisy,), profiles=(), distributions=()))
    assert again.observables[0].verdict == INDISTINGUISHABLE


def test_verdicts_are_corrected_for_their_number(hot):
    one = next(o for o in hot.observables if o.name == "Temperature")
    weak = replace(one, p_value=0.03, noise_floor=0.0)
    alone = settle(replace(hot, observables=(weak,), profiles=(), distributions=()))
    others = tuple(replace(one, p_value=0.5) for _ in range(29))
    many = settle(replace(hot, observables=(weak, *others), profiles=(), distributions=()))
    assert alone.observables[0].verdict == DIFFERENT
    assert many.observables[0].verdict == INDISTINGUISHABLE


def test_a_broken_bond_ends_the_stability_time(toy, sample_of):
    chain = sample_of(1, frames=200)
    chain.positions[150:] *= 1.6
    found = compare(Side(toy, [sample_of(0, frames=200)]), Side(toy, [chain])).stability
    assert found.rollout_ps == (pytest.approx(1.5),)
    assert (found.rollout_broken, found.reference_broken) == ((True,), (False,))


def test_results_with_everything_in_them_come_back_from_json(hot):
    from egno_md.compare.observable import comparison_from_json

    text = json.dumps(hot.to_json(), allow_nan=False)
    assert json.dumps(comparison_from_json(json.loads(text)).to_json()) == text


def test_a_reference_of_three_frames_is_refused(toy, sample_of):
    with pytest.raises(DataError, match="3 frames; a comparison needs at least 4"):
        Reference(Side(toy, [sample_of(0, frames=3)]))


def ideal_gas(seed: int, frames: int = 60, atoms: int = 60) -> tuple[System, Trajectory]:
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for k in range(atoms):
        topology.add_atom(f"A{k}", mdtraj.element.argon, topology.add_residue("AR", chain))
    generator = np.random.default_rng(seed)
    box = np.tile(2.0 * np.eye(3), (frames, 1, 1))
    x = generator.uniform(0.0, 2.0, size=(frames, atoms, 3))
    system = System("gas", topology, np.full(atoms, 39.9), x[0], 3 * atoms - 3, box=box[0])
    return system, Trajectory(x, 1.0 * np.arange(frames), box=box)


def test_g_of_r_of_an_ideal_gas_is_one_and_mdtrajs():
    system, trajectory = ideal_gas(0)
    (kind,) = radial.radial_pairs(system, system.box)
    found = kind.measure(trajectory, system).mean(axis=0)
    assert kind.name == "g(r) Ar–Ar"
    assert found[20:].mean() == pytest.approx(1.0, abs=0.02)
    whole = mdtraj.Trajectory(trajectory.positions.astype(np.float32), system.topology)
    whole.unitcell_vectors = trajectory.box.astype(np.float32)
    _, expected = mdtraj.compute_rdf(whole, kind.pairs, r_range=(0.0, 1.0), n_bins=100)
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02)


def test_g_of_r_is_compared_where_there_is_a_box():
    system, one = ideal_gas(0)
    _, two = ideal_gas(1)
    found = compare(Side(system, [one]), Side(system, [two]))
    g = next(d for d in found.distributions if d.name.startswith("g(r)"))
    assert g.verdict == INDISTINGUISHABLE
    assert g.distance <= 2 * g.expected


def test_a_new_observable_is_one_file_and_its_line_in_the_catalogue(monkeypatch, toy, sample_of):
    """A module with `probes` and `findings`, and an entry that names it."""

    def probes(_: Context) -> list[Probe]:
        def span(part: Trajectory) -> dict[str, np.ndarray]:
            return {"span": np.ptp(part.positions[..., 0], axis=1)}

        return [Probe({"span": "series"}, span)]

    def findings(_: Context, bench: Bench) -> Findings:
        return Findings((bench.scalar("Span along x", "span", MEAN),))

    module = ModuleType("egno_md.compare.observables.span")
    module.__dict__.update(probes=probes, findings=findings)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    line = Entry(
        "Span along x", "span", "scalar", "structure", "nm", "Width.", "here", "always", ""
    )
    monkeypatch.setattr("egno_md.compare.catalogue.catalogue", lambda: (*known, line))
    known = catalogue()
    found = compare(Side(toy, [sample_of(0)]), Side(toy, [sample_of(1)]))
    (span,) = [o for o in found.observables if o.name == "Span along x"]
    assert span.unit == "nm"
    assert span.reference == pytest.approx(np.ptp(sample_of(0).positions[..., 0], axis=1).mean())


def test_every_topic_of_the_catalogue_is_a_module_of_observables():
    folder = Path(observables.__path__[0])
    files = {p.stem for p in folder.glob("*.py")}
    assert {e.topic for e in catalogue()} <= files
    order = [t.__name__.rpartition(".")[2] for t in topics()]
    assert order == ["structure", "peptide", "surface", "distances", "radial", "geometry",
                     "energetics", "integrity"], "the streams of the bootstrap keep their order"  # fmt: skip
