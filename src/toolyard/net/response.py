"""One answer as it arrives: filled by the connection, emptied by whoever asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Protocol

from toolyard.net.errors import NetError, TooLarge

HIGH_WATER_BYTES = 256 * 1024


class KnownHead(Protocol):
    """What a head means; see `connection.KnownHead`."""

    status: int
    headers: dict[str, str]
    kind: str | None


class Source(Protocol):
    """Where an answer comes from: one exchange on a connection."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def abort(self) -> None: ...


class HttpResponse:
    """An answer's head, and its body as far as it has come.

    The connection goes back to its pool by itself when the body has arrived in full. Whoever does not read to the end
    calls `abort` or uses `with response:`, which closes the connection then; the deadline of the request does it too.
    At most 256 KiB of an unread body wait here, then the peer is made to wait. Errors raised while reading: Incomplete,
    DeadlineExceeded, BadResponse, TooLarge.
    """

    __slots__ = (
        "_chunks",
        "_complete",
        "_error",
        "_fields",
        "_headers",
        "_held",
        "_loop",
        "_paused",
        "_source",
        "_waiter",
        "known",
        "on_news",
        "status",
    )

    def __init__(self, source: Source, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self._source = source
        self._loop = loop
        self._fields: list[tuple[bytes, bytes]] = []
        self._headers: dict[str, str] | None = None
        self._chunks: list[bytes] = []
        self._held = 0
        self._complete = False
        self._paused = False
        self._error: NetError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.known: KnownHead | None = None
        self.on_news: Callable[[], None] | None = None
        """Called at every step of the answer while nobody waits for it: head, piece of the body, end, failure."""

    @property
    def complete(self) -> bool:
        """The body has arrived in full."""
        return self._complete

    @property
    def waits_for_reader(self) -> bool:
        """Nothing more comes before somebody reads: it failed, or much of the body is here."""
        return self._paused or self._error is not None

    @property
    def ends_a_line(self) -> bool:
        """The body, as far as it has come, ends with a line's end."""
        return bool(self._chunks) and self._chunks[-1].endswith((b"\n", b"\r"))

    def whole(self) -> bytes:
        """The body as far as it has come; it stays here for `read`."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; the values of a repeated one are joined by a comma. `set-cookie` is left out."""
        if self._headers is None:
            self._headers = _join(self._fields)
        return self._headers

    async def read(self, max_bytes: int) -> bytes:
        """The whole body. Raises TooLarge (and closes the connection) when it is longer than `max_bytes`."""
        parts: list[bytes] = []
        total = 0
        while True:
            total += self._held
            if total > max_bytes:
                self.abort()
                raise TooLarge(sent=True, max_bytes=max_bytes)
            parts += self._take()
            if self._complete:
                return parts[0] if len(parts) == 1 else b"".join(parts)
            await self._arrival()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body's pieces as they come. What came before the body broke off is given out before the error."""
        while True:
            for chunk in self._take():
                yield chunk
            if not self._chunks:
                if self._complete:
                    return
                await self._arrival()

    def abort(self) -> None:
        """Close the connection, unless the body has arrived in full. That is how a peer learns of a cancellation."""
        if not self._complete and self._error is None:
            self._source.abort()

    def __enter__(self) -> HttpResponse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _take(self) -> list[bytes]:
        """Everything that waits."""
        chunks, self._chunks = self._chunks, []
        self._held = 0
        if self._paused:
            self._paused = False
            if not self._complete:  # else the connection may be in another exchange by now
                self._source.resume()
        return chunks

    async def _arrival(self) -> None:
        """Wait for more of the body or its end; raise what broke it off. Cancelled: closes the connection at once."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._waiter = None

    # What follows is called by the connection.

    def begin(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self._fields = fields
        self._wake()

    def fill(self, known: KnownHead, body: bytes) -> None:
        """The whole answer at once, with a head that came before."""
        self.known = known
        self.status = known.status
        self._headers = known.headers
        self._chunks.append(body)
        self._held = len(body)
        self._complete = True
        self._wake()

    def push(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held > HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._source.pause()
        self._wake()

    def finish(self) -> None:
        self._complete = True
        self._wake()

    def fail(self, error: NetError) -> None:
        if not self._complete and self._error is None:
            self._error = error
            self._wake()

    async def with_head(self) -> HttpResponse:
        """Itself, when status and headers are there. Cancelled: closes the connection at once."""
        while not self.status:
            await self._arrival()
        return self

    def _wake(self) -> None:
        if self.on_news is not None:
            self.on_news()
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _join(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name = raw_name.decode("latin-1").lower()
        if name == "set-cookie":
            continue
        value = raw_value.decode("latin-1").strip(" \t")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
