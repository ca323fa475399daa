"""Reads a channel whose messages have to be waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from toolyard.gateway.upstream.channel import MAX_AT_ONCE, ChannelClosed, Ended, Take
from toolyard.kit.tasks import TaskOwner


class Reading:
    """One task that takes what `receive` returns, until that raises ChannelClosed."""

    def __init__(self, name: str, receive: Callable[[], Awaitable[bytes]]) -> None:
        self._receive = receive
        self._tasks = TaskOwner(name)

    def start(self, take: Take, ended: Ended) -> None:
        """Hand messages to `take` from now on, and the end to `ended`."""
        self._tasks.start(self._read(take, ended))

    async def aclose(self) -> None:
        """Read no more."""
        await self._tasks.aclose()

    async def _read(self, take: Take, ended: Ended) -> None:
        try:
            while True:
                for _ in range(MAX_AT_ONCE):
                    take(await self._receive())
                await asyncio.sleep(0)
        except ChannelClosed as end:
            ended(end)
