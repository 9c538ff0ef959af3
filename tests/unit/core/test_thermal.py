"""Friction, noise and temperatures against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from egno_md.core.thermal import (
    atom_freedom,
    group_temperatures,
    maxwell_velocities,
    ornstein_uhlenbeck,
)
from egno_md.core.units import BOLTZMANN

MANY = 100_000
MASSES = np.array([1.0, 12.0, 16.0, 4.0])
SHARE = MASSES / MASSES.sum()
ROUNDING = 1e-12


def some_velocities() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4, 3))


def test_friction_without_noise_damps_all_but_the_drift() -> None:
    v = some_velocities()
    for damping in (1.0, np.full((4, 1), 0.5)):
        found = ornstein_uhlenbeck(v, MASSES, 0.0, 2.0, 0.3, np.random.default_rng(1), damping)
        wanted = SHARE @ v + np.exp(-0.6) * damping * (v - SHARE @ v)
        np.testing.assert_allclose(found, wanted, atol=ROUNDING)


def test_noise_fills_up_what_friction_took() -> None:
    masses, random = np.full(MANY, 3.0), np.random.default_rng(2)
    rest = np.zeros((MANY, 3))
    found = ornstein_uhlenbeck(rest, masses, 300.0, 2.0, 0.3, random)
    thermal = BOLTZMANN * 300.0 / 3.0
    assert found.var() == pytest.approx((1 - np.exp(-1.2)) * thermal, rel=0.02)
    kept = ornstein_uhlenbeck(found, masses, 300.0, 0.0, 0.3, random)
    np.testing.assert_allclose(kept, found, atol=ROUNDING)


def test_noise_moves_every_atom_by_its_mass_and_the_centre_not_at_all() -> None:
    v, draws = some_velocities(), np.random.default_rng(3)
    found = np.array([ornstein_uhlenbeck(v, MASSES, 300.0, 1.0, 50.0, draws) for _ in range(4000)])
    np.testing.assert_allclose(SHARE @ found, np.broadcast_to(SHARE @ v, (4000, 3)), atol=ROUNDING)
    variance = (found - SHARE @ v).var(axis=(0, 2))
    wanted = BOLTZMANN * 300.0 * (1 / MASSES - 1 / MASSES.sum())
    np.testing.assert_allclose(variance, wanted, rtol=0.06)


def test_maxwell_velocities_have_the_speed_of_each_mass_and_no_drift() -> None:
    masses = np.repeat([1.0, 16.0], MANY // 2)
    v = maxwell_velocities(masses, 300.0, np.random.default_rng(4))
    assert np.abs(masses @ v).max() / masses.sum() < ROUNDING
    for mass in (1.0, 16.0):
        variance = v[masses == mass].var()
        assert variance == pytest.approx(BOLTZMANN * 300.0 / mass, rel=0.02)


def test_groups_have_their_own_temperature_per_degree_of_freedom() -> None:
    v, group = some_velocities(), np.array([0, 1, 1, 0])
    internal = v - SHARE @ v
    twice = MASSES * (internal**2).sum(1)
    kinetic = np.array([twice[0] + twice[3], twice[1] + twice[2]])
    free = 3 * (1 - SHARE)
    wanted = kinetic / BOLTZMANN / [free[0] + free[3], free[1] + free[2]]
    np.testing.assert_allclose(group_temperatures(v, MASSES, group), wanted)
    given = group_temperatures(v, MASSES, group, np.array([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(given, kinetic / BOLTZMANN / 5.0)


def test_without_constraints_atoms_share_all_but_the_centre_of_mass() -> None:
    freedom = atom_freedom(MASSES, np.zeros((0, 2), dtype=int), np.zeros((4, 3)))
    np.testing.assert_allclose(freedom, 3 * (1 - SHARE), atol=ROUNDING)
