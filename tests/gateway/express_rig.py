"""A gateway on kept connections in front of a shop, where it is known which calls went by a plan (`express`)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from tests.gateway.faults.raw_client import Answer, Wire, http_request
from tests.gateway.faults.shop import Json, Shop, Till, opened
from tests.gateway.rig import Rig, a_key, bearer, envelope, modern_request, running, snapshot
from toolyard.contract.snapshot import ServerSpec, ToolRule, UpstreamSpec
from toolyard.gateway.assembly import Bounds, Gateway
from toolyard.gateway.interceptors.in_flight import Bulkhead, InFlight, InFlightLimits

HASTY_S = 0.1
LOCKED = ServerSpec("default", names="plain")
NARROW = Bounds(in_flight=InFlightLimits(process=3, server=3, upstream=3, principal=3, wait_s=0.02))


class Counter(Shop):
    """A shop that keeps what it was sent: headers and message of every call, but for its id and token."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[tuple[Json, Json]] = []

    def serve(self, till: Till, method: str, headers: Json, body: bytes) -> None:
        if b'"tools/call"' in body:
            message = json.loads(body)
            message.pop("id")
            if "progressToken" in message["params"]["_meta"]:
                message["params"]["_meta"]["progressToken"] = "the gateway's own"
            self.came.append(({**headers, "content-length": "", "host": ""}, message))
        super().serve(till, method, headers, body)


class Front:
    """`trips`: how many calls went by a plan."""

    def __init__(self, rig: Rig, shop: Counter, keys: tuple[str, ...]) -> None:
        self.rig = rig
        self.shop = shop
        self.keys = keys
        self.trips = 0
        self.wires: list[Wire] = []
        express: Any = self.gateway.modern._express
        begin = express.begin

        def counted(*args: Any) -> Any:
            trip = begin(*args)
            self.trips += trip is not None
            return trip

        express.begin = counted

    @property
    def gateway(self) -> Gateway:
        return self.rig.gateway

    def without_shortcuts(self) -> None:
        """Carry every call by coroutines from now on."""
        modern: Any = self.gateway.modern
        modern._express.begin = lambda *_: None
        modern._rides.begin = lambda *_: None

    async def wire(self, *, planned: bool = False) -> Wire:
        """A new connection; `planned`: calls of `sell` go by a plan on it."""
        wire = await Wire.opened(self.rig.port)
        self.wires.append(wire)
        if planned:
            await self.plan(wire)
        return wire

    async def plan(self, wire: Wire, tool: str = "sell", **changes: Any) -> None:
        """Make such calls until one goes by a plan. The first may have to open a connection to the shop; it is long, so
        that the head is known for whatever follows."""
        long, trips = "p" * 1000, self.trips
        assert await self.said(wire, long, tool, **changes) == long
        for _ in range(4):
            if self.trips == trips:
                assert await self.said(wire, "p", tool, **changes) == "p"
        assert self.trips == trips + 1

    def request(self, token: str = "t", tool: str = "sell", *, key: int = 0, **changes: Any) -> bytes:
        """A call as bytes. `meta`, `params`, `message`, `headers` change or (None) take away members; `body` is sent as
        it is."""
        meta = envelope() | changes.get("meta", {})
        params = {"name": tool, "arguments": {"token": token}} | changes.get("params", {})
        sent, _ = modern_request("tools/call", {"name": tool}, headers=bearer(self.keys[key]))
        params = _without_nothing(params) | {"_meta": _without_nothing(meta)}
        message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params} | changes.get("message", {})
        body = changes.get("body") or json.dumps(_without_nothing(message)).encode()
        return http_request(_without_nothing(sent | changes.get("headers", {})), body)

    async def answer(self, wire: Wire, token: str = "t", tool: str = "sell", **changes: Any) -> Answer:
        await wire.send(self.request(token, tool, **changes))
        return await wire.answer()

    async def said(self, wire: Wire, token: str = "t", tool: str = "sell", **changes: Any) -> str:
        return (await self.answer(wire, token, tool, **changes)).said

    async def under_way(self, wire: Wire, token: str) -> None:
        """Begin a call by a plan that the shop holds."""
        trips = self.trips
        self.shop.hold(token)
        await wire.send(self.request(token))
        await self.shop.holds(token)
        assert self.trips == trips + 1

    async def warm(self, *wires: Wire) -> None:
        """Have a connection to the shop for each of these."""
        for number, wire in enumerate(wires):
            self.shop.hold(f"w{number}")
            await wire.send(self.request(f"w{number}"))
        for number, wire in enumerate(wires):
            await self.shop.holds(f"w{number}")
            self.release(f"w{number}")
            assert (await wire.answer()).said == f"w{number}"

    def release(self, token: str) -> None:
        """Answer what the shop holds."""
        order = self.shop.held.pop(token)
        order.send(order.plain()[1])

    def left(self) -> dict[str, int]:
        """What is taken by calls; all is zero when none runs."""
        status = self.gateway.pool.status_of("shop") or {}
        return {
            "calls of the upstream": self.gateway.pool.entry("shop").in_flight,
            "requests of the driver": status["running"],
            "busy connections": status["http"]["connections"] - status["http"]["idle"],
            "places": sum(bulkhead.running for bulkhead in bulkheads(self.gateway)),
            "requests of clients": self.rig.server.admission.running,
        }

    async def rests(self) -> None:
        """Until nothing is left of any call."""
        await self.rig.until(lambda: not any(self.left().values()))

    def totals(self) -> dict[str, int]:
        """The calls by outcome."""
        return dict(self.gateway.record.totals)


def bulkheads(gateway: Gateway) -> list[Bulkhead]:
    (found,) = [gate for gate in gateway.modern._pipeline.gates if isinstance(gate, InFlight)]
    kept = (found._servers, found._upstreams, found._principals)
    return [found._process, *(bulkhead for kind in kept for bulkhead in kind.values())]


def _without_nothing(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not None}


@asynccontextmanager
async def fronted(*, server: ServerSpec = LOCKED, bounds: Bounds | None = None, **spec: Any) -> AsyncIterator[Front]:
    """A shop and its gateway, with two keys."""
    keys, records = zip(*(a_key() for _ in range(2)), strict=True)
    rules = {"hasty": ToolRule(timeout_s=HASTY_S)}
    async with opened(Counter()) as shop:
        assert isinstance(shop, Counter)
        upstream = UpstreamSpec("shop", "mcp-http", url=shop.url, tools=rules, **spec)
        async with running(snapshot(upstream, servers=(server,), keys=records), bounds=bounds) as rig:
            front = Front(rig, shop, keys)
            try:
                yield front
            finally:
                for wire in front.wires:
                    wire.close()


def in_front(scene: Callable[[Front], Awaitable[None]], **kwargs: Any) -> None:
    """Play a scene on the loop that is used in production."""

    async def run() -> None:
        async with asyncio.timeout(60), fronted(**kwargs) as front:
            await scene(front)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
