"""Refusals: one log line, one bounded metric label, and a journal row where the caller is known."""

from __future__ import annotations

from toolyard.gateway.call import Head
from toolyard.gateway.journal import Journal
from toolyard.gateway.metrics import Metrics
from toolyard.kit.clock import Clock
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger

log = get_logger(__name__)

LINES_PER_S = 20
"""Log lines for refusals in a second, of each code: a line costs more than the refusal (a fifth of what an overloaded
gateway had to do). What was left out is counted in the next line."""
SECURITY_CODES = frozenset(
    {
        "not_allowed",
        "scope_missing",
        "tool_not_granted",
        "tool_not_in_server",
        "server_disabled",
        "tool_disabled",
        "rate_limited",
        "state_refused",
    }
)


class _Lines:
    """How many lines a code has had in this second."""

    __slots__ = ("left_out", "second", "written")

    def __init__(self) -> None:
        self.second = self.written = self.left_out = 0


class RefusalLog:
    """Where refusals go. Strangers are counted, known callers are written down."""

    def __init__(self, journal: Journal, metrics: Metrics, clock: Clock) -> None:
        self._journal = journal
        self._metrics = metrics
        self._clock = clock
        self._lines: dict[str, _Lines] = {}

    def credential(self, head: Head, reason: str) -> None:
        """A credential was refused, or a key was shown at a server it does not belong to."""
        self._metrics.refused(reason)
        log.warning(
            "credential_refused", reason=reason, server=head.server_code, client=head.client, request_id=head.request_id
        )

    def error(self, head: Head, error: PlatformError, action: str = "") -> None:
        """An exchange ended with an error of the gateway; `action` is the method that was asked for."""
        self._metrics.refused(error.code)
        if head.principal is not None and error.code in SECURITY_CODES:
            self._journal.keep_refusal(
                {
                    "at": self._clock.wall(),
                    "principal": head.principal.id,
                    "server": head.server_code,
                    "reason": error.code,
                    "action": action or head.method,
                    "client": head.client,
                    "request_id": head.request_id,
                }
            )
        left_out = self._left_out(error.code)
        if left_out is not None:
            more = {"left_out": left_out} if left_out else {}
            log.info(
                "refused",
                code=error.code,
                server=head.server_code,
                client=head.client,
                request_id=head.request_id,
                **more,
            )

    def _left_out(self, code: str) -> int | None:
        """How many lines of that code were left out before this one; None if this one is left out too."""
        lines = self._lines.get(code)
        if lines is None:
            lines = self._lines[code] = _Lines()
        second = int(self._clock.monotonic())
        if second != lines.second:
            lines.second, lines.written = second, 0
        if lines.written >= LINES_PER_S:
            lines.left_out += 1
            return None
        lines.written += 1
        left_out, lines.left_out = lines.left_out, 0
        return left_out
