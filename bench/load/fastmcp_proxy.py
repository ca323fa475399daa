"""FastMCP's proxy, run by its own Python. Arguments: the port, `fresh` or `shared`, `json` or `streams` for the form of
its answers, and the servers as JSON.

`fresh` is what `create_proxy` gives: a client and a session of its own for each call. `shared` keeps one client for
each server, as its documentation offers for servers without state."""

import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from fastmcp import FastMCP
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from fastmcp.server import create_proxy
from fastmcp.server.providers.proxy import FastMCPProxy, ProxyClient

port, mode, form, servers = int(sys.argv[1]), sys.argv[2], sys.argv[3], json.loads(sys.argv[4])


def transport(server: dict[str, Any]) -> Any:
    if "url" in server:
        return StreamableHttpTransport(server["url"])
    return StdioTransport(server["command"], server["args"])


def shared() -> Any:
    clients = {name: ProxyClient(transport(server)) for name, server in servers.items()}

    @contextlib.asynccontextmanager
    async def connected(_: object) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for client in clients.values():
                await stack.enter_async_context(client)
            yield

    def proxy(client: Any, **settings: Any) -> Any:
        return FastMCPProxy(client_factory=lambda: client, **settings)

    if len(clients) == 1:
        return proxy(*clients.values(), name="bench", lifespan=connected)
    whole = FastMCP("bench", lifespan=connected)
    for name, client in clients.items():
        whole.mount(proxy(client, name=name), namespace=name)
    return whole


server = shared() if mode == "shared" else create_proxy({"mcpServers": servers}, name="bench")
server.run("http", host="127.0.0.1", port=port, stateless_http=True, json_response=form == "json", show_banner=False,
           log_level="error")  # fmt: skip
