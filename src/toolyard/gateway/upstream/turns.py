"""Whose turn it is on a session whose upstream may ask the caller.

What such an upstream asks has no address. So all calls that are at work together belong to one client: whichever of
them a question is taken for, it reaches the client it is meant for. Calls of another client of the same principal wait.

A call whose question is open waits for a person, perhaps for minutes. It is not at work then: it lends its turn, and
takes it again, before all who wait, when the answer is to go up. So a question is never taken for that of a call that
waits for an answer already. An upstream that does one thing at a time does nothing for others before it has that
answer: so after a moment's patience the answer goes up all the same, and while several clients' calls are at work no
question can be asked of any.
"""

from __future__ import annotations

import asyncio
from collections import deque

from toolyard.gateway.upstream.errors import UpstreamBusy

PATIENCE_S = 2.0


class Turn:
    """One call's part in its owner's turn, from `Turns.take` to `end`."""

    __slots__ = ("_at_work", "_ended", "_owner", "_turns")

    def __init__(self, turns: Turns, owner: str) -> None:
        self._turns = turns
        self._owner = owner
        self._at_work = True
        self._ended = False

    @property
    def is_lent(self) -> bool:
        """The call waits for an answer, and others may be at work."""
        return not self._at_work

    def lend(self) -> None:
        """Let others work until `take_again`."""
        if self._at_work and not self._ended:
            self._at_work = False
            self._turns.give_back()

    async def take_again(self) -> None:
        """Wait until those who work now have ended, or join them when that takes longer than PATIENCE_S."""
        if not self._at_work and not self._ended:
            try:
                patience_ends = asyncio.get_running_loop().time() + PATIENCE_S
                await self._turns.enter(self._owner, patience_ends, first=True)
            except UpstreamBusy:
                self._turns.join()
            if self._ended or self._at_work:
                self._turns.give_back()
            else:
                self._at_work = True

    def end(self) -> None:
        """The call has ended."""
        if self._at_work and not self._ended:
            self._turns.give_back()
        self._ended = True


class Turns:
    """Lets one owner's calls in at a time, as many as there are; owners take turns in the order they came."""

    def __init__(self) -> None:
        self._owner: str | None = None
        self._running = 0
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    async def take(self, owner: str, deadline: float) -> Turn:
        """Wait for the turn of `owner`. Raises UpstreamBusy at `deadline` (loop time)."""
        await self.enter(owner, deadline)
        return Turn(self, owner)

    def take_now(self, owner: str) -> Turn | None:
        """The turn of `owner`, if it is its turn already."""
        if not self._may_enter(owner, first=False):
            return None
        self._count(owner)
        return Turn(self, owner)

    async def enter(self, owner: str, deadline: float, *, first: bool = False) -> None:
        """Count one more call of `owner` at work, when it may be; `first`: before all who wait. Raises UpstreamBusy."""
        if self._may_enter(owner, first=first):
            self._count(owner)
            return
        turn = asyncio.get_running_loop().create_future()
        entry = (owner, turn)
        if first:
            self._waiting.appendleft(entry)
        else:
            self._waiting.append(entry)
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except (TimeoutError, asyncio.CancelledError) as end:
            if turn.done() and not turn.cancelled():
                self.give_back()
            if isinstance(end, TimeoutError):
                raise UpstreamBusy("Calls of another client on this session did not end in time.") from None
            raise

    def _may_enter(self, owner: str, *, first: bool) -> bool:
        return self._owner is None or (self._owner == owner and (first or not self._waiting))

    def _count(self, owner: str) -> None:
        self._owner = owner
        self._running += 1

    def join(self) -> None:
        """Count one more call at work, whoever's turn it is."""
        self._running += 1

    def give_back(self) -> None:
        """One call less is at work."""
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
