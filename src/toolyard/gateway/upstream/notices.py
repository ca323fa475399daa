"""The notifications of one running call on their way to its caller: bounded, so that neither side can hurt the other.

A slow caller never blocks the reader of the other calls, and a chatty upstream never fills the memory: what is above
the limit a second or does not fit the queue is dropped and counted (progress and logs may be lossy; the answer is not).
"""

from __future__ import annotations

import asyncio
from collections import deque

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Emit
from toolyard.kit.errors import PlatformError

MAX_QUEUED = 256
MAX_QUEUED_BYTES = 1024 * 1024


class Throttle:
    """Lets `per_second` things through in each second of the loop's clock."""

    __slots__ = ("_count", "_loop", "_per_second", "_since")

    def __init__(self, per_second: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._per_second = per_second
        self._since = self._loop.time()
        self._count = 0

    def passes(self) -> bool:
        now = self._loop.time()
        if now - self._since >= 1.0:
            self._since, self._count = now, 0
        self._count += 1
        return self._count <= self._per_second


class Notices:
    """Delivers one call's notifications through its `emit`, in order."""

    def __init__(self, emit: Emit, per_second: int) -> None:
        self._emit = emit
        self._throttle = Throttle(per_second)
        self._queue: deque[tuple[Json, int]] = deque()
        self._bytes = 0
        self._worker: asyncio.Task[None] | None = None
        self._gone = False

    def offer(self, notification: Json, size: int) -> bool:
        """Queue a notification of `size` bytes; false if it is dropped."""
        full = len(self._queue) >= MAX_QUEUED or (self._queue and self._bytes + size > MAX_QUEUED_BYTES)
        if self._gone or full or not self._throttle.passes():
            return False
        self._queue.append((notification, size))
        self._bytes += size
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._deliver())
        return True

    async def finish(self, deadline: float) -> None:
        """Wait until all is delivered, until `deadline` (loop time) at most; then deliver no more."""
        if self._worker is not None and not self._worker.done():
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait({self._worker}, timeout=max(0.0, left))
        self.close()

    def close(self) -> None:
        """Deliver no more."""
        self._gone = True
        self._queue.clear()
        if self._worker is not None:
            self._worker.cancel()

    async def _deliver(self) -> None:
        try:
            while self._queue:
                notification, size = self._queue.popleft()
                self._bytes -= size
                await self._emit(notification)
        except PlatformError:
            self._gone = True
            self._queue.clear()
