"""What a child wrote to standard error last: kept for diagnosis, logged in part, without the secrets it was given."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from toolyard.kit.logs import get_logger

log = get_logger(__name__)

RING_BYTES = 64 * 1024
MAX_LOGGED_LINES = 100
MAX_LOGGED_CHARS = 500
LEAST_SECRET_CHARS = 4
STARS = b"****"


class StderrRing:
    """The last 64 KiB of a child's standard error."""

    def __init__(self, upstream_id: str, secrets: Iterable[str]) -> None:
        self._upstream_id = upstream_id
        self._secrets = sorted({s.encode() for s in secrets if len(s) >= LEAST_SECRET_CHARS}, key=len, reverse=True)
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._cut = False
        self._line = b""
        self._logged = 0
        self.total_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take what came in, dropping what is too old."""
        self.total_bytes += len(data)
        self._log(data)
        if len(data) > RING_BYTES:
            data, self._cut = data[-RING_BYTES:], True
        self._chunks.append(data)
        self._size += len(data)
        while self._size - len(self._chunks[0]) >= RING_BYTES:
            self._size -= len(self._chunks.popleft())
            self._cut = True

    def text(self) -> str:
        """What is kept, without secrets."""
        kept = b"".join(self._chunks)
        if self._cut or len(kept) > RING_BYTES:
            kept = kept[-RING_BYTES:]
            _, newline, rest = kept.partition(b"\n")
            longest = len(self._secrets[0]) if self._secrets else 0
            kept = rest if newline else kept[longest:]
        return self._redacted(kept).decode("utf-8", "replace")

    def _redacted(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret, STARS)
        return data

    def _log(self, data: bytes) -> None:
        """Log the first lines only: a child that writes more has said enough, and the ring keeps its last words."""
        if self._logged >= MAX_LOGGED_LINES:
            return
        *lines, self._line = (self._line + data[: 4 * RING_BYTES]).split(b"\n")
        self._line = self._line[-RING_BYTES:]
        for line in lines[: MAX_LOGGED_LINES - self._logged]:
            text = self._redacted(line).decode("utf-8", "replace").strip()
            if text:
                self._logged += 1
                log.info("upstream_stderr", upstream=self._upstream_id, text=text[:MAX_LOGGED_CHARS])
