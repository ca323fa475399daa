"""Scriptable MCP servers over WebSocket and over HTTP+SSE (2024-11-05), inside the test's own loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

Send = Callable[[str], Awaitable[None]]


class Broken(Exception):
    """The connection is to be cut now."""


class Script:
    """Answers messages; each tool is one behaviour. One instance for all connections of one server."""

    def __init__(self, era: str = "legacy") -> None:
        self.era = era
        self.received: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.asked: dict[Any, Any] = {}

    def of(self, method: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message.get("method") == method]

    async def wait_for(self, method: str) -> None:
        while not self.of(method):
            self.arrived.clear()
            await self.arrived.wait()

    async def take(self, text: str, send: Send) -> None:
        message = json.loads(text)
        self.received.append(message)
        self.arrived.set()
        if "method" not in message:
            answer = message.get("result", message.get("error"))
            await self.reply(send, self.asked.pop(message["id"]), {"answer": answer})
        elif "id" in message:
            await self.request(message, send)

    async def reply(self, send: Send, request_id: Any, result: Any) -> None:
        await send(json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}))

    async def request(self, message: dict[str, Any], send: Send) -> None:
        request_id, method = message["id"], message["method"]
        if method == "initialize" and self.era == "legacy":
            result: Any = {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}, "serverInfo": {"name": "s"}}
        elif method == "server/discover" and self.era == "modern":
            result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete"}
        elif method == "tools/list":
            result = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
        elif method in ("resources/subscribe", "resources/unsubscribe"):
            result = {}
        elif method == "tools/call":
            await self.call(request_id, message["params"], send)
            return
        else:
            await send(json.dumps({"jsonrpc": "2.0", "id": request_id, "error": {"code": -32601, "message": "no"}}))
            return
        await self.reply(send, request_id, result)

    async def call(self, request_id: Any, params: dict[str, Any], send: Send) -> None:
        name, arguments = params["name"], params.get("arguments", {})
        if name == "echo":
            await self.reply(send, request_id, arguments)
        elif name == "break":
            raise Broken
        elif name == "junk":
            await send("this is not JSON")
            await send("[]")
            await self.reply(send, str(request_id), {"wrong": True})
            await self.reply(send, request_id, {"right": True})
        elif name == "huge":
            await self.reply(send, request_id, {"x": "x" * arguments["bytes"]})
        elif name == "progress":
            for step in range(arguments["count"]):
                note = {"progressToken": params["_meta"]["progressToken"], "progress": step}
                await send(json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": note}))
            await self.reply(send, request_id, {"done": True})
        elif name == "ask":
            self.asked["q"] = request_id
            question = {"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {"message": "?"}}
            await send(json.dumps(question))


@asynccontextmanager
async def websocket_server(script: Script) -> AsyncIterator[str]:
    """The URL of a WebSocket server that runs `script`."""

    async def connected(connection: ServerConnection) -> None:
        script.connections += 1
        assert connection.request is not None
        script.headers.append({name.lower(): value for name, value in connection.request.headers.raw_items()})
        try:
            async for text in connection:
                assert isinstance(text, str)
                await script.take(text, connection.send)
        except Broken:
            connection.transport.abort()

    async with serve(connected, "127.0.0.1", 0, subprotocols=["mcp"], max_size=None) as server:  # type: ignore[list-item]
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"


class SseServer:
    """HTTP+SSE by hand. `endpoint` is what the first event says; `post_status` what each POST gets; `stream_head` what
    the stream begins with."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.endpoint = "/messages?session={session}"
        self.post_status = 202
        self.stream_head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        self.forgotten: set[str] = set()
        self._streams: dict[str, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/sse"
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *fields = head.split("\r\n")
            headers = {f.split(":")[0].lower(): f.split(":", 1)[1].strip() for f in fields if f}
            method, target, _ = line.split(" ")
            self.script.headers.append(headers)
            if method == "GET":
                await self._stream(reader, writer)
                return
            body = (await reader.readexactly(int(headers["content-length"]))).decode()
            await self._post(target, body, writer)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.script.connections += 1
        session = str(self.script.connections)
        self._streams[session] = writer
        writer.write(self.stream_head)
        if self.endpoint:
            writer.write(f": hello\n\nevent: endpoint\ndata: {self.endpoint.format(session=session)}\n\n".encode())
        await writer.drain()
        await reader.read()

    async def _post(self, target: str, body: str, writer: asyncio.StreamWriter) -> None:
        session = target.partition("session=")[2]
        status = 404 if session in self.forgotten else self.post_status
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok".encode())
        await writer.drain()
        if status != 202:
            return
        stream = self._streams[session]

        async def send(text: str) -> None:
            stream.write(f"event: message\ndata: {text}\n\n".encode())
            await stream.drain()

        try:
            await self.script.take(body, send)
        except Broken:
            stream.transport.abort()
