"""Parareal on propagators with known answers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from egno_md.core.errors import PotentialError
from egno_md.core.state import Frame, Trajectory
from egno_md.propagate.parareal.schedule import Job, makespan
from egno_md.propagate.parareal.solver import Parareal, Solver, distance
from egno_md.propagate.parareal.workers import PriorityWorkers

START = Frame(np.array([[0.1, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]]))


def oscillator(frame: Frame, step: float, stiffness: float = 1.0) -> Frame:
    """Harmonic motion, exact."""
    omega = np.sqrt(stiffness)
    x, v = frame.positions, frame.velocities
    c, s = np.cos(omega * step), np.sin(omega * step)
    return replace(
        frame,
        positions=c * x + s / omega * v,
        velocities=-omega * s * x + c * v,
        time=frame.time + step,
    )


def euler(frame: Frame, step: float) -> Frame:
    """The same to first order."""
    x, v = frame.positions, frame.velocities
    return replace(frame, positions=x + step * v, velocities=v - step * x, time=frame.time + step)


def logistic(frame: Frame, rate: float) -> Frame:
    """A chaotic map in every coordinate."""
    return replace(frame, positions=rate * frame.positions * (1 - frame.positions))


def one(frame: Frame) -> Trajectory:
    return Trajectory(frame.positions[None], np.array([frame.time]), frame.velocities[None])


def solve(fine, coarse, slabs, *, width=None, tolerance=1e-300, workers=0, pays=None, start=START):
    def call(kind: str, frame: Frame) -> Trajectory | None:
        found = (fine if kind == "fine" else coarse)(frame)
        return None if found is None else one(found)

    async def run() -> Parareal:
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            queue = PriorityWorkers(call, max(workers, 1), pool if workers else None)

            async def job(work: Job, frame: Frame) -> Trajectory | None:
                return await queue(work.priority, work.kind, frame)

            solver = Solver(slabs, width or slabs, tolerance, job)
            if pays is not None:
                solver.pays = pays
            return await solver.solve(start)

    return asyncio.run(run())


def serial(fine, slabs: int, start: Frame = START) -> list[Frame]:
    frames = [start]
    for _ in range(slabs):
        frames.append(fine(frames[-1]))
    return frames


def ends(result: Parareal) -> np.ndarray:
    return np.array([s.positions[-1] for s in result.slabs])


def test_every_sweep_settles_a_slab_and_the_end_is_serial_to_the_bit() -> None:
    slabs = 9
    result = solve(lambda f: oscillator(f, 0.3), lambda f: euler(f, 0.3), slabs)
    exact = serial(lambda f: oscillator(f, 0.3), slabs)
    np.testing.assert_array_equal(ends(result), [f.positions for f in exact[1:]])
    assert len(result.sweeps) <= slabs
    assert all(s.settled >= k for k, s in enumerate(result.sweeps))
    assert result.forecast == 0.0


@pytest.mark.parametrize("sweep", [0, 1, 2])
def test_each_sweep_gains_one_order(sweep: int) -> None:
    """G of order p: error O(ΔT^{p(k+1)}) after k sweeps (Lions, Maday & Turinici 2001)."""
    errors = []
    for slabs in (32, 64):
        step = 1.0 / slabs
        fine = lambda f, h=step: oscillator(f, h)  # noqa: E731
        result = solve(fine, lambda f, h=step: euler(f, h), slabs)
        exact = serial(fine, slabs)
        starts = result.sweeps[sweep].starts
        errors.append(distance(starts[slabs - 1], exact[slabs - 1]))
    order = np.log2(errors[0] / errors[1])
    assert order == pytest.approx(sweep + 1, abs=0.25)


def test_a_perfect_surrogate_needs_one_correction() -> None:
    fine = lambda f: oscillator(f, 0.2)  # noqa: E731
    result = solve(fine, fine, 12)
    assert len(result.sweeps) == 2
    assert sum(j.kind == "fine" for j in result.jobs) == 12


def test_the_deviation_from_serial_stays_within_the_tolerance() -> None:
    tolerance, slabs = 1e-6, 40
    fine = lambda f: oscillator(f, 0.1)  # noqa: E731
    coarse = lambda f: oscillator(f, 0.1, 1.02)  # noqa: E731
    result = solve(fine, coarse, slabs, tolerance=tolerance)
    exact = np.array([f.positions for f in serial(fine, slabs)[1:]])
    assert 0 < np.abs(ends(result) - exact).max() <= tolerance
    assert len(result.sweeps) < slabs / 2
    assert result.forecast <= tolerance


def test_chaos_tightens_what_is_accepted_early() -> None:
    """A difference grows about twofold a slab: early defects must be that much smaller."""
    tolerance, slabs = 1e-4, 30
    start = replace(START, positions=np.array([[0.2, 0.3, 0.4]]), velocities=np.zeros((1, 3)))
    fine = lambda f: logistic(f, 3.95)  # noqa: E731
    coarse = lambda f: logistic(f, 3.95 + 1e-4)  # noqa: E731
    result = solve(fine, coarse, slabs, tolerance=tolerance, width=8, start=start)
    exact = np.array([f.positions for f in serial(fine, slabs, start)[1:]])
    assert np.abs(ends(result) - exact).max() <= tolerance
    assert max(result.defects[:5]) < 1e-3 * tolerance


@pytest.mark.parametrize("width", [2, 5, 16])
def test_any_number_of_workers_gives_the_same_bits(width: int) -> None:
    fine, coarse = lambda f: oscillator(f, 0.3), lambda f: oscillator(f, 0.3, 1.1)
    results = [
        solve(fine, coarse, 16, width=width, tolerance=1e-5, workers=workers)
        for workers in (0, 1, 3, 8)
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(ends(result), ends(results[0]))
        assert result.defects == results[0].defects
        assert len(result.jobs) == len(results[0].jobs)


def test_no_more_slabs_than_the_width_are_in_flight() -> None:
    result = solve(lambda f: oscillator(f, 0.3), lambda f: euler(f, 0.3), 12, width=3)
    assert all(max(s.starts) - min(s.starts) < 3 for s in result.sweeps)


def test_guesses_that_fail_are_dropped_and_made_again() -> None:
    calls = 0

    def fragile(frame: Frame) -> Frame | None:
        nonlocal calls
        calls += 1
        return None if calls in (3, 6, 7) else euler(frame, 0.3)

    result = solve(lambda f: oscillator(f, 0.3), fragile, 8)
    exact = serial(lambda f: oscillator(f, 0.3), 8)
    np.testing.assert_array_equal(ends(result), [f.positions for f in exact[1:]])
    assert any(s.dropped is not None for s in result.sweeps)


def test_exact_dynamics_that_fail_raise() -> None:
    with pytest.raises(PotentialError, match="slab 2"):
        solve(
            lambda f: None if f.time > 0.5 else oscillator(f, 0.3), lambda f: oscillator(f, 0.3), 6
        )


def test_what_does_not_pay_ends_serially_and_is_exact() -> None:
    fine = lambda f: oscillator(f, 0.3)  # noqa: E731
    result = solve(fine, lambda f: euler(f, 0.3), 10, pays=lambda jobs, until, settled: settled < 3)
    assert result.serial_from == 4
    exact = serial(fine, 10)
    np.testing.assert_array_equal(ends(result), [f.positions for f in exact[1:]])


def test_the_makespan_of_a_known_graph() -> None:
    none = frozenset[int]()
    jobs = [
        Job(0, "coarse", 0, 0, none),
        Job(1, "fine", 0, 0, none),
        Job(2, "fine", 1, 0, frozenset({0})),
        Job(3, "fine", 2, 0, frozenset({1, 2})),
    ]
    cost = {"coarse": 1.0, "fine": 10.0}
    assert makespan(jobs, cost, 1) == 31.0
    assert makespan(jobs, cost, 2) == 21.0
    assert makespan(jobs, cost, 2, until={1}) == 10.0
