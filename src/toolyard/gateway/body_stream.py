"""A request's body that is handed on while it arrives: the wire feeds it, the handler takes pieces.

Nothing is collected: when 256 KiB wait for the handler the connection is not read until there are fewer. A client that
is slower than a body may be is refused, but not for the time in which it was us who did not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from toolyard.gateway.call import ClientGone
from toolyard.gateway.framing import ChunkedBody, WireLimits
from toolyard.gateway.refusals import RequestTimedOut, WireRefusal
from toolyard.kit.errors import PlatformError

HIGH_WATER_BYTES: Final = 256 * 1024


class BodyStream:
    """One body of `length` bytes, or in chunks where that is None, of `max_bytes` at most."""

    __slots__ = (
        "_began_at",
        "_chunks",
        "_error",
        "_held",
        "_last_at",
        "_left",
        "_limits",
        "_measured",
        "_paused",
        "_pieces",
        "_received",
        "_transport",
        "_waiter",
        "length",
        "whole",
    )

    def __init__(
        self, length: int | None, max_bytes: int, limits: WireLimits, transport: asyncio.Transport, now: float
    ) -> None:
        self.length = length
        self.whole = length == 0
        """All of it has arrived."""
        self._left = length or 0
        self._chunks = ChunkedBody(max_bytes) if length is None else None
        self._limits = limits
        self._transport = transport
        self._pieces: list[bytes] = []
        self._held = 0
        self._received = self._measured = 0
        self._began_at = self._last_at = now
        self._paused = False
        self._error: PlatformError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ClientGone, and a WireRefusal for a body that may not be."""
        while True:
            pieces, self._pieces, self._held = self._pieces, [], 0
            for piece in pieces:
                yield piece
            if self._pieces:
                continue
            if self._error is not None:
                raise self._error
            if self.whole:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            self._read_on()
            await self._waiter

    # What follows is called by the connection.

    def feed(self, buffer: bytearray, now: float) -> None:
        """Take from `buffer` what belongs to this body. What is wrong with it is told to whoever takes the pieces."""
        if self._error is not None:
            buffer.clear()
            return
        try:
            piece = self._take(buffer)
        except WireRefusal as refusal:
            self.fail(refusal)
            return
        if piece:
            self._last_at = now
            self._received += len(piece)
            self._held += len(piece)
            self._pieces.append(piece)
        if self._held > HIGH_WATER_BYTES and not self.whole:
            self._paused = True
            self._transport.pause_reading()  # again, if somebody else has let it read on meanwhile
        self._wake()

    def tick(self, now: float) -> None:
        """Look whether the client sends fast enough."""
        if self._paused:
            self._began_at = self._last_at = now
            self._measured = self._received
            return
        limits, elapsed = self._limits, now - self._began_at
        fast_enough = self._received - self._measured >= elapsed * limits.body_bytes_per_s
        if now - self._last_at > limits.body_s or (elapsed > limits.body_rate_after_s and not fast_enough):
            self.fail(RequestTimedOut())

    def fail(self, error: PlatformError) -> None:
        """No more of it comes."""
        self._error = self._error or error
        self._wake()

    def end(self) -> None:
        """Nobody takes any more of it: read on, so that the client can be told."""
        self.fail(ClientGone())
        self._read_on()

    def _take(self, buffer: bytearray) -> bytes:
        if self._chunks is not None:
            last = self._chunks.feed(buffer)
            self.whole = last is not None
            return self._chunks.take()
        piece = bytes(buffer[: self._left])
        del buffer[: self._left]
        self._left -= len(piece)
        self.whole = not self._left
        return piece

    def _read_on(self) -> None:
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
