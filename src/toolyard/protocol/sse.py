"""Event streams (`text/event-stream`, WHATWG HTML section 9.2): an incremental parser and a formatter.

The parser takes chunks cut anywhere and gives the same events for any cut, in linear time. A line ends with CR, LF or
CRLF; a CR at the end of a chunk ends its line at once, and an LF that opens the next chunk belongs to it. At most
`max_event_bytes` of one event's lines are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from toolyard.kit.errors import PlatformError

_BOM = b"\xef\xbb\xbf"
_MAX_RETRY_MS = 999_999_999


class SseTooLarge(PlatformError):
    """An event of the stream is larger than allowed."""

    code: ClassVar[str] = "event_too_large"
    status: ClassVar[int] = 502


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One dispatched event. `id` and `retry` (ms) are what this event itself said, else None."""

    event: str
    data: bytes
    id: str | None = None
    retry: int | None = None


class SseParser:
    """Turns a byte stream into events. `last_event_id` and `retry_ms` are what the stream has said so far, also in
    blocks without data; `feed` raises SseTooLarge, after it has given out every event before the one too large."""

    def __init__(self, max_event_bytes: int) -> None:
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self._max_event_bytes = max_event_bytes
        self._head: bytes | None = b""
        self._after_cr = False
        self._broken = False
        self._partial: list[bytes] = []
        self._partial_bytes = 0
        self._reset()

    def _reset(self) -> None:
        self._data: list[bytes] = []
        self._event = ""
        self._id: str | None = None
        self._retry: int | None = None
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that `chunk` completes."""
        events: list[SseEvent] = []
        if self._head is not None:
            chunk = self._without_bom(chunk)
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not self._broken and not self._take(chunk, events):
            self._broken = True
        if self._broken and not events:
            raise SseTooLarge
        return events

    def _without_bom(self, chunk: bytes) -> bytes:
        """Hold back the stream's first bytes until it is known whether they are a byte order mark."""
        head = (self._head or b"") + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _take(self, chunk: bytes, events: list[SseEvent]) -> bool:
        """Read the lines of `chunk`; False when the event has become too large."""
        lines = chunk.splitlines()
        if not lines:
            return True
        self._after_cr = chunk.endswith(b"\r")
        rest = b"" if chunk.endswith((b"\r", b"\n")) else lines.pop()
        if lines and self._partial:
            lines[0] = b"".join((*self._partial, lines[0]))
            self._partial.clear()
            self._partial_bytes = 0
        for line in lines:
            if not line:
                self._dispatch(events)
                continue
            if self._held_bytes + len(line) > self._max_event_bytes:
                return False
            self._field(line)
        if rest:
            self._partial.append(rest)
            self._partial_bytes += len(rest)
        return self._held_bytes + self._partial_bytes <= self._max_event_bytes

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            digits = value.lstrip(b"0")
            self._retry = min(int(digits[:10] or b"0"), _MAX_RETRY_MS)
        else:
            return
        self._held_bytes += len(line)

    def _dispatch(self, events: list[SseEvent]) -> None:
        """The blank line at an event's end. A block without data is no event but may set the id and the retry time."""
        if self._id is not None:
            self.last_event_id = self._id
        if self._retry is not None:
            self.retry_ms = self._retry
        if self._data:
            events.append(SseEvent(self._event or "message", b"\n".join(self._data), self._id, self._retry))
        self._reset()


def format_event(data: bytes, event: str | None = None, id: str | None = None, retry: int | None = None) -> bytes:  # noqa: A002
    """One event as bytes. `data` may have line ends of any kind; `event` and `id` may have none (ValueError)."""
    parts: list[bytes] = []
    for name, value in (("event", event), ("id", id)):
        if value is not None:
            if "\r" in value or "\n" in value or "\0" in value:
                raise ValueError(f"{name} has a line end or NUL in it")
            parts.append(f"{name}: {value}\n".encode())
    if retry is not None:
        parts.append(b"retry: %d\n" % retry)
    parts += _data_lines(data)
    parts.append(b"\n")
    return b"".join(parts)


def _data_lines(data: bytes) -> list[bytes]:
    if b"\n" not in data and b"\r" not in data:
        return [b"data: ", data, b"\n"]
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return [b"data: " + line + b"\n" for line in lines]
