"""A 2025-11-25 server over Streamable HTTP on the standard library: `echo` answers, `ask` first asks its caller in
mid-call (`elicitation/create` on the stream of the answer) and waits. Like most servers it closes connections that
nobody uses, after a second. Arguments: the port, the core to run on."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from typing import Any

IDLE_S = 1.0
REVISION = "2025-11-25"
SCHEMA = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
TOOLS = [
    {"name": "echo", "description": "Return the message", "inputSchema": SCHEMA},
    {"name": "ask", "description": "Ask for a name, then return the message", "inputSchema": SCHEMA},
]
FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)

Fields = dict[str, str]


class Server:
    """Its open questions, by the id of the request that asked."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        try:
            while True:
                method, fields, body = await _request(reader)
                await self._answer(method, fields, body, reader, writer)
                await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, method: str, fields: Fields, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if method == "GET":
            writer.write(STREAM)
            await reader.read()
            raise EOFError
        if method != "POST":
            writer.write(_plain(200))
            return
        message = json.loads(body)
        if "method" not in message:
            self._take(message)
        if "method" not in message or "id" not in message:
            writer.write(_plain(202))
        elif fields.get("mcp-protocol-version", REVISION) != REVISION:
            writer.write(_json(400, {"id": message["id"], "error": {"code": -32600, "message": "which revision?"}}))
        elif message["method"] == "tools/call" and message["params"]["name"] == "ask":
            await self._ask(message, writer)
        else:
            headers = f"Mcp-Session-Id: s{next(self._numbers)}\r\n" if message["method"] == "initialize" else ""
            writer.write(_json(200, {"id": message["id"], **_outcome(message)}, headers))

    def _take(self, reply: dict[str, Any]) -> None:
        waiting = self._open.pop(reply["id"], None)
        if waiting is not None:
            waiting.set_result(reply)

    async def _ask(self, message: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        """Ask on the stream of the answer; the answer comes when the client's reply was posted."""
        question_id = f"q{next(self._numbers)}"
        reply = self._open[question_id] = asyncio.get_running_loop().create_future()
        params = {"mode": "form", "message": "Which name?", "requestedSchema": FORM}
        writer.write(STREAM + _event({"id": question_id, "method": "elicitation/create", "params": params}))
        await writer.drain()
        content = (await reply)["result"]["content"]
        text = f"{content['name']} {message['params']['arguments']['message']}"
        writer.write(_event({"id": message["id"], "result": _said(text)}) + b"0\r\n\r\n")


def _outcome(message: dict[str, Any]) -> dict[str, Any]:
    method = message["method"]
    if method == "initialize":
        info = {"name": "asking", "version": "1"}
        return {"result": {"protocolVersion": REVISION, "capabilities": {"tools": {}}, "serverInfo": info}}
    if method == "tools/list":
        return {"result": {"tools": TOOLS}}
    if method == "tools/call":
        return {"result": _said(message["params"]["arguments"]["message"])}
    return {"result": {}} if method == "ping" else {"error": {"code": -32601, "message": "no such method"}}


def _said(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": False}


def _encoded(message: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode()


def _event(message: dict[str, Any]) -> bytes:
    event = b"data: " + _encoded(message) + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


def _json(status: int, message: dict[str, Any], headers: str = "") -> bytes:
    body = _encoded(message)
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _plain(status: int) -> bytes:
    return f"HTTP/1.1 {status} OK\r\nContent-Length: 0\r\n\r\n".encode()


async def _request(reader: asyncio.StreamReader) -> tuple[str, Fields, bytes]:
    """The next request of a connection. Raises EOFError at its end, TimeoutError (an OSError)."""
    async with asyncio.timeout(IDLE_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return head[0].partition(" ")[0], fields, await reader.readexactly(int(fields.get("content-length", "0")))


async def main() -> None:
    port, core = int(sys.argv[1]), sys.argv[2]
    if core:
        os.sched_setaffinity(0, {int(core)})
    server = await asyncio.start_server(Server().connected, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
