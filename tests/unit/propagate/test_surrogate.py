"""Windows of the operator: of all atoms, or of some that carry the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from egno_md.propagate.surrogate import Surrogate

from egno_md.core.selection import reduce_system
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.geometry.lift import Lift
from tests.conftest import make_operator


def make_frames(system: System) -> list[Frame]:
    random = np.random.default_rng(0)
    return [
        Frame(
            system.positions + 0.002 * random.standard_normal((system.n_atoms, 3)),
            0.5 * random.standard_normal((system.n_atoms, 3)),
            time,
            forces=100.0 * random.standard_normal((system.n_atoms, 3)),
        )
        for time in (0.0, 5.0)
    ]


def test_windows_of_all_atoms_keep_both_momenta(ethanol: System) -> None:
    surrogate, masses = Surrogate(make_operator(ethanol), ethanol.masses), ethanol.masses
    frames = make_frames(ethanol)
    for frame, window in zip(frames, surrogate.propose(frames), strict=True):
        assert window.velocities is not None
        np.testing.assert_allclose(
            window.times, frame.time + np.array(surrogate.operator.card.time_points)
        )
        for x, v in zip(window.positions, window.velocities, strict=True):
            np.testing.assert_allclose(masses @ v, masses @ frame.velocities, atol=1e-9)
            spin, before = (
                masses @ np.cross(a - masses @ a / masses.sum(), b)
                for a, b in ((x, v), (frame.positions, frame.velocities))
            )
            np.testing.assert_allclose(spin, before, atol=1e-9)


def test_many_frames_at_once_give_what_each_gives_alone(ethanol: System) -> None:
    surrogate, frames = Surrogate(make_operator(ethanol), ethanol.masses), make_frames(ethanol)
    together = surrogate.propose(frames)
    for frame, window in zip(frames, together, strict=True):
        alone = surrogate.advance(frame)
        np.testing.assert_allclose(window.positions, alone.positions, atol=1e-6)
        np.testing.assert_allclose(window.velocities, alone.velocities, atol=1e-4)


def test_the_box_of_the_start_is_that_of_every_point(ethanol: System) -> None:
    surrogate, box = Surrogate(make_operator(ethanol), ethanol.masses), np.diag([3.0, 4.0, 5.0])
    window = surrogate.advance(replace(make_frames(ethanol)[0], box=box))
    np.testing.assert_array_equal(window.box, [box] * len(window))


def test_heavy_atoms_are_predicted_and_carry_the_others(ala2: System) -> None:
    lift, frames = Lift.of(ala2, "heavy"), make_frames(ala2)
    operator = make_operator(reduce_system(ala2, "heavy"))
    surrogate = Surrogate(operator, ala2.masses, lift)
    predicted = surrogate.predict(frames)
    windows = surrogate.propose(frames)
    for frame, few, window in zip(frames, predicted, windows, strict=True):
        assert few.positions.shape == (4, 10, 3)
        assert window.positions.shape == (4, 22, 3)
        np.testing.assert_array_equal(window.positions[:, lift.chosen], few.positions)
        expected = lift.window(frame, few)
        np.testing.assert_array_equal(window.positions, expected.positions)
        np.testing.assert_array_equal(window.velocities, expected.velocities)
    with pytest.raises(ValueError, match="zip"):
        surrogate.complete(frames, predicted[:1])
