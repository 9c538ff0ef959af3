from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from egno_md.propagate.rollout import choose_pace
from egno_md.propagate.run import Pace
from egno_md.spec.propagate import Refinement


def pace(atoms: int, every: int | None, replicas: int = 1, kind: str = "dynamics") -> Pace:
    refine = None if every is None else Refinement(every=every)
    protocol = SimpleNamespace(refine=refine, replicas=replicas)
    plan: Any = SimpleNamespace(
        bench=SimpleNamespace(protocol=protocol), move=SimpleNamespace(kind=kind)
    )
    return choose_pace(plan, atoms)


def test_refined_windows_of_large_systems_are_saved_often() -> None:
    assert pace(9, None) == Pace(500, 20)
    assert pace(166, 1) == Pace(301)
    assert pace(3341, 1) == Pace(14)
    assert pace(3341, 10) == Pace(149)
    assert pace(10**6, 1) == Pace(1)


def test_every_replica_takes_its_time_to_refine_and_draws_have_a_pace_of_their_own() -> None:
    assert pace(3341, 10, replicas=10) == pace(3341, 1) == Pace(14)
    assert pace(22, 1, kind="sampler") == pace(22, None, kind="sampler") == Pace(100)
