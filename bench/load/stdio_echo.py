"""A small stdio MCP server (2026-07-28 and 2025-11-25) on the standard library.

Arguments: the core to run on (or nothing), how many tools to have (four)."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

FILLER = ("The quick brown fox jumps over the lazy dog 0123456789. " * 200)[:10240]
MEGA = ("The quick brown fox jumps over the lazy dog 0123456789. " * 18800)[:1048576]
SCHEMA = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
TOOLS = [
    {"name": "echo", "description": "Return the message", "inputSchema": SCHEMA},
    {"name": "page", "description": "Return the message and 10 KiB of text", "inputSchema": SCHEMA},
    {"name": "mega", "description": "Return the message and 1 MiB of text", "inputSchema": SCHEMA},
    {
        "name": "progress",
        "description": "Return the message after 100 notifications of progress",
        "inputSchema": SCHEMA,
    },
]
MORE_SCHEMA = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "the query"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["query"],
}
LATEST = "2025-11-25"
INFO = {"name": "bench", "version": "1"}
LISTS = {"resources/list": "resources", "prompts/list": "prompts", "resources/templates/list": "resourceTemplates"}
CACHED = {"resultType": "complete", "ttlMs": 60000, "cacheScope": "public"}


def call(params: dict[str, Any]) -> dict[str, Any]:
    """The result of tools/call; resultType is unknown to the older revision, which allows it."""
    text = params["arguments"]["message"]
    if params["name"] == "page":
        text = f"{text} {FILLER}"
    if params["name"] == "mega":
        text = f"{text} {MEGA}"
    return {"content": [{"type": "text", "text": text}], "isError": False, "resultType": "complete"}


def result_of(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The result of any request, or None when there is no such method."""
    if method == "tools/call":
        return call(params)
    if method == "tools/list":
        return {"tools": TOOLS, **CACHED}
    if method in LISTS:
        return {LISTS[method]: [], **CACHED}
    if method == "server/discover":
        return {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": INFO,
                "_meta": {"io.modelcontextprotocol/serverInfo": INFO}, **CACHED}  # fmt: skip
    if method == "initialize":
        asked = str(params.get("protocolVersion", LATEST))
        return {"protocolVersion": min(asked, LATEST), "capabilities": {"tools": {}}, "serverInfo": INFO}
    return {} if method == "ping" else None


def notifications(params: dict[str, Any]) -> list[bytes]:
    """A hundred notifications of progress for the tool that has them, if its caller gave a token."""
    token = params.get("_meta", {}).get("progressToken")
    if params.get("name") != "progress" or token is None:
        return []
    return [
        encoded({"method": "notifications/progress", "params": {"progressToken": token, "progress": n, "total": 100}})
        for n in range(1, 101)
    ]


def encoded(message: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode() + b"\n"


def more_tools(count: int) -> list[dict[str, Any]]:
    """As many tools as there are to be, each much like one that does something."""
    text = "Tool {}: does a realistic thing with some parameters and returns text."
    numbers = range(len(TOOLS), count)
    return [{"name": f"tool_{n:05}", "description": text.format(n), "inputSchema": MORE_SCHEMA} for n in numbers]


def main() -> None:
    if len(sys.argv) > 2:
        TOOLS.extend(more_tools(int(sys.argv[2])))
    if len(sys.argv) > 1 and sys.argv[1]:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        params = message.get("params") or {}
        result = result_of(message["method"], params)
        reply = {"id": message["id"]}
        if result is None:
            reply["error"] = {"code": -32601, "message": "no such method"}
        else:
            reply["result"] = result
        sys.stdout.buffer.write(b"".join([*notifications(params), encoded(reply)]))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
