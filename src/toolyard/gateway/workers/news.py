"""What workers tell one another unasked, and in which order.

Worker 0 is the one that gives names and keeps the journal's definitions. A worker that has looked at an upstream tells
worker 0; that one gives names, then tells everybody names and definitions in this order, the finder too, and only then
does anybody put the definitions in force. So a name is the same in every worker. Who is told follows a talk: first all
there is, then what changes. That a resource changed is told by the worker that keeps the upstream directly to all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from toolyard.contract.naming import Names, Origin
from toolyard.gateway.pool_entry import Look
from toolyard.gateway.workers.errors import FrameTooLarge, WorkerLost
from toolyard.gateway.workers.link import Talk
from toolyard.kit.logs import get_logger

log = get_logger(__name__)

MAX_WAITING: Final = 10_000


class Followers:
    """The workers that listen to this one."""

    def __init__(self) -> None:
        self._followers: dict[str, Follower] = {}
        self._changed = asyncio.Event()

    def tell(self, item: list[Any]) -> None:
        """Tell all of them."""
        for follower in tuple(self._followers.values()):
            follower.put(item)

    def tell_one(self, index: int, item: list[Any]) -> bool:
        """Tell one worker; False if it does not listen."""
        found = self._of(index)
        if found is not None:
            found.put(item)
        return found is not None

    async def listening(self, index: int, limit_s: float) -> bool:
        """Wait until a worker listens, at most `limit_s` seconds."""
        try:
            async with asyncio.timeout(limit_s):
                while self._of(index) is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def serve(self, talk: Talk, owner: str, first: Iterable[list[Any]]) -> None:
        """Tell one worker what there is and what changes, until it is gone."""
        follower = self._followers[owner] = Follower(talk, first)
        self._changed.set()
        try:
            await follower.run()
        finally:
            if self._followers.get(owner) is follower:
                del self._followers[owner]

    def _of(self, index: int) -> Follower | None:
        return next((f for owner, f in self._followers.items() if owner.startswith(f"{index}-")), None)


class Follower:
    """One worker that listens. One that does not take what it is told is cut off, and comes back for all there is."""

    def __init__(self, talk: Talk, first: Iterable[list[Any]]) -> None:
        self._talk = talk
        self._waiting = deque(first)
        self._news = asyncio.Event()

    def put(self, item: list[Any]) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._talk.link.close()
            return
        self._waiting.append(item)
        self._news.set()

    async def run(self) -> None:
        while not self._talk.ended:
            while self._waiting:
                try:
                    await self._talk.send(self._waiting.popleft())
                except WorkerLost:
                    return
                except FrameTooLarge:
                    log.error("worker_news_too_large")
            self._news.clear()
            await self._news.wait()


def names_item(names: Names) -> list[Any]:
    """Names that were given."""
    return ["names", [[list(origin), name] for origin, name in names.items()]]


def names_in(rows: Any) -> dict[Origin, str]:
    """The names of an item."""
    return dict(msgspec.convert(rows, list[tuple[Origin, str]]))


def look_item(look: Look) -> list[Any]:
    """How an upstream was found."""
    return ["look", msgspec.to_builtins(look)]


def look_in(values: Any) -> Look:
    """The look of an item."""
    return msgspec.convert(values, Look)
