"""Upstreams whose requests are begun at once where that is possible, as the gateway does: what is promised of
`request` holds for them as well."""

from __future__ import annotations

import asyncio

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Begun, Call
from toolyard.gateway.upstream.duplex import DuplexUpstream
from toolyard.gateway.upstream.mcp_stdio import StdioUpstream
from toolyard.gateway.upstream.mcp_websocket import McpWebSocketUpstream


async def outcome(begun: Begun) -> Json:
    """The result of a request that was begun, by whichever of the two ways it comes."""
    ready = asyncio.get_running_loop().create_future()
    begun.ready = lambda: ready.set_result(None)
    try:
        await asyncio.shield(ready)
    except asyncio.CancelledError:
        begun.cancel()
        raise
    result = begun.take()
    return await begun.go_on() if result is None else result


class _AtOnce(DuplexUpstream):
    async def request(self, call: Call, method: str, params: Json) -> Json:
        begun = self.begin(call, method, params)
        return await super().request(call, method, params) if begun is None else await outcome(begun)


class StdioAtOnce(_AtOnce, StdioUpstream):
    """A program."""


class WebSocketAtOnce(_AtOnce, McpWebSocketUpstream):
    """A WebSocket server."""
