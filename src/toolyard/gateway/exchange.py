"""The one entry for every transport: `(head, body, sink)` in, one answer out.

Order: who is calling → strict decoding → which era → that era's rules → the pipeline. Nothing here does I/O of its own;
what arrives comes as bytes, what leaves goes to the sink. All errors become JSON-RPC here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import CoroutineType
from typing import Any, Protocol

from toolyard.gateway.acceptance import Acceptance, NotAcceptable, accepted
from toolyard.gateway.call import Answer, Elsewhere, Head, OwnedElsewhere, Principal, Rest, Sink
from toolyard.gateway.eras import Messages, asks_modern, is_modern_post, says_modern
from toolyard.gateway.errors import CallLost, SessionRequired
from toolyard.gateway.express import Trip
from toolyard.gateway.legacy import LegacyRequests
from toolyard.gateway.modern import ModernRequests
from toolyard.gateway.refusals import Failed, ShuttingDown
from toolyard.gateway.sessions import LegacySession, Running, Send, Sessions
from toolyard.gateway.streams import EventStream, Openings
from toolyard.gateway.translate import error_answer, error_object
from toolyard.kit.errors import PlatformError
from toolyard.protocol import jsonrpc
from toolyard.protocol.errors import HeaderMismatch, InvalidRequest, ProtocolError, RequestId, UnsupportedRevision
from toolyard.protocol.revisions import ASSUMED_WITHOUT_HEADER, BATCH_REVISION, LEGACY, MODERN, unsupported
from toolyard.protocol.strict_json import decode, encode

Authenticate = Callable[[Head], Principal]
Refused = Callable[[Head, PlatformError, str], None]
SESSION_HEADER = "mcp-session-id"


@dataclass(slots=True)
class Conversation:
    """What a connection that carries many messages remembers: its session (legacy) and its running calls (modern)."""

    push: Send
    session: LegacySession | None = None
    running: dict[RequestId, Running] = field(default_factory=dict)


class Connection(Protocol):
    """A client's connection that carries many messages."""

    @property
    def principal(self) -> Principal | None: ...
    def expel(self) -> None: ...


class Exchange:
    """Answers everything a client sends."""

    def __init__(
        self,
        authenticate: Authenticate,
        modern: ModernRequests,
        legacy: LegacyRequests,
        sessions: Sessions,
        on_refusal: Refused,
    ) -> None:
        self.authenticate = authenticate
        self._modern = modern
        modern.refuse = self._fail
        self._legacy = legacy
        legacy.on_refusal = on_refusal
        self._sessions = sessions
        self._on_refusal = on_refusal
        self._openings = Openings()
        self.connections: set[Connection] = set()
        self.elsewhere: Elsewhere | None = None
        """Where what is about other processes' calls is answered."""

    async def __call__(self, head: Head, body: bytes, sink: Sink, conversation: Conversation | None = None) -> None:
        """Judge a body and answer it through `sink`, exactly once."""
        try:
            message = self.read(head, body)
        except PlatformError as error:
            self.refuse(head, error, sink)
            return
        await self.handle(head, message, sink, conversation)

    def read(self, head: Head, body: bytes) -> Messages:
        """The message in a body; a list is a batch, still to be judged. Raises PlatformError."""
        return _message(self._decoded(head, body))

    def _decoded(self, head: Head, body: bytes) -> Any:
        """What is in a body of somebody who may send it. On a connection that carries many messages every one is
        authenticated: a key may end in the meantime."""
        if head.principal is None or head.transport != "http":
            head.principal = self.authenticate(head)
        return decode(body)

    def begin(self, head: Head, body: bytes, sink: Sink) -> Rest:
        """As calling it with one POST of Streamable HTTP, as far as it goes without waiting, and what is left of it."""
        try:
            decoded = self._decoded(head, body)
            if head.notes.plans and (trip := self._modern.begin_again(head, decoded, sink)) is not None:
                return trip
            if head.notes.session_plans and (trip := self._begin_again(head, decoded, sink)) is not None:
                return trip
            message = _message(decoded)
        except PlatformError as error:
            self.refuse(head, error, sink)
            return None
        if not isinstance(message, jsonrpc.Request):
            return self.handle(head, message, sink)
        try:
            rest = self._begin_request(head, message, sink)
        except OwnedElsewhere:
            return self.handle(head, message, sink)
        except PlatformError as error:
            self._fail(head, message, sink, error)
            return None
        return self._guarded(head, message, sink, rest) if type(rest) is CoroutineType else rest

    def _begin_request(self, head: Head, request: jsonrpc.Request, sink: Sink) -> Rest:
        acceptance = accepted(head)
        if not is_modern_post(head, request) and request.method != "initialize":
            return self._begin_in_session(self.session(head), request, sink, acceptance, head)
        if request.method in ("initialize", "subscriptions/listen"):
            return self._post(head, request, sink)
        return self._modern.begin(
            head,
            self._principal(head),
            request,
            acceptance.of(sink),
            lambda error: self._fail(head, request, sink, error),
        )

    async def handle(self, head: Head, message: Messages, sink: Sink, conversation: Conversation | None = None) -> None:
        """Answer a message that was read."""
        if conversation is not None:
            await self._guarded(head, message, sink, self._converse(head, message, sink, conversation))
        else:
            await self._guarded(head, message, sink, self._post(head, message, sink))

    async def _guarded(self, head: Head, message: Messages, sink: Sink, work: Awaitable[None]) -> None:
        """Do `work`; what it raises ends the exchange."""
        try:
            await work
        except PlatformError as error:
            self._fail(head, message, sink, error)
        except asyncio.CancelledError as cancelled:
            self._fail(head, message, sink, cancelled)
            raise

    def _fail(self, head: Head, message: Messages, sink: Sink, error: BaseException) -> None:
        """End the exchange about `message` with what went wrong. One that is cancelled although its client is there
        ends with the gateway."""
        if isinstance(error, asyncio.CancelledError):
            if sink.is_gone:
                return
            error = ShuttingDown()
        elif not isinstance(error, PlatformError):
            error = Failed()
        if isinstance(error, ProtocolError) and error.request_id is None and isinstance(message, jsonrpc.Request):
            error.request_id = message.id
        self.refuse(head, error, sink, message)

    def refuse_unserved(self, head: Head, body: bytes, error: PlatformError, sink: Sink) -> None:
        """End an exchange that could not be served where it belongs."""
        try:
            message = self.read(head, body)
        except PlatformError as unread:
            self.refuse(head, unread, sink)
            return
        self.refuse(head, error, sink, message)

    def refuse(self, head: Head, error: PlatformError, sink: Sink, message: Messages | None = None) -> None:
        """End an exchange with an error about `message`, or about what could not be read as one."""
        request_id = None if isinstance(message, jsonrpc.Reply) else getattr(message, "id", None)
        self._on_refusal(head, error, getattr(message, "method", ""))
        known = error.request_id if isinstance(error, ProtocolError) else request_id
        modern = isinstance(error, HeaderMismatch | UnsupportedRevision) or says_modern(head) or asks_modern(message)
        sink.finish(error_answer(error, known, MODERN if modern else LEGACY[0]))

    async def _post(self, head: Head, message: Messages, sink: Sink) -> None:
        """One POST of Streamable HTTP."""
        acceptance = accepted(head)
        if is_modern_post(head, message):
            if getattr(message, "method", "") == "subscriptions/listen" and not acceptance.streams:
                raise NotAcceptable("a listen stream needs Accept: text/event-stream")
            await self._modern_message(head, message, acceptance.of(sink))
        elif isinstance(message, jsonrpc.Request) and message.method == "initialize":
            session, result = await self._legacy.initialize(head, self._principal(head), message, None)
            body = encode(jsonrpc.result(message.id, result))
            sink.finish(Answer(200, body, headers=((SESSION_HEADER, session.id),)))
        else:
            await self._session_post(self.session(head), message, sink, acceptance, head)

    async def _modern_message(self, head: Head, message: Messages, sink: Sink) -> None:
        if isinstance(message, jsonrpc.Request):
            await self._modern_request(head, message, sink)
        elif isinstance(message, jsonrpc.Notification):
            sink.finish(Answer(202))
        else:
            raise InvalidRequest(f"{MODERN} takes one request or notification, no replies and no batches")

    async def _modern_request(self, head: Head, request: jsonrpc.Request, sink: Sink) -> None:
        try:
            await self._modern.answer(head, self._principal(head), request, sink)
        except OwnedElsewhere as found:
            carry = self.elsewhere.of_owner(found.owner) if self.elsewhere is not None else None
            if carry is None:
                raise CallLost from found
            await carry("modern", head, encode(jsonrpc.request(request.id, request.method, request.params)), sink)

    async def take_modern(self, head: Head, body: bytes, sink: Sink) -> None:
        """Answer a modern request that came in at another process and belongs to this one."""
        message = jsonrpc.read(decode(body))
        if not isinstance(message, jsonrpc.Request):
            raise InvalidRequest
        try:
            await self._modern.answer(head, self._principal(head), message, sink)
        except OwnedElsewhere as found:
            raise CallLost from found

    def session(self, head: Head) -> LegacySession:
        """The session that a legacy head names. Raises SessionRequired, SessionUnknown, UnsupportedRevision."""
        version = head.headers.get("mcp-protocol-version", ASSUMED_WITHOUT_HEADER)
        if version not in LEGACY:
            raise unsupported(version)
        session_id = head.headers.get(SESSION_HEADER)
        if session_id is None or SESSION_HEADER in head.repeated:
            raise SessionRequired
        return self._sessions.find(session_id, self._principal(head), head.server_code)

    async def _session_post(
        self, session: LegacySession, message: Messages, sink: Sink, acceptance: Acceptance, head: Head
    ) -> None:
        if not isinstance(message, jsonrpc.Request | list):
            self._take(session, message, head)
            sink.finish(Answer(202))
            return
        if isinstance(message, list):
            stream = _stream(session, sink, acceptance)
            answer = await self._batch(session, message, stream.send, head, can_ask=stream.reaches_client)
            await stream.finish(answer)
            return
        rest = self._begin_in_session(session, message, sink, acceptance, head)
        if rest is not None:
            await (rest if isinstance(rest, Coroutine) else rest.ended())

    def _begin_in_session(
        self, session: LegacySession, request: jsonrpc.Request, sink: Sink, acceptance: Acceptance, head: Head
    ) -> Rest:
        """One request of a session, as far as it goes without waiting, and what is left of it."""
        stream = _stream(session, sink, acceptance)
        rest = self._legacy.begin(session, request, stream, head, lambda error: self._fail(head, request, sink, error))
        if rest is not None:
            self._openings.add(stream)
        return rest

    def _begin_again(self, head: Head, decoded: Any, sink: Sink) -> Trip | None:
        """A call of a session in the same words as one before. None: it has to be read as any other."""
        try:
            session = self.session(head)
        except PlatformError:
            return None

        def stream() -> EventStream:
            opened = _stream(session, sink, accepted(head))
            self._openings.add(opened)
            return opened

        return self._legacy.begin_again(
            session, decoded, stream, head, lambda request, error: self._fail(head, request, sink, error)
        )

    async def _batch(
        self, session: LegacySession, batch: list[object], send: Send, head: Head, *, can_ask: bool
    ) -> Answer:
        """Every element judged, limited and answered by itself, all at once (2025-03-26, basic/index, batching)."""
        if session.revision != BATCH_REVISION:
            raise InvalidRequest(f"{session.revision} has no batches")
        elements = jsonrpc.read_batch(batch)
        requests = [e for e in elements if isinstance(e, jsonrpc.Request)]
        answers = [_error_element(e, session.revision) for e in elements if isinstance(e, ProtocolError)]
        for element in elements:
            if isinstance(element, jsonrpc.Notification | jsonrpc.Reply):
                self._take(session, element, head)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._legacy.answer(session, r, send, None, head, can_ask=can_ask)) for r in requests
            ]
        answers += [answer.body for task in tasks if (answer := task.result()) is not None and answer.body is not None]
        return Answer(200, b"[" + b",".join(answers) + b"]") if answers else Answer(202)

    def _take(self, session: LegacySession, message: jsonrpc.Notification | jsonrpc.Reply, head: Head) -> None:
        """A notification or reply within a session. Raises InvalidRequest for a reply to nothing."""
        if isinstance(message, jsonrpc.Reply):
            if not session.take_reply(message):
                raise InvalidRequest("nobody asked for this reply")
        else:
            self._legacy.notified(session, message, head)

    async def _converse(self, head: Head, message: Messages, sink: Sink, conversation: Conversation) -> None:
        """One message on a connection that carries many."""
        session = conversation.session
        if session is not None and isinstance(message, list):
            sink.finish(await self._batch(session, message, sink.send, head, can_ask=True))
        elif isinstance(message, jsonrpc.Request) and asks_modern(message):
            await self._modern_in_conversation(head, message, sink, conversation)
        elif isinstance(message, jsonrpc.Request):
            await self._legacy_in_conversation(head, message, sink, conversation)
        elif isinstance(message, jsonrpc.Notification) and message.method == "notifications/cancelled":
            _cancel(conversation, message)
            sink.finish(Answer(202))
        elif session is not None and not isinstance(message, list):
            self._take(session, message, head)
            sink.finish(Answer(202))
        elif isinstance(message, jsonrpc.Notification):
            sink.finish(Answer(202))
        else:
            raise InvalidRequest("initialize first" if isinstance(message, list) else "nobody asked for this reply")

    async def _modern_in_conversation(
        self, head: Head, message: jsonrpc.Request, sink: Sink, conversation: Conversation
    ) -> None:
        task = asyncio.current_task()
        if message.id in conversation.running or task is None:
            raise InvalidRequest("this request id is in use", request_id=message.id)
        running = conversation.running[message.id] = Running(task)
        try:
            await self._modern_request(head, message, sink)
        except asyncio.CancelledError:
            if not running.cancelled:
                raise
            task.uncancel()
            sink.finish(Answer(202))
        finally:
            conversation.running.pop(message.id, None)

    async def _legacy_in_conversation(
        self, head: Head, message: jsonrpc.Request, sink: Sink, conversation: Conversation
    ) -> None:
        if message.method == "initialize":
            if conversation.session is not None:
                raise InvalidRequest("this connection is initialized", request_id=message.id)
            session, result = await self._legacy.initialize(head, self._principal(head), message, conversation.push)
            conversation.session = session
            sink.finish(Answer(200, encode(jsonrpc.result(message.id, result))))
        elif conversation.session is None:
            if message.method != "ping":
                raise SessionRequired("initialize first")
            sink.finish(Answer(200, encode(jsonrpc.result(message.id, {}))))
        else:
            answer = await self._legacy.answer(conversation.session, message, sink.send, None, head, can_ask=True)
            sink.finish(answer or Answer(202))

    async def end(self, conversation: Conversation) -> None:
        """The connection is gone: end what it had."""
        if conversation.session is not None:
            self._sessions.end(conversation.session)

    def _principal(self, head: Head) -> Principal:
        if head.principal is None:
            head.principal = self.authenticate(head)
        return head.principal


def _message(decoded: Any) -> Messages:
    return decoded if isinstance(decoded, list) else jsonrpc.read(decoded)


def _stream(session: LegacySession, sink: Sink, acceptance: Acceptance) -> EventStream:
    """The stream of one POST's answer, which the client may come back for."""
    sink.outlive_client()
    return session.new_stream(acceptance.of(sink), streams=acceptance.streams, streams_first=acceptance.streams_first)


def _cancel(conversation: Conversation, message: jsonrpc.Notification) -> None:
    request_id = message.params.get("requestId")
    running = conversation.running.get(request_id) if isinstance(request_id, str | int) else None
    if running is not None:
        running.cancel()
    elif conversation.session is not None:
        conversation.session.cancel(request_id)


def _error_element(error: ProtocolError, revision: str) -> bytes:
    return encode(jsonrpc.error(error.request_id, **error_object(error, revision)))
