"""An upstream on real sockets in the test's own loop: it counts what it sells and breaks off wherever it is told to.

Every `tools/call` carries a token. A request that arrived whole is an execution: it counts in `sold`, whatever becomes
of its answer. What is done with it is the token's plan; without one it is answered as JSON, with the token as its text.
Answers to different requests are of the same length, so that a position means the same in all of them.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

Json = dict[str, Any]
Plan = Callable[["Order"], None]
How = Literal["fin", "reset"]
HEAD = b"HTTP/1.1 200 OK\r\n"
JSON_TYPE = b"content-type: application/json\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"
PATIENCE_S = 20.0
TOOLS = [
    {"name": name, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": name == "look"}}
    for name in ("sell", "hasty", "look")
]
REGION = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
TOOLS.append({"name": "ship", "inputSchema": REGION})


def head(length: int, *more: bytes) -> bytes:
    """The head of a JSON answer."""
    return HEAD + JSON_TYPE + b"".join(line + b"\r\n" for line in more) + b"content-length: %d\r\n\r\n" % length


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(body: bytes, *more: bytes) -> bytes:
    """A JSON answer with its length."""
    return head(len(body), *more) + body


class Order:
    """One `tools/call` that arrived whole, and the means to answer it."""

    def __init__(self, till: Till, message: Json, headers: Json) -> None:
        self.till = till
        self.headers = headers
        self.message = message
        self.token = str(message["params"]["arguments"]["token"])

    @property
    def gone(self) -> bool:
        """The gateway has closed the connection."""
        return self.till.closed

    def body(self, text: str | None = None, **more: Any) -> bytes:
        """The reply; its id is written as wide as any id may get."""
        content = [{"type": "text", "text": self.token if text is None else text}]
        written = json.dumps({"content": content, "resultType": "complete"} | more)
        return b'{"jsonrpc": "2.0", "id": %8d, "result": %s}' % (self.message["id"], written.encode())

    def progress(self) -> bytes:
        token = self.message["params"]["_meta"]["progressToken"]
        return (
            b'{"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": %8d, "progress": 1}}'
            % (token)
        )

    def plain(self) -> list[bytes]:
        """The answer as JSON with its length: what comes before the result (nothing), and the rest."""
        return [b"", whole(self.body())]

    def chunked(self) -> list[bytes]:
        """The answer as JSON in chunks."""
        body = self.body()
        pieces = b"".join(chunk(part) for part in (body[:1], body[1:30], body[30:]))
        return [b"", HEAD + JSON_TYPE + CHUNKED + b"\r\n" + pieces + LAST_CHUNK]

    def streamed(self) -> list[bytes]:
        """The answer as an event stream with a notification before the result."""
        start = HEAD + b"content-type: text/event-stream\r\n" + CHUNKED + b"\r\n"
        first = start + chunk(b"data: " + self.progress() + b"\n\n")
        return [first, chunk(b"data: " + self.body() + b"\n\n") + LAST_CHUNK]

    def send(self, data: bytes) -> None:
        self.till.send(data)

    def cut(self, how: How) -> None:
        """Close the connection: this half of it, or with a reset."""
        self.till.cut(how)


class Till(asyncio.BufferedProtocol):
    """One connection of the shop. It reads exactly as many bytes as it wants to."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._space = memoryview(bytearray(65536))
        self._read = bytearray()
        self._cut: tuple[int, How] | None = None
        self._is_cut = False
        self.closed = False
        self.requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._shop.tills.add(self)
        self._shop.connections += 1
        if self._shop.greeting:
            self.send(self._shop.greeting)
            self._shop.greeting = b""

    def get_buffer(self, sizehint: int) -> memoryview:
        if not self._read and self._cut is None and self._shop.cut_next is not None:
            self._cut, self._shop.cut_next = self._shop.cut_next, None
        left = self._shop.bytes_at_once if self._cut is None else self._cut[0] - len(self._read)
        return self._space[: max(1, left)]

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_cut:
            return
        self._read += self._space[:nbytes]
        if self._cut is not None and len(self._read) >= self._cut[0]:
            self.cut(self._cut[1])
            return
        while (request := self._take()) is not None:
            self.requests += 1
            self._shop.serve(self, *request)

    def _take(self) -> tuple[str, Json, bytes] | None:
        """The next whole request: its method, its headers, its body."""
        end = self._read.find(b"\r\n\r\n") + 4
        if end < 4:
            return None
        lines = self._read[:end].decode("latin-1").split("\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:] if line)}
        length = int(headers.get("content-length", "0"))
        if len(self._read) < end + length:
            return None
        body = bytes(self._read[end : end + length])
        del self._read[: end + length]
        return lines[0].split(" ")[0], headers, body

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._shop.tills.discard(self)

    def send(self, data: bytes) -> None:
        if not self.closed and not self._is_cut:
            self._transport.write(data)

    def cut(self, how: How) -> None:
        if self.closed:
            return
        self._is_cut = True
        if how == "fin":
            self._transport.write_eof()
        else:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


class Shop:
    """The upstream. `plans` by token; `held` are the orders that wait for `release`; `cut_next` breaks off the next
    request that begins, after so many of its bytes; `greeting` is said on the next new connection, unasked."""

    def __init__(self, era: Literal["modern", "legacy"] = "modern") -> None:
        self.era = era
        self.sold: Counter[str] = Counter()
        self.plans: dict[str, Plan] = {}
        self.held: dict[str, Order] = {}
        self.tills: set[Till] = set()
        self.connections = 0
        self.port = 0
        self.cut_next: tuple[int, How] | None = None
        self.bytes_at_once = 65536
        self.greeting = b""
        self.told: list[Json] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def hold(self, token: str, plan: Plan = lambda order: None) -> None:
        """Let the order `token` wait, after `plan` has been carried out."""

        def wait(order: Order) -> None:
            self.held[token] = order
            plan(order)

        self.plans[token] = wait

    async def holds(self, *tokens: str) -> None:
        """Until these orders have arrived."""
        async with asyncio.timeout(PATIENCE_S):
            while not all(token in self.held for token in tokens):
                await asyncio.sleep(0)

    async def hang_up(self) -> None:
        """Close all connections, and wait until the gateway has too."""
        for till in list(self.tills):
            till.cut("fin")
        async with asyncio.timeout(PATIENCE_S):
            while self.tills:
                await asyncio.sleep(0)

    def serve(self, till: Till, method: str, headers: Json, body: bytes) -> None:
        """Answer one request."""
        if method != "POST":
            till.send(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % (405 if method == "GET" else 200))
            return
        message = json.loads(body)
        if message.get("method") == "tools/call":
            order = Order(till, message, headers)
            self.sold[order.token] += 1
            plan = self.plans.pop(order.token, None)
            if plan is None:
                order.send(b"".join(order.plain()))
            else:
                plan(order)
        elif "id" not in message or "method" not in message:
            self.told.append(message)
            till.send(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        elif self.era == "legacy" and headers.get("mcp-protocol-version") == "2026-07-28":
            fault = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "which revision?"}}
            body = json.dumps(fault).encode()
            till.send(whole(body).replace(b"200 OK", b"400 Bad Request", 1))
        else:
            self._describe(till, message)

    def _describe(self, till: Till, message: Json) -> None:
        about = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "shop"}}
        results: dict[str, Json] = {
            "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}},
            "initialize": about,
            "tools/list": {"tools": TOOLS, "ttlMs": 60_000, "cacheScope": "public"},
        }
        found = results.get(message["method"])
        reply: Json = {"jsonrpc": "2.0", "id": message["id"]}
        if found is None or (message["method"] == "initialize" and self.era == "modern"):
            reply["error"] = {"code": -32601, "message": "no such method"}
        else:
            reply["result"] = {"resultType": "complete", **found}
        session = [b"mcp-session-id: session-1"] if message["method"] == "initialize" else []
        till.send(whole(json.dumps(reply).encode(), *session))


@asynccontextmanager
async def opened(shop: Shop) -> AsyncIterator[Shop]:
    """The shop on a free port, until it closes."""
    server = await asyncio.get_running_loop().create_server(lambda: Till(shop), "127.0.0.1", 0)
    shop.port = server.sockets[0].getsockname()[1]
    try:
        yield shop
    finally:
        server.close()
        for till in list(shop.tills):
            till.cut("reset")
