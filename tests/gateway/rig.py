"""A whole gateway in the test's own loop, behind a real listening socket, and a small client for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from toolyard.contract.snapshot import KeyRecord, ServerSpec, Snapshot, UpstreamSpec
from toolyard.gateway.assembly import Bounds, Gateway
from toolyard.gateway.call import Upstream, UpstreamEvents
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.identity import Identity
from toolyard.gateway.journal import Journal
from toolyard.gateway.operations import operations_routes
from toolyard.gateway.routes import RouteTable
from toolyard.gateway.server import GatewayServer
from toolyard.kit.clock import Clock, SystemClock
from toolyard.platform import make_upstream
from toolyard.policy.keys import Pepper, issue
from toolyard.protocol.headers import encode_value
from toolyard.protocol.revisions import MODERN
from toolyard.protocol.sse import SseParser

PEPPER = Pepper(1, b"p" * 32)
BOTH = "application/json, text/event-stream"
LIMIT_S = 20.0
Make = Callable[[UpstreamSpec, UpstreamEvents, Clock, Any], Upstream]


def demo(upstream_id: str = "demo", **changes: Any) -> UpstreamSpec:
    return UpstreamSpec(upstream_id, "native", command=("demo",), **changes)


def snapshot(
    *upstreams: UpstreamSpec, servers: tuple[ServerSpec, ...], keys: tuple[KeyRecord, ...] = (), revision: int = 1
) -> Snapshot:
    return Snapshot(
        revision,
        f"test-{revision}",
        {u.id: u for u in upstreams},
        {s.code: s for s in servers},
        {k.id: k for k in keys},
    )


OPEN = ServerSpec("default", access="open", names="plain")


@dataclass
class Reply:
    """An HTTP answer; `messages` are the JSON objects of the body or of the events."""

    status: int
    headers: dict[str, str]
    body: bytes
    events: list[Any] = field(default_factory=list)

    @property
    def messages(self) -> list[Any]:
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return [json.loads(e.data) for e in self.events if e.data]
        return [json.loads(self.body)] if self.body else []

    @property
    def message(self) -> Any:
        return self.messages[-1]

    @property
    def result(self) -> Any:
        return self.message["result"]

    @property
    def error(self) -> Any:
        return self.message["error"]


class Rig:
    """A started gateway at `port`."""

    def __init__(self, gateway: Gateway, server: GatewayServer, port: int, journal: Journal) -> None:
        self.gateway = gateway
        self.server = server
        self.port = port
        self.journal = journal

    async def ready(self, *upstream_ids: str) -> None:
        """Until these upstreams have been observed."""
        await self.gateway.pool.tried(upstream_ids or tuple(self.gateway.holder.current.snapshot.upstreams), LIMIT_S)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until something is so that happens at the other end of a socket."""
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                await asyncio.sleep(0.005)

    async def http(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        body: bytes = b"",
    ) -> Reply:
        """One request on a connection of its own, its answer read to the end."""
        async with asyncio.timeout(LIMIT_S):
            stream = await self.open(method, path, headers, body)
            try:
                return await stream.rest()
            finally:
                stream.close()

    async def open(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        body: bytes = b"",
    ) -> Stream:
        """One request whose answer is read step by step."""
        reader, writer = await self._request(method, path, headers or {}, body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        received = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        return Stream(reader, writer, int(head[0].split()[1]), received)

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        body: bytes = b"",
    ) -> asyncio.StreamWriter:
        """One request whose answer nobody reads."""
        return (await self._request(method, path, headers or {}, body))[1]

    async def _request(
        self, method: str, path: str, headers: Mapping[str, str] | list[tuple[str, str]], body: bytes
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in pairs]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        await writer.drain()
        return reader, writer

    async def modern(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        path: str = "/mcp",
        request_id: Any = 1,
        capabilities: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
        headers: Mapping[str, str] = {},
    ) -> Reply:
        """A request of revision 2026-07-28."""
        sent, body = modern_request(
            method, params, request_id=request_id, capabilities=capabilities, meta=meta, headers=headers
        )
        return await self.http("POST", path, sent, body)

    async def legacy(
        self, message: Any, session: str | None = None, *, path: str = "/mcp", headers: Mapping[str, str] = {}
    ) -> Reply:
        """A message of an older revision, within a session if there is one."""
        sent = {"content-type": "application/json", "accept": BOTH, **headers}
        if session is not None:
            sent["mcp-session-id"] = session
        return await self.http("POST", path, sent, json.dumps(message).encode())

    async def initialize(
        self,
        revision: str = "2025-11-25",
        capabilities: dict[str, Any] | None = None,
        *,
        path: str = "/mcp",
        headers: Mapping[str, str] = {},
    ) -> str:
        """Open a legacy session; its id."""
        params = {
            "protocolVersion": revision,
            "capabilities": capabilities or {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        reply = await self.legacy(rpc("initialize", params), path=path, headers=headers)
        session = reply.headers["mcp-session-id"]
        await self.legacy(
            {"jsonrpc": "2.0", "method": "notifications/initialized"}, session, path=path, headers=headers
        )
        return session


@dataclass
class Stream:
    """An open answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int
    headers: dict[str, str]
    parser: SseParser = field(default_factory=lambda: SseParser(8 * 1024 * 1024))
    waiting: list[Any] = field(default_factory=list)

    async def chunk(self) -> bytes:
        """The next part of the body; empty at the end."""
        if self.headers.get("transfer-encoding") != "chunked":
            length = int(self.headers.get("content-length", "0"))
            return await self.reader.readexactly(length) if length else b""
        size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return data

    async def event(self) -> Any:
        """The next event of the stream."""
        async with asyncio.timeout(LIMIT_S):
            while not self.waiting:
                chunk = await self.chunk()
                assert chunk, "the stream ended"
                self.waiting += self.parser.feed(chunk)
            return self.waiting.pop(0)

    async def message(self) -> Any:
        """The next event that carries a message."""
        while True:
            event = await self.event()
            if event.data:
                return json.loads(event.data)

    async def rest(self) -> Reply:
        if self.headers.get("transfer-encoding") != "chunked":
            return Reply(self.status, self.headers, await self.chunk())
        body = b""
        while chunk := await self.chunk():
            body += chunk
        return Reply(self.status, self.headers, body, self.waiting + self.parser.feed(body))

    def close(self) -> None:
        self.writer.close()


def rpc(method: str, params: Any = None, request_id: Any = 1) -> dict[str, Any]:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id, "method": method}
    if params is not None:
        message["params"] = params
    return message


def envelope(capabilities: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": capabilities or {},
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        **more,
    }


def modern_request(
    method: str,
    params: dict[str, Any] | None = None,
    *,
    request_id: Any = 1,
    capabilities: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
    headers: Mapping[str, str] = {},
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a modern POST."""
    sent = {
        "content-type": "application/json",
        "accept": BOTH,
        "mcp-protocol-version": MODERN,
        "mcp-method": method,
    }
    named = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(method)
    named = "taskId" if method.startswith("tasks/") else named
    if named is not None and params is not None and isinstance(params.get(named), str):
        sent["mcp-name"] = encode_value(params[named])
    full = {**(params or {}), "_meta": {**envelope(capabilities), **(meta or {})}}
    return {**sent, **headers}, json.dumps(rpc(method, full, request_id)).encode()


@asynccontextmanager
async def running(
    snap: Snapshot | None = None,
    *,
    make: Make = make_upstream,
    bounds: Bounds | None = None,
    limits: WireLimits | None = None,
    clock: Clock | None = None,
    journal: Journal | None = None,
    identity: Identity | None = None,
) -> AsyncIterator[Rig]:
    """A gateway that listens on a free port of 127.0.0.1."""
    kept = journal or Journal(None)
    gateway = Gateway(
        snap or snapshot(demo(), servers=(OPEN,)),
        make_upstream=make,
        journal=kept,
        clock=clock or SystemClock(),
        peppers=lambda: {PEPPER.version: PEPPER.value},
        bounds=bounds,
        identity=identity,
    )
    operations = operations_routes(lambda: not server.draining, gateway.metrics, metrics_for="anyone")
    server = GatewayServer(RouteTable([*gateway.routes(), *gateway.founding_routes(), *operations]), limits=limits)
    server.on_drain.append(gateway.hub.end_streams)
    gateway.start()
    port = await server.start("127.0.0.1", 0)
    rig = Rig(gateway, server, port, kept)
    try:
        await rig.ready()
        yield rig
    finally:
        await gateway.aclose()
        await server.stop_now()
        if journal is None:
            kept.close()


def a_key(server: str = "default", **changes: Any) -> tuple[str, KeyRecord]:
    return issue(server, "test", PEPPER, now=0.0, **changes)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def play(scene: Callable[[Rig], Awaitable[None]], *args: Any, **kwargs: Any) -> None:
    """Run a scene with a gateway and take everything down after it."""

    async def run() -> None:
        async with running(*args, **kwargs) as rig:
            await scene(rig)

    asyncio.run(run())
