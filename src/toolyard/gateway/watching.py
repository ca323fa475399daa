"""Resource subscriptions: who watches what. An upstream is asked once for each URI by all watchers that share a session
with it (see `gateway/isolation.py`), however many they are; subscribing twice is subscribing once, and nobody can end
what another one began. When an upstream is replaced by a configured anew one, what was watched is watched there, and
told once: it may have changed meanwhile. Who stops watching is found by the watcher and the URI, wherever the URI leads
by then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, Target, Upstream
from toolyard.gateway.isolation import isolation_of
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamUnreachable
from toolyard.kit.backoff import Backoff
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import TaskOwner

log = get_logger(__name__)

ROUND_S = 5.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


class Watched(NamedTuple):
    """One subscription at one upstream."""

    upstream_id: str
    principal_id: str
    isolation: str
    uri: str


Updated = Callable[[str, str | None, Json], None]


def _to_nobody(upstream_id: str, principal_id: str | None, params: Json) -> None:
    """Nobody wants to hear of it."""


class Watching:
    """Keeps the watchers (`call.watcher`: a session or a listen stream). `upstream(id)` finds the live upstream;
    `updated(upstream id, principal id, params)` is told of resources that may have changed unseen."""

    def __init__(self, upstream: Callable[[str], Upstream], updated: Updated = _to_nobody) -> None:
        self._upstream = upstream
        self._updated = updated
        self._watchers: dict[Watched, dict[str, Call]] = {}
        self._watched: dict[tuple[str, str], Watched] = {}
        self._order: WeakValueDictionary[Watched, asyncio.Lock] = WeakValueDictionary()
        self._moving: dict[Watched, asyncio.Task[Any]] = {}
        self._tasks = TaskOwner("watching")
        self.unmoved = False

    def __len__(self) -> int:
        return len(self._watchers)

    async def begin(self, call: Call, target: Target, *, moves: bool = False) -> None:
        """The call's watcher watches the call's URI from now on; one that only `moves` to another upstream may have
        ended meanwhile. Raises what the upstream raises."""
        watched = self._subscription(target.upstream_id, call, target.params["uri"])
        async with self._in_order(watched):
            if watched not in self._watchers:
                own = replace(call)
                await self._at(watched, own).watch(own, watched.uri)
                self._watchers[watched] = {}
            self._watchers[watched][call.watcher] = call
        before = self._watched.get((call.watcher, watched.uri))
        self._watched[call.watcher, watched.uri] = watched
        if moves and before is None:
            await self.end(call, watched.uri)
        elif before is not None and before != watched:
            await self._leave(before, call)

    async def end(self, call: Call, uri: str) -> None:
        """The call's watcher no longer watches. The upstream gets a few seconds of its own to hear of it."""
        watched = self._watched.get((call.watcher, uri))
        if watched is not None and watched.principal_id == call.principal.id:
            del self._watched[call.watcher, uri]
            await self._leave(watched, call)

    async def _leave(self, watched: Watched, call: Call) -> None:
        async with self._in_order(watched):
            watchers = self._watchers.get(watched, {})
            watchers.pop(call.watcher, None)
            if watchers or self._watchers.get(watched) is not watchers:
                return
            del self._watchers[watched]
            last = _with_time(call)
            await self._at(watched, last).unwatch(last, watched.uri)

    def replaced(self, upstream_id: str) -> None:
        """The live upstream of this id is another one now, or none."""
        self._regroup(upstream_id)
        for watched in [watched for watched in self._watchers if watched.upstream_id == upstream_id]:
            earlier = self._moving.pop(watched, None)
            if earlier is not None:
                earlier.cancel()
            self._moving[watched] = task = self._tasks.start(self._watch_again(watched))
            task.add_done_callback(partial(self._moved, watched))

    def reroute(self, find: Callable[[str, str], Target | None]) -> None:
        """Watch elsewhere what is read elsewhere now. `find(server, uri)`: where a resource of a server is read, None
        if nowhere; what is nowhere now is left where it was. Where that cannot be had, `unmoved` says later that
        it is to be tried again."""
        self.unmoved = False
        for (watcher, uri), watched in tuple(self._watched.items()):
            call = self._watchers.get(watched, {}).get(watcher)
            target = find(call.server, uri) if call is not None else None
            if call is not None and target is not None and target.upstream_id != watched.upstream_id:
                self._tasks.start(self._move(call, target))

    async def _move(self, call: Call, target: Target) -> None:
        try:
            await self.begin(_with_time(call), target, moves=True)
        except PlatformError as error:
            log.info("subscription_not_moved", upstream=target.upstream_id, code=error.code)
            if isinstance(error, UpstreamError):
                await asyncio.sleep(Backoff(LONGEST_PAUSE_S, LONGEST_PAUSE_S).pause_s())
                self.unmoved = True
        else:
            self._updated(target.upstream_id, call.principal.id, {"uri": target.params["uri"]})

    def _regroup(self, upstream_id: str) -> None:
        """The upstream may have another isolation policy now: who shared a session with whom may not do so any more."""
        for watched in [watched for watched in self._watchers if watched.upstream_id == upstream_id]:
            for watcher, call in tuple(self._watchers[watched].items()):
                try:
                    now = self._subscription(upstream_id, call, watched.uri)
                except UpstreamUnreachable:
                    return
                if now != watched:
                    del self._watchers[watched][watcher]
                    self._watchers.setdefault(now, {})[watcher] = call
                    self._watched[watcher, watched.uri] = now
            if not self._watchers[watched]:
                del self._watchers[watched]

    def _moved(self, watched: Watched, task: asyncio.Task[Any]) -> None:
        if self._moving.get(watched) is task:
            del self._moving[watched]

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _watch_again(self, watched: Watched) -> None:
        """Try until it is watched, nobody watches any more, the upstream refuses or is not configured any more."""
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while watched in self._watchers:
            try:
                if await self._watched_there(watched):
                    self._updated(watched.upstream_id, watched.principal_id, {"uri": watched.uri})
                return
            except UpstreamError as error:
                log.info("subscription_interrupted", upstream=watched.upstream_id, code=error.code)
            except PlatformError as error:
                log.info("subscription_lost", upstream=watched.upstream_id, code=error.code)
                self._forget(watched)
                return
            await asyncio.sleep(backoff.pause_s())

    async def _watched_there(self, watched: Watched) -> bool:
        async with self._in_order(watched):
            watchers = self._watchers.get(watched)
            if not watchers:
                return False
            call = _with_time(next(iter(watchers.values())))
            try:
                upstream = self._at(watched, call)
            except UpstreamUnreachable:
                return False
            await upstream.watch(call, watched.uri)
            return True

    def _forget(self, watched: Watched) -> None:
        for watcher in self._watchers.pop(watched, {}):
            self._watched.pop((watcher, watched.uri), None)

    def _in_order(self, watched: Watched) -> asyncio.Lock:
        """One change of a subscription at a time; the lock lives while somebody holds it or waits for it."""
        return self._order.setdefault(watched, asyncio.Lock())

    def _at(self, watched: Watched, call: Call) -> Upstream:
        upstream = self._upstream(watched.upstream_id)
        call.isolation = watched.isolation
        return upstream

    def _subscription(self, upstream_id: str, call: Call, uri: str) -> Watched:
        """What a call that watches `uri` is about. Raises UpstreamUnreachable."""
        isolation = isolation_of(self._upstream(upstream_id).spec, call)
        return Watched(upstream_id, call.principal.id, isolation, uri)


def _with_time(call: Call) -> Call:
    return replace(call, deadline=asyncio.get_running_loop().time() + ROUND_S)
