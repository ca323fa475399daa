"""An upstream on two-way channels, whatever they are made of: the `Upstream` port on top of the session pool."""

from __future__ import annotations

import asyncio
from typing import Any

from toolyard.contract.definitions import Era, Json, Observation
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Begun, Call, UpstreamEvents
from toolyard.gateway.upstream.asking import legacy_capabilities
from toolyard.gateway.upstream.duplex_begun import BegunRequest
from toolyard.gateway.upstream.duplex_repeater import DuplexRepeater, duplex_repeater
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamExited, UpstreamIncomplete
from toolyard.gateway.upstream.http_tools import KnownTools
from toolyard.gateway.upstream.observe import observe_all
from toolyard.gateway.upstream.opening import Dialling
from toolyard.gateway.upstream.restarts import Restarts
from toolyard.gateway.upstream.sessions_pool import SessionPool, Watched
from toolyard.kit.clock import Clock
from toolyard.protocol import jsonrpc

LOST = (UpstreamExited, UpstreamIncomplete)


class DuplexUpstream:
    """Requests, observations and subscriptions of one upstream that is spoken to over channels."""

    def __init__(
        self,
        spec: UpstreamSpec,
        dialling: Dialling,
        *,
        events: UpstreamEvents,
        clock: Clock,
        restarts: Restarts,
        era_hint: str | None = None,
    ) -> None:
        hint: Era | None = "modern" if era_hint == "modern" else "legacy" if era_hint == "legacy" else None
        self.spec = spec
        self._clock = clock
        self._tools = KnownTools()
        self._pool = SessionPool(spec, dialling, events=events, clock=clock, restarts=restarts, era_hint=hint)

    async def request(self, call: Call, method: str, params: Json) -> Json:
        """One request for `call`; tried on a second session only if the first was lost and provably never sent it, or
        if sending it twice does no harm."""
        try:
            return await self._request(call, method, params)
        except LOST as error:
            if not self._may_repeat(error, call, method, params):
                raise
        return await self._request(call, method, params)

    def _may_repeat(self, error: UpstreamError, call: Call, method: str, params: Json) -> bool:
        in_time = asyncio.get_running_loop().time() < call.deadline
        return in_time and (not error.may_have_run or self._tools.repeatable(method, params))

    def begin(self, call: Call, method: str, params: Json) -> Begun | None:
        """Send one request for `call` at once, if its session is open, its turn there and its channel free."""
        if call.input_responses is not None or call.upstream_state is not None:
            return None
        session = self._pool.lend(call)
        if session is None:
            return None
        pending = session.begin(call, method, params)
        if pending is None:
            self._pool.release(session, call)
            return None
        return BegunRequest(self, session, call, params, pending)

    async def go_on(self, begun: BegunRequest) -> Json:
        """The result of a request that was begun, as `request` would give it."""
        try:
            return await self._went_on(begun)
        except LOST as error:
            if not self._may_repeat(error, begun.call, begun.method, begun.params):
                raise
        return await self._request(begun.call, begun.method, begun.params)

    async def _went_on(self, begun: BegunRequest) -> Json:
        try:
            return await begun.session.go_on(begun.call, begun.params, begun.pending)
        finally:
            self.give_back(begun)

    def give_back(self, begun: BegunRequest) -> None:
        """A request that was begun has ended, or is given up."""
        self._pool.release(begun.session, begun.call)

    def repeater(self, call: Call, params: Json) -> DuplexRepeater | None:
        """What sends calls like this one through the session that it has."""
        return duplex_repeater(self, self._pool, call, params)

    def may_push(self, call: Call) -> bool:
        """A legacy upstream asks while the request runs; what an upstream of an era not yet known does, too."""
        return self._pool.era != "modern"

    async def _request(self, call: Call, method: str, params: Json) -> Json:
        session = await self._pool.acquire(call, call.deadline)
        try:
            return await session.call(call, method, params)
        finally:
            self._pool.release(session, call)

    async def observe(self) -> Observation:
        """All definitions, read on the gateway's own session."""
        session = await self._pool.acquire(None, self._deadline())
        greeting = session.greeting
        try:
            await session.settled()
            observation = await observe_all(
                self.spec.id,
                lambda method, params: session.own(method, params, self._deadline()),
                era=greeting.era,
                revision=greeting.revision,
                server_info=greeting.server_info,
                capabilities=greeting.capabilities,
                instructions=greeting.instructions,
                clock=self._clock,
            )
        finally:
            self._pool.release(session, None)
        self._tools.learn(observation.tools)
        return observation

    async def watch(self, call: Call, uri: str) -> None:
        """Have changes of a resource reported to the caller's session; tried again, once, if that was lost."""
        try:
            await self._watch(call, uri)
        except LOST:
            if asyncio.get_running_loop().time() >= call.deadline:
                raise
            await self._watch(call, uri)

    async def _watch(self, call: Call, uri: str) -> None:
        session = await self._pool.acquire(call, call.deadline)
        try:
            watched = self._pool.watched.setdefault(session.key, Watched(legacy_capabilities(call)))
            watched.uris[uri] = watched.uris.get(uri, 0) + 1
            if watched.uris[uri] == 1 or session.greeting.era == "modern":
                await session.watch(tuple(watched.uris), uri, call.deadline, on=True)
        except BaseException:
            self._forget(session.key, uri)
            raise
        finally:
            self._pool.release(session, call)

    async def unwatch(self, call: Call, uri: str) -> None:
        """The opposite of `watch`. Where there is no session any more, there is nothing to be told."""
        if not self._forget(self._pool.key(call), uri) or not self._pool.has_session(call):
            return
        session = await self._pool.acquire(call, call.deadline)
        try:
            watched = self._pool.watched.get(session.key)
            if watched is None or uri not in watched.uris:
                await session.watch(tuple(watched.uris) if watched else (), uri, call.deadline, on=False)
        finally:
            self._pool.release(session, call)

    async def roots_changed(self, call: Call) -> None:
        """Tell the caller's legacy session, if it has one."""
        session = self._pool.session_of(call) if self._pool.era == "legacy" else None
        if session is not None:
            session.peer.note(jsonrpc.notification("notifications/roots/list_changed"))

    def forget(self, isolation: str) -> None:
        """End the sessions of an isolation key as soon as they are not in use."""
        self._pool.retire(isolation)

    def _forget(self, key: tuple[str | None, bytes], uri: str) -> bool:
        """Count one watcher less; true if it was the last one of this resource."""
        watched = self._pool.watched.get(key)
        if watched is None or uri not in watched.uris:
            return False
        watched.uris[uri] -= 1
        if watched.uris[uri] > 0:
            return False
        del watched.uris[uri]
        if not watched.uris:
            del self._pool.watched[key]
        return True

    def status(self) -> dict[str, Any]:
        return self._pool.status()

    async def aclose(self) -> None:
        await self._pool.aclose()

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.spec.timeout_s
