"""One HTTP/1.1 connection under the server: reads requests one at a time, has them guarded, runs their handlers.

States. HEAD: reading, or waiting for, a head. BODY: reading a body. BUSY: a handler runs or its answer is on its way;
what the client sends meanwhile waits unparsed, about `pipelined_bytes` of it. STREAM: a handler runs and takes the body
while it comes. SOCKET: a WebSocket has taken over.
LINGER: refused; what still comes is thrown away for a moment, so that the client can read why. CLOSED: nothing more.

Order for each request: admission (admission.py), limits on raw bytes, grammar, Host, Origin, path, route, what the head
says of the body, the route's `admit`, 100-continue, the body, the handler. No timers of its own: the server calls
`tick` every `tick_s`.
"""

from __future__ import annotations

import asyncio
import enum
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import lru_cache
from types import CoroutineType
from typing import Final, Protocol, cast

from toolyard.gateway import edge
from toolyard.gateway.admission import Admission
from toolyard.gateway.body_stream import BodyStream
from toolyard.gateway.call import Answer, ClientGone, Head, Principal, Underway
from toolyard.gateway.downstream.websocket import WebSocket
from toolyard.gateway.framing import ChunkedBody, WireLimits, find_head, skip_empty_lines
from toolyard.gateway.head_reader import HeadReader, RequestHead
from toolyard.gateway.http_sink import HttpSink, encode_answer
from toolyard.gateway.known_heads import KnownHead, KnownHeads
from toolyard.gateway.outflow import Outflow
from toolyard.gateway.reception import Listener, Peer, Reception, receive
from toolyard.gateway.refusals import (
    Failed,
    Overloaded,
    RequestTimedOut,
    ShuttingDown,
    TooManyConnections,
    WireRefusal,
    error_answer,
)
from toolyard.gateway.relay_sink import RelaySink
from toolyard.gateway.routes import RouteTable
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import cancel_begun

_log = get_logger(__name__)
_CR = 0x0D
_HEAD_END: Final = b"\r\n\r\n"
_RESERVED: Final = 16
_RESERVED_S: Final = 1.0
"""Connections above the limit, for probes and metrics alone, and how long each may think before it says which."""
_FORGET_S: Final = 2.0
"""A connection that is idle for so long forgets what it has read, so that it costs nothing but itself."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _State(enum.Enum):
    HEAD = enum.auto()
    BODY = enum.auto()
    BUSY = enum.auto()
    STREAM = enum.auto()
    SOCKET = enum.auto()
    LINGER = enum.auto()
    CLOSED = enum.auto()


class Refused(Protocol):
    """Is told the code of every refusal."""

    def __call__(self, code: str, count: int = 1, /) -> None: ...


@lru_cache(1)
def _overloaded_answer(_second: int) -> bytes:
    """The refusal of an overloaded gateway, which has the time in it."""
    return b"".join(encode_answer(error_answer(Overloaded(), Overloaded.headers), (), close=False, bodyless=False))


@dataclass(slots=True)
class WireService:
    """What all connections of a server share. `now` is a monotonic clock, in seconds; `refused` is told the code of
    every refusal; `tasks` are the running handlers, those that outlive their clients included."""

    routes: RouteTable
    limits: WireLimits
    now: Callable[[], float]
    refused: Refused
    admission: Admission = field(init=False)
    draining: bool = False
    connections: set[WireProtocol] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the last connection or handler has ended."""

    def __post_init__(self) -> None:
        self.admission = Admission(self.limits.admission, self.now, lambda count: self.refused(Overloaded.code, count))

    def connection_ended(self, connection: WireProtocol) -> None:
        self.connections.discard(connection)
        self._look()

    def task_ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._look()

    def _look(self) -> None:
        if not self.tasks and not self.connections:
            self.quiet.set()


class WireProtocol(asyncio.Protocol):
    """One connection; see the module's docstring."""

    def __init__(self, service: WireService, listener: Listener) -> None:
        self._service = service
        self._listener = listener
        self._limits = service.limits
        self._state = _State.HEAD
        self._buffer = bytearray()
        self._scanned = 0
        self._reader = HeadReader(service.limits)
        self._deadline = math.inf
        self._request: RequestHead | None = None
        self._reception: Reception | None = None
        self._head: Head | None = None
        self._chunks: ChunkedBody | None = None
        self._body_began_at = 0.0
        self._keep_alive = True
        self._reading_paused = False
        self._sink: HttpSink | None = None
        self._endless = False
        self._incoming: BodyStream | None = None
        self._socket: WebSocket | None = None
        self._task: asyncio.Task[None] | None = None
        self._principal: Principal | None = None
        self._waits_since: float | None = None
        self._old_until = math.inf
        self._underway: Underway | None = None
        self._heads = KnownHeads(service.limits.body_bytes)

    @property
    def closing(self) -> bool:
        """The answer that is being written is the connection's last."""
        return not self._keep_alive or self._service.draining or self._incoming is not None

    # --- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        now = self._service.now()
        self._transport = cast(asyncio.Transport, transport)
        self._out = Outflow(self._transport, self._limits.write_bytes, now)
        remote, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._peer = Peer(
            client=edge.plain_address(remote[0]) if isinstance(remote, tuple) else "",
            local_authority=edge.authority_of(*local[:2]) if isinstance(local, tuple) else "",
        )
        self._deadline = now + self._limits.head_s
        self._service.connections.add(self)
        above = len(self._service.connections) - self._limits.connections
        if above > _RESERVED:
            self._refuse(TooManyConnections())
            self._close()
        elif above > 0:
            self._listener = self._listener.for_probes()
            self._deadline = now + min(_RESERVED_S, self._limits.head_s)

    def data_received(self, data: bytes) -> None:
        if self._state is _State.SOCKET and self._socket is not None:
            self._socket.feed(data)
        elif self._state is _State.HEAD or self._state is _State.BODY:
            admission = self._service.admission
            if self._buffer or admission.running >= admission.few or not self._take_known(data):
                self._buffer += data
                self._advance()
        elif self._state is _State.BUSY:
            self._buffer += data
            if self._waits_since is None:
                self._waits_since = self._service.admission.time
            if len(self._buffer) > self._limits.pipelined_bytes or self._service.admission.crowded:
                self.hold()
        elif self._state is _State.STREAM:
            self._buffer += data
            self._feed()

    def eof_received(self) -> None:
        self._lose_client()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose_client()
        self._service.connection_ended(self)

    def pause_writing(self) -> None:
        self._out.pause()

    def resume_writing(self) -> None:
        self._out.resume()

    def _lose_client(self) -> None:
        sink, task, underway = self._sink, self._task, self._underway
        self._sink = self._task = self._underway = None
        self._state = _State.CLOSED
        self._service.admission.forget(self)
        self._deadline = self._service.now() + self._limits.write_stall_s
        self._buffer.clear()
        self._out.lose()
        if self._socket is not None:
            self._socket.lost()
        if self._incoming is not None:
            self._incoming.fail(ClientGone())
        if sink is not None:
            self._service.admission.running -= 1
            sink.gone = True
            if task is not None and not sink.outlives:
                cancel_begun(task)
            elif underway is not None and sink.outlives:
                self._spawn(underway.ended())
            elif underway is not None:
                underway.cancel()

    # --- reading

    def _advance(self) -> None:
        """Begin the next request, if enough of it is here."""
        admission = self._service.admission
        if admission.running < admission.few or self._state is not _State.HEAD or admission.admits(self):
            self._read()

    def _read(self) -> None:
        try:
            if self._state is _State.HEAD and self._buffer:
                self._read_head()
            if self._state is _State.BODY:
                self._read_body()
        except WireRefusal as refusal:
            self._refuse(refusal)
        if self._reading_paused and self._state is not _State.BUSY:
            self._go_on_after_hold()

    def _take_known(self, data: bytes) -> bool:
        """Begin a request that came whole and in one piece, if its head is known (`known_heads`)."""
        end = data.find(_HEAD_END) + 4
        known = self._heads.find(data[:end]) if self._state is _State.HEAD else None
        if known is None or len(data) - end != known.length:
            return False
        self._begin_known(known, data[end:])
        return True

    def _begin_known(self, known: KnownHead, body: bytes) -> None:
        reception = known.reception
        self._request = None
        self._keep_alive = reception.request.keep_alive
        head = reception.head(known.headers)
        admit = reception.route.admit
        refusal = admit(head) if admit is not None else None
        if refusal is None:
            self._dispatch(reception, head, body)
        else:
            self._request = reception.request
            self._answer_now(refusal, reception.headers, whole=True)

    def _read_head(self) -> None:
        buffer = self._buffer
        self._request = None
        if buffer[0] == _CR:
            skip_empty_lines(buffer)
            if not buffer or buffer[0] == _CR:
                return
        end = find_head(buffer, self._scanned, self._limits)
        if end < 0:
            if self._scanned == 0:
                self._deadline = min(self._deadline, self._service.now() + self._limits.head_s)
            self._scanned = max(1, len(buffer) - 3)
            return
        raw = bytes(buffer[:end])
        del buffer[:end]
        self._scanned = 0
        known = self._heads.find(raw)
        if known is not None and len(buffer) >= known.length:
            body = bytes(buffer[: known.length])
            del buffer[: known.length]
            self._begin_known(known, body)
            return
        reception = self._receive(raw)
        if isinstance(reception, Answer):
            self._answer_now(reception)
        else:
            self._begin(reception, raw)

    def _receive(self, raw: bytes) -> Reception | Answer:
        """Judge a head that this connection did not send before."""
        self._request = request = self._reader.read(raw)
        self._keep_alive = request.keep_alive
        reception = receive(request, self._listener, self._peer, self._service.routes, self._limits)
        if not isinstance(reception, Answer) and not reception.route.relays:
            self._heads.remember(raw, reception)
        return reception

    def _begin(self, reception: Reception, raw: bytes) -> None:
        self._request = request = reception.request
        self._keep_alive = request.keep_alive
        head = reception.head()
        refusal = self._admit(reception, head)
        if refusal is not None:
            self._answer_now(refusal, reception.headers)
        elif reception.route.websocket:
            self._take_over(reception, head, raw)
        elif reception.route.relays:
            self._relay(reception, head)
        elif request.length == 0:
            self._dispatch(reception, head, b"")
        else:
            self._expect_body(reception, head, request)

    def _admit(self, reception: Reception, head: Head) -> Answer | None:
        admit = reception.route.admit
        return admit(head) if admit is not None else None

    def _expect_body(self, reception: Reception, head: Head, request: RequestHead) -> None:
        self._reception = reception
        self._head = head
        self._chunks = ChunkedBody(self._limits.body_bytes) if request.length is None else None
        self._body_began_at = self._service.now()
        self._deadline = self._body_began_at + self._limits.body_s
        self._state = _State.BODY
        if "expect" in request.headers and request.http11 and not self._buffer:
            self._out.write(_CONTINUE)

    def _read_body(self) -> None:
        reception, head = self._reception, self._head
        if reception is None or head is None:
            return
        if self._chunks is not None:
            body = self._chunks.feed(self._buffer)
            if body is None:
                return
        else:
            length = reception.request.length or 0
            if len(self._buffer) < length:
                return
            body = bytes(self._buffer[:length])
            del self._buffer[:length]
        self._reception = self._head = self._chunks = None
        self._dispatch(reception, head, body)

    def _relay(self, reception: Reception, head: Head) -> None:
        """Have the request answered while its body comes."""
        request, route = reception.request, reception.route
        limits, most_bytes = self._limits, route.body_bytes or self._limits.body_bytes
        body = BodyStream(request.length, most_bytes, limits, self._transport, self._service.now())
        if not body.whole:
            self._incoming = body
            if "expect" in request.headers and request.http11 and not self._buffer:
                self._out.write(_CONTINUE)
        self._dispatch(reception, head, body)
        if self._incoming is not None and self._sink is not None:
            self._state = _State.STREAM
            self._feed()

    def _feed(self) -> None:
        """Hand on what has come of the body."""
        body = self._incoming
        if body is None:
            return
        body.feed(self._buffer, self._service.now())
        if body.whole:
            self._incoming = None
            self._state = _State.BUSY

    # --- answering

    def _dispatch(self, reception: Reception, head: Head, body: bytes | BodyStream) -> None:
        """Have the request answered: at once, by what is under way when the handler returns, or by a task."""
        request, route = reception.request, reception.route
        make = RelaySink if route.relays else HttpSink
        sink = make(self, chunked=request.http11, bodyless=request.method == "HEAD")
        if reception.headers:
            sink.headers += reception.headers
        self._state = _State.BUSY
        self._deadline = math.inf
        self._sink = sink
        self._principal = head.principal
        self._service.admission.running += 1
        self._endless = route.limit == "stream"
        try:
            rest = route.handler(head, body, sink)
        except Exception:  # noqa: BLE001  (the supervisor of the request edge)
            _log.exception("request failed", request_id=head.request_id, path=head.path)
            self._settle(sink, head, Failed())
            return
        if type(rest) is CoroutineType:
            self._task = self._spawn(self._run(rest, head, sink))
        elif not sink.ended:
            self._underway = rest

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._service.tasks.add(task)
        task.add_done_callback(self._service.task_ended)
        return task

    async def _run(self, work: Coroutine[None, None, None], head: Head, sink: HttpSink) -> None:
        """The supervisor of one exchange: whatever happens in the handler, the client gets an end."""
        failure: PlatformError = Failed()
        try:
            await work
        except PlatformError as error:
            failure = error
        except asyncio.CancelledError:
            failure = ShuttingDown()
            raise
        except Exception:  # noqa: BLE001  (the supervisor of the request edge)
            _log.exception("request failed", request_id=head.request_id, path=head.path)
        finally:
            self._settle(sink, head, failure)

    def _settle(self, sink: HttpSink, head: Head, failure: PlatformError) -> None:
        """The handler has ended: end what it left open; without any answer, answer `failure`."""
        if not sink.ended:
            sink.settle(error_answer(failure, (("x-request-id", head.request_id),)))

    def _refuse(self, refusal: WireRefusal) -> None:
        self._service.refused(refusal.code)
        if refusal.closes:
            self._keep_alive = False
        self._answer_now(error_answer(refusal, refusal.headers))

    def _answer_now(self, answer: Answer, headers: tuple[tuple[str, str], ...] = (), *, whole: bool = False) -> None:
        """Answer without a handler; then go on if nothing of the request is left to read (it was `whole`), else
        close."""
        self._keep_alive = not self.closing and (whole or self._skip_body())
        bodyless = self._request is not None and self._request.method == "HEAD"
        self._out.write(b"".join(encode_answer(answer, headers, close=not self._keep_alive, bodyless=bodyless)))
        if self._keep_alive:
            self._state = _State.BUSY
            asyncio.get_running_loop().call_soon(self._next)  # others' requests come before this client's next one
        else:
            self._linger()

    def _skip_body(self) -> bool:
        request = self._request
        if request is None or request.length is None or len(self._buffer) < request.length:
            return False
        del self._buffer[: request.length]
        return True

    def _linger(self) -> None:
        """Close in a way that lets the client read the answer although it may still be sending."""
        self._state = _State.LINGER
        self._buffer.clear()
        self._deadline = self._service.now() + self._limits.linger_s
        self.read_on()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        """Close once everything has been written."""
        self._state = _State.CLOSED
        self._deadline = self._service.now() + self._limits.write_stall_s
        self._transport.close()

    # --- called by the sink (see http_sink.Wire)

    def write(self, data: bytes) -> None:
        """Queue bytes of the answer."""
        self._out.write(data)

    async def writable(self) -> None:
        """Wait until little is queued. Raises ClientGone."""
        await self._out.writable()

    def end(self, sink: HttpSink, *, close: bool) -> None:
        """The answer of `sink` is complete."""
        if sink is not self._sink:
            return
        self._sink = self._task = self._underway = None
        self._service.admission.running -= 1
        if self._incoming is not None:
            self._incoming.end()
            self._incoming = None
            self._out.then(self._linger)
        else:
            self._out.then(self._close if close else self._next)

    def _next(self) -> None:
        if self._state is not _State.BUSY:
            return
        self._state = _State.HEAD
        self._deadline = self._service.now() + self._limits.idle_s
        if self._buffer:  # not now: requests answered at once would pile up on the stack
            asyncio.get_running_loop().call_soon(self._advance)
        elif self._reading_paused:
            self._go_on_after_hold()
        else:
            self._waits_since = None

    # --- called by admission (see admission.Comer)

    @property
    def caller(self) -> str:
        """Who called last on this connection. Strangers wait behind each other, however many they are."""
        return self._principal.id if self._principal is not None else ""

    def hold(self) -> None:
        """Read no more until the turn comes."""
        self._reading_paused = True
        self._transport.pause_reading()

    def read_on(self) -> None:
        """Read again, if reading was held."""
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def waits_since(self, time: float) -> float:
        """Since when what is here has waited, behind a request that was begun or refused; `time` if it only came."""
        if self._waits_since is None or self._service.now() >= self._old_until:
            self._waits_since = time
        self._old_until = math.inf
        return self._waits_since

    def begin(self) -> None:
        """Serve the request that waited for its turn."""
        self._read()

    def _go_on_after_hold(self) -> None:
        """What comes next has waited, unless it comes later than that: then nothing was there."""
        self._old_until = self._service.now() + self._limits.admission.wait_s
        self.read_on()

    def refuse(self) -> int:
        """Refuse what has come; how many requests that was. Whoever does not read the refusals is cut off."""
        if self._state is not _State.HEAD:
            return 0
        if self._out.backed_up:
            self._transport.abort()
            return 0
        self._waits_since = None
        count, unknown = (0, True) if self.closing else self._service.admission.take_known(self._buffer)
        if count:
            self._out.write(_overloaded_answer(int(time.time())) * count)
            self._deadline = self._service.now() + self._limits.idle_s
        if self._buffer:
            self._deadline = min(self._deadline, self._service.now() + self._limits.head_s)
        return count + (self._refuse_unknown() if unknown else 0)

    def _refuse_unknown(self) -> int:
        """Refuse one request whose head has to be read for that, once it is whole. Probes are served all the same."""
        buffer = self._buffer
        self._request = None
        try:
            if buffer[0] == _CR:
                skip_empty_lines(buffer)
            end = find_head(buffer, 0, self._limits) if buffer and buffer[0] != _CR else -1
            if end < 0:
                return 0
            raw = bytes(buffer[:end])
            del buffer[:end]
            reception = self._receive(raw)
        except WireRefusal as refusal:
            self._refuse(refusal)
            return 0
        if isinstance(reception, Answer):
            self._answer_now(reception)
        elif self._listener.operator or reception.route.limit == "probe":
            self._begin(reception, raw)
        elif reception.plain and len(buffer) < (reception.request.length or 0):
            self._service.admission.learn(raw, reception.request.length or 0)
            buffer[:0] = raw
        else:
            if reception.plain:
                self._service.admission.learn(raw, reception.request.length or 0)
            self._answer_now(error_answer(Overloaded(), Overloaded.headers), reception.headers)
            if buffer:
                self._waits_since = -math.inf  # with the one that was refused
            return 1
        return 0

    # --- WebSocket

    def _take_over(self, reception: Reception, head: Head, raw: bytes) -> None:
        socket = WebSocket(self._transport, self._out, self._limits, self._service.now)
        self._keep_alive = False
        if not socket.accept(raw):
            self._linger()
            return
        self._state = _State.SOCKET
        self._deadline = math.inf
        self._socket = socket
        early = bytes(self._buffer)
        self._buffer.clear()
        self._spawn(self._run_socket(reception, head, socket))
        if early:
            socket.feed(early)

    async def _run_socket(self, reception: Reception, head: Head, socket: WebSocket) -> None:
        """The supervisor of one WebSocket; it is closed however the handler ends."""
        code = 1000
        try:
            await reception.route.handler(head, socket)
        except ClientGone:
            pass
        except Exception:  # noqa: BLE001  (the supervisor of the request edge)
            code = 1011
            _log.exception("websocket failed", request_id=head.request_id, path=head.path)
        finally:
            socket.start_close(code)

    # --- time

    def tick(self, now: float) -> None:
        """Look at every deadline of this connection."""
        if self._state is _State.HEAD and now < self._deadline:
            if self._heads and self._deadline - now < self._limits.idle_s - _FORGET_S:
                self._heads.clear()
                self._reader.forget()
            return
        self._read_while_calm()
        if self._out.tick(now) >= self._limits.write_stall_s:
            self._transport.abort()
        elif now >= self._deadline:
            self._expire()
        elif self._transport.is_closing():
            return
        elif self._state is _State.BODY:
            self._check_rate(now)
        elif self._incoming is not None:
            self._incoming.tick(now)
        elif self._socket is not None:
            self._socket.tick(now)
        elif self._sink is not None and now - self._out.quiet_since >= self._limits.keepalive_s:
            self._sink.comment()

    def _read_while_calm(self) -> None:
        """Reading was held for the crowd's sake. Without it, a client that goes away is to be noticed."""
        if not self._service.admission.crowded and len(self._buffer) <= self._limits.pipelined_bytes:
            self.read_on()

    def _expire(self) -> None:
        if self._state is _State.CLOSED or self._transport.is_closing():
            self._transport.abort()
        elif self._state is _State.BODY or (self._state is _State.HEAD and self._buffer):
            self._refuse(RequestTimedOut())
        else:
            self._close()

    def _check_rate(self, now: float) -> None:
        elapsed = now - self._body_began_at
        received = len(self._buffer) + (self._chunks.received if self._chunks is not None else 0)
        if elapsed > self._limits.body_rate_after_s and received < elapsed * self._limits.body_bytes_per_s:
            self._refuse(RequestTimedOut())

    # --- shutting down

    def close_if_idle(self) -> None:
        """Close a connection on which no request has begun."""
        if self._state is _State.HEAD and not self._buffer:
            self._close()

    def end_stream(self) -> None:
        """End what has no end of its own: a WebSocket with 1001, the exchange of a stream route by cancelling it."""
        if self._socket is not None:
            self._socket.start_close(1001, "shutting down")
        elif self._task is not None and self._endless:
            cancel_begun(self._task)

    def give_up(self) -> None:
        """Cancel the request that is still running, which answers it with an error, and close."""
        if self._task is not None:
            cancel_begun(self._task)
        elif self._underway is not None:
            self._underway.cancel()
        elif self._state is _State.BODY:
            self._answer_now(error_answer(ShuttingDown()))
        elif self._state is _State.HEAD or self._state is _State.SOCKET:
            self._close()

    def abort(self) -> None:
        """Close without writing what is left."""
        self._transport.abort()
