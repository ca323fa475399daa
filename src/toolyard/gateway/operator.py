"""What the local operator may ask over the Unix socket in the data directory: how everything does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from toolyard import __version__
from toolyard.contract.catalog import Catalog
from toolyard.gateway.call import Answer, Head, Sink
from toolyard.gateway.interceptors.record import Record
from toolyard.gateway.pool import Pool
from toolyard.gateway.routes import Route
from toolyard.gateway.sessions import Sessions


class OperatorRoutes:
    """`/operator/status`, `/operator/upstreams`, `/operator/servers`. `facts` adds what only the platform knows."""

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        pool: Pool,
        sessions: Sessions,
        record: Record,
        facts: Callable[[], dict[str, Any]],
    ) -> None:
        self._catalog = catalog
        self._pool = pool
        self._sessions = sessions
        self._record = record
        self._facts = facts
        self._started = time.monotonic()

    def routes(self) -> tuple[Route, ...]:
        """The routes, all for operators only."""
        return (
            _route("/operator/status", "operator.status", self.status),
            _route("/operator/upstreams", "operator.upstreams", self.upstreams),
            _route("/operator/servers", "operator.servers", self.servers),
        )

    async def status(self, _head: Head, _body: bytes, sink: Sink) -> None:
        """The whole gateway in one object."""
        catalog = self._catalog()
        upstreams = self._pool.status()
        states = [u["state"] for u in upstreams]
        _finish(
            sink,
            {
                "version": __version__,
                "uptime_s": round(time.monotonic() - self._started, 1),
                "revision": catalog.snapshot.revision,
                "digest": catalog.snapshot.digest,
                "upstreams": {state: states.count(state) for state in sorted(set(states))},
                "servers": len(catalog.servers),
                "sessions": len(self._sessions),
                "calls": dict(self._record.totals),
                "error_rate": round(self._record.error_rate(), 4),
                **self._facts(),
            },
        )

    async def upstreams(self, _head: Head, _body: bytes, sink: Sink) -> None:
        """Every upstream with its state, and why it fails if it does."""
        _finish(sink, self._pool.status())

    async def servers(self, _head: Head, _body: bytes, sink: Sink) -> None:
        """Every virtual server with what it offers and what collided."""
        _finish(
            sink,
            [
                {
                    "code": code,
                    "title": server.spec.title,
                    "enabled": server.spec.enabled,
                    "access": server.spec.access,
                    "names": server.spec.names,
                    "tools": len(server.tools),
                    "prompts": len(server.prompts),
                    "resources": len(server.resources),
                    "resource_templates": len(server.templates),
                    "upstreams": list(server.upstream_ids),
                    "stale": self._pool.stale(server.upstream_ids),
                    "never_seen": list(server.unobserved),
                    "collisions": list(server.collisions),
                }
                for code, server in self._catalog().servers.items()
            ],
        )


def _route(pattern: str, action: str, handler: Any) -> Route:
    return Route(pattern, ("GET",), handler, auth="operator", action=action, csrf="no-cookies", limit="probe")


def _finish(sink: Sink, value: Any) -> None:
    sink.finish(Answer(200, msgspec.json.encode(value)))
