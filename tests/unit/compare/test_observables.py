from __future__ import annotations

from dataclasses import replace

import mdtraj
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from egno_md.compare import histograms
from egno_md.compare.observables import distances, energetics, geometry, structure, thermal
from egno_md.compare.statistics import WIDTH
from egno_md.core.units import kinetic_energy
from egno_md.geometry import internal
from egno_md.geometry.superposition import heavy_atoms, mean_structure, superposed

SINGLE_PRECISION = 1e-5
"""nm; MDTraj superposes in single precision."""


def as_mdtraj(system, trajectory) -> mdtraj.Trajectory:
    return mdtraj.Trajectory(trajectory.positions.astype(np.float32), system.topology)


def test_rmsd_agrees_with_mdtraj(system, sample):
    chain = sample()
    mean = mean_structure(chain.positions, heavy_atoms(system.atomic_numbers))
    target = mdtraj.Trajectory(mean[None].astype(np.float32), system.topology)
    heavy = heavy_atoms(system.atomic_numbers)
    expected = mdtraj.rmsd(as_mdtraj(system, chain), target, atom_indices=heavy)
    features = structure.fluctuation_features(system, chain.positions, mean)
    found = np.sqrt(features[:, heavy, 3].mean(axis=1))
    np.testing.assert_allclose(found, expected, atol=SINGLE_PRECISION)


def test_a_mirror_image_is_not_superposed_by_reflection(system, sample):
    chain = sample(frames=5, width=0.0)
    mirrored = replace(chain, positions=chain.positions * [1.0, 1.0, -1.0])
    found = structure.fluctuation_features(system, mirrored.positions, chain.positions[0])
    assert np.all(found[:, :4, 3].sum(axis=1) > 1e-6)


def test_rmsf_agrees_with_mdtraj_about_the_mean(system, sample):
    chain = sample()
    mean = mean_structure(chain.positions, heavy_atoms(system.atomic_numbers))
    features = structure.fluctuation_features(system, chain.positions, mean).mean(axis=0)
    aligned = superposed(chain.positions, mean, heavy_atoms(system.atomic_numbers))
    frames = mdtraj.Trajectory(aligned.astype(np.float32), system.topology)
    about = mdtraj.Trajectory(aligned.mean(0)[None].astype(np.float32), system.topology)
    expected = mdtraj.rmsf(frames, about, precentered=False, atom_indices=range(4))
    found = WIDTH.value(features)
    np.testing.assert_allclose(found[:4], expected, rtol=0.05)


def test_radius_of_gyration_agrees_with_the_sum_over_pairs(system, sample):
    x, m = sample().positions, system.masses  # MDTraj's centres on the unweighted mean instead
    squared = ((x[:, :, None] - x[:, None]) ** 2).sum(-1)
    expected = np.sqrt(np.einsum("i,j,fij->f", m, m, squared) / 2) / m.sum()
    found = structure.radii_of_gyration(system, sample().positions)
    np.testing.assert_allclose(found, expected)


def test_angles_and_torsions_of_a_chain(system):
    assert internal.angle_indices(system).tolist() == [[1, 0, 4], [0, 1, 2], [1, 2, 3]]
    assert internal.torsion_indices(system).tolist() == [[4, 0, 1, 2], [0, 1, 2, 3]]
    assert internal.labels(system, np.array([[0, 1]])) == ("C0–C1",)


def test_bonds_in_rings_do_not_rotate():
    topology = mdtraj.Topology()
    residue = topology.add_residue("RING", topology.add_chain())
    carbons = [topology.add_atom(f"C{i}", mdtraj.element.carbon, residue) for i in range(8)]
    for i in range(6):
        topology.add_bond(carbons[i], carbons[(i + 1) % 6])
    topology.add_bond(carbons[0], carbons[6])
    topology.add_bond(carbons[6], carbons[7])
    from egno_md.core.system import System

    system = System("ring", topology, np.full(8, 12.0), np.zeros((8, 3)), 21)
    middle = {tuple(t[1:3]) for t in internal.torsion_indices(system).tolist()}
    assert middle == {(0, 6)}


def test_jensen_shannon_is_zero_for_equal_and_one_for_disjoint():
    p, q = np.array([0.5, 0.5, 0, 0]), np.array([0, 0, 0.5, 0.5])
    assert histograms.JENSEN_SHANNON.between(p, p) == pytest.approx(0.0)
    assert histograms.JENSEN_SHANNON.between(p, q) == pytest.approx(1.0)
    r = np.array([0.1, 0.2, 0.3, 0.4])
    assert histograms.JENSEN_SHANNON.between(p, r) == pytest.approx(jensenshannon(p, r, base=2))


def test_torsion_counts_put_each_frame_in_its_bin():
    counts = geometry.torsion_counts(np.radians([-180.0, -175.0, 0.1, 179.9, 180.0])[:, None])
    assert counts[:, 0].argmax(axis=1).tolist() == [0, 0, 18, 35, 0]
    assert counts.sum() == 5


def test_distance_counts_agree_with_mdtraj(system, sample):
    chain = sample(frames=20)
    pairs = np.array([(i, j) for i in range(5) for j in range(i + 1, 5)])
    values = mdtraj.compute_distances(as_mdtraj(system, chain), pairs, periodic=False)
    expected = np.histogram(10 * values, bins=distances.EDGES)[0]
    found = distances.distance_counts(chain.positions).sum(axis=0)
    assert np.abs(found - expected).sum() <= 2  # one value may round across an edge


def test_hr_error_is_the_integral_of_the_difference():
    p, q = np.zeros(500), np.zeros(500)
    p[10], q[20] = 1.0, 1.0
    assert distances.HR_MAE.between(p, q) == pytest.approx(2.0)
    assert distances.HR_MAE.between(p, p) == 0.0


def test_element_temperatures_of_maxwell_velocities_are_unbiased(system, sample):
    chain = sample(frames=20_000, kelvin=300.0)
    overall = thermal.temperatures(system, chain).mean()
    assert overall == pytest.approx(300.0, rel=0.01)
    for element, values in thermal.element_temperatures(system, chain).items():
        assert values.mean() == pytest.approx(300.0, rel=0.02), element


def test_total_energy_leaves_out_the_drift_of_the_centre_of_mass(system, sample):
    chain = sample()
    shifted = replace(chain, velocities=chain.velocities + 7.0)
    a, b = (thermal.total_energies(system, c) for c in (chain, shifted))
    np.testing.assert_allclose(a, b)
    relative = thermal.peculiar_velocities(system, chain)
    expected = chain.potential_energy + kinetic_energy(relative, system.masses)
    np.testing.assert_allclose(a, expected)


def test_drift_is_the_least_squares_slope():
    generator = np.random.default_rng(0)
    times = 0.1 * np.arange(500)
    values = 2.5 * times + generator.normal(size=500)
    found = energetics.drift([values], [times], generator)
    assert found.value[0] == pytest.approx(np.polyfit(times, values, 1)[0])
    exact = 1.0 / np.sqrt(((times - times.mean()) ** 2).sum())
    assert found.error[0] == pytest.approx(exact, rel=0.5)  # from 32 blocks
