"""Probes and metrics. Their answers tell strangers nothing but up or down: no versions, names or counts."""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from typing import Literal

from toolyard.gateway.call import Answer, Head
from toolyard.gateway.http_sink import HttpSink
from toolyard.gateway.metrics import Metrics
from toolyard.gateway.routes import Route
from toolyard.kit.secret import Secret

__all__ = ["Metrics", "operations_routes"]

_UP = Answer(200, b'{"status":"ok"}')
_DOWN = Answer(503, b'{"status":"unavailable"}', headers=(("retry-after", "1"),))
_UNAUTHENTICATED = Answer(
    401,
    b'{"error":{"code":"unauthenticated","message":"Show the metrics token."}}',
    headers=(("www-authenticate", "Bearer"),),
)
_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = ("GET", "HEAD")


def operations_routes(
    ready: Callable[[], bool],
    metrics: Metrics,
    *,
    metrics_for: Literal["anyone", "operator", "token"] = "operator",
    metrics_token: Secret | None = None,
) -> list[Route]:
    """The routes of operations. `ready` says whether calls can be served: configured and not draining. `metrics_for`:
    who may read the metrics; `anyone` is for loopback listeners, `token` wants `metrics_token` as a bearer token."""

    async def live(head: Head, body: bytes, sink: HttpSink) -> None:
        sink.finish(_UP)

    async def readiness(head: Head, body: bytes, sink: HttpSink) -> None:
        sink.finish(_UP if ready() else _DOWN)

    async def render(head: Head, body: bytes, sink: HttpSink) -> None:
        sink.finish(Answer(200, await metrics.render_all(), content_type=_TEXT_FORMAT))

    def admit(head: Head) -> Answer | None:
        if metrics_for != "token" or head.operator:
            return None
        given = head.headers.get("authorization", "").encode("latin-1", "replace")
        wanted = metrics_token.reveal().encode() if metrics_token is not None else b""
        return None if wanted and compare_digest(given, b"Bearer " + wanted) else _UNAUTHENTICATED

    probes = [
        Route(pattern, _METHODS, handler, auth="none", action="health.read", csrf="no-cookies", limit="probe")
        for pattern, handler in (
            ("/health", readiness),
            ("/health/live", live),
            ("/health/ready", readiness),
            ("/api/v1/system/health", readiness),
            ("/api/v1/system/status", readiness),
        )
    ]
    auth: Literal["operator", "none"] = "operator" if metrics_for == "operator" else "none"
    return [
        *probes,
        Route(
            "/metrics",
            _METHODS,
            render,
            auth=auth,
            action="metrics.read",
            csrf="no-cookies",
            limit="probe",
            admit=admit,
        ),
    ]
