"""Sessions of clients older than 2026-07-28: bound to their principal and server, bounded, ended when idle.

An id is random and says nothing. A session of another principal or server does not exist for the caller.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Container, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from toolyard.contract.definitions import Json
from toolyard.gateway.call import AskRefused, Call, ClientGone, Principal, Sink
from toolyard.gateway.catalog import ListKind
from toolyard.gateway.errors import SessionUnknown, TooManySessions
from toolyard.gateway.places import SharedPlaces
from toolyard.gateway.streams import EventStream
from toolyard.kit.clock import Clock
from toolyard.kit.ids import secret_id
from toolyard.kit.tasks import TaskOwner, cancel_begun
from toolyard.protocol import jsonrpc
from toolyard.protocol.errors import RequestId
from toolyard.protocol.revisions import at_least
from toolyard.protocol.strict_json import encode

MAX_FINISHED_STREAMS = 16
MAX_FINISHED_BYTES = 4 * 1024 * 1024
MAX_ASKS = 64
STANDALONE = 0
RESOURCE_UPDATED = "notifications/resources/updated"
_ASK_ID = re.compile(r"toolyard-([0-9]{1,9})", re.ASCII)
_EVENT_ID = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
CLOSE_LIMIT_S = 5.0
WITHDRAW_S = 1.0

Send = Callable[[bytes], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How many sessions there may be, and after how many idle seconds one ends."""

    total: int = 1000
    per_principal: int = 50
    idle_s: float = 3600.0


class Cancellable(Protocol):
    """A task, or a call under way without one."""

    def cancel(self) -> object: ...


@dataclass(slots=True)
class Running:
    """A client's request that is being carried out. `work` is None until it is known who does that."""

    work: Cancellable | None = None
    cancelled: bool = False

    def cancel(self) -> None:
        """Nobody wants the answer any more."""
        self.cancelled = True
        if self.work is not None:
            self.work.cancel()

    def taken_over(self, task: asyncio.Task[Any]) -> None:
        """A task carries it out from now on."""
        self.work = task
        if self.cancelled:
            cancel_begun(task)


class LegacySession:
    """One session. `push` sends a message that belongs to no call; HTTP has a stream for them, sockets are one."""

    def __init__(
        self,
        principal: Principal,
        server: str,
        revision: str,
        params: Json,
        push: Send | None,
        *,
        new_id: Callable[[], str] = secret_id,
    ) -> None:
        self.id = new_id()
        self.principal = principal
        self.principal_id = principal.id
        self.server = server
        self.revision = revision
        capabilities = params.get("capabilities")
        self.client_capabilities: Json = capabilities if isinstance(capabilities, dict) else {}
        client_info = params.get("clientInfo")
        self.client_info: Json | None = client_info if isinstance(client_info, dict) else None
        self.log_level: str | None = None
        self.running: dict[RequestId, Running] = {}
        self.watched: dict[str, Call] = {}
        self.resumable = push is None
        self.standalone = EventStream(STANDALONE, None, opens_with_event=False, more=self._next_change)
        self._push = push
        self._changes: dict[tuple[str, str], Json | None] = {}
        self._telling: asyncio.Task[Any] | None = None
        self._streams: OrderedDict[int, EventStream] = OrderedDict({STANDALONE: self.standalone})
        self._next_stream = 1
        self._opens_streams = at_least(revision, "2025-11-25")
        self._asks: dict[RequestId, asyncio.Future[jsonrpc.Reply]] = {}
        self._next_ask = 1
        self._outgoing = TaskOwner("session")
        self.last_used = 0.0
        self.listeners = 0
        self.ended = asyncio.Event()

    @property
    def in_use(self) -> bool:
        """Something runs, a client listens, or the session lives on a connection that ends it by itself."""
        return bool(self.running) or self.listeners > 0 or not self.resumable

    def new_stream(self, sink: Sink, *, streams: bool, streams_first: bool = False) -> EventStream:
        """The stream for the answer of one POST; `streams`: its client accepts event streams, and names them first."""
        opens = streams and self._opens_streams
        number = self._next_stream
        self._next_stream += 1
        return EventStream(
            number, sink, opens_with_event=opens, streams=streams, plain=not streams_first, keeper=self._keep_stream
        )

    def _keep_stream(self, stream: EventStream) -> None:
        self._streams[stream.number] = stream
        self._make_room()

    def _make_room(self) -> None:
        """Keep few finished streams and little of them; the oldest go first."""
        finished = deque(s for s in self._streams.values() if s.finished)
        kept_bytes = sum(s.kept_bytes for s in finished)
        while len(finished) > MAX_FINISHED_STREAMS or (kept_bytes > MAX_FINISHED_BYTES and len(finished) > 1):
            oldest = finished.popleft()
            kept_bytes -= oldest.kept_bytes
            del self._streams[oldest.number]

    def find_stream(self, event_id: str) -> tuple[EventStream, int]:
        """The stream an event id belongs to, and the event's number. Raises SessionUnknown for ids never given."""
        found = _EVENT_ID.fullmatch(event_id)
        stream = self._streams.get(int(found[1])) if found else None
        if found is None or stream is None or not stream.has_all_after(int(found[2])) or int(found[2]) > stream.last:
            raise SessionUnknown("this Last-Event-ID is unknown or too old: initialize again")
        return stream, int(found[2])

    async def ask(self, send: Send, requests: Mapping[str, Json]) -> dict[str, Json]:
        """Send requests to the client and wait for all answers. Raises AskRefused when one is an error."""
        if len(self._asks) + len(requests) > MAX_ASKS:
            raise AskRefused("the client has too many open questions")
        waiting: dict[str, tuple[RequestId, asyncio.Future[jsonrpc.Reply]]] = {}
        try:
            for key, request in requests.items():
                ask_id: RequestId = f"toolyard-{self._next_ask}"
                self._next_ask += 1
                self._asks[ask_id] = future = asyncio.get_running_loop().create_future()
                waiting[key] = (ask_id, future)
                await send(encode(jsonrpc.request(ask_id, request["method"], request.get("params"))))
            return {key: _answer_of(await future) for key, (_, future) in waiting.items()}
        finally:
            for ask_id, future in waiting.values():
                self._asks.pop(ask_id, None)
                if not future.done() or future.cancelled():
                    await self._withdraw(send, ask_id)

    async def _withdraw(self, send: Send, ask_id: RequestId) -> None:
        """Nobody needs the answer any more: say so, and a dialog that is open at the client can close."""
        params = {"requestId": ask_id, "reason": "the call was given up"}
        with suppress(ClientGone, TimeoutError):
            async with asyncio.timeout(WITHDRAW_S):
                await send(encode(jsonrpc.notification("notifications/cancelled", params)))

    def take_reply(self, reply: jsonrpc.Reply) -> bool:
        """Hand a client's answer to whoever asked; False if that was never asked. An answer that comes late, after its
        question was given up, is taken and forgotten."""
        future = self._asks.get(reply.id) if reply.id is not None else None
        if future is not None and not future.done():
            future.set_result(reply)
            return True
        asked = _ASK_ID.fullmatch(reply.id) if isinstance(reply.id, str) else None
        return asked is not None and int(asked[1]) < self._next_ask

    def cancel(self, request_id: Any) -> None:
        """The client no longer wants the answer to one of its requests."""
        running = self.running.get(request_id) if isinstance(request_id, str | int) else None
        if running is not None:
            running.cancel()

    def lists_changed(self, kinds: frozenset[ListKind]) -> None:
        for kind in sorted(kinds):
            self._changes[f"notifications/{kind}/list_changed", ""] = None
        self._tell()

    def watches(self, uri: str) -> bool:
        return uri in self.watched and self.principal.grant.permits("resources/subscribe")

    def resource_updated(self, params: Json) -> None:
        self._changes[RESOURCE_UPDATED, params["uri"]] = params
        self._tell()

    def _tell(self) -> None:
        """What changed is told as fast as the client takes it; until then the same change counts once. Over HTTP the
        GET stream takes it."""
        if self._push is None:
            self.standalone.wake()
        elif self._telling is None or self._telling.done():
            self._telling = self._outgoing.start(self._tell_all(self._push))

    async def _tell_all(self, push: Send) -> None:
        with suppress(ClientGone):
            while (message := self._next_change()) is not None:
                await push(message)

    def _next_change(self) -> bytes | None:
        """The change that waits for longest, of those that the client still wants to hear of."""
        while self._changes:
            method, uri = next(iter(self._changes))
            params = self._changes.pop((method, uri))
            if method != RESOURCE_UPDATED or self.watches(uri):
                return encode(jsonrpc.notification(method, params))
        return None

    async def end(self) -> None:
        """Stop everything the session has running."""
        self.ended.set()
        self.standalone.end()
        for running in tuple(self.running.values()):
            running.cancel()
        for future in self._asks.values():
            future.cancel()
        await self._outgoing.aclose()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something for the session that nobody waits for; it ends with the session."""
        self._outgoing.start(work)


class Sessions:
    """All sessions of one gateway."""

    def __init__(self, limits: SessionLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._sessions: OrderedDict[str, LegacySession] = OrderedDict()
        self._per_principal: dict[str, int] = {}
        self._closing = TaskOwner("sessions")
        self.on_end: Callable[[LegacySession], Awaitable[None]] = _nothing_more
        self.new_id: Callable[[], str] = secret_id
        self.shared: SharedPlaces | None = None
        """Who counts the sessions of all processes, if there are several."""

    def __len__(self) -> int:
        return len(self._sessions)

    def counts(self) -> Mapping[str, int]:
        """How many sessions each principal has."""
        return self._per_principal

    async def admit(self, session: LegacySession) -> None:
        """As `add`, with all processes of the gateway together. Raises TooManySessions."""
        if self.shared is not None and not await self.shared.take("session", session.principal_id):
            raise TooManySessions
        try:
            self.add(session)
        except TooManySessions:
            if self.shared is not None:
                self.shared.give_back("session", session.principal_id)
            raise

    def end_unused(self, principal_id: str) -> bool:
        """End the session of a principal that nobody used for longest, for another process that has its place then;
        False if all are in use."""
        own = (s for s in self._sessions.values() if s.principal_id == principal_id and not s.in_use)
        unused = next(own, None)
        if unused is None:
            return False
        self._end(unused)
        return True

    def add(self, session: LegacySession) -> None:
        """Take a new session in. Where there is no place, the principal's session that nobody used for longest goes:
        its client, if it still lives, initializes again. Raises TooManySessions when all of them are in use."""
        self.end_idle()
        count = self._per_principal.get(session.principal_id, 0)
        if len(self._sessions) >= self._limits.total or count >= self._limits.per_principal:
            own = (s for s in self._sessions.values() if s.principal_id == session.principal_id and not s.in_use)
            unused = next(own, None)
            if unused is None:
                raise TooManySessions
            self.end(unused)
        self._per_principal[session.principal_id] = self._per_principal.get(session.principal_id, 0) + 1
        session.last_used = self._clock.monotonic()
        self._sessions[session.id] = session

    def find(self, session_id: str, principal: Principal, server: str) -> LegacySession:
        """The caller's session. Raises SessionUnknown also for sessions of others."""
        session = self._sessions.get(session_id)
        if session is None or session.principal_id != principal.id or session.server != server:
            raise SessionUnknown
        self.touch(session)
        return session

    def touch(self, session: LegacySession) -> None:
        """The session is used now, or was until now."""
        session.last_used = self._clock.monotonic()
        if session.id in self._sessions:
            self._sessions.move_to_end(session.id)

    def end(self, session: LegacySession) -> None:
        """End a session; what it has open is closed by a task of its own. Harmless if it has ended."""
        if self._end(session) and self.shared is not None:
            self.shared.give_back("session", session.principal_id)

    def _end(self, session: LegacySession) -> bool:
        if self._sessions.pop(session.id, None) is None:
            return False
        left = self._per_principal[session.principal_id] - 1
        if left:
            self._per_principal[session.principal_id] = left
        else:
            del self._per_principal[session.principal_id]
        self._closing.start(self._close(session))
        return True

    async def _close(self, session: LegacySession) -> None:
        await session.end()
        await self.on_end(session)

    def end_invalid(self, is_valid: Callable[[Principal], bool], servers: Container[str]) -> None:
        """End the sessions of principals that are not valid any more, and those of servers that are gone."""
        for session in [s for s in self._sessions.values() if s.server not in servers or not is_valid(s.principal)]:
            self.end(session)

    def renew(self, renewed: Callable[[Principal], Principal]) -> None:
        """Have every session's caller do what it may do now; whose rights have changed is told to list tools again."""
        for session in self._sessions.values():
            before, session.principal = session.principal, renewed(session.principal)
            if before.grant != session.principal.grant:
                session.lists_changed(frozenset({"tools"}))

    def end_idle(self) -> None:
        """End sessions nobody used for too long."""
        oldest_allowed = self._clock.monotonic() - self._limits.idle_s
        idle = []
        for session in self._sessions.values():  # in the order of their last use, so that few are looked at
            if session.last_used >= oldest_allowed:
                break
            if not session.in_use:
                idle.append(session)
        for session in idle:
            self.end(session)

    async def aclose(self) -> None:
        """End all sessions."""
        for session in tuple(self._sessions.values()):
            self.end(session)
        await self._closing.settled(CLOSE_LIMIT_S)
        await self._closing.aclose()


def _answer_of(reply: jsonrpc.Reply) -> Json:
    if reply.error is not None:
        raise AskRefused(str(reply.error.get("message", "the client refused")), rpc_code=reply.error.get("code"))
    return reply.result or {}


async def _nothing_more(_session: LegacySession) -> None:
    return None
