"""Start frames out of a store."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from egno_md.core.errors import SpecError
from egno_md.core.state import Frame
from egno_md.core.system import System
from egno_md.data.store import Store
from egno_md.md.build import load_system
from egno_md.md.engine import MINIMISATION, OpenMMEngine
from egno_md.propagate.check import bond_lengths
from egno_md.propagate.start import (
    BONDS,
    frame_from_structure,
    frames_from_store,
    minimiser_iterations,
    preparation,
)

RELAXED = 1e-3
"""nm; a fiftieth of what makes a bond bad. Measured 0.0003."""


def starts(store: Store, ethanol: System, frame: int | Sequence[int] | None) -> list[Frame]:
    return frames_from_store(store, ethanol, frame, replicas=3, kelvin=300.0, seed=0)


def test_frames_are_counted_over_all_stretches_and_from_the_end(
    harmonic_store: Store, ethanol: System
) -> None:
    found = starts(harmonic_store, ethanol, [-1, 0, 60])
    for frame, (stretch, number) in zip(found, [(11, 59), (0, 0), (1, 0)], strict=True):
        expected = list(harmonic_store)[stretch].positions[number]
        np.testing.assert_array_equal(frame.positions, expected)
    last, again, _ = starts(harmonic_store, ethanol, -1)
    np.testing.assert_array_equal(last.positions, found[0].positions)
    np.testing.assert_array_equal(again.positions, found[0].positions)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (720, "--frame 720: .* has frames 0 to 719"),
        ([0, 720, 1], "--frame 720: .* has frames 0 to 719"),
        ([0, -721, 1], "--frame -721: .* has frames 0 to 719"),
        ([0, 1], "2 frames for 3 replicas"),
    ],
)
def test_frames_that_are_not_there_are_refused(
    frame: int | list[int], said: str, harmonic_store: Store, ethanol: System
) -> None:
    with pytest.raises(SpecError, match=said):
        starts(harmonic_store, ethanol, frame)


def test_a_minimum_that_is_known_is_not_looked_for_again() -> None:
    built = load_system("ala2")

    def engine() -> OpenMMEngine:
        return OpenMMEngine(built, timestep=1e-3, kelvin=300.0, friction=1.0, seed=4)

    found = frame_from_structure(engine(), 0.01)
    minimised = engine().start().positions
    again = frame_from_structure(engine(), 0.01, minimised)
    np.testing.assert_array_equal(found.positions, again.positions)
    np.testing.assert_array_equal(found.velocities, again.velocities)


def test_what_takes_minutes_before_the_first_window_is_said(ethanol: System) -> None:
    assert preparation(ethanol, 4.0, is_stored=False) == ""
    large = SimpleNamespace(name="adk", n_atoms=3341)
    said = preparation(large, 4.0, is_stored=False)  # type: ignore[arg-type]
    assert said.startswith("Minimising adk (3,341 atoms)")
    assert "4 ps of MD" in said
    assert "of MD" not in preparation(large, 4.0, is_stored=True)  # type: ignore[arg-type]


def test_a_large_system_that_starts_from_a_store_is_minimised_for_its_bonds_alone(
    ethanol: System,
) -> None:
    large = SimpleNamespace(name="adk", n_atoms=3341)
    assert minimiser_iterations(large, is_stored=True) == BONDS  # type: ignore[arg-type]
    for system, is_stored in ((large, False), (ethanol, True), (ethanol, False)):
        assert minimiser_iterations(system, is_stored) == MINIMISATION  # type: ignore[arg-type]


def test_bonds_are_relaxed_long_before_the_energy_is() -> None:
    built = load_system("chignolin")
    lengths = []
    for iterations in (BONDS, MINIMISATION):
        engine = OpenMMEngine(built, timestep=1e-3, kelvin=300.0, friction=1.0, seed=4)
        positions = engine.start(iterations=iterations).positions
        lengths.append(bond_lengths(positions, built.system.bonds))
    np.testing.assert_allclose(*lengths, atol=RELAXED)
