"""Refusals: one log line, one bounded metric label, and a journal row where the caller is known."""

from __future__ import annotations

from toolyard.gateway.call import Head
from toolyard.gateway.journal import Journal
from toolyard.gateway.metrics import Metrics
from toolyard.kit.clock import Clock
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger

log = get_logger(__name__)

SECURITY_CODES = frozenset({"not_allowed", "server_disabled", "tool_disabled", "rate_limited", "state_refused"})


class RefusalLog:
    """Where refusals go. Strangers are counted, known callers are written down."""

    def __init__(self, journal: Journal, metrics: Metrics, clock: Clock) -> None:
        self._journal = journal
        self._metrics = metrics
        self._clock = clock

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
        log.info("refused", code=error.code, server=head.server_code, client=head.client, request_id=head.request_id)
