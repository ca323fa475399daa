"""Spares callers the wait for an upstream that cannot be connected to.

Closed: everything passes. Five failures to connect within ten seconds open it: everything is refused at once. Five
seconds later one request passes as a probe; if it connects the breaker closes, if not it stays open for five more.
"""

from __future__ import annotations

from collections import deque

from toolyard.gateway.upstream.errors import UpstreamUnreachable
from toolyard.kit.clock import Clock

FAILURES = 5
WINDOW_S = 10.0
PAUSE_S = 5.0


class Breaker:
    """One for each upstream. Only failures to connect count: an answer of any kind shows that there is someone."""

    def __init__(self, upstream_id: str, clock: Clock) -> None:
        self._upstream_id = upstream_id
        self._clock = clock
        self._failed_at: deque[float] = deque(maxlen=FAILURES)
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        if self._opened_at is None:
            return "closed"
        return "half-open" if self._probing else "open"

    @property
    def is_closed(self) -> bool:
        return self._opened_at is None

    def admit(self) -> None:
        """Let one request pass. Raises UpstreamUnreachable while open."""
        if self._opened_at is None:
            return
        if self._probing or self._clock.monotonic() - self._opened_at < PAUSE_S:
            raise UpstreamUnreachable(
                f"Upstream {self._upstream_id!r} cannot be reached; it is tried again in seconds."
            )
        self._probing = True

    def connected(self) -> None:
        """The admitted request reached the upstream."""
        if self._failed_at or self._opened_at is not None:
            self._failed_at.clear()
            self._opened_at = None
            self._probing = False

    def failed(self) -> None:
        """The admitted request could not connect."""
        now_s = self._clock.monotonic()
        self._failed_at.append(now_s)
        if self._probing or (len(self._failed_at) == FAILURES and now_s - self._failed_at[0] <= WINDOW_S):
            self._opened_at = now_s
        self._probing = False

    def abandoned(self) -> None:
        """The admitted request was given up before it was known whether it connects."""
        self._probing = False
