"""The fixture's tools that take their time. They know nothing of tasks: the gateway makes tasks of their calls."""

from __future__ import annotations

import asyncio

import mcp_types as types
from fixture_definitions import BOOLEAN, STRING, Json, elicit, text
from fixture_tools import TOOLS, Asked, Tool, ToolFailed, done, wanted
from mcp.shared.exceptions import MCPError

FAILS_AFTER_S = 1.0
WITH_NAME_S = 1.5


async def slow_compute(asked: Asked) -> Json:
    seconds = float(asked.arguments.get("seconds", 0))
    await asyncio.sleep(seconds)
    return done(text(f"{asked.arguments.get('label', 'computed')}: took {seconds:g} s"))


async def failing_job(_: Asked) -> Json:
    await asyncio.sleep(FAILS_AFTER_S)
    raise ToolFailed("This job always fails")


async def protocol_error_job(_: Asked) -> Json:
    await asyncio.sleep(FAILS_AFTER_S)
    raise MCPError(code=types.INTERNAL_ERROR, message="This job breaks the protocol")


async def confirm_delete(asked: Asked) -> Json:
    if not isinstance(asked.responses.get("confirm"), types.ElicitResult):
        return wanted(confirm=elicit(f"Delete {asked.arguments.get('filename')}?", confirm=BOOLEAN))
    confirmed = asked.answer("confirm", "confirm")
    return done(text("Deleted" if confirmed else "Kept"))


async def multi_input(asked: Asked) -> Json:
    answers = [asked.answer(key, "name") for key in ("first", "second")]
    if None in answers:
        return wanted(first=elicit("First name?", name=STRING), second=elicit("Second name?", name=STRING))
    return done(text(f"Both answered: {answers[0]}, {answers[1]}"))


async def tool_with_task(asked: Asked) -> Json:
    """Asks first, and only then takes its time."""
    name = asked.answer("user_name", "name")
    if name is None:
        return wanted(user_name=elicit("What is your name?", name=STRING))
    await asyncio.sleep(WITH_NAME_S)
    return done(text(f"Hello, {name}! That took a while."))


def _taking(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


SLOW_TOOLS: dict[str, tuple[Tool, str, Json]] = {
    "slow_compute": (slow_compute, "Takes its time", _taking(seconds={"type": "number"}, label=STRING)),
    "failing_job": (failing_job, "Fails after a while", _taking()),
    "protocol_error_job": (protocol_error_job, "Ends in a protocol error", _taking()),
    "confirm_delete": (confirm_delete, "Asks before it deletes", _taking(filename=STRING)),
    "multi_input": (multi_input, "Asks two things at once", _taking()),
    "test_tool_with_task": (tool_with_task, "Asks, then takes its time", _taking()),
}
ALL_TOOLS = {**TOOLS, **SLOW_TOOLS}
