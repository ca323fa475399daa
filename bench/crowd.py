"""Many clients at once: a few kept-alive connections for requests, and one more for every stream that stays open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.client import CLIENT_INFO, LEGACY, META, Endpoint, WrongAnswer, legacy_headers, modern_headers, result_in

CONNECTIONS = 16
LIMIT_S = 30.0
T = TypeVar("T")
R = TypeVar("R")
ASKABLE = {**META, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}


@dataclass(frozen=True, slots=True)
class Parked:
    """A call that waits for its caller: what it was called with, and how to go on with it."""

    params: dict[str, Any]
    state: str
    questions: tuple[str, ...]


class Crowd:
    """Clients of one endpoint. Raises WrongAnswer where the gateway answers with something else than was asked for."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def each(self, work: Callable[[T], Awaitable[R]], over: Iterable[T]) -> list[R]:
        """The outcomes of `work` for each, as many at a time as there are connections."""
        places = asyncio.Semaphore(CONNECTIONS)

        async def one(item: T) -> R:
            async with places, asyncio.timeout(LIMIT_S):
                return await work(item)

        return await asyncio.gather(*(one(item) for item in over))

    async def session(self, number: int, tool: str) -> str:
        """A new session that has called `tool` once; its id."""
        params = {
            "protocolVersion": LEGACY,
            "capabilities": {"elicitation": {}, "roots": {}},
            "clientInfo": CLIENT_INFO,
        }
        status, fields, body = await self._post("initialize", params, self._endpoint.headers(), 0)
        result_in(status, fields, body)
        session_id = fields.get("mcp-session-id", "")
        headers = legacy_headers(self._endpoint, session_id)
        await self._post("notifications/initialized", None, headers, None)
        called = {"name": tool, "arguments": {"message": f"hello {number}"}}
        _check(result_in(*await self._post("tools/call", called, headers, 1)), f"hello {number}")
        return session_id

    async def end_session(self, session_id: str) -> None:
        status, _, _ = await self._exchange("DELETE", b"", legacy_headers(self._endpoint, session_id))
        if status not in (200, 202, 204):
            raise WrongAnswer(f"DELETE was answered with {status}")

    async def stream(self, session_id: str) -> asyncio.StreamWriter:
        """The session's GET stream, open on a connection of its own."""
        reader, writer = await self._connect()
        writer.write(_head("GET", self._endpoint, legacy_headers(self._endpoint, session_id), 0))
        status, fields = await _answer_head(reader)
        if status != 200 or "event-stream" not in fields.get("content-type", ""):
            raise WrongAnswer(f"GET was answered with {status} {fields}")
        return writer

    async def client(self, _number: int) -> asyncio.StreamWriter:
        """A client that has connected and says nothing yet."""
        return (await self._connect())[1]

    async def client_after_call(self, number: int, tool: str) -> asyncio.StreamWriter:
        """A 2026-07-28 client that keeps its connection after one call."""
        reader, writer = await self._connect()
        params = {"name": tool, "arguments": {"message": f"hello {number}"}, "_meta": META}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        body = json.dumps(message).encode()
        writer.write(
            _head("POST", self._endpoint, modern_headers(self._endpoint, "tools/call", tool), len(body)) + body
        )
        status, fields = await _answer_head(reader)
        _check(result_in(status, fields, await _answer_body(reader, fields)), f"hello {number}")
        return writer

    async def listen(self, _number: int) -> asyncio.StreamWriter:
        """A `subscriptions/listen` stream of a 2026-07-28 client, acknowledged."""
        reader, writer = await self._connect()
        params = {"notifications": {"toolsListChanged": True}, "_meta": META}
        message = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        body = json.dumps(message).encode()
        headers = modern_headers(self._endpoint, "subscriptions/listen")
        writer.write(_head("POST", self._endpoint, headers, len(body)) + body)
        status, fields = await _answer_head(reader)
        if status != 200 or "event-stream" not in fields.get("content-type", ""):
            raise WrongAnswer(f"subscriptions/listen was answered with {status} {fields}")
        await reader.readuntil(b"notifications/subscriptions/acknowledged")
        return writer

    async def park(self, number: int, tool: str) -> Parked:
        """A call of `tool` that waits for its caller's answer."""
        params = {"name": tool, "arguments": {"message": f"call {number}"}}
        result = await self._modern(params)
        if result.get("resultType") != "input_required":
            raise WrongAnswer(f"a call was to be parked: {result}")
        return Parked(params, result["requestState"], tuple(result["inputRequests"]))

    async def answer(self, parked: Parked) -> None:
        """End a parked call by answering its question."""
        given = {key: {"action": "accept", "content": {"name": "Ann"}} for key in parked.questions}
        result = await self._modern({**parked.params, "requestState": parked.state, "inputResponses": given})
        _check(result, f"Ann {parked.params['arguments']['message']}")

    @property
    def connections(self) -> int:
        """Connections that are kept for requests."""
        return len(self._idle)

    def close(self) -> None:
        """Close the connections for requests."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def _modern(self, params: dict[str, Any]) -> dict[str, Any]:
        headers = modern_headers(self._endpoint, "tools/call", params["name"])
        return result_in(*await self._post("tools/call", {**params, "_meta": ASKABLE}, headers, 1))

    async def _post(
        self, method: str, params: dict[str, Any] | None, headers: Mapping[str, str], request_id: int | None
    ) -> tuple[int, dict[str, str], bytes]:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if request_id is not None:
            message["id"] = request_id
        if params is not None:
            message["params"] = params
        return await self._exchange("POST", json.dumps(message).encode(), headers)

    async def _exchange(
        self, method: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        writer.write(_head(method, self._endpoint, headers, len(body)) + body)
        status, fields = await _answer_head(reader)
        content = await _answer_body(reader, fields)
        self._idle.append((reader, writer))
        return status, fields, content

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._endpoint.port)


def _check(result: dict[str, Any], text: str) -> None:
    if result.get("isError") or result["content"][0]["text"] != text:
        raise WrongAnswer(f"{text!r} was expected: {result}")


def _head(method: str, endpoint: Endpoint, headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"{method} {endpoint.path} HTTP/1.1", f"Host: 127.0.0.1:{endpoint.port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if method == "POST":
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _answer_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    return int(lines[0].split()[1]), fields


async def _answer_body(reader: asyncio.StreamReader, fields: Mapping[str, str]) -> bytes:
    if fields.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(fields.get("content-length", "0")))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body
