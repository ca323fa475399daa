"""One HTTP/1.1 connection: at most one exchange at a time, parsed by httptools, no task of its own.

States: idle (no `_response`) → busy (`exchange`) → idle again when the answer has ended cleanly, or closed for good.
Bytes that come while idle, a surplus after an answer, or any broken rule close the connection: an answer must never be
taken for that of the next request.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

from toolyard.net.errors import BadResponse, DeadlineExceeded, Incomplete, NetError, Unreachable
from toolyard.net.response import HttpResponse

MAX_HEADER_BYTES = 32 * 1024
MAX_HEADER_FIELDS = 100
MAX_INFORMATIONAL = 8
_UNPARSED_SLACK_BYTES = 2 * MAX_HEADER_BYTES
MAX_KNOWN_HEADS = 64
MAX_KNOWN_BYTES = 2048
PEEK_AFTER_IDLE_S = 0.005


@dataclass(slots=True)
class KnownHead:
    """What the head of an answer means that came before: its body has `length` bytes, and another may follow it.
    `kind` is for whoever reads the answers, to note what it made of the headers."""

    status: int
    headers: dict[str, str]
    length: int
    kind: str | None = None


class Taker(Protocol):
    """Who takes an answer without waiting for it: once, `answered` with a whole one, or `opened` with one to come."""

    def answered(self, known: KnownHead, body: bytes) -> None: ...
    def opened(self, response: HttpResponse) -> None: ...


class Owner(Protocol):
    """The pool a connection belongs to. `known_heads`: heads of answers that came, byte for byte, before."""

    known_heads: dict[bytes, KnownHead]

    def released(self, connection: HttpConnection) -> None: ...
    def retired(self, connection: HttpConnection) -> None: ...
    def lost(self, connection: HttpConnection) -> None: ...


class HttpConnection(asyncio.Protocol):
    """`usable` is false from the moment the connection is to carry no further exchange."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self.usable = True
        self.reused = False
        self.idle_since = 0.0
        self.sock: socket.socket | None = None
        self._owner = owner
        self.loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._response: HttpResponse | None = None
        self._taker: Taker | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0
        self._paused = False
        self._eof = False
        self._start_over()

    def _start_over(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._header_count = 0
        self._informational = 0
        self._interim = False
        self._in_body = False
        self._until_eof = False
        self._keep_alive = False
        self._answered = False
        self._ended = False
        self._unsent = False
        self._unparsed = 0

    # The exchange, as the pool sees it.

    def exchange(self, request: bytes, deadline: float, on_news: Callable[[], None] | None = None) -> HttpResponse:
        """Write `request` whole; the answer fills what is returned. After `deadline` (loop time) it fails."""
        response = self._response = HttpResponse(self, self.loop)
        response.on_news = on_news
        self._deadline = deadline
        if self._timer is None or self._timer_at > deadline:
            self._set_timer(deadline)
        transport = self._transport
        assert transport is not None
        transport.write(request)
        self._unsent = transport.is_closing()  # the one write failed as a whole
        return response

    def send(self, request: bytes, deadline: float, taker: Taker) -> None:
        """As `exchange`, for a `taker` who wants the answer as soon as it is here, and in one piece if it comes so."""
        self._taker = taker
        self._deadline = deadline
        if self._timer is None or self._timer_at > deadline:
            self._set_timer(deadline)
        transport = self._transport
        assert transport is not None
        transport.write(request)
        self._unsent = transport.is_closing()

    def drop(self) -> None:
        """Close the connection in the middle of an exchange; its taker is told nothing more."""
        self._taker = None
        self.abort()

    def is_stale(self) -> bool:
        """Has the peer closed this idle connection, or said something unasked? Asks the socket itself, because the loop
        may have had no time to look."""
        transport = self._transport
        if not self.usable or transport is None or transport.is_closing():
            return True
        if self.sock is None or self.loop.time() - self.idle_since < PEEK_AFTER_IDLE_S:
            return False
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        return True

    def pause(self) -> None:
        if self._transport is not None and not self._ended and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and self._paused:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        self._close(Incomplete("The exchange was given up."))

    def close(self) -> None:
        """Close an idle connection, or break off its exchange."""
        self._close(Unreachable("The client was closed.", sent=True))

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self.loop.call_at(when, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        """The timer outlives the exchange it was set for: setting one for each would cost more than it guards."""
        self._timer = None
        if self._response is None and self._taker is None:
            return
        if self.loop.time() < self._deadline:
            self._set_timer(self._deadline)
        else:
            self._close(DeadlineExceeded(sent=True))

    def _refuse(self, message: str) -> None:
        self._close(BadResponse(message, sent=True))

    def _close(self, error: NetError) -> None:
        """Nothing more comes of this connection: end its exchange with `error`, drop the socket."""
        response = self._detach()
        if response is not None:
            response.fail(error)
        if self._transport is not None:
            self._transport.abort()

    def _detach(self) -> HttpResponse | None:
        self._open_for_taker()
        response, self._response = self._response, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.usable:
            self.usable = False
            self._owner.retired(self)
        return response

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from it

    def data_received(self, data: bytes) -> None:
        if self._response is None and self._taker is None:
            self._close(Incomplete())
            return
        first = not self._answered
        if first and self._take_known(data):
            return
        self._open_for_taker()
        self._answered = True
        self._unparsed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._ended:
                cause = error.__context__
                self._refuse(str(cause) if isinstance(cause, _RuleError) else "The peer's answer is not valid HTTP.")
                return
            self._keep_alive = False
        if self._ended:
            if first:
                self._remember(data)
            self._settle()
        elif self._unparsed > _UNPARSED_SLACK_BYTES:
            self._refuse("The head, a chunk's head or the trailer of the peer's answer is too long.")

    def _take_known(self, data: bytes) -> bool:
        """Take an answer that came whole and in one piece, with a head that the parser judged before: byte for byte the
        same, which servers send as long as the length and the second are the same."""
        end = data.find(b"\r\n\r\n") + 4
        known = self._owner.known_heads.get(data[:end])
        if known is None or len(data) - end != known.length:
            return False
        response, taker, transport = self._response, self._taker, self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return False
        self._response = self._taker = None
        self.reused = True
        self.idle_since = self.loop.time()
        self._owner.released(self)
        if taker is not None:
            taker.answered(known, data[end:])
        elif response is not None:
            response.fill(known, data[end:])
        return True

    def _open_for_taker(self) -> None:
        """The answer to a taker does not come in one known piece: let it come like any other."""
        taker, self._taker = self._taker, None
        if taker is not None:
            self._response = HttpResponse(self, self.loop)
            taker.opened(self._response)

    def _remember(self, data: bytes) -> None:
        """Keep the head of an answer that came whole and in one piece, with its length in it."""
        end = data.find(b"\r\n\r\n") + 4
        response, known = self._response, self._owner.known_heads
        if response is None or not self._keep_alive or self._informational or not 4 < end <= MAX_KNOWN_BYTES:
            return
        headers = dict(response.headers)
        if headers.get("content-length") == str(len(data) - end):
            if len(known) >= MAX_KNOWN_HEADS:
                known.clear()
            known[data[:end]] = KnownHead(response.status, headers, len(data) - end)

    def eof_received(self) -> bool:
        self._eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        response = self._detach()
        if response is not None:
            if self._until_eof and self._eof and exc is None:
                response.finish()
            else:
                response.fail(Incomplete(sent=not self._unsent, answered=self._answered))
        self._owner.lost(self)

    def _settle(self) -> None:
        """The answer has ended: back to the pool, or closed, before anybody who waits for it does anything."""
        transport, response = self._transport, self._response
        assert transport is not None
        if not self._keep_alive or transport.is_closing() or transport.get_write_buffer_size():
            self._detach()
            transport.abort()
            if response is not None:
                response.finish()
            return
        self._response = None
        self.resume()
        self._start_over()
        self.reused = True
        self.idle_since = self.loop.time()
        self._owner.released(self)
        if response is not None:
            response.finish()

    # httptools

    def on_message_begin(self) -> None:
        if self._ended:
            raise _RuleError("There were bytes after the end of the peer's answer.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > MAX_HEADER_BYTES or self._header_count > MAX_HEADER_FIELDS:
            raise _RuleError("The peer's answer has too many headers.")
        if not self._in_body:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        status: int = self._parser.get_status_code()
        if status < 200:
            self._take_interim(status)
            return
        self._interim = False
        self._in_body = True
        self._keep_alive = self._parser.should_keep_alive()
        framed = _check_framing(self._fields)
        self._until_eof = not framed and status not in (204, 304)
        assert self._response is not None
        self._response.begin(status, self._fields)

    def _take_interim(self, status: int) -> None:
        self._informational += 1
        if status < 100 or status == 101 or self._informational > MAX_INFORMATIONAL:
            raise _RuleError("The peer sent a status that was not asked for.")
        self._interim = True
        self._fields = []

    def on_body(self, chunk: bytes) -> None:
        self._unparsed = 0
        if self._response is not None:
            self._response.push(chunk)

    def on_chunk_complete(self) -> None:
        self._unparsed = 0

    def on_message_complete(self) -> None:
        if self._interim:
            return
        self._ended = True


class _RuleError(Exception):
    """A rule of this client that the parser does not know of was broken."""


def _check_framing(fields: list[tuple[bytes, bytes]]) -> bool:
    """Whether the head tells the body's end; refuses bodies that would have to be unpacked (RFC 9112 section 6)."""
    lengths = codings = 0
    for name, value in fields:
        size = len(name)
        if size == 14 and name.lower() == b"content-length":
            lengths += 1
        elif size == 17 and name.lower() == b"transfer-encoding":
            codings += 1
            if value.strip().lower() != b"chunked":
                raise _RuleError("The peer's answer has a transfer encoding that is not understood.")
        elif size == 16 and name.lower() == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise _RuleError("The peer's answer is compressed although that was not asked for.")
    if lengths + codings > 1:
        raise _RuleError("The peer's answer gives its length more than once.")
    return lengths + codings == 1
