"""Each side's temperature and energy are taken with its own masses and degrees of freedom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from egno_md.compare.comparison import compare
from egno_md.compare.observable import DIFFERENT, INDISTINGUISHABLE, Comparison
from egno_md.compare.sides import Side
from egno_md.core.state import Trajectory
from egno_md.core.system import System, element_masses
from egno_md.core.units import BOLTZMANN

FRAMES = 1500
KELVIN = 300.0
WITHIN = 4.0
"""K; ten standard errors of the mean of so many frames, with 51 degrees of freedom."""


@pytest.fixture(scope="module")
def flexible(ala2: System) -> System:
    """`ala2/system.yaml` beside `ala2/hmr.yaml`: masses of the elements, nothing rigid."""
    return replace(
        ala2,
        masses=element_masses(ala2.topology),
        degrees_of_freedom=63,
        constraints=np.zeros((0, 2), dtype=np.int64),
    )


def maxwell(system: System, seed: int, frames: int = FRAMES) -> Trajectory:
    """Independent frames with exact velocities, along the constraints and at rest as a whole."""
    random = np.random.default_rng(seed)
    root = np.sqrt(system.masses)
    held = [np.kron(root, axis) for axis in np.eye(3)]
    for i, j in system.constraints:
        gradient = np.zeros((system.n_atoms, 3))
        gradient[i] = (system.positions[i] - system.positions[j]) / root[i]
        gradient[j] = (system.positions[j] - system.positions[i]) / root[j]
        held.append(gradient.ravel())
    basis = np.linalg.qr(np.array(held).T)[0]
    y = np.sqrt(BOLTZMANN * KELVIN) * random.standard_normal((frames, 3 * system.n_atoms))
    y -= y @ basis @ basis.T
    x = system.positions + 0.003 * random.standard_normal((frames, system.n_atoms, 3))
    return Trajectory(
        positions=x,
        times=np.arange(frames, dtype=float),
        velocities=y.reshape(x.shape) / root[:, None],
        potential_energy=random.normal(0.0, 5.0, frames),
    )


def item_named(items: tuple, name: str):
    return next(i for i in items if i.name == name)


def reasons(found: Comparison) -> dict[str, str]:
    return {u.name: u.reason for u in found.unavailable}


def test_exact_velocities_of_light_and_heavy_hydrogens_have_one_temperature(ala2, flexible):
    sides = [Side(s, [maxwell(s, k)], kelvin=KELVIN) for k, s in enumerate((flexible, ala2))]
    for one, two in (sides, sides[::-1]):
        found = compare(one, two)
        kelvin = item_named(found.observables, "Temperature")
        assert kelvin.reference == pytest.approx(KELVIN, abs=WITHIN)
        assert kelvin.rollout == pytest.approx(KELVIN, abs=WITHIN)
        assert kelvin.verdict == INDISTINGUISHABLE
        assert "51" in reasons(found)["Temperature, width"]
        assert "constraints" in reasons(found)["Temperature of *"]
        width = item_named(found.exact, "Temperature, width")
        freedoms = [s.system.degrees_of_freedom for s in (one, two)]
        assert width.exact == pytest.approx(KELVIN * np.sqrt(2 / freedoms[0]))
        assert width.rollout_exact == pytest.approx(KELVIN * np.sqrt(2 / freedoms[1]))
        for e in found.exact:
            verdicts = (e.reference_verdict, e.rollout_verdict)
            assert verdicts == (INDISTINGUISHABLE, INDISTINGUISHABLE), e.name


def test_elements_and_total_energies_have_each_sides_masses(ala2, flexible):
    heavy = replace(flexible, masses=ala2.masses)
    found = compare(*(Side(s, [maxwell(s, k)], kelvin=KELVIN) for k, s in enumerate((flexible, heavy))))  # fmt: skip
    for name in ("Temperature", "Temperature, width", "Total energy"):
        assert item_named(found.observables, name).verdict == INDISTINGUISHABLE, name
    for element in "HCNO":
        one = item_named(found.observables, f"Temperature of {element}")
        assert one.rollout == pytest.approx(KELVIN, rel=0.05)
        assert one.verdict == INDISTINGUISHABLE
    energy = item_named(found.observables, "Total energy")
    assert energy.rollout == pytest.approx(63 / 2 * BOLTZMANN * KELVIN, abs=2.0)
    for e in found.exact:
        verdicts = (e.reference_verdict, e.rollout_verdict)
        assert verdicts == (INDISTINGUISHABLE, INDISTINGUISHABLE), e.name
        is_of_all = not e.name.startswith("Temperature of") or e.name.endswith("mean")
        assert (e.rollout_exact is None) == is_of_all, e.name


def test_a_hotter_side_with_other_masses_is_still_found(ala2, flexible):
    hot = maxwell(ala2, 1)
    hot = replace(hot, velocities=np.sqrt(1.1) * hot.velocities)
    found = compare(Side(flexible, [maxwell(flexible, 0)]), Side(ala2, [hot]))
    assert item_named(found.observables, "Temperature").verdict == DIFFERENT


def test_a_file_without_masses_is_not_weighed_beside_heavy_hydrogens(ala2, flexible):
    """Its masses are only taken to be the elements'."""
    file = Side(flexible, [maxwell(ala2, 1)], has_masses=False)
    for sides in ((Side(ala2, [maxwell(ala2, 0)]), file), (file, Side(ala2, [maxwell(ala2, 0)]))):
        told = reasons(compare(*sides))
        for name in ("Temperature", "Total energy"):
            assert "does not say its masses" in told[name], name
    light = compare(Side(flexible, [maxwell(flexible, 0)]), file)
    assert "Temperature" in {o.name for o in light.observables}
    rigid = replace(flexible, degrees_of_freedom=51)
    told = reasons(compare(Side(rigid, [maxwell(flexible, 0)]), file))
    assert "does not say its constraints" in told["Temperature"]
    assert "Total energy" not in told


def test_chosen_atoms_of_a_rigid_molecule_have_no_temperature(ala2):
    part = Side(ala2, [maxwell(ala2, 0)], has_freedom=False)
    told = reasons(compare(part, part))
    for name in ("Temperature", "Temperature of *", "Exact temperature *"):
        assert "Compare all atoms" in told[name]
