"""What the local operator may ask over the Unix socket in the data directory: how everything does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from toolyard import __version__
from toolyard.contract.catalog import Catalog
from toolyard.gateway.call import Answer, Head, Sink
from toolyard.gateway.interceptors.record import Record, error_rate
from toolyard.gateway.pool import Pool
from toolyard.gateway.routes import Route
from toolyard.gateway.sessions import Sessions

Report = dict[str, Any]
"""What one process says of itself."""


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
        self.all_reports: Callable[[], Awaitable[list[Report]]] | None = None
        """What all processes of the gateway report, if there are several."""

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
        reports = await self._reports()
        states = [u["state"] for u in _upstreams_of(reports)]
        calls = _calls_of(reports)
        workers = {"workers": [_shown(r) for r in reports]} if self.all_reports is not None else {}
        _finish(
            sink,
            {
                "version": __version__,
                "uptime_s": max(r.get("uptime_s", 0.0) for r in reports),
                "revision": catalog.snapshot.revision,
                "digest": catalog.snapshot.digest,
                "upstreams": {state: states.count(state) for state in sorted(set(states))},
                "servers": len(catalog.servers),
                "sessions": sum(r.get("sessions", 0) for r in reports),
                "calls": dict(calls),
                "error_rate": round(error_rate(calls), 4),
                **workers,
                **self._facts(),
            },
        )

    async def upstreams(self, _head: Head, _body: bytes, sink: Sink) -> None:
        """Every upstream with its state, and why it fails if it does."""
        _finish(sink, _upstreams_of(await self._reports()))

    def report(self) -> Report:
        """What this process says of itself; all its values are plain."""
        return {
            "upstreams": self._pool.status(),
            "kept": self._pool.looked_at(),
            "uptime_s": round(time.monotonic() - self._started, 1),
            "sessions": len(self._sessions),
            "calls": dict(self._record.totals),
        }

    async def _reports(self) -> list[Report]:
        return [self.report()] if self.all_reports is None else await self.all_reports()

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


def _upstreams_of(reports: list[Report]) -> list[Any]:
    """Every upstream once, in the order of the first report, as the process tells it that keeps it."""
    kept = {
        u["id"]: u for report in reversed(reports) for u in report.get("upstreams", ()) if u["id"] in report["kept"]
    }
    return [kept.get(u["id"], u) for u in reports[0]["upstreams"]]


def _calls_of(reports: list[Report]) -> Counter[str]:
    return sum((Counter(report.get("calls", {})) for report in reports), Counter[str]())


def _shown(report: Report) -> Any:
    """One process in the status."""
    return {**report["worker"], "sessions": report.get("sessions", 0), "calls": sum(report.get("calls", {}).values())}


def _route(pattern: str, action: str, handler: Any) -> Route:
    return Route(pattern, ("GET",), handler, auth="operator", action=action, csrf="no-cookies", limit="probe")


def _finish(sink: Sink, value: Any) -> None:
    sink.finish(Answer(200, msgspec.json.encode(value)))
