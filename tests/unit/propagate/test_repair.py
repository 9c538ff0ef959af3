"""A repair tells what it did, to which residues, and keeps what it must."""

from __future__ import annotations

from dataclasses import dataclass, field

import mdtraj
import numpy as np
import pytest
from egno_md.propagate.events import Tally
from egno_md.propagate.repair import Repair, residue_moves

from egno_md.core.ports import Refinement
from egno_md.core.state import Frame
from egno_md.core.system import System, element_masses


def chain_of(residues: int, chains: int = 1, water: bool = False) -> System:
    """Two carbons a residue, numbered from 1 in each chain."""
    topology = mdtraj.Topology()
    for _ in range(chains):
        chain = topology.add_chain()
        for number in range(residues):
            residue = topology.add_residue("ALA", chain, resSeq=number + 1)
            for name in ("CA", "CB"):
                topology.add_atom(name, mdtraj.element.carbon, residue)
    if water:
        topology.add_atom("O", mdtraj.element.oxygen, topology.add_residue("HOH", chain))
    masses = element_masses(topology)
    return System("beads", topology, masses, np.zeros((len(masses), 3)), 3 * len(masses))


@dataclass
class Mover:
    """Moves every atom of residue k by k times as much."""

    system: System | None
    moves: np.ndarray
    asked: list[tuple[float, int, Frame | None]] = field(default_factory=list)

    def refine(
        self, frame: Frame, kelvin: float, seed: int, sound: Frame | None = None
    ) -> Refinement:
        self.asked.append((kelvin, seed, sound))
        return Refinement(frame, 3, 0.012345678, 987.65432, self.moves)


def repair(
    system: System, moves: np.ndarray, constraints: object = None, knows: bool = True
) -> tuple[Frame, dict, Tally, Mover, Frame]:
    mover, tally = Mover(system if knows else None, moves), Tally()
    end, start = (Frame(system.positions, system.positions, t) for t in (1.0, 0.0))
    done = Repair(lambda: mover, constraints, 310.0, tally)  # type: ignore[arg-type]
    frame, told = done(end, start, np.random.default_rng(3))
    return frame, told, tally, mover, start


def test_a_repair_is_told_in_round_figures_and_counted() -> None:
    system = chain_of(1)
    _, told, tally, mover, start = repair(system, np.full(2, 0.2))
    assert told == {"blocks": 3, "displacement": 0.012346, "max_force": 987.654}
    assert tally.mean("refinement_blocks") == 3
    assert tally.mean("refinement_displacement") == 0.012345678
    assert tally.seconds["refinement"] > 0
    kelvin, seed, sound = mover.asked[0]
    assert kelvin == 310.0
    assert sound is start
    assert seed == np.random.default_rng(3).integers(2**31 - 2)


def test_the_five_most_moved_residues_are_named_from_two_residues_on() -> None:
    system = chain_of(7)
    moves = np.repeat([0.01, 0.07, 0.02, 0.05, 0.06, 0.03, 0.04], 2) + 1e-9
    _, told, tally, _, _ = repair(system, moves)
    assert list(told["residues"].items()) == [
        ("ALA2", 0.07), ("ALA5", 0.06), ("ALA4", 0.05), ("ALA7", 0.04), ("ALA6", 0.03),
    ]  # fmt: skip
    assert told["residues_moved"] == 3
    assert tally.mean("refined.ALA3") == pytest.approx(0.02)
    assert repair(chain_of(2), np.full(4, 0.01))[1]["residues"] == {"ALA1": 0.01, "ALA2": 0.01}
    assert "residues" not in repair(system, moves, knows=False)[1]


def test_a_move_is_the_root_mean_square_over_a_residues_atoms_without_water() -> None:
    found = residue_moves(chain_of(2, water=True), np.array([0.3, 0.4, 0.0, 0.1, 9.0]))
    assert list(found) == ["ALA1", "ALA2"]
    assert found["ALA1"] == pytest.approx(np.sqrt(0.125))
    assert found["ALA2"] == pytest.approx(0.1 / np.sqrt(2))


def test_residues_of_several_chains_have_the_chain_in_their_names() -> None:
    found = residue_moves(chain_of(1, chains=2), np.array([0.1, 0.1, 0.2, 0.2]))
    assert found == {"ALA1-0": pytest.approx(0.1), "ALA1-1": pytest.approx(0.2)}


class Pinned:
    """Constraints that hold every atom one nanometre further."""

    def frame(self, frame: Frame) -> Frame:
        return Frame(frame.positions + 1, frame.velocities, frame.time)


def test_a_repaired_frame_is_put_back_on_its_constraints() -> None:
    frame, *_ = repair(chain_of(1), np.zeros(2), constraints=Pinned())
    assert (frame.positions == 1).all()
