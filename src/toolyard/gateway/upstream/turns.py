"""Whose turn it is on a session whose upstream may ask the caller.

What such an upstream asks has no address. So all calls that run together belong to one client: whichever of them a
question is taken for, it reaches the client it is meant for. Calls of another client of the same principal wait.
"""

from __future__ import annotations

import asyncio
from collections import deque

from toolyard.gateway.upstream.errors import UpstreamBusy


class Turns:
    """Lets one owner's calls in at a time, as many as there are; owners take turns in the order they came."""

    def __init__(self) -> None:
        self._owner: str | None = None
        self._running = 0
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    async def take(self, owner: str, deadline: float) -> None:
        """Wait for the turn of `owner`. Raises UpstreamBusy at `deadline` (loop time)."""
        if self._owner is None or (self._owner == owner and not self._waiting):
            self._owner = owner
            self._running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((owner, turn))
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except (TimeoutError, asyncio.CancelledError) as end:
            if turn.done() and not turn.cancelled():
                self.give_back()
            if isinstance(end, TimeoutError):
                raise UpstreamBusy("Calls of another client on this session did not end in time.") from None
            raise

    def give_back(self) -> None:
        """One call has ended."""
        self._running -= 1
        if self._running:
            return
        self._owner = None
        while self._waiting and (self._owner is None or self._waiting[0][0] == self._owner):
            owner, turn = self._waiting.popleft()
            if not turn.done():
                self._owner = owner
                self._running += 1
                turn.set_result(None)
