"""HTTP/1.1 framing (RFC 9112) under the server: where a head ends, where a body ends, and the limits of both.

Rules. A head is looked at only when it is whole, and is whole at its first empty line; until then its bytes are counted
and nothing is parsed. Bodies are framed here too, so that not a byte of the next request is looked at before this one
has been answered. Line ends are CRLF and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolyard.gateway.admission import AdmissionLimits
from toolyard.gateway.refusals import (
    BodyTooLarge,
    HeadersTooLarge,
    RequestMalformed,
    TargetTooLong,
)

_TARGET = re.compile(rb"[A-Z]{1,20} ([!-~]+)")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t !-~]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")
_MAX_CHUNK_LINE = 256
_MAX_TRAILERS = 8 * 1024
_CHUNK_ALLOWANCE = 64 * 1024


@dataclass(frozen=True, slots=True)
class WireLimits:
    """What one connection may do; bytes, seconds and counts. Every limit is the largest value that is accepted."""

    body_bytes: int = 4 * 1024 * 1024
    head_bytes: int = 32 * 1024
    fields: int = 100
    field_bytes: int = 8 * 1024
    target_bytes: int = 8 * 1024
    head_s: float = 10.0
    body_s: float = 30.0
    body_rate_after_s: float = 5.0
    body_bytes_per_s: int = 1024
    idle_s: float = 75.0
    linger_s: float = 1.0
    connections: int = 10_000
    pipelined_bytes: int = 64 * 1024
    write_bytes: int = 1024 * 1024
    write_stall_s: float = 30.0
    keepalive_s: float = 15.0
    message_bytes: int = 4 * 1024 * 1024
    ping_s: float = 20.0
    tick_s: float = 0.5
    admission: AdmissionLimits = AdmissionLimits()  # noqa: RUF009  (frozen)


def skip_empty_lines(buffer: bytearray) -> None:
    """Take the empty lines away that a client may send before a request (RFC 9112 section 2.2): two at a time."""
    for _ in range(2):
        if buffer.startswith(b"\r\n"):
            del buffer[:2]
    if buffer and not (buffer[0] == 0x0D and len(buffer) == 1) and not 0x41 <= buffer[0] <= 0x5A:
        raise RequestMalformed


def find_head(buffer: bytearray, start: int, limits: WireLimits) -> int:
    """The length of the head that `buffer` begins with, or -1 while it is not whole. Raises what is wrong already."""
    found = buffer.find(b"\r\n\r\n", start)
    if found >= 0 and found + 4 <= limits.head_bytes:
        return found + 4
    if not 0x41 <= buffer[0] <= 0x5A or buffer.count(b"\n") != buffer.count(b"\r\n"):
        raise RequestMalformed
    if found >= 0 or len(buffer) > limits.head_bytes:
        _check_target(buffer, limits)
        raise HeadersTooLarge
    return -1


def _check_target(raw: bytes | bytearray, limits: WireLimits) -> None:
    target = _TARGET.match(raw)
    if target is None:
        raise RequestMalformed
    if len(target[1]) > limits.target_bytes:
        raise TargetTooLong


class ChunkedBody:
    """One chunked body (RFC 9112 section 7.1), decoded strictly. Extensions and trailers are bounded and dropped.

    What framing costs beyond the data may be no more than the data itself and a fixed allowance."""

    __slots__ = ("_body", "_framing", "_left", "_limit", "_taken", "_trailers")

    def __init__(self, max_bytes: int) -> None:
        self._body = bytearray()
        self._limit = max_bytes
        self._taken = 0
        self._left = 0
        self._framing = 0
        self._trailers = False

    @property
    def received(self) -> int:
        """Bytes of data so far."""
        return self._taken + len(self._body)

    def take(self) -> bytes:
        """What has come since the last time, for whoever does not wait for the whole."""
        piece = bytes(self._body)
        self._body.clear()
        self._taken += len(piece)
        return piece

    def feed(self, buffer: bytearray) -> bytes | None:
        """Take from `buffer` what belongs to this body; the whole body when it has ended. Raises a WireRefusal."""
        while True:
            if self._left:
                if not self._take_data(buffer):
                    return None
            elif self._trailers:
                return self._end(buffer)
            elif not self._take_size(buffer):
                return None

    def _take_data(self, buffer: bytearray) -> bool:
        """Data, then its CRLF; `_left` counts both."""
        data = min(len(buffer), self._left - 2)
        if data > 0:
            self._body += buffer[:data]
            del buffer[:data]
            self._left -= data
        if self._left > 2 or len(buffer) < 2:
            return False
        if buffer[:2] != b"\r\n":
            raise RequestMalformed
        del buffer[:2]
        self._left = 0
        return True

    def _take_size(self, buffer: bytearray) -> bool:
        end = buffer.find(b"\n", 0, _MAX_CHUNK_LINE)
        if end < 0:
            if len(buffer) >= _MAX_CHUNK_LINE:
                raise RequestMalformed
            return False
        line = _CHUNK_LINE.fullmatch(buffer, 0, max(end - 1, 0))
        if line is None or buffer[end - 1] != 0x0D:
            raise RequestMalformed
        size = int(line[1], 16)
        self._count(size, end + 1 + 2)
        del line, buffer[: end + 1]
        self._trailers = size == 0
        self._left = size + 2 if size else 0
        return True

    def _count(self, size: int, framing: int) -> None:
        self._framing += framing
        received = self.received
        if received + size > self._limit or self._framing > _CHUNK_ALLOWANCE + received:
            raise BodyTooLarge

    def _end(self, buffer: bytearray) -> bytes | None:
        """The trailers, which are judged and dropped, and the empty line that ends them."""
        end = 0 if buffer[:2] == b"\r\n" else buffer.find(b"\r\n\r\n") + 2
        whole = end != 1
        if (end if whole else len(buffer)) > _MAX_TRAILERS:
            raise HeadersTooLarge
        if not whole:
            if buffer.count(b"\n") != buffer.count(b"\r\n"):
                raise RequestMalformed
            return None
        if end and not all(map(_TRAILER.fullmatch, bytes(buffer[: end - 2]).split(b"\r\n"))):
            raise RequestMalformed
        del buffer[: end + 2]
        return bytes(self._body)
