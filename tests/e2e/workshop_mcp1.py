"""The workshop on the Python SDK 1.x, which pushes what it asks. Runs in `mcp1`, with WORKSHOP_LEDGER naming a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from mcp import types
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.prompts import Prompt
from mcp.server.fastmcp.resources import TextResource
from mcp.shared.message import ServerMessageMetadata
from workshop import NOTE, Ask, Json, Ledger, Step, completions, furnish, gathered, open_doors

server: Any = FastMCP("workshop", instructions="Ask before you saw.")
listeners: dict[int, Any] = {}  # the sessions that subscribed to something

PUSHED: dict[str, tuple[Any, Any]] = {
    "elicitation/create": (types.ElicitRequest, types.ElicitResult),
    "sampling/createMessage": (types.CreateMessageRequest, types.CreateMessageResultWithTools),
    "roots/list": (types.ListRootsRequest, types.ListRootsResult),
}


class Kit:
    """How this SDK asks and announces."""

    context = Context

    async def settle(self, ctx: Any, step: Step) -> Any:
        async def push(request: Json) -> Json:
            kind, result = PUSHED[request["method"]]
            if request.get("params", {}).get("mode") == "url":
                request = {**request, "params": {**request["params"], "elicitationId": f"page-{ctx.request_id}"}}
            answer = await ctx.session.send_request(
                types.ServerRequest(kind.model_validate(request)),
                result,
                metadata=ServerMessageMetadata(related_request_id=ctx.request_id),
            )
            return dict(answer.model_dump(by_alias=True, mode="json", exclude_none=True))

        outcome = step({}, None)
        while isinstance(outcome, Ask):
            outcome = step(await gathered(outcome.requests, push), outcome.state)
        return outcome

    async def announce(self, ctx: Any, extended: bool) -> None:
        if extended:
            server.add_tool(lambda: "extra", name="extra", description="One more")
            server.add_prompt(Prompt.from_function(lambda: "extra", name="extra"))
            server.add_resource(TextResource(uri="workshop://extra", name="extra", text="extra"))
        else:
            server.remove_tool("extra")
            server._prompt_manager._prompts.pop("extra")
            server._resource_manager._resources.pop("workshop://extra")
        await ctx.session.send_tool_list_changed()
        await ctx.session.send_prompt_list_changed()
        await ctx.session.send_resource_list_changed()
        for session in listeners.values():
            await session.send_resource_updated(NOTE)


@server.completion()  # type: ignore[untyped-decorator]
async def complete(_: Any, argument: Any, __: Any) -> types.Completion:
    values = completions(argument.name, argument.value)
    return types.Completion(values=values, total=len(values), hasMore=False)


@server._mcp_server.subscribe_resource()  # type: ignore[untyped-decorator]
async def subscribe(_: Any) -> None:
    session = server._mcp_server.request_context.session
    listeners[id(session)] = session


@server._mcp_server.unsubscribe_resource()  # type: ignore[untyped-decorator]
async def unsubscribe(_: Any) -> None:
    listeners.pop(id(server._mcp_server.request_context.session), None)


def announcing(options: Callable[[], Any]) -> Callable[[], Any]:
    """What the server says of itself, with what this SDK has no argument for: that its lists and resources change."""

    def said() -> Any:
        made = options()
        made.capabilities.tools.listChanged = made.capabilities.prompts.listChanged = True
        made.capabilities.resources.listChanged = made.capabilities.resources.subscribe = True
        return made

    return said


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    furnish(server, Kit(), Ledger())
    server._mcp_server.create_initialization_options = announcing(server._mcp_server.create_initialization_options)
    open_doors(server.streamable_http_app())
