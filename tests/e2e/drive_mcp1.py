"""The tour with the Python SDK 1.x over Streamable HTTP, HTTP+SSE, stdio or WebSocket. Runs in `mcp1`."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from crossing import take
from mcp import ClientSession, StdioServerParameters, stdio_client, types
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamablehttp_client
from mcp.client.websocket import websocket_client
from mcp.shared.exceptions import McpError
from pydantic import AnyUrl
from sdk_guide import Inbox, SdkGuide
from tour import Json, Plan


class Guide(SdkGuide):
    """The tour's guide for this client."""

    refusal = McpError

    def __init__(self, session: ClientSession, initialized: types.InitializeResult, inbox: Inbox) -> None:
        super().__init__(types, session, inbox)
        self._initialized = initialized

    async def about(self) -> Json:
        capabilities = self._initialized.capabilities.model_dump(by_alias=True, exclude_none=True)
        return {
            "revision": str(self._initialized.protocolVersion),
            "server": self._initialized.serverInfo.name,
            "capabilities": sorted(capabilities),
        }

    def page_of(self, lister: Callable[..., Awaitable[Any]], cursor: str | None) -> Awaitable[Any]:
        return lister(params=None if cursor is None else types.PaginatedRequestParams(cursor=cursor))

    def address(self, uri: str) -> AnyUrl:
        return AnyUrl(uri)

    async def take_back(self) -> None:
        latest = self._client._request_id - 1  # this client has no word for it
        params = types.CancelledNotificationParams(requestId=latest, reason="taken back")
        await self._client.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))

    @asynccontextmanager
    async def watching(self, uri: str) -> AsyncIterator[asyncio.Queue[str]]:
        await self.ask(self._client.subscribe_resource(AnyUrl(uri)))
        yield self.inbox.news
        await self.ask(self._client.unsubscribe_resource(AnyUrl(uri)))


def transport(plan: Plan) -> Any:
    """The client's way to the server."""
    if plan.transport == "http":
        return streamablehttp_client(plan.url, headers=plan.headers)
    if plan.transport == "sse":
        return sse_client(plan.url, headers=plan.headers)
    if plan.transport == "websocket":
        return websocket_client(plan.url)
    return stdio_client(StdioServerParameters(command=plan.command[0], args=plan.command[1:], env=plan.environ))


async def main(plan: Plan) -> None:
    """Connect and take the tour."""
    inbox = Inbox(types, plan)
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(transport(plan))
        session = ClientSession(streams[0], streams[1], **inbox.callbacks())
        await stack.enter_async_context(session)
        initialized = await session.initialize()
        if plan.log_level:
            await session.set_logging_level(plan.log_level)
        await take(Guide(session, initialized, inbox), plan)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main(Plan.given()))
