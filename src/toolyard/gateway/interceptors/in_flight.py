"""Bulkheads: how many calls may run at once in the process and on one upstream."""

from __future__ import annotations

import asyncio
from collections import deque

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.errors import TooManyCalls
from toolyard.gateway.pipeline import Proceed

QUEUE_WAIT_S = 0.25


class Bulkhead:
    """Lets `limit` calls in; the next wait their turn for at most a quarter of a second."""

    __slots__ = ("_waiting", "limit", "running")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Take a place. Raises TooManyCalls when none comes free in time."""
        if self.running < self.limit:
            self.running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(QUEUE_WAIT_S):
                await turn
        except (TimeoutError, asyncio.CancelledError) as end:
            if turn.done() and not turn.cancelled():
                self.leave()
            if isinstance(end, TimeoutError):
                raise TooManyCalls from None
            raise

    def leave(self) -> None:
        """Give the place to the next in the queue."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1


class InFlight:
    """Bounds the calls in flight: for the whole process, and for each upstream so that a slow one fills only its own."""

    def __init__(self, process: int, upstream: int) -> None:
        self._process = Bulkhead(process)
        self._limit = upstream
        self._upstreams: dict[str, Bulkhead] = {}

    async def __call__(self, call: Call, proceed: Proceed) -> Json:
        await self._process.enter()
        try:
            if call.target is None:
                return await proceed(call)
            bulkhead = self._upstreams.get(call.target.upstream_id)
            if bulkhead is None:
                bulkhead = self._upstreams[call.target.upstream_id] = Bulkhead(self._limit)
            await bulkhead.enter()
            try:
                return await proceed(call)
            finally:
                bulkhead.leave()
        finally:
            self._process.leave()
