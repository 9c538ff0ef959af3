"""The suites that users run on their own parts pass what is sound, and name what is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from egno_md.core.errors import ContractError
from egno_md.core.state import Frame, Trajectory
from egno_md.core.window import Window
from egno_md.propagate.proposal import Proposal
from egno_md.propagate.state import ReplicaState
from egno_md.testing import check_potential, check_source

ATOMS = 4
WINDOW = Window((0.001, 0.002))


@dataclass(frozen=True)
class Ballistic:
    """Everything flies on; `fault` breaks one claim."""

    fault: str = ""
    window: Window = WINDOW
    kind: str = "dynamics"
    needs_forces: bool = False

    def propose(self, states: Sequence[ReplicaState]) -> list[Proposal]:
        proposals = []
        for number, state in enumerate(states):
            frame, points = state.frame, np.array(self.window.time_points)
            positions = frame.positions + frame.velocities * points[:, None, None]
            match self.fault:
                case "neighbours":
                    positions = positions + 0.1 * number
                case "place":
                    positions = 1.1 * positions
                case "random":
                    positions = positions + np.random.default_rng().standard_normal()
                case "nan":
                    positions = positions * np.nan
                case "shape":
                    positions = positions[:, 1:]
            times = frame.time + points + (0.5 if self.fault == "times" else 0.0)
            velocities = np.broadcast_to(frame.velocities, positions.shape).copy()
            if self.fault == "velocities":
                velocities = None
            proposals.append(Proposal.of(Trajectory(positions, times, velocities)))
        return proposals[:1] if self.fault == "count" else proposals


def states() -> list[ReplicaState]:
    random = np.random.default_rng(0)
    frames = [Frame(*random.standard_normal((2, ATOMS, 3)), time=1.0) for _ in range(3)]
    return [ReplicaState(i, f, np.random.default_rng(i)) for i, f in enumerate(frames)]


def test_a_sound_source_passes() -> None:
    check_source(Ballistic(), states())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("neighbours", "depends on the other replicas"),
        ("place", "moved start"),
        ("random", "the same starts"),
        ("nan", "not finite"),
        ("times", "times off by 0.5 ps"),
        ("velocities", "without velocities"),
        ("count", "1 proposals for 3 states"),
    ],
)
def test_a_broken_source_is_told_what_it_breaks(fault: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_source(Ballistic(fault), states())


def test_a_source_that_draws_from_the_given_streams_is_told() -> None:
    @dataclass(frozen=True)
    class Greedy(Ballistic):
        def propose(self, given: Sequence[ReplicaState]) -> list[Proposal]:
            for state in mine:
                state.random.random()
            return super().propose(given)

    mine = states()
    with pytest.raises(ContractError, match="Fork them first"):
        check_source(Greedy(), mine)


def test_one_state_is_too_few() -> None:
    with pytest.raises(ContractError, match="two or more"):
        check_source(Ballistic(), states()[:1])


def springs(positions: np.ndarray, stiffness: float = 1000.0) -> tuple[float, np.ndarray]:
    r = positions[0] - positions[1]
    length = float(np.linalg.norm(r))
    pull = -stiffness * (length - 0.1) * r / length
    return 500.0 * (length - 0.1) ** 2, np.stack([pull, -pull])


STRETCHED = np.array([[0.0, 0.0, 0.0], [0.12, 0.01, 0.0]])


def test_a_sound_potential_passes() -> None:
    check_potential(springs, STRETCHED)


def test_forces_that_are_not_the_energys_are_named() -> None:
    with pytest.raises(ContractError, match="its energy's slope says"):
        check_potential(lambda x: springs(x, 900.0), STRETCHED)


def test_a_field_in_space_is_named_and_can_be_allowed() -> None:
    def field(x: np.ndarray) -> tuple[float, np.ndarray]:
        energy, forces = springs(x)
        return energy + 5.0 * float(x[:, 0].sum()), forces - np.array([5.0, 0.0, 0.0])

    with pytest.raises(ContractError, match="translation"):
        check_potential(field, STRETCHED)
    check_potential(field, STRETCHED, is_isolated=False)


def test_forces_of_another_shape_and_nan_are_named() -> None:
    with pytest.raises(ContractError, match="forces of shape"):
        check_potential(lambda x: (0.0, np.zeros(3)), STRETCHED)
    with pytest.raises(ContractError, match="not finite"):
        check_potential(lambda x: (np.nan, np.zeros_like(x)), STRETCHED)


def test_a_state_that_is_given_stays_as_it_is() -> None:
    given = states()
    before = [s.random.bit_generator.state for s in given]
    check_source(Ballistic(), given)
    assert before == [s.random.bit_generator.state for s in given]
    assert replace(given[0]).window == 0
