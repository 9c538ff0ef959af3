"""Jobs of one kind of work on a fixed number of workers, the most urgent first."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any


class PriorityWorkers:
    """Calls that wait their turn by priority.

    Args:
        call: ``call(*arguments)`` is the work; picklable where `executor` is a process pool.
        count: calls at the same time.
        executor: runs them; None calls right here, one by one.
    """

    def __init__(self, call: Callable[..., Any], count: int, executor: Executor | None) -> None:
        self.call, self.executor = call, executor
        self._order = itertools.count()
        self._waiting: list[tuple[Any, int, asyncio.Future[None]]] = []
        self._free = count if executor is not None else 1

    async def __call__(self, priority: Any, *arguments: Any) -> Any:
        """The result of one call."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append((priority, next(self._order), turn))
        loop.call_soon(self._let_in)
        await turn
        try:
            if self.executor is None:
                return self.call(*arguments)
            return await loop.run_in_executor(self.executor, self.call, *arguments)
        finally:
            self._free += 1
            self._let_in()

    def _let_in(self) -> None:
        self._waiting = sorted((w for w in self._waiting if not w[2].done()), key=lambda w: w[:2])
        while self._free and self._waiting:
            _, _, turn = self._waiting.pop(0)
            self._free -= 1
            turn.set_result(None)
