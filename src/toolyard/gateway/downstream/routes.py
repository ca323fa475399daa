"""The URLs of clients (DESIGN: public URLs), each with its declarations."""

from __future__ import annotations

from typing import Any

from toolyard.gateway.call import Head, MessageSocket
from toolyard.gateway.downstream.duplex import Duplex
from toolyard.gateway.downstream.http import StreamableHttp
from toolyard.gateway.downstream.sse import HttpSse
from toolyard.gateway.exchange import Exchange
from toolyard.gateway.routes import Admit, Route


def client_routes(
    exchange: Exchange, http: StreamableHttp, sse: HttpSse, admit: Admit, admit_stream: Admit
) -> tuple[Route, ...]:
    """Streamable HTTP, HTTP+SSE and WebSocket, for the default server and for each by its code. `admit_stream` judges
    what stays open."""
    routes = []
    for suffix in ("", "/{server_code}"):
        mcp, events, ws = f"/mcp{suffix}", f"/sse{suffix}", f"/ws/mcp{suffix}"
        routes += [
            *_http(mcp, http, admit, admit_stream),
            _route(events, "GET", sse.get, "mcp.stream", "stream", admit_stream),
            _route(f"{events}/messages", "POST", sse.post, "mcp.exchange", "call", admit, json_only=True),
            _converse(ws, exchange, admit_stream),
        ]
    return tuple(routes)


def founding_routes(exchange: Exchange, http: StreamableHttp, admit: Admit, admit_stream: Admit) -> tuple[Route, ...]:
    """Other names of the same, from the founding documents (`contract.founding_paths`)."""
    return (
        *_http("/mcp/server/{server_code}/mcp", http, admit, admit_stream),
        _converse("/ws", exchange, admit_stream),
    )


def _http(pattern: str, http: StreamableHttp, admit: Admit, admit_stream: Admit) -> tuple[Route, ...]:
    return (
        _route(pattern, "POST", http.post, "mcp.exchange", "call", admit, json_only=True),
        _route(pattern, "GET", http.get, "mcp.stream", "stream", admit_stream),
        _route(pattern, "DELETE", http.delete, "mcp.end_session", "call", admit),
    )


def _converse(pattern: str, exchange: Exchange, admit: Admit) -> Route:
    async def converse(head: Head, socket: MessageSocket) -> None:
        head.transport = "websocket"
        await Duplex(exchange, head, socket).run()

    return _route(pattern, "GET", converse, "mcp.converse", "stream", admit, websocket=True)


def _route(pattern: str, method: str, handler: Any, action: str, limit: Any, admit: Admit, **flags: bool) -> Route:
    return Route(
        pattern, (method,), handler, auth="key", action=action, csrf="no-cookies", limit=limit, admit=admit, **flags
    )
