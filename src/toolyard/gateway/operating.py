"""What the operator does with one upstream of a running gateway: start, stop, restart, check, wait.

An operation changes nothing in the configuration. What is stopped stays stopped until it is started, or the gateway is.
Each operation ends with how the upstream does then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
        try:
            async with asyncio.timeout(min(max(0.0, order.timeout_s), LONGEST_S)):
                await self._do(order)
        except TimeoutError:
            pass
        return self._outcome(order.upstream)

    async def _do(self, order: Order) -> None:
        pool, upstream_id = self._pool, order.upstream
        match order.operation:
            case "start":
                pool.start(upstream_id)
                await pool.tried((upstream_id,), LONGEST_S)
            case "stop":
                closing = pool.stop(upstream_id, at_once=order.now)
                if closing is not None:
                    await asyncio.wait({closing})
            case "restart":
                pool.restart(upstream_id, at_once=order.now)
                await pool.tried((upstream_id,), LONGEST_S)
            case "check":
                await pool.look_now(upstream_id)
            case "wait":
                await pool.settled(upstream_id)

    def _check_known(self, upstream_id: str) -> None:
        spec = self._catalog().snapshot.upstreams.get(upstream_id)
        if spec is None:
            raise UpstreamUnknown(f"there is no upstream {upstream_id!r}", upstream=upstream_id)
        if not spec.enabled:
            raise UpstreamDisabled(f"upstream {upstream_id!r} is switched off in toolyard.yaml", upstream=upstream_id)

    def _outcome(self, upstream_id: str) -> dict[str, Any]:
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
