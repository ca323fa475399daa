"""A scriptable HTTP upstream that records every request: modern, legacy with sessions, or raw bytes for faults.

A script is an async function `(request, reply)`; `reply` writes heads, JSON, event streams or raw bytes. The ready-made
`modern` and `legacy` scripts behave well and let a table of handlers answer single methods.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Script = Callable[["Request", "Reply"], Awaitable[None]]


@dataclass
class Request:
    """One request as it came; `message` is the decoded body. `gone` is set when the peer closes the connection."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    raw: bytes
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def message(self) -> Json:
        decoded = json.loads(self.body)
        assert isinstance(decoded, dict)
        return decoded

    @property
    def rpc_method(self) -> str:
        return str(self.message.get("method", "")) if self.body else self.method

    @property
    def params(self) -> Json:
        params = self.message.get("params", {})
        assert isinstance(params, dict)
        return params


class Reply:
    """Writes one answer."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.began = False
        self._chunked = False

    async def raw(self, data: bytes) -> None:
        self.began = True
        self.writer.write(data)
        await self.writer.drain()

    async def whole(
        self, status: int, body: bytes = b"", content_type: str = "application/json", **headers: str
    ) -> None:
        lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode() + body)

    async def json(self, message: Any, status: int = 200, **headers: str) -> None:
        await self.whole(status, json.dumps(message).encode(), **headers)

    async def stream(self, **headers: str) -> None:
        """Begin an event stream."""
        self._chunked = True
        lines = ["HTTP/1.1 200 OK", "content-type: text/event-stream", "transfer-encoding: chunked"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def chunk(self, data: bytes) -> None:
        await self.raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def event(self, message: Any, *, id: str | None = None, retry: int | None = None) -> None:  # noqa: A002
        data = b"" if message is None else json.dumps(message).encode()
        head = (f"id: {id}\n" if id is not None else "") + (f"retry: {retry}\n" if retry is not None else "")
        await self.chunk(head.encode() + b"data: " + data + b"\n\n")

    async def end(self) -> None:
        """End the event stream cleanly."""
        await self.raw(b"0\r\n\r\n")

    def close(self) -> None:
        self.writer.close()


class FakeUpstream:
    """Listens on an ephemeral port; `requests` are all that came, in order."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self.port = 0
        self._arrived = asyncio.Condition()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def of(self, rpc_method: str) -> list[Request]:
        """The requests of one JSON-RPC method (or HTTP method, where there is no body)."""
        return [request for request in self.requests if request.rpc_method == rpc_method]

    async def wait_for(self, rpc_method: str, count: int = 1, seconds: float = 20.0) -> Request:
        """The `count`th request of a method, as soon as it is there."""
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.of(rpc_method)) >= count)
        return self.of(rpc_method)[count - 1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while (request := await self._read(reader)) is not None:
                self.requests.append(request)
                async with self._arrived:
                    self._arrived.notify_all()
                reply = Reply(writer)
                work = asyncio.ensure_future(self.script(request, reply))
                watch = asyncio.ensure_future(self._watch(reader, request))
                try:
                    await work
                finally:
                    watch.cancel()
                    await asyncio.gather(watch, return_exceptions=True)
                if writer.is_closing() or request.gone.is_set():
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _watch(self, reader: asyncio.StreamReader, request: Request) -> None:
        """Notice the peer's going while the script works; the next request is left unread."""
        while not reader.at_eof() and reader.exception() is None:
            await asyncio.sleep(0.01)
        request.gone.set()

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Request(method, target, headers, body, head + body)

    def drop_connections(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[FakeUpstream]:
    fake = FakeUpstream(script)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await fake.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def tool(name: str, **more: Any) -> Json:
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def result(request: Request, value: Json) -> Json:
    return {"jsonrpc": "2.0", "id": request.message["id"], "result": value}


def error(request: Request, code: int, data: Any = None, *, id: Any = ...) -> Json:  # noqa: A002
    fault = {"code": code, "message": f"error {code}"} | ({} if data is None else {"data": data})
    return {"jsonrpc": "2.0", "id": request.message.get("id") if id is ... else id, "error": fault}


def text(words: str) -> Json:
    return {"resultType": "complete", "content": [{"type": "text", "text": words}]}


@dataclass
class Server:
    """What both well-behaved scripts share: definitions, and handlers that take over single methods."""

    tools: list[Json] = field(default_factory=lambda: [tool("echo")])
    capabilities: Json = field(default_factory=lambda: {"tools": {}})
    handlers: dict[str, Script] = field(default_factory=dict)

    def lists(self, method: str) -> Json | None:
        hints = {"resultType": "complete", "ttlMs": 5000, "cacheScope": "public"}
        lists: dict[str, Json] = {
            "tools/list": {"tools": self.tools},
            "resources/list": {"resources": []},
            "resources/templates/list": {"resourceTemplates": []},
            "prompts/list": {"prompts": []},
        }
        return lists[method] | hints if method in lists else None


@dataclass
class Modern(Server):
    """A server of 2026-07-28."""

    supported: list[str] = field(default_factory=lambda: ["2026-07-28"])

    async def __call__(self, request: Request, reply: Reply) -> None:
        if request.method != "POST":
            await reply.whole(405)
            return
        method = request.rpc_method
        if request.headers.get("mcp-protocol-version") not in self.supported:
            data = {"supported": self.supported, "requested": request.headers.get("mcp-protocol-version")}
            await reply.json(error(request, -32022, data), 400)
            return
        if method in self.handlers:
            await self.handlers[method](request, reply)
            return
        if method == "server/discover":
            info = {"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "1"}}
            found = {"supportedVersions": self.supported, "capabilities": self.capabilities, "_meta": info}
            await reply.json(result(request, {"resultType": "complete", "instructions": "Be kind.", **found}))
            return
        listed = self.lists(method)
        if listed is not None:
            await reply.json(result(request, listed))
            return
        if method == "tools/call":
            await reply.json(result(request, text(request.params["name"])))
            return
        await reply.json(error(request, -32601), 404)


@dataclass
class Legacy(Server):
    """A server of 2025-11-25 with sessions; `sessions` are those that are alive, with what each declared."""

    revision: str = "2025-11-25"
    stateless: bool = False
    gets: bool = False
    sessions: dict[str, Json] = field(default_factory=dict)
    minted: int = 0

    async def __call__(self, request: Request, reply: Reply) -> None:
        if request.method == "POST" and request.headers.get("mcp-protocol-version") == "2026-07-28":
            await reply.json(error(request, -32000, id=None), 400)
            return
        if request.method == "POST" and request.rpc_method == "initialize" and "initialize" not in self.handlers:
            await self._initialize(request, reply)
            return
        if not self.stateless and request.headers.get("mcp-session-id") not in self.sessions:
            await reply.json({"jsonrpc": "2.0", "id": None, "error": {"code": -32001, "message": "gone"}}, 404)
            return
        await self._in_session(request, reply)

    async def _initialize(self, request: Request, reply: Reply) -> None:
        headers: dict[str, str] = {}
        if not self.stateless:
            self.minted += 1
            session_id = f"session-{self.minted}"
            self.sessions[session_id] = request.params["capabilities"]
            headers = {"mcp_session_id": session_id}
        info = {"serverInfo": {"name": "fake", "version": "1"}, "instructions": "Be kind."}
        shaken = {"protocolVersion": self.revision, "capabilities": self.capabilities, **info}
        await reply.json(result(request, shaken), **headers)

    async def _in_session(self, request: Request, reply: Reply) -> None:
        method = request.rpc_method
        if method in self.handlers:
            await self.handlers[method](request, reply)
            return
        if request.method == "GET":
            await reply.whole(405)
            return
        if request.method == "DELETE":
            self.sessions.pop(request.headers.get("mcp-session-id", ""), None)
            await reply.whole(200)
            return
        if "id" not in request.message or "method" not in request.message:
            await reply.whole(202)
            return
        listed = self.lists(method)
        if listed is not None:
            await reply.json(result(request, listed))
            return
        if method == "tools/call":
            await reply.json(result(request, {"content": text(request.params["name"])["content"]}))
            return
        if method in ("ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"):
            await reply.json(result(request, {}))
            return
        await reply.json(error(request, -32601))
