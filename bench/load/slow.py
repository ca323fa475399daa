"""A 2026-07-28 server over Streamable HTTP on the standard library whose one tool, `wait`, answers after so many
seconds as its argument says. Arguments: the port, the core to run on."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

INFO = {"name": "slow", "version": "1"}
SCHEMA = {"type": "object", "properties": {"seconds": {"type": "number"}}, "required": ["seconds"]}
CACHED = {"resultType": "complete", "ttlMs": 60000, "cacheScope": "public"}
LISTS = {"resources/list": "resources", "prompts/list": "prompts", "resources/templates/list": "resourceTemplates"}


async def outcome(message: dict[str, Any]) -> dict[str, Any]:
    """The result or the error of one request."""
    method = message["method"]
    if method == "tools/call":
        await asyncio.sleep(message["params"]["arguments"]["seconds"])
        return {"result": {"content": [{"type": "text", "text": "waited"}], "resultType": "complete"}}
    if method == "tools/list":
        return {"result": {"tools": [{"name": "wait", "description": "Waits", "inputSchema": SCHEMA}], **CACHED}}
    if method in LISTS:
        return {"result": {LISTS[method]: [], **CACHED}}
    if method == "server/discover":
        meta = {"io.modelcontextprotocol/serverInfo": INFO}
        offered = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": INFO}
        return {"result": {**offered, "_meta": meta, **CACHED}}
    return {"error": {"code": -32601, "message": "no such method"}}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: one request after the other."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
            message = json.loads(await reader.readexactly(length))
            answer = {"jsonrpc": "2.0", "id": message.get("id"), **await outcome(message)}
            body = json.dumps(answer, separators=(",", ":")).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
    except (OSError, EOFError):
        pass
    finally:
        writer.close()


async def main() -> None:
    port, core = int(sys.argv[1]), sys.argv[2]
    if core:
        os.sched_setaffinity(0, {int(core)})
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
