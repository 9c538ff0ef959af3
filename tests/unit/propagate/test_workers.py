"""Calls wait for a worker, and the most urgent is let in first."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from egno_md.propagate.parareal.workers import PriorityWorkers


def test_what_waits_is_done_by_priority_then_in_the_order_it_was_asked_for() -> None:
    done: list[str] = []

    async def ask() -> None:
        workers = PriorityWorkers(done.append, 1, None)
        asked = [(2, "c"), (1, "a"), (3, "e"), (1, "b"), (2, "d")]
        await asyncio.gather(*(workers(p, name) for p, name in asked))

    asyncio.run(asyncio.wait_for(ask(), 10))
    assert done == ["a", "b", "c", "d", "e"]


def test_right_here_one_call_at_a_time_leaves_room_for_what_is_more_urgent() -> None:
    done: list[str] = []

    async def ask() -> None:
        urgent: list[asyncio.Task[None]] = []

        def call(name: str) -> None:
            done.append(name)
            if name == "first":
                urgent.append(asyncio.ensure_future(workers(0, "urgent")))

        workers = PriorityWorkers(call, 4, None)
        await asyncio.gather(*(workers(1, name) for name in ("first", "second", "third")))
        await urgent[0]

    asyncio.run(asyncio.wait_for(ask(), 10))
    assert done.index("urgent") < done.index("third")


def test_as_many_calls_run_at_once_as_there_are_workers_and_no_more() -> None:
    meeting = threading.Barrier(2)
    lock, running, most = threading.Lock(), 0, 0

    def meet(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meeting.wait(10)  # only two at once get past
        time.sleep(0.02)
        with lock:
            running -= 1
        return number * number

    async def ask(executor: ThreadPoolExecutor) -> list[int]:
        workers = PriorityWorkers(meet, 2, executor)
        return await asyncio.gather(*(workers(0, n) for n in range(6)))

    with ThreadPoolExecutor(6) as executor:
        assert asyncio.run(asyncio.wait_for(ask(executor), 30)) == [0, 1, 4, 9, 16, 25]
    assert most == 2


def test_a_call_that_fails_makes_room_for_the_next() -> None:
    def halve(number: int) -> float:
        if number == 0:
            raise ValueError("nothing to halve")
        return number / 2

    async def ask() -> float:
        workers = PriorityWorkers(halve, 1, None)
        with pytest.raises(ValueError, match="nothing"):
            await workers(0, 0)
        return await workers(0, 3)

    assert asyncio.run(asyncio.wait_for(ask(), 10)) == 1.5
