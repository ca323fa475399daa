"""The tour with the Python SDK 1.x over Streamable HTTP, HTTP+SSE, stdio or WebSocket. Runs in `mcp1`."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from mcp import ClientSession, StdioServerParameters, stdio_client, types
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamablehttp_client
from mcp.client.websocket import websocket_client
from mcp.shared.exceptions import McpError
from pydantic import AnyUrl
from tour import FORM_ANSWER, SAMPLE_ANSWER, Json, Plan, Refused, take


async def sampled(_: object, __: object) -> types.CreateMessageResult:
    return types.CreateMessageResult.model_validate(SAMPLE_ANSWER)


async def elicited(_: object, __: object) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content=FORM_ANSWER)


def told(message: Any) -> str | None:
    """What a notification says has changed, if it is one of those."""
    notification = getattr(message, "root", None)
    method = getattr(notification, "method", "")
    if method == "notifications/resources/updated":
        return str(notification.params.uri)
    return method.split("/")[1] if method.endswith("/list_changed") else None


async def ask(request: Awaitable[Any]) -> Json:
    """The request's result as JSON."""
    try:
        return dict((await request).model_dump(by_alias=True, mode="json", exclude_none=True))
    except McpError as problem:
        raise Refused(problem.error.code, problem.error.message) from problem


class Guide:
    """The tour's guide for this client."""

    def __init__(self, session: ClientSession, initialized: types.InitializeResult, news: asyncio.Queue[str]) -> None:
        self._session = session
        self._initialized = initialized
        self._news = news

    async def about(self) -> Json:
        capabilities = self._initialized.capabilities.model_dump(by_alias=True, exclude_none=True)
        return {
            "revision": str(self._initialized.protocolVersion),
            "server": self._initialized.serverInfo.name,
            "capabilities": sorted(capabilities),
        }

    async def _names(self, lister: Callable[..., Awaitable[Any]], items: str, name: str) -> list[str]:
        names: list[str] = []
        page = await ask(lister())
        while True:
            names += [item[name] for item in page[items]]
            if page.get("nextCursor") is None:
                return names
            page = await ask(lister(params=types.PaginatedRequestParams(cursor=page["nextCursor"])))

    async def tools(self) -> list[str]:
        return await self._names(self._session.list_tools, "tools", "name")

    async def resources(self) -> list[str]:
        return await self._names(self._session.list_resources, "resources", "uri")

    async def templates(self) -> list[str]:
        return await self._names(self._session.list_resource_templates, "resourceTemplates", "uriTemplate")

    async def prompts(self) -> list[str]:
        return await self._names(self._session.list_prompts, "prompts", "name")

    async def call(self, name: str, arguments: Json, progress: list[float] | None = None) -> Json:
        async def seen(value: float, _total: float | None, _message: str | None) -> None:
            assert progress is not None
            progress.append(value)

        return await ask(self._session.call_tool(name, arguments, progress_callback=None if progress is None else seen))

    async def read(self, uri: str) -> Json:
        return await ask(self._session.read_resource(AnyUrl(uri)))

    async def prompt(self, name: str, arguments: dict[str, str]) -> Json:
        return await ask(self._session.get_prompt(name, arguments))

    async def complete(self, prompt: str, argument: str, value: str) -> Json:
        ref = types.PromptReference(type="ref/prompt", name=prompt)
        return await ask(self._session.complete(ref, {"name": argument, "value": value}))

    async def ping(self) -> bool:
        await ask(self._session.send_ping())
        return True

    @asynccontextmanager
    async def watching(self, uri: str) -> AsyncIterator[asyncio.Queue[str]]:
        await ask(self._session.subscribe_resource(AnyUrl(uri)))
        yield self._news
        await ask(self._session.unsubscribe_resource(AnyUrl(uri)))


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

    news: asyncio.Queue[str] = asyncio.Queue()

    async def roots(_: object) -> types.ListRootsResult:
        return types.ListRootsResult.model_validate({"roots": [plan.root]})

    async def noticed(message: object) -> None:
        if (what := told(message)) is not None:
            news.put_nowait(what)

    asked: Any = (
        {"sampling_callback": sampled, "elicitation_callback": elicited, "list_roots_callback": roots}
        if plan.interactive
        else {}
    )
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(transport(plan))
        session = ClientSession(streams[0], streams[1], message_handler=noticed, **asked)
        await stack.enter_async_context(session)
        await take(Guide(session, await session.initialize(), news), plan)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main(Plan.given()))
