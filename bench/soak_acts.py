"""What clients of a soak do: calls of every kind, and every way of breaking them off. Each act checks what it gets."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.client import CLIENT_INFO, LEGACY, META, Endpoint, WrongAnswer, legacy_headers, modern_headers

LIMIT_S = 30.0


class Refused(Exception):
    """The gateway had more to do than it could, and said so: 503 with Retry-After. Nothing is wrong with that."""


@dataclass(frozen=True, slots=True)
class Got:
    """One answer; the body of a stream is its events' last data."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    def text(self) -> str:
        """The text that a tool returned. Raises WrongAnswer."""
        try:
            found: str = json.loads(self.body)["result"]["content"][0]["text"]
        except (ValueError, KeyError, IndexError, TypeError):
            raise WrongAnswer(f"HTTP {self.status}: {self.body[:300]!r}") from None
        return found


class Line:
    """One connection to the gateway."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __aenter__(self) -> Line:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._endpoint.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(self, method: str, message: Any, headers: Mapping[str, str]) -> Got:
        """One request and its answer."""
        self.writer.write(self.request(method, message, headers))
        return await self.answer()

    def request(self, method: str, message: Any, headers: Mapping[str, str]) -> bytes:
        """The bytes of a request."""
        body = b"" if message is None else json.dumps(message).encode()
        lines = [f"{method} {self._endpoint.path} HTTP/1.1", f"Host: 127.0.0.1:{self._endpoint.port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body

    async def answer(self) -> Got:
        """The next answer, whole."""
        status, fields = await self.head()
        if fields.get("transfer-encoding") != "chunked":
            return Got(status, fields, await self.reader.readexactly(int(fields.get("content-length", "0"))))
        last = b""
        while chunk := await self.chunk():
            data = [line[5:].strip() for line in chunk.splitlines() if line.startswith(b"data:")]
            last = data[-1] if data and data[-1] else last
        return Got(status, fields, last)

    async def head(self) -> tuple[int, dict[str, str]]:
        """The head of the next answer."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        status, fields = int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in pairs}
        if status == 503 and "retry-after" in fields:
            raise Refused
        return status, fields

    async def chunk(self) -> bytes:
        """The next piece of a stream; nothing at its end."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]


@dataclass
class Scene:
    """Where the acts play: the gateway, and the exposed names of its tools."""

    endpoint: Endpoint
    web: str
    old: str
    pipe: str
    slow: str
    upstream_ports: frozenset[int]
    dice: random.Random = field(default_factory=lambda: random.Random(4))

    def call(self, tool: str, request_id: int = 1, **arguments: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """A 2026-07-28 call and its headers."""
        params = {"name": tool, "arguments": arguments, "_meta": META}
        message = {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}
        return message, modern_headers(self.endpoint, "tools/call", tool)


async def calls(scene: Scene) -> None:
    """Several calls on one connection, to upstreams of every kind."""
    async with Line(scene.endpoint) as line:
        for number in range(scene.dice.randrange(1, 8)):
            tool = scene.dice.choice((scene.web, scene.old, scene.pipe))
            message, headers = scene.call(tool, number, message=f"soak {number}")
            _expect((await line.ask("POST", message, headers)).text(), f"soak {number}")


async def visits(scene: Scene) -> None:
    """A session of an older client with its stream, calls, a call that is cancelled, and its end."""
    async with Line(scene.endpoint) as line:
        offered = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT_INFO}
        begun = await line.ask("POST", _rpc("initialize", offered, 0), scene.endpoint.headers())
    headers = legacy_headers(scene.endpoint, begun.fields["mcp-session-id"])
    try:
        await _visit(scene, headers)
    finally:
        await _leave(scene, headers)


async def _leave(scene: Scene, headers: dict[str, str]) -> None:
    """End a session, whatever else there is to do."""
    while True:
        try:
            async with Line(scene.endpoint) as line:
                _expect((await line.ask("DELETE", None, headers)).status, 204)
                return
        except Refused:
            await asyncio.sleep(1.0)


async def _visit(scene: Scene, headers: dict[str, str]) -> None:
    async with Line(scene.endpoint) as line, Line(scene.endpoint) as listening:
        await line.ask("POST", {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers)
        listening.writer.write(listening.request("GET", None, headers))
        _expect((await listening.head())[0], 200)
        for number, tool in enumerate((scene.web, scene.pipe, scene.old)):
            called = {"name": tool, "arguments": {"message": "soak"}}
            _expect((await line.ask("POST", _rpc("tools/call", called, number), headers)).text(), "soak")
        slow = _rpc("tools/call", {"name": scene.slow, "arguments": {"seconds": 20}}, "slow")
        line.writer.write(line.request("POST", slow, headers))
        async with Line(scene.endpoint) as other:
            await asyncio.sleep(0.02)
            cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}}
            _expect((await other.ask("POST", cancel, headers)).status, 202)
            await line.answer()


async def listens(scene: Scene) -> None:
    """A listen stream that is acknowledged and then left."""
    async with Line(scene.endpoint) as line:
        params = {"notifications": {"toolsListChanged": True}, "_meta": META}
        headers = modern_headers(scene.endpoint, "subscriptions/listen")
        line.writer.write(line.request("POST", _rpc("subscriptions/listen", params, 1), headers))
        _expect((await line.head())[0], 200)
        if b"acknowledged" not in await line.chunk():
            raise WrongAnswer("a listen stream was not acknowledged")
        await asyncio.sleep(scene.dice.random() * 0.2)


async def leaves(scene: Scene) -> None:
    """A client that goes while its call runs: the call is cancelled at its upstream."""
    async with Line(scene.endpoint) as line:
        line.writer.write(line.request("POST", *scene.call(scene.slow, seconds=20)))
        await asyncio.sleep(0.02)


async def breaks_off(scene: Scene) -> None:
    """A client that goes somewhere in its request or its answer, politely or not."""
    async with Line(scene.endpoint) as line:
        request = line.request("POST", *scene.call(scene.dice.choice((scene.web, scene.pipe)), message="cut"))
        line.writer.write(request[: scene.dice.randrange(1, len(request) + 1)])
        await line.writer.drain()
        if scene.dice.random() < 0.5:
            line.writer.transport.abort()


async def errs(scene: Scene) -> None:
    """Requests that are refused."""
    async with Line(scene.endpoint) as line:
        message, headers = scene.call("nothing", message="x")
        _expect((await line.ask("POST", message, {**headers, "Mcp-Name": "nothing"})).status, 400)
        wrong = {**headers, "Authorization": "Bearer mcp_key_wrong_wrong"}
        refused = (await line.ask("POST", message, wrong)).status
        if refused not in (401, 429):
            raise WrongAnswer(f"a wrong key was answered with {refused}")


Act = Callable[[Scene], Awaitable[None]]
ACTS: dict[Act, int] = {calls: 8, visits: 2, listens: 2, leaves: 1, breaks_off: 3, errs: 1}


def _rpc(method: str, params: dict[str, Any], request_id: int | str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def _expect(got: object, wanted: object) -> None:
    if got != wanted:
        raise WrongAnswer(f"{wanted!r} was expected: {got!r}")
