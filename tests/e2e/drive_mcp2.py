"""The tour with the Python SDK 2.x: `Client` in mode auto, legacy or pinned to a modern revision. Runs in `mcp2`."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp_types as types
from crossing import take
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from sdk_guide import Inbox, SdkGuide, plain
from tour import Json, Plan

KINDS = {"ToolsListChanged": "tools", "PromptsListChanged": "prompts", "ResourcesListChanged": "resources"}


class Guide(SdkGuide):
    """The tour's guide for this client."""

    refusal = MCPError

    def __init__(self, client: Client, inbox: Inbox) -> None:
        super().__init__(types, client, inbox)

    async def about(self) -> Json:
        info = self._client.server_info
        return {
            "revision": self._client.protocol_version,
            "server": info.name if info else None,
            "capabilities": sorted(plain(self._client.server_capabilities)),
        }

    async def ping(self) -> bool:
        return self._client.protocol_version >= "2026" or await super().ping()  # the modern era has no ping

    @asynccontextmanager
    async def watching(self, uri: str) -> AsyncIterator[asyncio.Queue[str]]:
        if self._client.protocol_version < "2026":
            await self.ask(self._client.subscribe_resource(uri))
            yield self.inbox.news
            await self.ask(self._client.unsubscribe_resource(uri))
            return
        listening = self._client.listen(
            tools_list_changed=True,
            prompts_list_changed=True,
            resources_list_changed=True,
            resource_subscriptions=[uri],
        )
        async with listening as events:

            async def pump() -> None:
                async for event in events:
                    self.inbox.news.put_nowait(getattr(event, "uri", None) or KINDS[type(event).__name__])

            pumping = asyncio.create_task(pump())
            yield self.inbox.news
            pumping.cancel()


def transport(plan: Plan, http: httpx2.AsyncClient) -> Any:
    """The client's way to the server."""
    if plan.transport == "http":
        return streamable_http_client(plan.url, http_client=http)
    if plan.transport == "sse":
        return sse_client(plan.url, headers=plan.headers)
    return StdioServerParameters(command=plan.command[0], args=plan.command[1:], env=plan.environ)


async def main(plan: Plan) -> None:
    """Connect and take the tour."""
    inbox = Inbox(types, plan)
    level: Any = plan.log_level or None
    async with (
        httpx2.AsyncClient(headers=plan.headers, timeout=60) as http,
        Client(transport(plan, http), mode=plan.mode, log_level=level, **inbox.callbacks()) as client,
    ):
        if level and client.protocol_version < "2026":
            await client.set_logging_level(level)
        await take(Guide(client, inbox), plan)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main(Plan.given()))
