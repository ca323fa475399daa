"""Lines out of a stream of bytes, within a bound."""

from __future__ import annotations


class LineTooLongError(ValueError):
    """A line is longer than allowed."""


class Lines:
    """Cuts a stream of bytes into lines of at most `max_bytes`. `feed` raises LineTooLongError."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends."""
        lines = data.split(b"\n")
        tail = lines.pop()
        if lines:
            if self._parts:
                self._parts.append(lines[0])
                lines[0] = b"".join(self._parts)
                self._parts, self._size = [], 0
            if len(lines[0]) > self._max_bytes:
                raise LineTooLongError
        if tail:
            self._parts.append(tail)
            self._size += len(tail)
            if self._size > self._max_bytes:
                raise LineTooLongError
        return lines
