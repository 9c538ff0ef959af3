"""Jobs on any number of workers, small enough to be scheduled by hand."""

from __future__ import annotations

from egno_md.propagate.parareal.schedule import Job, makespan

NONE = frozenset[int]()
COST = {"coarse": 1.0, "fine": 10.0}


def test_no_jobs_take_no_time() -> None:
    assert makespan([], COST, 1) == 0.0
    assert makespan([Job(0, "fine", 0, 0, NONE)], COST, 1, until=()) == 0.0


def test_early_slabs_go_first_then_early_sweeps_then_cheap_ones() -> None:
    late, early = Job(0, "fine", 1, 0, NONE), Job(1, "fine", 0, 0, NONE)
    assert makespan([late, early], COST, 1, until={1}) == 10.0
    again, first = Job(0, "fine", 0, 1, NONE), Job(1, "fine", 0, 0, NONE)
    assert makespan([again, first], COST, 1, until={1}) == 10.0
    exact, cheap = Job(0, "fine", 0, 0, NONE), Job(1, "coarse", 0, 0, NONE)
    assert makespan([exact, cheap], COST, 1, until={1}) == 1.0


def test_jobs_begin_when_the_last_of_those_they_wait_for_ends() -> None:
    jobs = [
        Job(0, "coarse", 0, 0, NONE),
        Job(1, "fine", 0, 0, NONE),
        Job(2, "coarse", 1, 0, frozenset({0, 1})),
        Job(3, "coarse", 2, 0, frozenset({0})),
        Job(4, "coarse", 3, 0, frozenset({2, 3})),
    ]
    assert makespan(jobs, COST, 9) == 12.0
    assert makespan(jobs, COST, 9, until={3}) == 2.0
    assert makespan(jobs, COST, 9, until={2, 3}) == 11.0
    assert makespan(jobs, COST, 1) == 14.0
