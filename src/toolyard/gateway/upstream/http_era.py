"""What tells the eras apart on HTTP."""

from __future__ import annotations

from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.protocol.errors import RelayedError

MODERN_CODES = frozenset({-32020, -32021, -32022})
"""JSON-RPC errors that only a modern server sends."""

ERA_STATUSES = frozenset({400, 404, 405, 406, 415})
"""HTTP statuses with which servers of one era refuse requests of the other. The request did not run."""


class EraContradicted(Exception):
    """The upstream is not of the era it was taken for, or no longer. `error` is what the caller gets if it is so after
    all."""

    def __init__(self, error: UpstreamError | RelayedError) -> None:
        self.error = error
        super().__init__(str(error))


class HttpSseExpected(UpstreamError):
    """The upstream does not speak Streamable HTTP; it may speak HTTP+SSE."""

    code = "upstream_http_sse"
    may_have_run = False
