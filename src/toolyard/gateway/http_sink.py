"""Where the answer of one HTTP exchange goes: a plain answer, or an event stream that ends with it.

States: nothing sent → (streaming) → ended. Above: the exchange. Below: `Wire`, the connection, which knows about
buffers and closing. After `end` the connection belongs to the next request and this sink writes nothing more.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Protocol

from toolyard.gateway.call import Answer, ClientGone
from toolyard.protocol.sse import format_event

_STATUS_LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}
_SAFE_NAME = re.compile(r"[A-Za-z0-9-]+")
_SAFE_VALUE = re.compile(r"[\t -~\xa0-\xff]*")
_FIXED = b"x-content-type-options: nosniff\r\ncache-control: no-store\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_KEEPALIVE = b": keep-alive\n\n"
_BODYLESS = (204, 304)
_IN_ONE_PIECE = 65536


class Wire(Protocol):
    """The connection under a sink. `write` queues bytes without waiting; `writable` waits until little is queued and
    raises ClientGone; `end` says that this sink's answer is complete."""

    @property
    def closing(self) -> bool: ...
    def write(self, data: bytes) -> None: ...
    async def writable(self) -> None: ...
    def end(self, sink: HttpSink, *, close: bool) -> None: ...


class _Date:
    """The Date header, and the head of most answers up to the body's length, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""
        self._json = b""

    def line(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
            start, end = _plain_head(200, "application/json")
            self._json = start + self._line + end[2:-2] + b"content-length: "
        return self._line

    def json_head(self) -> bytes:
        """What comes before the length in a JSON answer that has no headers of its own."""
        if int(time.time()) != self._second:
            self.line()
        return self._json


_date = _Date()


def encode_head(
    status: int, framing: bytes, headers: Iterable[tuple[str, str]], *, close: bool, fixed: bytes = _FIXED
) -> bytes:
    """Status line and header fields. `framing` is what says where the body ends, as complete lines; `fixed`, what every
    answer has."""
    parts = [
        _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status,
        _date.line(),
        fixed,
        framing,
    ]
    for name, value in headers:
        if not _SAFE_NAME.fullmatch(name) or not _SAFE_VALUE.fullmatch(value):
            raise ValueError(f"header {name!r} cannot be sent")
        parts.append(f"{name}: {value}\r\n".encode("latin-1"))
    parts.append(b"connection: close\r\n\r\n" if close else b"\r\n")
    return b"".join(parts)


@lru_cache(256)
def _plain_head(status: int, content_type: str) -> tuple[bytes, bytes]:
    """What comes before and after date and length in the head of an answer that has no headers of its own."""
    parts = encode_head(
        status, b"content-type: %s\r\n" % content_type.encode("latin-1") if content_type else b"", (), close=False
    )
    line, _, rest = parts.partition(b"\r\n")
    _, _, rest = rest.partition(b"\r\n")
    return line + b"\r\n", b"\r\n" + rest


def encode_answer(answer: Answer, headers: Sequence[tuple[str, str]], *, close: bool, bodyless: bool) -> list[bytes]:
    """A whole plain answer; `bodyless` leaves the body out (HEAD)."""
    if answer.status in _BODYLESS:
        return [encode_head(answer.status, b"", (*headers, *answer.headers), close=close)]
    body = answer.body or b""
    if not headers and not answer.headers and not close:
        start, end = _plain_head(answer.status, answer.content_type if body else "")
        head = b"%s%scontent-length: %d%s" % (start, _date.line(), len(body), end)
        return [head] if bodyless else [head, body]
    framing = b"content-length: %d\r\n" % len(body)
    if body:
        framing += b"content-type: %s\r\n" % answer.content_type.encode("latin-1")
    head = encode_head(answer.status, framing, (*headers, *answer.headers), close=close)
    return [head] if bodyless else [head, body]


def _is_plain(answer: Answer) -> bool:
    return answer.status == 200 and not answer.headers and answer.content_type == "application/json"


class HttpSink:
    """The answer of one HTTP exchange (see `call.Sink`). `headers` go with the answer or the stream's opening."""

    __slots__ = ("_bodyless", "_chunked", "_ended", "_streaming", "_wire", "gone", "headers", "outlives")

    def __init__(self, wire: Wire, *, chunked: bool, bodyless: bool) -> None:
        self.headers: list[tuple[str, str]] = []
        self.gone = False
        """The client went away."""
        self.outlives = False
        """The exchange goes on when the client goes away."""
        self._wire = wire
        self._chunked = chunked
        self._bodyless = bodyless
        self._streaming = False
        self._ended = False

    @property
    def streaming(self) -> bool:
        """An event stream is open."""
        return self._streaming and not self._ended

    @property
    def is_gone(self) -> bool:
        """The client went away."""
        return self.gone

    @property
    def ended(self) -> bool:
        """The answer is complete."""
        return self._ended

    def open(self) -> None:
        """Start the event stream, if it has not started."""
        if self._streaming or self._ended or self.gone:
            return
        self._streaming = True
        framing = b"content-type: text/event-stream\r\nx-accel-buffering: no\r\n"
        if self._chunked:
            framing += b"transfer-encoding: chunked\r\n"
        self._wire.write(encode_head(200, framing, self.headers, close=self._wire.closing or not self._chunked))

    async def send(self, message: bytes, *, event_id: str | None = None, retry_ms: int | None = None) -> None:
        """One message as an event. Waits while the client reads slowly; raises ClientGone."""
        await self._send(format_event(message, id=event_id, retry=retry_ms))

    async def event(self, name: str, data: bytes) -> None:
        """One event with a name, such as HTTP+SSE's `endpoint`."""
        await self._send(format_event(data, event=name))

    async def _send(self, event: bytes) -> None:
        if self.gone or self._ended:
            raise ClientGone
        self.open()
        self._write(event)
        await self._wire.writable()

    def comment(self) -> None:
        """Write a comment, which keeps proxies from closing a quiet stream."""
        if self.streaming and not self.gone:
            self._write(_KEEPALIVE)

    def finish(self, answer: Answer) -> None:
        """End the exchange with `answer`: as the last event of an open stream, else as a plain answer."""
        if self._ended:
            return
        if self._streaming:
            if answer.body is not None and not self.gone:
                self._write(format_event(answer.body))
            self.close_stream()
            return
        close, body = self._wire.closing, answer.body
        if body and not close and not self.headers and len(body) < _IN_ONE_PIECE and _is_plain(answer):
            self._ended = True
            if not self.gone:
                whole = b"%s%d\r\n\r\n%s" % (_date.json_head(), len(body), b"" if self._bodyless else body)
                self._wire.write(whole)
                self._wire.end(self, close=False)
            return
        pieces = encode_answer(answer, self.headers, close=close, bodyless=self._bodyless)
        self._ended = True
        if self.gone:
            return
        self._wire.write(b"".join(pieces) if len(pieces[-1]) < _IN_ONE_PIECE else pieces[0])
        if len(pieces[-1]) >= _IN_ONE_PIECE:
            self._wire.write(pieces[-1])
        self._wire.end(self, close=close)

    def close_stream(self) -> None:
        """End the event stream without an answer."""
        if self._ended or not self._streaming:
            return
        self._ended = True
        if self.gone:
            return
        if self._chunked and not self._bodyless:
            self._wire.write(_LAST_CHUNK)
        self._wire.end(self, close=self._wire.closing or not self._chunked)

    def settle(self, failure: Answer) -> None:
        """The handler has ended: end a stream it left open; without any answer, answer `failure`."""
        if self._streaming:
            self.close_stream()
        else:
            self.finish(failure)

    def outlive_client(self) -> None:
        """Do not cancel this exchange when the client goes away."""
        self.outlives = True

    def _write(self, event: bytes) -> None:
        if not self._bodyless:
            self._wire.write(b"%x\r\n%s\r\n" % (len(event), event) if self._chunked else event)
