"""HTTP/1.1 to another process of this machine over a Unix socket: one exchange on a connection of its own.

Both bodies flow: what is sent waits while the peer reads slowly, and what comes waits here, 256 KiB of it, while nobody
takes it. The peer is one of our own processes, so answers may be encoded, set cookies and have no end.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import httptools

from toolyard.kit.errors import PlatformError
from toolyard.kit.unix_path import socket_address
from toolyard.net.errors import BadResponse, ConnectTimedOut, Incomplete, Unreachable, Unsendable

HIGH_WATER_BYTES: Final = 256 * 1024
MAX_HEAD_BYTES: Final = 128 * 1024
CONNECT_S: Final = 2.0
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TARGET = re.compile(r"/[!-~]*")
_FORBIDDEN_IN_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_BODYLESS = (204, 304)

Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """The head of an answer: names in lower case, in the order they came, repeated ones as often as they came."""

    status: int
    fields: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """The first field of that name."""
        return next((value for found, value in self.fields if found == name), None)


async def begin_exchange(path: Path, method: str, target: str, fields: Fields, *, body: bytes = b"") -> UnixExchange:
    """Connect to the socket at `path` and send a request. `fields` are all of its head, the framing of the body too, of
    which `send` may send more. Raises Unsendable, Unreachable, ConnectTimedOut."""
    head = _encode_head(method, target, fields)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            with socket_address(path) as address:
                _, exchange = await loop.create_unix_connection(lambda: UnixExchange(loop, method), address)
    except TimeoutError:
        raise ConnectTimedOut from None
    except OSError as error:
        raise Unreachable from error
    exchange.write(head + body)
    return exchange


class UnixExchange(asyncio.Protocol):
    """One request and its answer. Raises BadResponse, and Incomplete when the peer breaks off; `abort` at the end, or
    use it as a context."""

    def __init__(self, loop: asyncio.AbstractEventLoop, method: str) -> None:
        self._loop = loop
        self._method = method
        self._parser = httptools.HttpResponseParser(self)
        self._fields: list[tuple[str, str]] = []
        self._head: AnswerHead | None = None
        self._head_bytes = 0
        self._chunks: list[bytes] = []
        self._held = 0
        self._reading_paused = False
        self._writing_paused = False
        self._framed = False
        self._ended = False
        self._error: PlatformError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def __enter__(self) -> UnixExchange:
        return self

    def __exit__(self, *_error: object) -> None:
        self.abort()

    @property
    def answered(self) -> bool:
        """The head of the answer is there."""
        return self._head is not None

    def write(self, data: bytes) -> None:
        """Send without waiting. What the peer has hung up on is dropped."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def send(self, data: bytes) -> None:
        """Send, and wait while the peer reads slowly."""
        self.write(data)
        while self._writing_paused and self._error is None:
            self._writer = self._loop.create_future()
            await self._writer
        if self._error is not None:
            raise self._error

    async def head(self) -> AnswerHead:
        """The head of the answer, once it is there."""
        while self._head is None:
            await self._arrival()
        return self._head

    async def chunks(self) -> AsyncIterator[bytes]:
        """The pieces of the body as they come. What came before it broke off is given out before the error."""
        while True:
            chunks, self._chunks, self._held = self._chunks, [], 0
            self._read_on()
            for chunk in chunks:
                yield chunk
            if not self._chunks:
                if self._ended:
                    return
                await self._arrival()

    async def read(self, max_bytes: int) -> bytes:
        """The whole body. Raises BadResponse when it is longer than `max_bytes`."""
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > max_bytes:
                raise BadResponse("The peer's answer is longer than expected.")
        return bytes(body)

    def abort(self) -> None:
        """Close the connection, whatever is still to come."""
        if self._transport is not None:
            self._transport.abort()

    def end(self) -> None:
        """Take no more of the answer: what has come is all of it."""
        if self._error is None:
            self._ended = True
        self._wake()
        self.abort()

    def break_off(self, error: PlatformError) -> None:
        """End the exchange with an error of ours."""
        self._fail(error)

    async def _arrival(self) -> None:
        if self._error is not None:
            raise self._error
        self._reader = self._loop.create_future()
        await self._reader

    def _wake(self) -> None:
        for waiter in (self._reader, self._writer):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def _fail(self, error: PlatformError) -> None:
        if not self._ended and self._error is None:
            self._error = error
        self._wake()
        self.abort()

    def _read_on(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._ended or self._error is not None:
            return
        if self._head is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(BadResponse("The peer's answer is not valid HTTP."))
            return
        if self._head is None and self._head_bytes > MAX_HEAD_BYTES:
            self._fail(BadResponse("The head of the peer's answer is too long."))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head is not None and not self._framed and exc is None and self._error is None:
            self._ended = True
        if not self._ended and self._error is None:
            self._error = Incomplete(answered=self._head is not None)
        self._writing_paused = False
        self._wake()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake()

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is None:
            self._fields.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        status: int = self._parser.get_status_code()
        if status < 200:
            self._fields = []
            return
        self._head = AnswerHead(status, tuple(self._fields))
        self._framed = any(name in ("content-length", "transfer-encoding") for name, _ in self._fields)
        if self._method == "HEAD" or status in _BODYLESS:
            self._ended = True
        self._wake()

    def on_body(self, chunk: bytes) -> None:
        if self._ended:
            return
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held > HIGH_WATER_BYTES and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self._head is not None:
            self._ended = True
            self._wake()


def _encode_head(method: str, target: str, fields: Fields) -> bytes:
    if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target) or "#" in target:
        raise Unsendable
    for name, value in fields:
        if not _TOKEN.fullmatch(name) or _FORBIDDEN_IN_VALUE.search(value):
            raise Unsendable(f"The header {name!r} has a character that HTTP does not allow.")
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
