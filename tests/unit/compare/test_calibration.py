"""Verdicts on dynamics whose answer is known; benchmarks/compare_calibration.py goes further."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from egno_md.compare.comparison import Reference
from egno_md.compare.observable import DIFFERENT, INDISTINGUISHABLE, NOT_ENOUGH_DATA
from egno_md.compare.sides import Side
from egno_md.core.state import Trajectory
from egno_md.core.system import System
from egno_md.core.units import thermal_speed

from .conftest import BUTANE

SHARE = 0.9
FLUCTUATIONS = ("RMSF of heavy atoms", "Bond length, width", "Angle, width")
THERMAL = ("Temperature", "Temperature, width", "Potential energy")


def langevin(toy: System, seed: int, frames: int, kelvin: float = 300.0) -> Trajectory:
    """Overdamped atoms on springs: AR(1) displacements, with energy and velocities to match."""
    generator = np.random.default_rng(seed)

    def series(phi: float) -> np.ndarray:
        noise = np.sqrt(1 - phi**2) * generator.normal(size=(frames + 200, 5, 3))
        return lfilter([1.0], [1.0, -phi], noise, axis=0)[200:]

    width = 0.004 * np.sqrt(kelvin / 300.0)
    x = series(0.8)
    speed = thermal_speed(toy.masses, kelvin)[:, None]
    return Trajectory(
        positions=BUTANE + width * x,
        times=0.01 * np.arange(frames),
        velocities=speed * series(0.5),
        potential_energy=0.5 * kelvin * 0.0083145 * (x**2).sum((1, 2)),
    )


def verdicts(reference: Side, rollout: Side, seed: int) -> dict[str, str]:
    found = Reference(reference).compare(rollout, seed=seed)
    return {j.name: j.verdict for j in found.judged}


def shares(found: dict[str, str]) -> float:
    """Of what has a verdict, how much is indistinguishable."""
    judged = [v for v in found.values() if v != NOT_ENOUGH_DATA]
    return judged.count(INDISTINGUISHABLE) / len(judged)


@pytest.mark.parametrize("split", range(3))
def test_two_halves_of_one_trajectory_are_indistinguishable(toy, split):
    whole = langevin(toy, 0, 3000)
    order = np.random.default_rng(split).permutation(10)
    pieces = [whole.slice(300 * i, 300 * (i + 1)) for i in order]
    found = verdicts(Side(toy, pieces[:5]), Side(toy, pieces[5:]), split)
    assert shares(found) >= SHARE


@pytest.mark.parametrize("trial", range(2))
def test_a_hundred_kelvin_more_differ_every_time(toy, trial):
    cold, hot = langevin(toy, trial, 2000), langevin(toy, 100 + trial, 2000, kelvin=400.0)
    found = verdicts(Side(toy, [cold]), Side(toy, [hot]), trial)
    assert {found[n] for n in (*THERMAL, *FLUCTUATIONS)} == {DIFFERENT}


@pytest.fixture(scope="module")
def dipeptide(tmp_path_factory) -> dict[str, list[Trajectory]]:
    """600 ps of alanine dipeptide at 300 K and at 400 K, in stretches of 60 ps."""
    from egno_md import api as em

    root: Path = tmp_path_factory.mktemp("ala2")
    found = {}
    for seed, kelvin in enumerate(("300 K", "400 K")):
        changes = {
            "temperature": kelvin, "timestep": "1 fs", "store_forces": False, "replicas": 2,
            "sampling.length": "300 ps", "sampling.frame_spacing": "100 fs",
        }  # fmt: skip
        protocol = em.protocol("generate", "nvt-300k", changes)
        store = em.generate("ala2", protocol, root / kelvin[:3], seed=seed)
        found[kelvin] = [c.slice(i, i + 600) for c in store for i in range(0, len(c), 600)]
    return found


@pytest.mark.slow
def test_twenty_random_splits_of_md_are_indistinguishable(dipeptide):
    from egno_md.md.build import load_system

    system, pool = load_system("ala2").system, dipeptide["300 K"]
    for split in range(20):
        order = np.random.default_rng(split).permutation(len(pool))
        a, b = ([pool[i] for i in part] for part in (order[:5], order[5:10]))
        assert shares(verdicts(Side(system, a), Side(system, b), split)) >= SHARE


@pytest.mark.slow
def test_md_at_400_k_differs_from_md_at_300_k_every_time(dipeptide):
    from egno_md.md.build import load_system

    system, (cold, hot) = load_system("ala2").system, dipeptide.values()
    names = (*THERMAL, "Total energy", "Bond length, width", "Angle, width")
    for trial in range(5):
        sides = [Side(system, part[trial : trial + 5]) for part in (cold, hot)]
        found = verdicts(*sides, trial)
        assert {found[n] for n in names} == {DIFFERENT}
