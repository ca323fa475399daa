"""What the operator does with one upstream of a running gateway: start, stop, restart, check, wait.

An operation changes nothing in the configuration. What is stopped stays stopped until it is started, or the gateway is.
Each operation ends with how the upstream does then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import msgspec

from toolyard.contract.catalog import Catalog
from toolyard.contract.definitions import Observation
from toolyard.gateway.call import Answer, Head, Sink
from toolyard.gateway.errors import OrderInvalid, UpstreamDisabled, UpstreamUnknown
from toolyard.gateway.pool import Pool
from toolyard.gateway.routes import Route

Operation = Literal["start", "stop", "restart", "check", "wait"]
PATTERN: Final = "/operator/upstreams"
LONGEST_S: Final = 600.0


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do. `now`: do not wait for calls in flight (stop, restart). `timeout_s`: how long to wait for what comes
    of it; what was begun goes on then."""

    operation: Operation
    upstream: str
    now: bool = False
    timeout_s: float = 60.0


class Operating:
    """Carries out the orders for the upstreams of one gateway."""

    def __init__(
        self, catalog: Callable[[], Catalog], pool: Pool, observation: Callable[[str], Observation | None]
    ) -> None:
        self._catalog = catalog
        self._pool = pool
        self._observation = observation
        self.everywhere: Callable[[Order], Awaitable[dict[str, Any]]] | None = None
        """Has an order carried out by all processes of this gateway, where there are several."""

    def routes(self) -> tuple[Route, ...]:
        """The route that takes orders, for operators only. It waits, so it ends when the gateway drains."""
        return (
            Route(
                PATTERN,
                ("POST",),
                self.take,
                auth="operator",
                action="operator.operate",
                csrf="no-cookies",
                limit="stream",
                json_only=True,
            ),
        )

    async def take(self, _head: Head, body: bytes, sink: Sink) -> None:
        """Carry out the order in `body` and answer how the upstream does then. Raises OrderInvalid, and as
        `carry_out`."""
        try:
            order = msgspec.json.decode(body, type=Order)
        except msgspec.MsgspecError as error:
            raise OrderInvalid(f"this is not an order: {error}") from None
        sink.finish(Answer(200, msgspec.json.encode(await self.carry_out(order))))

    async def carry_out(self, order: Order) -> dict[str, Any]:
        """Do it; how the upstream does then (see `Pool.status`), with what it offers. Raises UpstreamUnknown,
        UpstreamDisabled."""
        self._check_known(order.upstream)
        if self.everywhere is not None:
            return await self.everywhere(order)
        self.begin(order)
        return await self.outcome(order)

    def begin(self, order: Order) -> None:
        """Do what is to be done in this process, without waiting for what comes of it."""
        match order.operation:
            case "start":
                self._pool.start(order.upstream)
            case "stop":
                self._pool.stop(order.upstream, at_once=order.now)
            case "restart":
                self._pool.restart(order.upstream, at_once=order.now)

    async def outcome(self, order: Order) -> dict[str, Any]:
        """Wait for what comes of an order that was begun: how the upstream does then. Raises UpstreamUnknown."""
        try:
            async with asyncio.timeout(min(max(0.0, order.timeout_s), LONGEST_S)):
                await self._done(order)
        except TimeoutError:
            pass
        return self._told(order.upstream)

    async def _done(self, order: Order) -> None:
        match order.operation:
            case "start" | "restart":
                await self._pool.tried((order.upstream,), LONGEST_S)
            case "stop":
                await self._pool.closed(order.upstream)
            case "check":
                await self._pool.look_now(order.upstream)
            case "wait":
                await self._pool.settled(order.upstream)

    def _check_known(self, upstream_id: str) -> None:
        spec = self._catalog().snapshot.upstreams.get(upstream_id)
        if spec is None:
            raise UpstreamUnknown(f"there is no upstream {upstream_id!r}", upstream=upstream_id)
        if not spec.enabled:
            raise UpstreamDisabled(f"upstream {upstream_id!r} is switched off in toolyard.yaml", upstream=upstream_id)

    def _told(self, upstream_id: str) -> dict[str, Any]:
        status = self._pool.status_of(upstream_id)
        if status is None:
            raise UpstreamUnknown(f"upstream {upstream_id!r} is not configured any more", upstream=upstream_id)
        seen = self._observation(upstream_id)
        if seen is not None:
            status["offers"] = {
                "tools": len(seen.tools),
                "prompts": len(seen.prompts),
                "resources": len(seen.resources),
                "resource_templates": len(seen.resource_templates),
            }
            status["dropped"] = list(seen.warnings)
        return status
