"""A biased sampler, corrected: what is visited is the exact distribution."""

from __future__ import annotations

import numpy as np
import pytest

from egno_md.compare.histograms import jensen_shannon
from egno_md.compare.observables.phi_psi import cells_of
from egno_md.core.system import System
from egno_md.propagate.metropolis import Kernels, Weighing
from egno_md.propagate.metropolis_move import MetropolisMove
from tests.metropolis_toy import Surface, exact_map, make_chain, make_states, visit

BINS = 6
REPLICAS, WINDOWS, BURN = 40, 320, 20
CLOSE = 0.11
"""Jensen-Shannon distance of 12,000 correlated visits on 36 cells: 0.05 to 0.09 by chance."""
FAR = 0.18
"""What a wrong chain is beyond: those below are at 0.22, 0.31 and 0.52."""


def distance(system: System, **settings: object) -> tuple[float, float]:
    """From the exact map, and the acceptance."""
    move = make_chain(system, **settings)
    visited = visit(move, make_states(system, REPLICAS), WINDOWS, BURN)
    angles = visited.angles
    seen = np.bincount(cells_of(angles, BINS), minlength=BINS**2) / len(angles)
    surface = move.evaluation.evaluator
    assert isinstance(surface, Surface)
    found = float(jensen_shannon(seen, exact_map(surface, BINS)))
    return found, visited.totals.moves_accepted.mean or 0.0


@pytest.mark.parametrize(
    "settings",
    [{}, {"draws": 1}, {"uniform": 1.0}, {"uniform": 0.0, "concentration": 2.0}, {"torsions": 1}],
)
def test_a_corrected_chain_visits_the_exact_distribution(ala2: System, settings: dict) -> None:
    found, acceptance = distance(ala2, **settings)
    assert found < CLOSE
    assert 0.1 < acceptance < 0.9


def test_without_the_test_it_does_not(ala2: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Weighing, "accepts", lambda *_: True)
    found, acceptance = distance(ala2)
    assert acceptance == 1
    assert found > FAR


def test_without_the_way_back_it_does_not(ala2: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain that a wrong formula makes, with energies alone: what the tolerance must see."""
    monkeypatch.setattr(Kernels, "log_density", lambda *_: 0.0)
    found, _ = distance(ala2)
    assert found > FAR


def test_one_set_of_draws_for_both_ways_does_not(
    ala2: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """q(θ|S)/q(θ'|S) would save half of the draws, and be wrong."""
    drawn, kept = MetropolisMove._centres, {}

    def once(self, running, frames, blocks, counts):
        if len(frames) == REPLICAS and not kept:
            kept.update(drawn(self, running, frames, blocks, counts))
            return dict(kept)
        found = {i: kept[i] for i in frames}
        kept.clear()
        return found

    monkeypatch.setattr(MetropolisMove, "_centres", once)
    found, _ = distance(ala2)
    assert found > FAR
