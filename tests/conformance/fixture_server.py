"""A server that speaks both eras, with everything the conformance suite asks for. Runs in the environment `mcp2`.

    python fixture_server.py --port 0 [--era both|legacy|modern]

Of one era only, it refuses the other as a server that has never heard of it, or no longer knows it, would.

The first line on standard output is JSON: {"url": "http://localhost:<port>/mcp"}.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import warnings
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from fixture_definitions import (
    DYNAMIC_PROMPT,
    PIXEL_PNG,
    PROMPTS,
    RESOURCES,
    STATIC_BINARY,
    STATIC_TEXT,
    STRING,
    TEMPLATE,
    TEMPLATES,
    WATCHED,
    Json,
    elicit,
    embedded,
    image,
    text,
)
from fixture_slow_tools import ALL_TOOLS
from fixture_tools import DYNAMIC_TOOL, Asked, ToolFailed, done, in_rounds, wanted
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
from one_era import OneEra

Context = ServerRequestContext[Any, Any]
RETRY_MS = 100


class Events(EventStore):
    """Every event of every stream, kept for clients that come back."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self._kept.append((stream_id, message))
        return str(len(self._kept))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        if not last_event_id.isdecimal() or not 0 < int(last_event_id) <= len(self._kept):
            return None
        stream_id = self._kept[int(last_event_id) - 1][0]
        for number, (stream, message) in enumerate(self._kept[int(last_event_id) :], int(last_event_id) + 1):
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream_id


class AnnouncingServer(Server[Any]):
    """A server that says, towards legacy clients too, that its lists may change."""

    def create_initialization_options(self, *_: Any, **extra: Any) -> Any:
        options = NotificationOptions(prompts_changed=True, tools_changed=True)
        return super().create_initialization_options(options, **extra)


class Fixture:
    """The server's handlers, and the little state they share."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self._sessions: dict[str, Any] = {}  # of legacy clients, by their session's id
        self._subscribed: set[str] = set()
        self._extra_tool = False
        self._extra_prompt = False

    def server(self) -> Server[Any]:
        server = AnnouncingServer(
            "toolyard-conformance-fixture",
            version="1.0.0",
            instructions="Offers everything the conformance suite looks for.",
            get_tool_input_schema=lambda name: ALL_TOOLS[name][2] if name in ALL_TOOLS else None,
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_list_resources=self.list_resources,
            on_list_resource_templates=self.list_templates,
            on_read_resource=self.read_resource,
            on_subscribe_resource=self.subscribe,
            on_unsubscribe_resource=self.unsubscribe,
            on_subscriptions_listen=ListenHandler(self._bus),
            on_list_prompts=self.list_prompts,
            on_get_prompt=self.get_prompt,
            on_completion=self.complete,
            on_set_logging_level=self.set_level,
        )
        server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))
        return server

    async def list_tools(self, context: Context, _: object) -> types.ListToolsResult:
        self._meet(context)
        tools: list[Json] = [
            {"name": name, "description": description, "inputSchema": schema}
            for name, (_tool, description, schema) in ALL_TOOLS.items()
        ]
        return types.ListToolsResult.model_validate({"tools": tools + [DYNAMIC_TOOL] * self._extra_tool})

    async def call_tool(self, context: Context, params: types.CallToolRequestParams) -> Any:
        self._meet(context)
        if params.name not in ALL_TOOLS:
            raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown tool: {params.name}")

        async def once(responses: Any, state: str | None) -> Json:
            given = responses or params.input_responses or {}
            asked = Asked(context, params.arguments or {}, given, state or params.request_state, self._changed)
            return await ALL_TOOLS[params.name][0](asked)

        try:
            result = await in_rounds(context, once)
        except ToolFailed as failure:
            result = {**done(text(str(failure))), "isError": True}
        return _result(result, types.CallToolResult)

    async def list_resources(self, context: Context, _: object) -> types.ListResourcesResult:
        self._meet(context)
        return types.ListResourcesResult.model_validate({"resources": RESOURCES})

    async def list_templates(self, _: Context, __: object) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult.model_validate({"resourceTemplates": TEMPLATES})

    async def read_resource(self, _: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri = str(params.uri)
        return types.ReadResourceResult.model_validate({"contents": [{"uri": uri, **_contents(uri)}]})

    async def subscribe(self, context: Context, _: types.SubscribeRequestParams) -> types.EmptyResult:
        self._subscribed.add(self._meet(context))
        return types.EmptyResult()

    async def unsubscribe(self, context: Context, _: types.UnsubscribeRequestParams) -> types.EmptyResult:
        self._subscribed.discard(self._meet(context))
        return types.EmptyResult()

    async def list_prompts(self, context: Context, _: object) -> types.ListPromptsResult:
        self._meet(context)
        return types.ListPromptsResult.model_validate({"prompts": PROMPTS + [DYNAMIC_PROMPT] * self._extra_prompt})

    async def get_prompt(self, context: Context, params: types.GetPromptRequestParams) -> Any:
        async def once(responses: Any, _: str | None) -> Json:
            return _messages(params, responses or params.input_responses or {})

        return _result(await in_rounds(context, once), types.GetPromptResult)

    async def complete(self, _: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        known = ["paris", "park", "party", "testing"]
        values = [value for value in known if value.startswith(params.argument.value)]
        return types.CompleteResult.model_validate(
            {"completion": {"values": values, "total": len(values), "hasMore": False}}
        )

    async def set_level(self, _: Context, __: types.SetLevelRequestParams) -> types.EmptyResult:
        return types.EmptyResult()

    def _meet(self, context: Context) -> str:
        """Remember a legacy client, to tell it of changes. Returns its session's id."""
        session_id = str(context.request.headers.get("mcp-session-id", "")) if context.request else ""
        if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            self._sessions[session_id] = context.session
        return session_id

    async def _changed(self, what: str) -> None:
        """Change a list or the watched resource, and tell every client of either era that wants to know."""
        if what == "tools":
            self._extra_tool = not self._extra_tool
            await self._bus.publish(ToolsListChanged())
        elif what == "prompts":
            self._extra_prompt = not self._extra_prompt
            await self._bus.publish(PromptsListChanged())
        else:
            await self._bus.publish(ResourceUpdated(WATCHED))
        for session_id, session in list(self._sessions.items()):
            if what != "watched" or session_id in self._subscribed:
                with contextlib.suppress(Exception):  # that client is gone
                    await _tell(session, what)


async def _tell(session: Any, what: str) -> None:
    if what == "tools":
        await session.send_tool_list_changed()
    elif what == "prompts":
        await session.send_prompt_list_changed()
    else:
        await session.send_resource_updated(WATCHED)


def _result(result: Json, kind: Any) -> Any:
    asks = result.get("resultType") == "input_required"
    return (types.InputRequiredResult if asks else kind).model_validate(result)


def _contents(uri: str) -> Json:
    if uri == STATIC_TEXT:
        return {"mimeType": "text/plain", "text": "This is the content of the static text resource."}
    if uri == STATIC_BINARY:
        return {"mimeType": "image/png", "blob": PIXEL_PNG}
    if uri == WATCHED:
        return {"mimeType": "text/plain", "text": "Watched resource content"}
    before, after = TEMPLATE.split("{id}")
    name = uri.removeprefix(before).removesuffix(after)
    if uri == before + name + after and name and "/" not in name:
        data = {"id": name, "templateTest": True, "data": f"Data for ID: {name}"}
        return {"mimeType": "application/json", "text": json.dumps(data)}
    raise MCPError(code=types.INVALID_PARAMS, message=f"Resource not found: {uri}", data={"uri": uri})


def _messages(params: types.GetPromptRequestParams, responses: Any) -> Json:
    arguments = params.arguments or {}
    if params.name == "test_simple_prompt":
        contents = [text("This is a simple prompt for testing.")]
    elif params.name == "test_prompt_with_arguments":
        said = f"arg1='{arguments.get('arg1')}', arg2='{arguments.get('arg2')}'"
        contents = [text(f"Prompt with arguments: {said}")]
    elif params.name == "test_prompt_with_embedded_resource":
        uri = arguments.get("resourceUri", "test://none")
        contents = [embedded(uri, "text/plain", "Embedded resource content for testing."), text("Please read it.")]
    elif params.name == "test_prompt_with_image":
        contents = [image(), text("Please look at it.")]
    elif params.name == "test_input_required_result_prompt":
        response = responses.get("user_context")
        if not isinstance(response, types.ElicitResult):
            return wanted(user_context=elicit("What context should the prompt use?", context=STRING))
        contents = [text(f"Use this context: {(response.content or {}).get('context')}")]
    else:
        raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown prompt: {params.name}")
    return {"messages": [{"role": "user", "content": content} for content in contents]}


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(description="The conformance fixture server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--era", choices=("both", "legacy", "modern"), default="both")
    options = parser.parse_args()
    port: int = options.port
    warnings.simplefilter("ignore")
    app: Any = Fixture().server().streamable_http_app(event_store=Events(), retry_interval=RETRY_MS)
    if options.era != "both":
        app = OneEra(app, options.era)
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(json.dumps({"url": f"http://localhost:{listener.getsockname()[1]}/mcp"}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
