"""Resource subscriptions, counted: an upstream is asked once for each principal and URI, however many clients watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from toolyard.gateway.call import Call, Target, Upstream


class Watched(NamedTuple):
    """One subscription at one upstream."""

    upstream_id: str
    principal_id: str
    uri: str


class Watching:
    """Counts who watches what. `upstream(id)` finds the live upstream."""

    def __init__(self, upstream: Callable[[str], Upstream]) -> None:
        self._upstream = upstream
        self._counts: dict[Watched, int] = {}
        self._order: dict[str, asyncio.Lock] = {}

    async def change(self, call: Call, target: Target, *, on: bool) -> None:
        """One client more or one less watches the call's URI."""
        watched = Watched(target.upstream_id, call.principal.id, target.params["uri"])
        upstream = self._upstream(target.upstream_id)
        call.isolation = "" if upstream.spec.stateless else call.principal.id
        async with self._order.setdefault(target.upstream_id, asyncio.Lock()):
            count = self._counts.get(watched, 0)
            if on:
                if count == 0:
                    await upstream.watch(call, watched.uri)
                self._counts[watched] = count + 1
            elif count > 1:
                self._counts[watched] = count - 1
            else:
                self._counts.pop(watched, None)
                await upstream.unwatch(call, watched.uri)
