"""The driver of 2025-03-26 to 2025-11-25 over HTTP: sessions, kept so that callers never meet.

A session belongs to one isolation key and one set of declared capabilities; the gateway's own lists
definitions, carries no calls and is never given up. A session that the server has forgotten is opened again once, and
the request that found out is repeated only where that is safe.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from toolyard.contract.definitions import Json, Observation
from toolyard.gateway.call import Call, UpstreamEvents
from toolyard.gateway.isolation import ends_with_its_call, owner_of
from toolyard.gateway.upstream.errors import UpstreamBusy, UpstreamError, UpstreamIncomplete
from toolyard.gateway.upstream.http_begun import BegunPost
from toolyard.gateway.upstream.http_delivery import LISTS, UPDATED, Announcer
from toolyard.gateway.upstream.http_era import EraContradicted
from toolyard.gateway.upstream.http_exchange import Endpoint
from toolyard.gateway.upstream.http_running import SessionLost
from toolyard.gateway.upstream.http_session import LegacySession
from toolyard.gateway.upstream.http_session_begun import BegunInSession
from toolyard.gateway.upstream.http_session_place import OWN, Place, SessionKey, close, count_down, key_of
from toolyard.gateway.upstream.http_session_repeater import SessionRepeater
from toolyard.gateway.upstream.http_session_stream import keep_listening
from toolyard.gateway.upstream.http_shared import shared
from toolyard.gateway.upstream.http_tools import KnownTools
from toolyard.gateway.upstream.observe import observe_all
from toolyard.kit.clock import Clock
from toolyard.protocol import jsonrpc
from toolyard.protocol.convert import from_upstream
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.jsonrpc import Notification
from toolyard.protocol.revisions import LEGACY

MAX_SESSIONS: Final = 1_000
STEADY_S: Final = 60.0
SOON_S: Final = 1.0
SWEEP_S: Final = 60.0


class LegacyDriver:
    """Speaks legacy revisions with one endpoint. Raises EraContradicted where the server shows that it is modern."""

    era: Final = "legacy"

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        events: UpstreamEvents,
        clock: Clock,
        timeout_s: float,
        max_streams: int,
        idle_s: float,
    ) -> None:
        self.revision: str = LEGACY[0]
        self.tools = KnownTools()
        self._endpoint = endpoint
        self._clock = clock
        self._timeout_s = timeout_s
        self._max_streams = max_streams
        self._idle_s = idle_s
        self._announcer = Announcer(endpoint.upstream_id, events, clock, endpoint.limits.notifications_per_second)
        self._places: dict[SessionKey, Place] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def connect(self) -> None:
        """Open the gateway's own session. Raises EraContradicted, UpstreamError, RelayedError."""
        await self._session(self._place(OWN), asyncio.get_running_loop().time() + self._timeout_s)

    async def observe(self) -> Observation:
        """All definitions, as the gateway's own session sees them; from before they are read on its stream tells of
        changes, where the server has one."""
        loop = asyncio.get_running_loop()
        session = await self._session(self._place(OWN), loop.time() + self._timeout_s)
        self._listen(self._place(OWN))
        await session.stream_settled(SOON_S)

        async def send(method: str, params: Json) -> Json:
            return await self._request(self._place(OWN), None, method, params, loop.time() + self._timeout_s)

        observation = await observe_all(
            self._endpoint.upstream_id,
            send,
            era="legacy",
            revision=session.revision,
            server_info=session.server_info,
            capabilities=session.server_capabilities,
            instructions=session.instructions,
            clock=self._clock,
            over_http=True,
        )
        self.tools.learn(observation.tools)
        return observation

    async def open_for(self, call: Call) -> None:
        """Have a session for `call`. Raises EraContradicted, UpstreamError, RelayedError; nothing of the call has
        run."""
        place = self._place(key_of(call))
        place.running += 1
        try:
            await self._session(place, call.deadline)
        except BaseException:
            place.over()
            raise
        place.running -= 1

    def begin(
        self, call: Call, method: str, params: Json, go_on_with: Callable[[BegunPost], Awaitable[Json]]
    ) -> BegunInSession | None:
        """Send one request for `call` at once; None if nothing was sent, because its session is not open or a
        connection has to be waited for. `go_on_with` is what carries on with what is no plain answer."""
        place = self._places.get(key_of(call))
        if place is None or place.session is None or place.session.is_lost:
            return None
        return place.session.begin(call, method, params, place, go_on_with)

    def repeater(
        self,
        call: Call,
        params: Json,
        go_on_with: Callable[[BegunPost], Awaitable[Json]],
        is_current: Callable[[], bool],
        count: Callable[[], None],
    ) -> SessionRepeater | None:
        """What sends tool calls like `call` again, on its session while it is open."""
        key = key_of(call)
        place = self._places.get(key)
        if place is None or place.session is None or place.session.is_lost:
            return None

        def holds() -> bool:
            return self._places.get(key) is place and is_current()

        return SessionRepeater(place.session, place, go_on_with, holds, count, call, params["name"])

    async def request(self, call: Call, method: str, params: Json, begun: BegunInSession | None = None) -> Json:
        """One request for `call`, on the session of its principal and capabilities; the first sending may have been
        `begun`."""
        result = await self._request(self._place(key_of(call)), call, method, params, call.deadline, begun)
        return from_upstream(self.revision, method, result)

    async def watch(self, call: Call, uri: str) -> None:
        """From the return on, changes of `uri` are announced. Raises RelayedError, UpstreamError."""
        place = self._place(key_of(call))
        if uri not in place.watches:
            await self._request(place, call, "resources/subscribe", {"uri": uri}, call.deadline)
        place.watches[uri] = place.watches.get(uri, 0) + 1
        if not self._listen(place):
            await self.unwatch(call, uri)
            raise UpstreamBusy(f"All event streams from upstream {self._endpoint.upstream_id!r} are in use.")

    async def unwatch(self, call: Call, uri: str) -> None:
        """One watcher less; the last one ends the subscription as far as the server lets us."""
        place = self._place(key_of(call))
        if not count_down(place, uri) or place.session is None or place.session.is_lost:
            return
        try:
            await self._request(place, call, "resources/unsubscribe", {"uri": uri}, call.deadline)
        except (RelayedError, UpstreamError):
            pass

    async def roots_changed(self, call: Call) -> None:
        """Tell the caller's session, if it has one. Raises UpstreamError."""
        place = self._places.get(key_of(call))
        if place is not None and place.session is not None and not place.session.is_lost:
            try:
                await place.session.post(jsonrpc.notification("notifications/roots/list_changed"), call.deadline)
            except SessionLost:
                return

    def forget(self, isolation: str) -> None:
        """Nobody will come with this isolation key again: end its sessions as soon as they are not in use."""
        for place in [one for one in self._places.values() if one.key.isolation == isolation and one.key != OWN]:
            place.watches.clear()
            place.ends_unused = True
            self._drop_if_over(place)

    @property
    def running(self) -> int:
        """How many requests are at work."""
        return sum(len(p.session.calls.running) + len(p.session.calls.sent) for p in self._places.values() if p.session)

    def status(self) -> dict[str, Any]:
        open_places = [place for place in self._places.values() if place.session is not None]
        return {**self._announcer.counts, "sessions": len(open_places), "running": self.running}

    async def aclose(self) -> None:
        """End all sessions, here and on the server."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        tasks: list[asyncio.Task[Any]] = [*self._tasks, *(p.opening for p in self._places.values() if p.opening)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        places, self._places = list(self._places.values()), {}
        await asyncio.gather(*(close(place) for place in places), return_exceptions=True)

    # Sessions

    def _place(self, key: SessionKey) -> Place:
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= MAX_SESSIONS:
                self._give_up_one()
            ends = ends_with_its_call(key.isolation)
            place = self._places[key] = Place(key, ends_unused=ends, on_unused=self._drop_if_over)
            if self._sweep is None:
                self._sweep_later()
        return place

    async def _session(self, place: Place, deadline: float) -> LegacySession:
        """The session of `place`, opened if need be; whoever needs it at the same time waits for the same handshake."""
        if place.session is not None and not place.session.is_lost:
            return place.session
        if place.opening is None:
            place.opening = asyncio.get_running_loop().create_task(self._open(place))
            place.opening.add_done_callback(lambda _: self._drop_if_over(place))
        return await shared(place.opening, deadline, self._endpoint.upstream_id)

    async def _open(self, place: Place) -> LegacySession:
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        capabilities = json.loads(place.key.capabilities)
        session = LegacySession(self._endpoint, self._announcer, capabilities, place.owner or None)
        try:
            await session.initialize(deadline)
            if place.watches:
                await self._watch_again(session, place, deadline)
            lost, place.session = place.session, session
            if lost is not None:
                await lost.aclose()
        except BaseException as end:
            if place.session is not session:
                self._spawn(session.aclose())
            if isinstance(end, SessionLost):
                raise UpstreamIncomplete(
                    f"Upstream {self._endpoint.upstream_id!r} forgets its sessions at once."
                ) from None
            raise
        finally:
            place.opening = None
        self.revision = session.revision
        place.opened_at_s = asyncio.get_running_loop().time()
        if place.key == OWN or session.capabilities or place.watches:
            self._listen(place)
        return session

    async def _watch_again(self, session: LegacySession, place: Place, deadline: float) -> None:
        """A new session knows nothing of the old one's subscriptions, and changes may have been missed."""
        for uri in list(place.watches):
            try:
                await session.request(None, "resources/subscribe", {"uri": uri}, deadline, safe=True)
            except RelayedError:
                continue
            self._announcer.announce(Notification(UPDATED, {"uri": uri}), session.principal_id)

    async def _request(
        self,
        place: Place,
        call: Call | None,
        method: str,
        params: Json,
        deadline: float,
        begun: BegunInSession | None = None,
    ) -> Json:
        """One request; one that was `begun` is counted already."""
        place.running += begun is None
        try:
            return await self._repeated(place, call, method, params, deadline, begun)
        finally:
            place.over()

    async def _repeated(
        self,
        place: Place,
        call: Call | None,
        method: str,
        params: Json,
        deadline: float,
        begun: BegunInSession | None,
    ) -> Json:
        """The answer to one request, sent again on a new session where the old one is lost and that is safe."""
        safe = self.tools.repeatable(method, params)
        try:
            if begun is not None:
                return await begun.session.request(call, method, params, deadline, safe=safe, begun=begun)
            session = await self._session(place, deadline)
            return await session.request(call, method, params, deadline, safe=safe)
        except SessionLost:
            if not safe:
                self._revive(place)
                raise UpstreamIncomplete(f"Upstream {self._endpoint.upstream_id!r} lost its session.") from None
        session = await self._session(place, deadline)
        try:
            return await session.request(call, method, params, deadline, safe=safe)
        except SessionLost:
            raise UpstreamIncomplete(f"Upstream {self._endpoint.upstream_id!r} lost its session twice.") from None

    # Streams

    def _listen(self, place: Place) -> bool:
        """Open the GET stream of the session, if it has none; who watches goes before who only may be asked something.
        False where there is no room for one more."""
        session = place.session
        if session is None or place.listening is not None or self._places.get(place.key) is not place:
            return True
        streaming = [p for p in self._places.values() if p.listening is not None]
        if len(streaming) >= self._max_streams and place.key != OWN:
            spare = next((p for p in streaming if p.key != OWN and not p.watches and not p.running), None)
            if spare is None or spare.listening is None or not place.watches:
                return False
            spare.listening.cancel()
        task = place.listening = session.spawn(
            keep_listening(session, lambda _: self._revive(place), lambda: self._announce_missed(place))
        )
        task.add_done_callback(lambda _: self._stopped_listening(place, task))
        return True

    def _announce_missed(self, place: Place) -> None:
        """What was listened to may have changed unheard."""
        owner = owner_of(place.key.isolation) or None
        for method in LISTS:
            self._announcer.announce(Notification(method, {}), owner)
        for uri in place.watches:
            self._announcer.announce(Notification(UPDATED, {"uri": uri}), owner)

    def _stopped_listening(self, place: Place, task: asyncio.Task[None]) -> None:
        if place.listening is task:
            place.listening = None

    def _revive(self, place: Place) -> None:
        """Open a lost session again where somebody listens to it though nobody calls."""
        if not place.is_listened_to or place.reopens:
            return
        if asyncio.get_running_loop().time() - place.opened_at_s >= STEADY_S:
            place.backoff.reset()
        place.reopens = True
        self._spawn(self._reopen(place))

    async def _reopen(self, place: Place) -> None:
        """Try, with growing pauses, until the session is there or nobody listens any more. What the gateway's own
        session may have missed is found by listing again, and so is another era."""
        loop = asyncio.get_running_loop()
        try:
            while place.is_listened_to and self._places.get(place.key) is place:
                await asyncio.sleep(place.backoff.pause_s())
                try:
                    await self._session(place, loop.time() + self._timeout_s)
                    break
                except EraContradicted:
                    self._announcer.announce(Notification("notifications/tools/list_changed", {}))
                except (UpstreamError, RelayedError):
                    continue
        finally:
            place.reopens = False
        if place.key == OWN:
            self._announce_missed(place)

    # Bounds

    def _sweep_idle(self) -> None:
        oldest_s = self._clock.monotonic() - self._idle_s
        for place in [place for place in self._places.values() if place.is_idle]:
            if place.session is None or place.session.calls.last_used_s <= oldest_s:
                self._retire(place)
        self._sweep = None
        if self._places:
            self._sweep_later()

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(min(SWEEP_S, self._idle_s), self._sweep_idle)

    def _give_up_one(self) -> None:
        """Make room: of whoever has most sessions, the one that has been idle longest goes."""
        idle = [place for place in self._places.values() if place.is_idle]
        if not idle:
            raise UpstreamBusy(f"All sessions with upstream {self._endpoint.upstream_id!r} are in use.")
        have = Counter(place.owner for place in self._places.values())
        self._retire(
            min(idle, key=lambda place: (-have[place.owner], place.session.calls.last_used_s if place.session else 0.0))
        )

    def _drop_if_over(self, place: Place) -> None:
        if place.ends_unused and place.is_idle and self._places.get(place.key) is place and not self._closed:
            self._retire(place)

    def _retire(self, place: Place) -> None:
        del self._places[place.key]
        self._spawn(close(place))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
