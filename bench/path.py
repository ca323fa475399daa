"""One whole request through the real gateway, without sockets: `python -m bench.path` prints the µs of a `tools/call`.

`--tools N --upstreams M` sets another gateway beside the smallest one, with N tools of M upstreams that are called in
turn; batches of the two alternate, so their ratio holds on a busy machine. `--method tools/list` lists instead;
`--upstream stdio` has programs instead of HTTP servers; `--callers N` has so many callers at once.

Client and upstream are transports in memory, so what is timed is the program's own work and the event loop's, and not
the kernel's. The best of many short batches hardly moves when the machine is busy, unlike throughput.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

import toolyard.net.http as client_module
from bench.client import META, MODERN
from bench.machine import choose_cores
from bench.memory_child import children_in_memory
from bench.micro import pin
from toolyard.contract.snapshot import ServerSpec, Snapshot, UpstreamSpec
from toolyard.gateway.assembly import Gateway
from toolyard.gateway.edge import EdgeSettings, edge_rules
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.journal import Journal
from toolyard.gateway.reception import Listener
from toolyard.gateway.routes import RouteTable
from toolyard.gateway.upstream.mcp_http import McpHttpUpstream
from toolyard.gateway.upstream.mcp_stdio import StdioUpstream
from toolyard.gateway.wire import WireProtocol, WireService
from toolyard.kit.clock import SystemClock
from toolyard.policy.keys import Pepper, issue

PORT = 8000
BATCHES = 60
CALLS = 300
_ID = re.compile(rb'"id":(\d+)')
_OFFERS = re.compile(rb"POST /(\d+) ")
_SCHEMA = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
_DISCOVERED = {"supportedVersions": [MODERN], "capabilities": {"tools": {}}}
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
    """The answer over HTTP, with as many tools as the path of the upstream's URL says."""
    found = _OFFERS.match(request)
    body = _said(request.partition(b"\r\n\r\n")[2], int(found[1]) if found else 1)
    return _HEAD % len(body) + body


def _said(request: bytes, tools: int) -> bytes:
    found = _ID.search(request)
    request_id = found[1] if found else b"null"
    if b'"tools/call"' in request:
        return _CALLED % request_id
    result = _DISCOVERED if json.loads(request)["method"] == "server/discover" else {"tools": _tools(tools)}
    more = {"resultType": "complete", "ttlMs": 60000, "cacheScope": "public"}
    return b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (request_id, json.dumps({**result, **more}).encode())


def _tools(count: int) -> list[dict[str, Any]]:
    return [{"name": _name(n), "description": "Return the message", "inputSchema": _SCHEMA} for n in range(count)]


def _name(number: int) -> str:
    return f"echo{number}" if number else "echo"


class Caller:
    """A client connection that sends the next request as soon as the one before was answered."""

    def __init__(self, protocol: WireProtocol, requests: list[bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._requests = itertools.cycle(requests)
        self._left = 0
        self._done: asyncio.Future[None] | None = None
        self.last = b""
        protocol.connection_made(MemoryTransport(self._answered))

    def _answered(self, data: bytes) -> None:
        """One answer, or its head; a large body comes by itself."""
        self.last = data
        if data.startswith(b"HTTP/1.1") and data.endswith(b"\r\n\r\n"):
            return
        self._left -= 1
        if self._left > 0:
            self._loop.call_soon(self._protocol.data_received, next(self._requests))
        elif self._done is not None:
            self._done.set_result(None)

    async def calls(self, count: int) -> None:
        """`count` calls, one after another."""
        self._left = count
        self._done = self._loop.create_future()
        self._protocol.data_received(next(self._requests))
        await self._done


def request_bytes(key: str, method: str, tool: str) -> bytes:
    """The request as the load of `bench` sends it."""
    of_call = {"name": tool, "arguments": {"message": "call 1 of the bench"}} if method == "tools/call" else {}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**of_call, "_meta": META}}
    body = json.dumps(message, separators=(",", ":")).encode()
    name = f"Mcp-Name: {tool}\r\n" if of_call else ""
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\n{name}Content-Type: application/json\r\n"
        f"Mcp-Method: {method}\r\nMCP-Protocol-Version: {MODERN}\r\nAccept: application/json, text/event-stream\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Callers:
    """Some callers at once."""

    def __init__(self, callers: list[Caller]) -> None:
        self._callers = callers

    @property
    def last(self) -> bytes:
        return self._callers[0].last

    async def calls(self, count: int) -> None:
        """`count` calls, each caller's part one after another."""
        await asyncio.gather(*(caller.calls(count // len(self._callers)) for caller in self._callers))


async def prepared(
    method: str = "tools/call", tools: int = 1, upstreams: int = 1, *, over: str = "http", callers: int = 1
) -> tuple[Callers, Callable[[], Awaitable[None]]]:
    """Callers of a gateway that knows its upstreams, and what closes the gateway. Tools are called in turn, those of
    one upstream far apart."""
    vars(client_module)["dial"] = dial_memory
    children_in_memory(lambda line: _said(line, tools // upstreams))
    pepper = Pepper(1, bytes(range(32)))
    key, record = issue("default", "bench", pepper, now=0.0)
    each = tools // upstreams
    ids = [f"web{number}" for number in range(upstreams)]
    if over == "stdio":
        specs = {i: UpstreamSpec(i, "mcp-stdio", command=("memory",)) for i in ids}
    else:
        specs = {i: UpstreamSpec(i, "mcp-http", url=f"http://127.0.0.1:9/{each}") for i in ids}
    make = StdioUpstream if over == "stdio" else McpHttpUpstream
    snapshot = Snapshot(1, "bench", specs, {"default": ServerSpec("default")}, {record.id: record})
    gateway = Gateway(
        snapshot,
        make_upstream=lambda spec, events, clock, era: make(spec, events=events, clock=clock),
        journal=Journal(None),
        clock=SystemClock(),
        peppers=lambda: {pepper.version: pepper.value},
    )
    gateway.start()
    await gateway.pool.tried(ids, 60.0)
    loop = asyncio.get_running_loop()
    service = WireService(RouteTable(gateway.routes()), WireLimits(), loop.time, lambda code, count=1: None)
    listener = Listener(edge_rules(EdgeSettings(), "127.0.0.1", PORT))
    requests = [request_bytes(key, method, f"{i}__{_name(number)}") for number in range(each) for i in ids]
    return Callers([Caller(WireProtocol(service, listener), requests) for _ in range(callers)]), gateway.aclose


async def run(shapes: list[tuple[int, int]], method: str, over: str, callers: int) -> list[float]:
    """µs of one request, for each shape: how many tools and upstreams."""
    ready = [await prepared(method, *shape, over=over, callers=callers) for shape in shapes]
    wanted = b"call 1 of the bench" if method == "tools/call" else b'"tools":['
    for caller, _ in ready:
        await caller.calls(CALLS)
        if wanted not in caller.last:
            raise SystemExit(f"the gateway answered: {caller.last[:1000]!r}")
    gc.freeze()
    best = [float("inf")] * len(ready)
    for _ in range(BATCHES):
        for place, (caller, _) in enumerate(ready):
            began = time.perf_counter()
            await caller.calls(CALLS)
            best[place] = min(best[place], (time.perf_counter() - began) / CALLS)
    for _, close in ready:
        await close()
    return [one * 1e6 for one in best]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.path", description=__doc__)
    parser.add_argument("--tools", type=int, default=1)
    parser.add_argument("--upstreams", type=int, default=1)
    parser.add_argument("--method", default="tools/call", choices=["tools/call", "tools/list"])
    parser.add_argument("--upstream", default="http", choices=["http", "stdio"])
    parser.add_argument("--callers", type=int, default=1)
    options = parser.parse_args()
    shapes = list(dict.fromkeys([(1, 1), (options.tools, options.upstreams)]))
    pin(choose_cores().gateway)
    costs = uvloop.run(run(shapes, options.method, options.upstream, options.callers))
    for (tools, upstreams), cost in zip(shapes, costs, strict=True):
        size = f"{tools} tools of {upstreams} upstreams"
        print(f"one {options.method} of {MODERN}, without sockets, {size}: {cost:.1f} µs ({cost / costs[0]:.2f})")


if __name__ == "__main__":
    main()
