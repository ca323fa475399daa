"""The workshop on the Python SDK 2.x, of the modern era only. Runs in `mcp2`, with WORKSHOP_LEDGER naming a file."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.resources import TextResource
from mcp_types import Completion, InputRequiredResult
from workshop import NOTE, Ledger, Step, completions, furnish, open_doors

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
from one_era import OneEra

server: Any = MCPServer("workshop", version="2.3.0", instructions="Ask before you saw.")


class Kit:
    """How this SDK asks and announces."""

    context = Context

    async def settle(self, ctx: Any, step: Step) -> Any:
        answers = {key: plain(answer) for key, answer in (ctx.input_responses or {}).items()}
        outcome = step(answers, ctx.request_state)
        if isinstance(outcome, str):
            return outcome
        asked = {"resultType": "input_required", "inputRequests": outcome.requests, "requestState": outcome.state}
        return InputRequiredResult.model_validate({key: value for key, value in asked.items() if value is not None})

    async def announce(self, ctx: Any, extended: bool) -> None:
        if extended:
            server.add_tool(lambda: "extra", name="extra", description="One more")
            server.add_prompt(Prompt.from_function(lambda: "extra", name="extra"))
            server.add_resource(TextResource(uri="workshop://extra", name="extra", text="extra"))
        else:
            server.remove_tool("extra")
            server.remove_prompt("extra")
            server._resource_manager._resources.pop("workshop://extra")
        await ctx.notify_tools_changed()
        await ctx.notify_prompts_changed()
        await ctx.notify_resources_changed()
        await ctx.notify_resource_updated(NOTE)


def plain(answer: Any) -> dict[str, Any]:
    """An answer as the protocol's JSON."""
    return dict(answer.model_dump(by_alias=True, mode="json", exclude_none=True))


@server.completion()  # type: ignore[untyped-decorator]
async def complete(_: Any, argument: Any, __: Any) -> Completion:
    values = completions(argument.name, argument.value)
    return Completion(values=values, total=len(values), has_more=False)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    furnish(server, Kit(), Ledger())
    open_doors(OneEra(server.streamable_http_app(), "modern"))
