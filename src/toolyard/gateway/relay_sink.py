"""The answer of one relayed exchange: a head that the control plane made, and a body that flows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from toolyard.gateway.call import Answer, ClientGone
from toolyard.gateway.http_sink import HttpSink, encode_head

_BODYLESS = (204, 304)
_LAST_CHUNK: Final = b"0\r\n\r\n"
_OWN: Final = b"x-content-type-options: nosniff\r\n"


class RelaySink(HttpSink):
    """Either `finish`, like every sink, or `begin`, `push` any number of pieces, and `complete`."""

    __slots__ = ("_close", "_left")

    def begin(self, status: int, fields: Iterable[tuple[str, str]], length: int | None) -> None:
        """Send the head. `length` of the body, None where only its end will tell."""
        if self._ended or self.gone:
            raise ClientGone
        self._streaming = True
        self._left = length
        self._chunked = self._chunked and length is None and status not in _BODYLESS
        self._bodyless = self._bodyless or status in _BODYLESS
        self._close = self._wire.closing or not (self._chunked or self._bodyless or length is not None)
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        if length is not None and status not in _BODYLESS:
            framing = b"content-length: %d\r\n" % length
        head = encode_head(status, framing, (*self.headers, *fields), close=self._close, fixed=_OWN)
        self._wire.write(head)

    async def push(self, piece: bytes) -> None:
        """Send a piece of the body. Waits while the client reads slowly; raises ClientGone."""
        if self.gone or self._ended:
            raise ClientGone
        if not self._bodyless and piece:
            self._write(piece)
            await self._wire.writable()

    def complete(self) -> None:
        """The body has been sent."""
        if self._ended or self.gone:
            return
        if self._left and not self._bodyless:
            self._break_off()
            return
        self._ended = True
        if self._chunked and not self._bodyless:
            self._wire.write(_LAST_CHUNK)
        self._wire.end(self, close=self._close or self._wire.closing)

    def comment(self) -> None:
        """Nothing may come between the pieces of somebody else's answer."""

    def settle(self, failure: Answer) -> None:
        """The handler has ended. An answer that is not complete must not look as if it were."""
        if self._streaming:
            self._break_off()
        else:
            self.finish(failure)

    def _break_off(self) -> None:
        if not self._ended:
            self._ended = True
            if not self.gone:
                self._wire.end(self, close=True)

    def _write(self, event: bytes) -> None:
        if self._left is not None:
            self._left -= len(event)
        self._wire.write(b"%x\r\n%s\r\n" % (len(event), event) if self._chunked else event)
