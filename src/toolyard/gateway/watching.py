"""Resource subscriptions: who watches what. An upstream is asked once for each principal and URI, however many clients
watch; subscribing twice is subscribing once, and nobody can end what another one began. When an upstream is replaced by
a configured anew one, what was watched is watched there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakValueDictionary

from toolyard.gateway.call import Call, Target, Upstream
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import TaskOwner

log = get_logger(__name__)

ROUND_S = 5.0


class Watched(NamedTuple):
    """One subscription at one upstream."""

    upstream_id: str
    principal_id: str
    uri: str


class Watching:
    """Keeps the watchers (`call.watcher`: a session or a listen stream). `upstream(id)` finds the live upstream."""

    def __init__(self, upstream: Callable[[str], Upstream]) -> None:
        self._upstream = upstream
        self._watchers: dict[Watched, dict[str, Call]] = {}
        self._order: WeakValueDictionary[Watched, asyncio.Lock] = WeakValueDictionary()
        self._tasks = TaskOwner("watching")

    def __len__(self) -> int:
        return len(self._watchers)

    async def begin(self, call: Call, target: Target) -> None:
        """The call's watcher watches the call's URI from now on. Raises what the upstream raises."""
        watched = Watched(target.upstream_id, call.principal.id, target.params["uri"])
        async with self._in_order(watched):
            if watched not in self._watchers:
                await self._at(watched, call).watch(call, watched.uri)
                self._watchers[watched] = {}
            self._watchers[watched][call.watcher] = call

    async def end(self, call: Call, target: Target) -> None:
        """The call's watcher no longer watches. The upstream gets a few seconds of its own to hear of it."""
        watched = Watched(target.upstream_id, call.principal.id, target.params["uri"])
        watchers = self._watchers.get(watched, {})
        if call.watcher not in watchers:
            return
        async with self._in_order(watched):
            watchers.pop(call.watcher, None)
            if watchers or self._watchers.get(watched) is not watchers:
                return
            del self._watchers[watched]
            last = _with_time(call)
            await self._at(watched, last).unwatch(last, watched.uri)

    def replaced(self, upstream_id: str) -> None:
        """The live upstream of this id is another one now, or none."""
        moved = {watched: w for watched, w in self._watchers.items() if watched.upstream_id == upstream_id}
        for watched, watchers in moved.items():
            self._tasks.start(self._watch_again(watched, next(iter(watchers.values()))))

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _watch_again(self, watched: Watched, call: Call) -> None:
        again = _with_time(call)
        try:
            await self._at(watched, again).watch(again, watched.uri)
        except PlatformError as error:
            log.info("subscription_lost", upstream=watched.upstream_id, code=error.code)
            self._watchers.pop(watched, None)

    def _in_order(self, watched: Watched) -> asyncio.Lock:
        """One change of a subscription at a time; the lock lives while somebody holds it or waits for it."""
        return self._order.setdefault(watched, asyncio.Lock())

    def _at(self, watched: Watched, call: Call) -> Upstream:
        upstream = self._upstream(watched.upstream_id)
        call.isolation = "" if upstream.spec.stateless else call.principal.id
        return upstream


def _with_time(call: Call) -> Call:
    return replace(call, deadline=asyncio.get_running_loop().time() + ROUND_S)
