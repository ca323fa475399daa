"""Resource subscriptions: who watches what. An upstream is asked once for each principal and URI, however many clients
watch; subscribing twice is subscribing once, and nobody can end what another one began."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from toolyard.gateway.call import Call, Target, Upstream

END_S = 5.0


class Watched(NamedTuple):
    """One subscription at one upstream."""

    upstream_id: str
    principal_id: str
    uri: str


class Watching:
    """Keeps the watchers (`call.watcher`: a session or a listen stream). `upstream(id)` finds the live upstream."""

    def __init__(self, upstream: Callable[[str], Upstream]) -> None:
        self._upstream = upstream
        self._watchers: dict[Watched, set[str]] = {}
        self._order: dict[Watched, asyncio.Lock] = {}

    async def begin(self, call: Call, target: Target) -> None:
        """The call's watcher watches the call's URI from now on. Raises what the upstream raises."""
        watched = _watched(call, target)
        order = self._order.setdefault(watched, asyncio.Lock())
        try:
            async with order:
                if watched not in self._watchers:
                    await self._at(target, call).watch(call, watched.uri)
                    self._watchers[watched] = set()
                self._watchers[watched].add(call.watcher)
        finally:
            if watched not in self._watchers and not order.locked():
                self._order.pop(watched, None)

    async def end(self, call: Call, target: Target) -> None:
        """The call's watcher no longer watches. The upstream gets a few seconds of its own to hear of it."""
        watched = _watched(call, target)
        watchers = self._watchers.get(watched, set())
        if call.watcher not in watchers:
            return
        async with self._order.setdefault(watched, asyncio.Lock()):
            watchers.discard(call.watcher)
            if watchers or self._watchers.get(watched) is not watchers:
                return
            del self._watchers[watched]
            del self._order[watched]
            last = replace(call, deadline=asyncio.get_running_loop().time() + END_S)
            await self._at(target, last).unwatch(last, watched.uri)

    def __len__(self) -> int:
        return len(self._watchers)

    def _at(self, target: Target, call: Call) -> Upstream:
        upstream = self._upstream(target.upstream_id)
        call.isolation = "" if upstream.spec.stateless else call.principal.id
        return upstream


def _watched(call: Call, target: Target) -> Watched:
    return Watched(target.upstream_id, call.principal.id, target.params["uri"])
