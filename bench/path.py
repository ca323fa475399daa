"""One whole `tools/call` through the real gateway, without sockets: `python -m bench.path` prints its µs.

Client and upstream are transports in memory, so what is timed is the program's own work and the event loop's, and not
the kernel's. The best of many short batches hardly moves when the machine is busy, unlike throughput.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

import toolyard.net.http as client_module
from bench.client import META, MODERN
from bench.machine import choose_cores
from bench.micro import pin
from toolyard.contract.snapshot import ServerSpec, Snapshot, UpstreamSpec
from toolyard.gateway.assembly import Gateway
from toolyard.gateway.edge import EdgeSettings, edge_rules
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.journal import Journal
from toolyard.gateway.reception import Listener
from toolyard.gateway.routes import RouteTable
from toolyard.gateway.upstream.mcp_http import McpHttpUpstream
from toolyard.gateway.wire import WireProtocol, WireService
from toolyard.kit.clock import SystemClock
from toolyard.policy.keys import Pepper, issue

PORT = 8000
BATCHES = 60
CALLS = 300
TOOL = "web__echo"
_ID = re.compile(rb'"id":(\d+)')
_SCHEMA = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
_RESULTS: dict[str, dict[str, Any]] = {
    "server/discover": {"supportedVersions": [MODERN], "capabilities": {"tools": {}}},
    "tools/list": {"tools": [{"name": "echo", "description": "Return the message", "inputSchema": _SCHEMA}]},
}
_CALLED = (
    b'{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"call 1 of the bench"}],"isError":false,'
    b'"resultType":"complete"}}'
)
_HEAD = b"HTTP/1.1 200 OK\r\nserver: bench\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


class MemoryTransport(asyncio.Transport):
    """A transport whose writes go to `written` and whose buffers are always empty."""

    def __init__(self, written: Callable[[bytes], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", PORT)})
        self.write = written  # type: ignore[assignment]
        self.on_close: Callable[[None], None] = lambda _: None

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.on_close, None)

    close = abort


async def dial_memory(make_protocol: Callable[[], Any], *_: object, **__: object) -> tuple[Any, None]:
    """Stands in for the client's `dial`: an upstream in memory that answers at the loop's next turn."""
    loop = asyncio.get_running_loop()
    protocol = make_protocol()
    transport = MemoryTransport(lambda data: _later(loop, protocol, _answer(data)))
    transport.on_close = protocol.connection_lost
    protocol.connection_made(transport)
    return protocol, None


def _later(loop: asyncio.AbstractEventLoop, protocol: Any, data: bytes) -> None:
    loop.call_soon(protocol.data_received, data)


def _answer(request: bytes) -> bytes:
    found = _ID.search(request)
    request_id = found[1] if found else b"null"
    if b'"tools/call"' in request:
        body = _CALLED % request_id
    else:
        result = _RESULTS[json.loads(request.partition(b"\r\n\r\n")[2])["method"]]
        more = {"resultType": "complete", "ttlMs": 60000, "cacheScope": "public"}
        body = b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (request_id, json.dumps({**result, **more}).encode())
    return _HEAD % len(body) + body


class Caller:
    """A client connection that sends the same request again as soon as it was answered."""

    def __init__(self, protocol: WireProtocol, request: bytes) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._request = request
        self._left = 0
        self._done: asyncio.Future[None] | None = None
        self.last = b""
        protocol.connection_made(MemoryTransport(self._answered))

    def _answered(self, data: bytes) -> None:
        self.last = data
        self._left -= 1
        if self._left > 0:
            self._loop.call_soon(self._protocol.data_received, self._request)
        elif self._done is not None:
            self._done.set_result(None)

    async def calls(self, count: int) -> None:
        """`count` calls, one after another."""
        self._left = count
        self._done = self._loop.create_future()
        self._protocol.data_received(self._request)
        await self._done


def request_bytes(key: str) -> bytes:
    """The request as the load of `bench` sends it."""
    params = {"name": TOOL, "arguments": {"message": "call 1 of the bench"}, "_meta": META}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    body = json.dumps(message, separators=(",", ":")).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nMcp-Name: {TOOL}\r\nContent-Type: application/json\r\n"
        f"Mcp-Method: tools/call\r\nMCP-Protocol-Version: {MODERN}\r\nAccept: application/json, text/event-stream\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def prepared() -> tuple[Caller, Callable[[], Awaitable[None]]]:
    """A caller of a gateway that knows its upstream, and what closes the gateway."""
    vars(client_module)["dial"] = dial_memory
    pepper = Pepper(1, bytes(range(32)))
    key, record = issue("default", "bench", pepper, now=0.0)
    upstream = UpstreamSpec("web", "mcp-http", url="http://127.0.0.1:9/mcp")
    snapshot = Snapshot(1, "bench", {"web": upstream}, {"default": ServerSpec("default")}, {record.id: record})
    gateway = Gateway(
        snapshot,
        make_upstream=lambda spec, events, clock, era: McpHttpUpstream(spec, events=events, clock=clock),
        journal=Journal(None),
        clock=SystemClock(),
        peppers=lambda: {pepper.version: pepper.value},
    )
    gateway.start()
    await gateway.pool.tried(["web"], 10.0)
    loop = asyncio.get_running_loop()
    service = WireService(RouteTable(gateway.routes()), WireLimits(), loop.time, lambda code: None)
    listener = Listener(edge_rules(EdgeSettings(), "127.0.0.1", PORT))
    caller = Caller(WireProtocol(service, listener), request_bytes(key))
    return caller, gateway.aclose


async def run() -> float:
    """µs of one call."""
    caller, close = await prepared()
    await caller.calls(CALLS)
    if b"call 1 of the bench" not in caller.last:
        raise SystemExit(f"the gateway answered: {caller.last!r}")
    best = float("inf")
    for _ in range(BATCHES):
        began = time.perf_counter()
        await caller.calls(CALLS)
        best = min(best, (time.perf_counter() - began) / CALLS)
    await close()
    return best * 1e6


def main() -> None:
    pin(choose_cores().gateway)
    print(f"one tools/call, client and upstream of {MODERN}, without sockets: {uvloop.run(run()):.1f} µs")


if __name__ == "__main__":
    main()
