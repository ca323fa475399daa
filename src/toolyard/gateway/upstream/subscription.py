"""One `subscriptions/listen` request kept open on a modern server, whatever it travels on.

2026-07-28 basic/patterns/subscriptions: a filter cannot be changed, so another wish is another request; the old request
is closed once the new one is acknowledged, and nothing is missed in between. There are never more than these two. A
request that ends is made again after a pause that grows, and then everything listened to is announced once, because it
may have changed meanwhile (all announcements are level triggers). A refusal is believed until the wish is another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.kit.backoff import Backoff
from toolyard.protocol.errors import RelayedError

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
STEADY_S = 30.0
ACKNOWLEDGE_S = 10.0

INVALID_PARAMS = -32602
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_FILTERS = {"tools": "toolsListChanged", "resources": "resourcesListChanged", "prompts": "promptsListChanged"}

Acknowledge = Callable[[Any], None]
"""Told that the server acknowledged a request, with the part of the wish that it honours."""

Open = Callable[[Json, Acknowledge], Awaitable[None]]


def lists_of(capabilities: Mapping[str, Any]) -> Json:
    """The part of a wish that is about lists: those whose changes these capabilities promise to announce."""
    return {
        name: True
        for kind, name in _FILTERS.items()
        if isinstance(offered := capabilities.get(kind), dict) and offered.get("listChanged") is True
    }


def announcements(wanted: Json) -> list[tuple[str, Json]]:
    """Everything that this wish could have heard of, as notifications."""
    lists = [f"notifications/{kind}/list_changed" for kind, name in _FILTERS.items() if name in wanted]
    updated = [{"uri": uri} for uri in wanted.get("resourceSubscriptions", ())]
    return [*((method, {}) for method in lists), *(("notifications/resources/updated", params) for params in updated)]


def not_watched(uri: str) -> RelayedError:
    """The error for a resource that the server left out of what it honours: there is none of that URI, as a rule."""
    return RelayedError(INVALID_PARAMS, "The upstream does not watch this resource.", {"uri": uri})


class _Request:
    """One listen request: the wish's number, the task that carries it, when it was acknowledged."""

    def __init__(self, number: int, wanted: Json, open_: Open) -> None:
        self.number = number
        self.wanted = wanted
        self.honoured: Any = None
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.ensure_future(open_(wanted, self._acknowledge))

    def _acknowledge(self, honoured: Any = None) -> None:
        if not self.acknowledged.done():
            self.honoured = honoured
            self.acknowledged.set_result(None)


class Subscription:
    """Keeps the wish heard. `open_(wanted, acknowledged)` makes one listen request and returns when it ends; it raises
    RelayedError where the server refuses and UpstreamError where it cannot be had. `missed(wanted)` is called when
    something may have changed unheard."""

    def __init__(self, open_: Open, missed: Callable[[Json], None]) -> None:
        self._open = open_
        self._missed = missed
        self._wanted: Json = {}
        self._number = 0
        self._changed = asyncio.Event()
        self._current: _Request | None = None
        self._gap = False
        self._refused: RelayedError | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def is_open(self) -> bool:
        """Whether the server has acknowledged what is wanted now, and no end of it is known."""
        return self._current is not None and self._current.number == self._number

    def honours(self, uri: str) -> bool:
        """Whether the server said that it watches this resource. One that says nothing of what it honours is believed
        to honour everything."""
        honoured = self._current.honoured if self._current is not None else None
        if not isinstance(honoured, dict):
            return True
        uris = honoured.get("resourceSubscriptions")
        return isinstance(uris, list) and uri in uris

    def want(self, wanted: Json) -> None:
        """Hear of this from now on: the `notifications` of a listen request; empty to hear of nothing."""
        if wanted == self._wanted and self._refused is None:
            return
        self._wanted = wanted
        self._number += 1
        self._refused = None
        self._changed.set()
        if wanted and self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    def again(self) -> None:
        """Ask once more for what was refused."""
        if self._refused is not None:
            self.want(self._wanted)

    def note_gap(self) -> None:
        """Something may change before the server acknowledges."""
        self._gap = self._gap or not self.is_open

    async def heard(self, deadline: float) -> None:
        """Wait until what is wanted now is acknowledged. Raises RelayedError if it is refused, TimeoutError."""
        if self.is_open or not self._wanted:
            return
        if self._refused is not None:
            raise self._refused
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._number, waiter))
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        finally:
            self._waiting = [entry for entry in self._waiting if entry[1] is not waiter]

    async def aclose(self) -> None:
        """Close all requests."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self) -> None:
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        opening: _Request | None = None
        try:
            while self._wanted:
                self._changed.clear()
                if self.is_open or self._refused is not None:
                    await self._until_something_happens(backoff)
                    continue
                opening = _Request(self._number, self._wanted, self._open)
                answered = {opening.acknowledged, opening.task}
                await asyncio.wait(answered, timeout=ACKNOWLEDGE_S, return_when=asyncio.FIRST_COMPLETED)
                if opening.acknowledged.done():
                    await self._take_over(opening)
                else:
                    await _close(opening)
                    if not self._take_failure(opening):
                        await self._pause(backoff)
                opening = None
        finally:
            self._keeper = None
            last, self._current = self._current, None
            await _close(last)
            await _close(opening)

    async def _until_something_happens(self, backoff: Backoff) -> None:
        """Until the wish is another one, or the open request ends; then a pause."""
        began = asyncio.get_running_loop().time()
        changed = asyncio.ensure_future(self._changed.wait())
        current = self._current
        try:
            tasks = {changed} if current is None else {changed, current.task}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        if current is None or not current.task.done():
            return
        self._current, self._gap = None, True
        _note_end(current)
        if asyncio.get_running_loop().time() - began >= STEADY_S:
            backoff.reset()
        if not self._changed.is_set():
            await self._pause(backoff)

    async def _take_over(self, request: _Request) -> None:
        """The server hears the new request: the old one can go."""
        old, self._current = self._current, request
        if old is not None and old.task.done():
            self._gap = True
        await _close(old)
        self._settle(request.number, None)
        if self._gap:
            self._gap = False
            self._missed(request.wanted)

    def _take_failure(self, request: _Request) -> bool:
        """Note why a request was never acknowledged; true if the server refuses it."""
        error = _note_end(request)
        if not isinstance(error, RelayedError):
            return False
        self._settle(request.number, error)
        if request.number == self._number:
            self._refused = error
        return True

    def _settle(self, number: int, error: RelayedError | None) -> None:
        for asked, waiter in self._waiting:
            if asked <= number and not waiter.done():
                if error is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(error)

    async def _pause(self, backoff: Backoff) -> None:
        """A pause that another wish ends."""
        try:
            async with asyncio.timeout(backoff.pause_s()):
                await self._changed.wait()
        except TimeoutError:
            pass


def _note_end(request: _Request) -> BaseException | None:
    """Why a request ended. What is no error of an upstream is an error of ours, and is raised."""
    error = None if request.task.cancelled() else request.task.exception()
    if error is not None and not isinstance(error, RelayedError | UpstreamError):
        raise error
    return error


async def _close(request: _Request | None) -> None:
    if request is not None:
        request.task.cancel()
        await asyncio.gather(request.task, return_exceptions=True)
