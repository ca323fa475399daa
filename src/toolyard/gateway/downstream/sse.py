"""HTTP+SSE of 2024-11-05: a GET opens the stream and names the URL that messages are posted to.

Every POST is authenticated by itself and must come from the principal that opened the stream. What is no message at all
is refused on the POST; everything else is answered on the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import parse_qs

from toolyard.gateway.call import Answer, ClientGone, Elsewhere, Head, Sink
from toolyard.gateway.downstream.duplex import Duplex
from toolyard.gateway.errors import SessionRequired, SessionUnknown, TooManySessions
from toolyard.gateway.exchange import Exchange
from toolyard.gateway.http_sink import HttpSink
from toolyard.gateway.translate import error_answer
from toolyard.kit.errors import PlatformError
from toolyard.kit.ids import secret_id
from toolyard.protocol.revisions import LEGACY

MAX_STREAMS = 1000
MAX_STREAMS_EACH = 50
MAX_POSTED = 64


class PostedSocket:
    """A GET stream and the messages posted for it, as one two-way connection."""

    def __init__(self, sink: HttpSink) -> None:
        self._sink = sink
        self._posted: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_POSTED)

    async def post(self, body: bytes) -> None:
        """Hand over a message; waits while many are waiting."""
        await self._posted.put(body)

    async def receive(self) -> bytes | None:
        return await self._posted.get()

    async def send(self, message: bytes) -> None:
        if self._sink.gone:
            raise ClientGone
        await self._sink.event("message", message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        del code, reason
        self._sink.close_stream()
        with suppress(asyncio.QueueFull):
            self._posted.put_nowait(None)


class HttpSse:
    """The handlers of the HTTP+SSE routes."""

    def __init__(self, exchange: Exchange) -> None:
        self.elsewhere: Elsewhere | None = None
        """Where streams are whose connection is at another process."""
        self.new_id: Callable[[], str] = secret_id
        self._exchange = exchange
        self._streams: dict[str, tuple[Head, PostedSocket]] = {}

    async def get(self, head: Head, _body: bytes, sink: HttpSink) -> None:
        """Open a stream: the `endpoint` event first, then messages."""
        head.transport = "sse"
        try:
            head.principal = self._exchange.authenticate(head)
            own = sum(opened.principal == head.principal for opened, _ in self._streams.values())
            if len(self._streams) >= MAX_STREAMS or own >= MAX_STREAMS_EACH:
                raise TooManySessions
        except PlatformError as error:
            sink.finish(error_answer(error, None, LEGACY[-1]))
            return
        socket, stream_id = PostedSocket(sink), self.new_id()
        self._streams[stream_id] = (head, socket)
        try:
            await sink.event("endpoint", f"{head.path.rstrip('/')}/messages?session_id={stream_id}".encode())
            await Duplex(self._exchange, head, socket).run()
        except ClientGone:
            pass
        finally:
            del self._streams[stream_id]

    async def post(self, head: Head, body: bytes, sink: Sink) -> None:
        """One message for a stream."""
        try:
            head.principal = self._exchange.authenticate(head)
            carry = self.elsewhere.of_id(_stream_id(head)) if self.elsewhere is not None else None
            if carry is not None:
                await carry("sse", head, body, sink)
                return
        except PlatformError as error:
            self._exchange.refuse(head, error, sink)
            return
        await self.take(head, body, sink)

    async def take(self, head: Head, body: bytes, sink: Sink) -> None:
        """One message of an authenticated head for a stream of this process."""
        try:
            opened, socket = self._find(head)
            self._exchange.read(opened, body)
        except PlatformError as error:
            self._exchange.refuse(head, error, sink)
            return
        await socket.post(body)
        sink.finish(Answer(202))

    def _find(self, head: Head) -> tuple[Head, PostedSocket]:
        found = self._streams.get(_stream_id(head))
        if found is None or head.principal is None or found[0].principal != head.principal:
            raise SessionUnknown
        if found[0].server_code != head.server_code:
            raise SessionUnknown
        return found

    @property
    def streams(self) -> Mapping[str, object]:
        """Open streams, by id."""
        return self._streams


def _stream_id(head: Head) -> str:
    values = parse_qs(head.query).get("session_id", [])
    if len(values) != 1:
        raise SessionRequired("post to the URL that the endpoint event named")
    return values[0]
