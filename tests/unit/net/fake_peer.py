"""A scriptable HTTP/1.1 peer for tests: it says exactly the bytes a script tells it to, and notes what it was sent.

async with FakePeer(script) as peer:
    ... peer.url, peer.requests, peer.connections_seen, await peer.all_gone() ...

A script is `async def script(exchange: Exchange) -> None`; it runs once for each request that arrives whole, and the
connection stays open until the script closes it. `answer(body)` makes the plainest script, `response(...)` its bytes.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

PATIENCE_S = 20.0

loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None


def run(coroutine: Coroutine[object, object, None]) -> None:
    """Run a test's coroutine on the loop that the test asked for."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(coroutine)


@dataclass(frozen=True, slots=True)
class SeenRequest:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    head: bytes


class Exchange:
    """One request and the means to answer it. `number` counts the requests of this connection, `connection` the
    connections of the peer; both begin at 1."""

    def __init__(
        self,
        request: SeenRequest,
        number: int,
        connection: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.request = request
        self.number = number
        self.connection = connection
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Close with RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while await self._reader.read(65536):
                    pass
            except ConnectionError:
                pass


Script = Callable[[Exchange], Awaitable[None]]


def response(
    body: bytes = b"{}", status: int = 200, headers: tuple[tuple[str, str], ...] = (), *, length: int | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def answer(body: bytes = b"{}", status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.send(response(body, status, headers))

    return script


async def silent(exchange: Exchange) -> None:
    """The script of a peer that never answers."""
    await exchange.gone()


class FakePeer:
    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._change = asyncio.Event()
        self.requests: list[SeenRequest] = []
        self.connections_seen = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def connections_open(self) -> int:
        return len(self._open)

    async def __aenter__(self) -> FakePeer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer, task in list(self._open.items()):
            if task is not None:
                task.cancel()
            writer.transport.abort()
        await self.all_gone()
        await self._server.wait_closed()

    def drop_all(self) -> None:
        """Close every open connection with FIN."""
        for writer in list(self._open):
            writer.close()

    async def all_gone(self, keep: int = 0) -> None:
        """Wait until at most `keep` connections are open."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self._open) > keep:
                self._change.clear()
                await self._change.wait()

    async def seen(self, count: int) -> None:
        """Wait until `count` requests have arrived."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.requests) < count:
                self._change.clear()
                await self._change.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_seen += 1
        connection = self.connections_seen
        self._open[writer] = asyncio.current_task()
        number = 0
        try:
            while request := await _read_request(reader):
                number += 1
                self.requests.append(request)
                self._change.set()
                await self._script(Exchange(request, number, connection, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort() if writer.is_closing() else writer.close()
            del self._open[writer]
            self._change.set()


async def _read_request(reader: asyncio.StreamReader) -> SeenRequest | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    start, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = start.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return SeenRequest(method, target, headers, body, head)
