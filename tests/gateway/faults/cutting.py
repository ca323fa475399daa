"""A gateway between raw clients and a shop whose connections are cut anywhere, and the check that nothing is left.

Several calls are always in flight when a connection is cut: others that are cut beside it, and one of a client that
must notice nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import uvloop

from tests.gateway.faults.raw_client import Wire, http_request
from tests.gateway.faults.shop import PATIENCE_S, How, Json, Order, Shop, opened
from tests.gateway.rig import OPEN, Rig, a_key, bearer, modern_request, rpc, running, snapshot
from tests.gateway.upstream.leftovers import open_descriptors
from toolyard.contract.snapshot import RateLimit, ServerSpec, ToolRule, UpstreamSpec
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.interceptors.in_flight import InFlightLimits
from toolyard.kit.clock import Clock

AT_ONCE = 6
CONNECTIONS = 12
OFTEN = RateLimit(1e9, 1e9)
LOCKED = ServerSpec("default", names="plain", per_key=OFTEN, per_server=OFTEN)
HASTY_S = 0.3
HOW: tuple[How, ...] = ("fin", "reset")
BOUNDS = Bounds(in_flight=InFlightLimits(process=10, server=10, upstream=10, principal=10, wait_s=5.0))
"""So few places that those of a handful of lost calls would be missed at once."""


@dataclass(frozen=True)
class Exchange:
    """One way to make a call: what the client sends, and in which form the shop answers (what comes before the result,
    and the rest), and whether the client shows a key. A legacy client's calls outlive its connections."""

    name: str
    parts: Callable[[Order], list[bytes]] = Order.plain
    progress: bool = False
    chunked: bool = False
    client: str = "modern"
    upstream: Any = "modern"
    tool: str = "sell"
    keyed: bool = False
    key: str = ""

    def request(self, token: str, session: str = "") -> bytes:
        params: Json = {"name": self.tool, "arguments": {"token": token}}
        if self.client == "modern":
            meta = {"progressToken": "p"} if self.progress else None
            headers, body = modern_request("tools/call", params, request_id=int(token[1:]), meta=meta)
            return http_request({**headers, **self.headers}, body, chunked=self.chunked)
        if self.progress:
            params["_meta"] = {"progressToken": "p" + token}
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        body = json.dumps(rpc("tools/call", params, int(token[1:]))).encode()
        return http_request({**headers, **self.headers, "mcp-session-id": session}, body, chunked=self.chunked)

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.key) if self.key else {}

    def with_tool(self, tool: str) -> Exchange:
        return replace(self, tool=tool)


JSON_ANSWER = Exchange("json", keyed=True)
STREAM = Exchange("stream", Order.streamed, progress=True, keyed=True)
CHUNKS = Exchange("chunks", Order.chunked, chunked=True)
LEGACY = Exchange("legacy", client="legacy", upstream="legacy")
LEGACY_STREAM = Exchange("legacy-stream", Order.streamed, True, client="legacy", upstream="legacy", keyed=True)
TO_LEGACY = Exchange("to-legacy", upstream="legacy", keyed=True)
FROM_LEGACY = Exchange("from-legacy", Order.streamed, True, client="legacy")
ALL = (JSON_ANSWER, STREAM, CHUNKS, LEGACY, LEGACY_STREAM)
BETWEEN_ERAS = (TO_LEGACY, FROM_LEGACY)
in_every_form = pytest.mark.parametrize("exchange", [*ALL, *BETWEEN_ERAS], ids=lambda exchange: exchange.name)
as_json_and_stream = pytest.mark.parametrize("exchange", [JSON_ANSWER, STREAM], ids=lambda exchange: exchange.name)
on_both_loops = pytest.mark.parametrize(
    "plain", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["uv", "plain"]
)


class Stage:
    """A gateway, its shop, and a client that must never notice anything."""

    def __init__(self, rig: Rig, shop: Shop, exchange: Exchange) -> None:
        self.rig = rig
        self.shop = shop
        self.exchange = exchange
        self.session = ""
        self._numbers = itertools.count(100_001)  # ids of one width
        self._wires: list[Wire] = []
        self._base: dict[str, int] = {}

    async def begin(self) -> None:
        """Warm up: sessions are open, the pool has connections. Then what is there is what may be there."""
        if self.exchange.client == "legacy":
            self.session = await self.rig.initialize(headers=self.exchange.headers)
        self.bystander = await self.wire()
        wires = [await self.wire() for _ in range(AT_ONCE + 1)]
        tokens = [self.token() for _ in wires]
        for token in tokens:
            self.shop.hold(token)
        for wire, token in zip(wires, tokens, strict=True):
            await wire.send(self.exchange.request(token, self.session))
        await self.shop.holds(*tokens)
        for wire, token in zip(wires, tokens, strict=True):
            self.release(token)
            assert (await wire.answer()).said == token
            wire.close()
        await self.others_are_served()
        await self.settled(measure=True)

    def token(self) -> str:
        return f"t{next(self._numbers):06d}"

    async def wire(self, *, warm: bool = False, tool: str = "") -> Wire:
        """A new connection; `warm`: calls were made on it, in the same words as those that will be."""
        wire = await Wire.opened(self.rig.port)
        self._wires.append(wire)
        for _ in range(3 if warm else 0):
            assert await self.call(wire, tool) == "right"
        return wire

    async def call(self, wire: Wire, tool: str = "") -> str:
        """One whole call: `right`, or the reason of its error."""
        token = self.token()
        await wire.send(self.exchange.with_tool(tool or self.exchange.tool).request(token, self.session))
        said = (await wire.answer()).said
        return "right" if said == token else said

    def release(self, token: str) -> None:
        """Answer an order that was held."""
        order = self.shop.held.pop(token)
        order.send(b"".join(self.exchange.parts(order)))

    async def others_are_served(self) -> None:
        assert await self.call(self.bystander) == "right"

    @asynccontextmanager
    async def beside_a_call(self) -> AsyncIterator[None]:
        """While a call of the other client is in flight, which ends well; then that client is served, and all rests."""
        token = self.token()
        self.shop.hold(token)
        await self.bystander.send(self.exchange.request(token, self.session))
        await self.shop.holds(token)
        yield
        self.release(token)
        assert (await self.bystander.answer()).said == token
        assert self.shop.sold[token] == 1
        await self.others_are_served()
        await self.settled()

    def close(self) -> None:
        for wire in self._wires:
            wire.close()

    def _state(self) -> dict[str, int]:
        self._wires = [wire for wire in self._wires if wire.is_open]
        status = self.rig.gateway.pool.status_of("shop") or {}
        http = status.get("http", {"connections": 0, "idle": 0, "waiting": 0})
        return {
            "connections without a client": self.rig.server.connection_count - len(self._wires),
            "handlers": self.rig.server.running_count,
            "calls in flight": self.rig.gateway.pool.entry("shop").in_flight,
            "busy upstream connections": http["connections"] - http["idle"],
            "waiting for an upstream connection": http["waiting"],
            "upstream connections nobody knows": abs(len(self.shop.tills) - http["connections"]),
            "tasks": len(asyncio.all_tasks()),
            "other descriptors": open_descriptors() - 2 * len(self.shop.tills) - 2 * self.rig.server.connection_count,
        }

    async def settled(self, *, measure: bool = False) -> None:
        """Until there is no more than there was at the beginning."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_S
        nothing = ("connections without a client", "handlers", "calls in flight", "busy upstream connections")
        wanted = self._base or dict.fromkeys(nothing, 0)
        while any((state := self._state())[what] != count for what, count in wanted.items()):
            assert loop.time() < give_up_at, {w: (state[w], count) for w, count in wanted.items() if state[w] != count}
            await asyncio.sleep(0)
        if measure:
            self._base = state


def spec(shop: Shop, **more: Any) -> UpstreamSpec:
    hasty = {"hasty": ToolRule(timeout_s=HASTY_S)}
    return UpstreamSpec("shop", "mcp-http", url=shop.url, max_connections=CONNECTIONS, tools=hasty, **more)


@asynccontextmanager
async def staged(
    exchange: Exchange = JSON_ANSWER, clock: Clock | None = None, bounds: Bounds = BOUNDS, **more: Any
) -> AsyncIterator[Stage]:
    key, record = a_key()
    server = LOCKED if exchange.keyed else OPEN
    exchange = replace(exchange, key=key if exchange.keyed else "")
    async with (
        opened(Shop(exchange.upstream)) as shop,
        running(snapshot(spec(shop, **more), servers=(server,), keys=(record,)), bounds=bounds, clock=clock) as rig,
    ):
        stage = Stage(rig, shop, exchange)
        await stage.begin()
        try:
            yield stage
        finally:
            stage.close()


def on_stage(
    scene: Callable[[Stage], Awaitable[None]], exchange: Exchange = JSON_ANSWER, *, plain: bool = False, **more: Any
) -> None:
    """Play a scene, on uvloop as in production or on `plain` asyncio."""

    async def run() -> None:
        async with staged(exchange, **more) as stage:
            await scene(stage)

    with asyncio.Runner(loop_factory=asyncio.new_event_loop if plain else uvloop.new_event_loop) as runner:
        runner.run(run())


def groups(positions: range) -> Iterator[tuple[int, ...]]:
    """Positions, some at a time."""
    waiting = iter(positions)
    while group := tuple(itertools.islice(waiting, AT_ONCE)):
        yield group


async def a_moment() -> None:
    """Let everybody read what was written."""
    for _ in range(3):
        await asyncio.sleep(0)
