"""The tour with the Python SDK 2.x: `Client` in mode auto, legacy or pinned to a modern revision. Runs in `mcp2`."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from tour import FORM_ANSWER, SAMPLE_ANSWER, Json, Plan, Refused, take


async def sampled(_: object, __: object) -> types.CreateMessageResult:
    return types.CreateMessageResult.model_validate(SAMPLE_ANSWER)


async def elicited(_: object, __: object) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content=FORM_ANSWER)


KINDS = {"ToolsListChanged": "tools", "PromptsListChanged": "prompts", "ResourcesListChanged": "resources"}


def told(message: Any) -> str | None:
    """What a notification says has changed, if it is one of those."""
    method = getattr(message, "method", "")
    if method == "notifications/resources/updated":
        return str(message.params.uri)
    return method.split("/")[1] if method.endswith("/list_changed") else None


def plain(result: Any) -> Json:
    return dict(result.model_dump(by_alias=True, mode="json", exclude_none=True))


async def ask(request: Awaitable[Any]) -> Json:
    """The request's result as JSON."""
    try:
        return plain(await request)
    except MCPError as problem:
        raise Refused(problem.error.code, problem.error.message) from problem


class Guide:
    """The tour's guide for this client."""

    def __init__(self, client: Client, news: asyncio.Queue[str]) -> None:
        self._client = client
        self._news = news

    async def about(self) -> Json:
        info = self._client.server_info
        return {
            "revision": self._client.protocol_version,
            "server": info.name if info else None,
            "capabilities": sorted(plain(self._client.server_capabilities)),
        }

    async def _names(self, lister: Callable[..., Awaitable[Any]], items: str, name: str) -> list[str]:
        names: list[str] = []
        cursor: str | None = None
        while True:
            page = await ask(lister(cursor=cursor))
            names += [item[name] for item in page[items]]
            cursor = page.get("nextCursor")
            if cursor is None:
                return names

    async def tools(self) -> list[str]:
        return await self._names(self._client.list_tools, "tools", "name")

    async def resources(self) -> list[str]:
        return await self._names(self._client.list_resources, "resources", "uri")

    async def templates(self) -> list[str]:
        return await self._names(self._client.list_resource_templates, "resourceTemplates", "uriTemplate")

    async def prompts(self) -> list[str]:
        return await self._names(self._client.list_prompts, "prompts", "name")

    async def call(self, name: str, arguments: Json, progress: list[float] | None = None) -> Json:
        async def seen(value: float, _total: float | None, _message: str | None) -> None:
            assert progress is not None
            progress.append(value)

        return await ask(self._client.call_tool(name, arguments, progress_callback=None if progress is None else seen))

    async def read(self, uri: str) -> Json:
        return await ask(self._client.read_resource(uri))

    async def prompt(self, name: str, arguments: dict[str, str]) -> Json:
        return await ask(self._client.get_prompt(name, arguments))

    async def complete(self, prompt: str, argument: str, value: str) -> Json:
        ref = types.PromptReference(type="ref/prompt", name=prompt)
        return await ask(self._client.complete(ref, {"name": argument, "value": value}))

    async def ping(self) -> bool:
        if self._client.protocol_version >= "2026":
            return True  # the modern era has no ping
        await ask(self._client.send_ping())
        return True

    @asynccontextmanager
    async def watching(self, uri: str) -> AsyncIterator[asyncio.Queue[str]]:
        if self._client.protocol_version < "2026":
            await ask(self._client.subscribe_resource(uri))
            yield self._news
            await ask(self._client.unsubscribe_resource(uri))
            return
        listening = self._client.listen(
            tools_list_changed=True, prompts_list_changed=True, resource_subscriptions=[uri]
        )
        async with listening as events:

            async def pump() -> None:
                async for event in events:
                    self._news.put_nowait(getattr(event, "uri", None) or KINDS[type(event).__name__])

            pumping = asyncio.create_task(pump())
            yield self._news
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
    async with (
        httpx2.AsyncClient(headers=plan.headers, timeout=60) as http,
        Client(transport(plan, http), mode=plan.mode, message_handler=noticed, **asked) as client,
    ):
        await take(Guide(client, news), plan)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main(Plan.given()))
