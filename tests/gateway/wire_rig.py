"""A real listening server with small handlers, and a client that says exactly the bytes it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from toolyard.gateway.call import Answer, Head, MessageSocket
from toolyard.gateway.edge import EdgeSettings
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.http_sink import HttpSink
from toolyard.gateway.routes import Route, RouteTable
from toolyard.gateway.server import GatewayServer
from toolyard.kit.clock import ManualClock

T = TypeVar("T")
PATIENCE_S = 20.0
DECLARED: dict[str, Any] = {"auth": "none", "action": "test", "csrf": "no-cookies", "limit": "call"}
HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"


async def echo(head: Head, body: bytes, sink: HttpSink) -> None:
    """Tells what arrived."""
    seen = {"path": head.path, "server": head.server_code, "length": len(body), "client": head.client}
    seen |= {"headers": dict(head.headers), "repeated": sorted(head.repeated), "query": head.query}
    seen |= {"operator": head.operator, "body": body[:200].decode("latin-1")}
    sink.finish(Answer(200, json.dumps(seen).encode()))


async def talk(head: Head, socket: MessageSocket) -> None:
    """Sends every message back; the first answer tells the headers."""
    await socket.send(json.dumps(dict(head.headers)).encode())
    while (message := await socket.receive()) is not None:
        await socket.send(message)


def route(pattern: str, handler: Callable[..., Any], *methods: str, **changes: Any) -> Route:
    """A declared route, for POST unless methods are given."""
    return Route(pattern, methods or ("POST",), handler, **{**DECLARED, **changes})


MCP = route("/mcp/{server_code}", echo, "POST")
STANDARD = (MCP, route("/mcp", echo, "POST"), route("/mcp", echo, "GET"), route("/ws", talk, "GET", websocket=True))


@dataclass
class Rig:
    """A running server, its clock, and what it refused."""

    server: GatewayServer
    port: int
    clock: ManualClock
    refused: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    def pass_time(self, seconds: float) -> None:
        """Let the server believe that this much time has passed."""
        self.clock.advance(seconds)
        self.server.tick()

    async def client(self) -> Client:
        """A new connection, closed with the server if not before."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=64 * 1024 * 1024))
        self.clients.append(client)
        return client


@dataclass
class Reply:
    """One answer as read from the socket."""

    status: int
    headers: dict[str, str]
    body: bytes
    raw_head: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        code: str = self.json()["error"]["code"]
        return code


class Client:
    """One raw connection; every wait is bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        try:
            self.writer.write(data)
            await within(self.writer.drain())
        except ConnectionError:
            pass

    async def reply(self) -> Reply:
        """The next answer; its body too, unless it is a stream."""
        raw = await within(self.reader.readuntil(b"\r\n\r\n"))
        status, headers = parse_head(raw)
        if headers.get("content-type") == "text/event-stream":
            return Reply(status, headers, b"", raw)
        body = await within(self.reader.readexactly(int(headers.get("content-length", "0"))))
        return Reply(status, headers, body, raw)

    async def ask(self, data: bytes) -> Reply:
        """Send and read one answer."""
        await self.send(data)
        return await self.reply()

    async def chunk(self) -> bytes:
        """The next chunk of a stream; b"" is the last."""
        size = int(await within(self.reader.readuntil(b"\r\n")), 16)
        data = await within(self.reader.readexactly(size + 2))
        return data[:-2]

    async def at_end(self) -> bool:
        """The server closes without another byte."""
        try:
            return await within(self.reader.read(1)) == b""
        except ConnectionError:
            return True

    async def rest(self) -> bytes:
        """All bytes until the server closes."""
        received = b""
        try:
            while data := await within(self.reader.read(1 << 20)):
                received += data
        except ConnectionError:
            pass
        return received

    def close(self) -> None:
        self.writer.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


def parse_head(raw: bytes) -> tuple[int, dict[str, str]]:
    lines = raw.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines[1:] if line]
    return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


class Log:
    """Keeps what the supervisor logs."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def exception(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


async def within(work: Awaitable[T]) -> T:
    """Wait for `work`, but not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        return await work


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, but not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


def post(body: bytes = b"{}", path: bytes = b"/mcp/alpha", headers: bytes = b"") -> bytes:
    """A good POST."""
    return b"POST %s HTTP/1.1\r\n%s%s%sContent-Length: %d\r\n\r\n%s" % (path, HOST, JSON, headers, len(body), body)


def get(path: bytes = b"/mcp", headers: bytes = b"") -> bytes:
    """A good GET."""
    return b"GET %s HTTP/1.1\r\n%s%s\r\n" % (path, HOST, headers)


@asynccontextmanager
async def serving(
    *routes: Route, edge: EdgeSettings | None = None, ticking: bool = False, **limits: Any
) -> AsyncIterator[Rig]:
    """A server on 127.0.0.1 with a clock moved by hand; with `ticking` it also ticks by itself."""
    clock = ManualClock(1000.0)
    refused: list[str] = []
    wire = replace(WireLimits(tick_s=0.01 if ticking else 3600.0), **limits)

    def note(code: str, count: int = 1, /) -> None:
        refused.extend([code] * count)

    server = GatewayServer(RouteTable(routes or STANDARD), limits=wire, edge=edge, refused=note, now=clock.monotonic)
    port = await server.start("127.0.0.1", 0)
    rig = Rig(server, port, clock, refused)
    try:
        yield rig
    finally:
        for client in rig.clients:
            client.close()
        await within(server.stop_now())


async def replies(rig: Rig, requests: Iterable[bytes]) -> list[Reply]:
    """One answer for each request, each on a connection of its own."""
    answers = []
    for request in requests:
        async with await rig.client() as client:
            answers.append(await client.ask(request))
    return answers
