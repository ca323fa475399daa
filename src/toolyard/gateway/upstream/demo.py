"""The demonstration upstream: small, useful, and one example of everything the protocol can do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from toolyard import __version__
from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.upstream.native_definitions import (
    NativePrompt,
    NativeResource,
    NativeServer,
    NativeTemplate,
    NativeTool,
    ask_once,
    error_result,
    text_result,
)
from toolyard.kit.clock import Clock

LANGUAGES: Mapping[str, str] = {
    "Deutsch": "Stelle dich in einem Satz vor.",
    "English": "Introduce yourself in one sentence.",
    "Español": "Preséntate en una frase.",
    "Français": "Présente-toi en une phrase.",
    "中文": "请用一句话介绍你自己。",
}
WELCOME = "Welcome to Toolyard. These tools run inside the gateway; add your own with `toolyard add`.\n"
LARGEST = 2**53
READ_ONLY: Json = {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False}


def demo_server(clock: Clock) -> NativeServer:
    """The demonstration; `clock` says what time `now` tells."""
    return NativeServer(
        info={"name": "toolyard-demo", "title": "Toolyard demonstration", "version": __version__},
        instructions="Demonstration tools of the gateway. They touch nothing outside it.",
        tools=(_echo_tool(), _add_tool(), _now_tool(clock), _count_tool(), _ask_name_tool()),
        resources=(NativeResource("demo://welcome", "welcome", "A word of welcome.", _welcome),),
        templates=(NativeTemplate("demo://greeting/{name}", "greeting", "A greeting for anyone.", _greeting),),
        prompts=(_introduce_prompt(),),
    )


def _schema(required: tuple[str, ...] = (), **properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _echo_tool() -> NativeTool:
    text = {"type": "string", "description": "What to say back.", "maxLength": 100_000}
    schema = _schema(("text",), text=text)
    return NativeTool("echo", "Says back what it is told.", schema, _echo, title="Echo", annotations=READ_ONLY)


async def _echo(call: Call, arguments: Json) -> Json:
    return text_result(arguments["text"])


def _add_tool() -> NativeTool:
    number = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
    return NativeTool(
        "add",
        "Adds two numbers.",
        _schema(("a", "b"), a=number, b=number),
        _add,
        title="Add",
        output_schema={"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]},
        annotations=READ_ONLY,
    )


async def _add(call: Call, arguments: Json) -> Json:
    total = arguments["a"] + arguments["b"]
    return text_result(str(total), {"sum": total})


def _now_tool(clock: Clock) -> NativeTool:
    async def now(call: Call, arguments: Json) -> Json:
        name = arguments.get("timezone", "UTC")
        if name != "UTC" and name not in available_timezones():
            return error_result(f"There is no time zone {name!r}. Use a name such as Europe/Berlin.")
        here = datetime.fromtimestamp(clock.wall(), ZoneInfo(name)).replace(microsecond=0)
        return text_result(here.isoformat(), {"time": here.isoformat(), "timezone": name})

    zone = {"type": "string", "description": "IANA name, such as Asia/Shanghai.", "default": "UTC", "maxLength": 100}
    annotations = {"readOnlyHint": True, "openWorldHint": False}
    return NativeTool("now", "Tells the time.", _schema(timezone=zone), now, title="Now", annotations=annotations)


def _count_tool() -> NativeTool:
    schema = _schema(
        ("to",),
        to={"type": "integer", "minimum": 1, "maximum": 100},
        interval_ms={"type": "integer", "description": "Pause between numbers.", "minimum": 0, "maximum": 1000},
    )
    description = "Counts aloud, reporting progress at each number."
    return NativeTool("count", description, schema, _count, title="Count", annotations=READ_ONLY)


async def _count(call: Call, arguments: Json) -> Json:
    to: int = arguments["to"]
    for number in range(1, to + 1):
        if call.wants_progress:
            progress: dict[str, Any] = {"progress": number, "total": to, "message": f"{number} of {to}"}
            await call.emit({"method": "notifications/progress", "params": progress})
        if number < to:
            await asyncio.sleep(arguments.get("interval_ms", 100) / 1000)
    return text_result(", ".join(str(number) for number in range(1, to + 1)))


def _ask_name_tool() -> NativeTool:
    description = "Asks the person at the client for a name and greets them (needs a client that can be asked)."
    return NativeTool("ask_name", description, _schema(), _ask_name, title="Ask for a name")


async def _ask_name(call: Call, arguments: Json) -> Json:
    if "elicitation" not in call.client_capabilities:
        return error_result("This client cannot be asked: it does not support elicitation.")
    wanted = {"type": "object", "properties": {"name": {"type": "string", "title": "Name"}}, "required": ["name"]}
    question = {"message": "What is your name?", "requestedSchema": wanted}
    answer = await ask_once(call, "name", "elicitation/create", question)
    if answer.get("action") != "accept":
        return text_result("No name was given.")
    content = answer.get("content")
    name = content.get("name") if isinstance(content, dict) else None
    return text_result(f"Hello, {name}!") if isinstance(name, str) else error_result("The answer has no name.")


async def _welcome(call: Call, variables: Mapping[str, str]) -> str:
    return WELCOME


async def _greeting(call: Call, variables: Mapping[str, str]) -> str:
    return f"Hello, {variables['name']}!\n"


def _introduce_prompt() -> NativePrompt:
    argument = {"name": "language", "description": "The language to answer in.", "required": False}
    completions = {"language": _languages}
    return NativePrompt("introduce", "Asks a model to introduce itself.", (argument,), _introduce, completions)


def _languages(typed: str) -> list[str]:
    return [name for name in LANGUAGES if name.casefold().startswith(typed.casefold())]


async def _introduce(call: Call, arguments: Mapping[str, str]) -> list[Json]:
    language = arguments.get("language", "English")
    text = LANGUAGES.get(language, f"Introduce yourself in one sentence, in this language: {language[:100]}")
    return [{"role": "user", "content": {"type": "text", "text": text}}]
