"""A server on the Python SDK 1.x that speaks WebSocket, as no published server does. Runs in the environment `mcp1`.

The first line on standard output is JSON: {"url": "ws://localhost:<port>/ws"}.
"""

from __future__ import annotations

import json
import socket
from typing import Any

import uvicorn
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.websocket import websocket_server
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

server: Server[Any, Any] = Server("toolyard-websocket-peer")
TEXT = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@server.list_tools()  # type: ignore[misc]
async def list_tools() -> list[types.Tool]:
    return [
        types.Tool(name="echo", description="Says it again", inputSchema=TEXT),
        types.Tool(name="greet", description="Asks for a name", inputSchema={"type": "object"}),
    ]


@server.call_tool()  # type: ignore[misc]
async def call_tool(name: str, arguments: dict[str, Any]) -> list[types.TextContent]:
    if name == "echo":
        return [types.TextContent(type="text", text=f"Echo: {arguments['message']}")]
    answer = await server.request_context.session.elicit("Who is there?", FORM)
    return [types.TextContent(type="text", text=f"Hello, {(answer.content or {}).get('name')}!")]


async def serve(socket: WebSocket) -> None:
    async with websocket_server(socket.scope, socket.receive, socket.send) as streams:
        await server.run(*streams, server.create_initialization_options())


def main() -> None:
    """Serve until terminated."""
    app = Starlette(routes=[WebSocketRoute("/ws", serve)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(json.dumps({"url": f"ws://localhost:{listener.getsockname()[1]}/ws"}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
