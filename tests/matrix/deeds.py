"""What each tool, prompt and resource of the matrix's upstream does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.matrix.offers import PROMPTS, RESOURCES, TASKS, Json
from tests.matrix.turns import META, Fault, ToolFailed, Turn

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
TOOLS: dict[str, Callable[[Turn], Awaitable[Json]]] = {}
_NAME: Json = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
FORM: Json = {"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": _NAME}}
URL: Json = {
    "method": "elicitation/create",
    "params": {"mode": "url", "message": "Sign in", "url": "https://example.com/sign-in"},
}
SAMPLE: Json = {
    "method": "sampling/createMessage",
    "params": {"messages": [{"role": "user", "content": {"type": "text", "text": "Say hello"}}], "maxTokens": 9},
}
SAMPLE_WITH_TOOLS: Json = {
    "method": "sampling/createMessage",
    "params": {
        **SAMPLE["params"],
        "tools": [{"name": "dice", "inputSchema": {"type": "object"}}],
        "toolChoice": {"mode": "auto"},
    },
}
ROOTS: Json = {"method": "roots/list"}
AUDIO: Json = {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"}
LINK: Json = {"type": "resource_link", "uri": "note://1", "name": "note 1"}
MEDIA: list[Json] = [
    {"type": "text", "text": "words", "x-own": {"kept": True}},
    {"type": "image", "data": "AAAA", "mimeType": "image/png"},
    {"type": "resource", "resource": {"uri": "note://1", "text": "note 1"}},
    AUDIO,
    LINK,
]


def text(words: str, **more: Any) -> Json:
    return {"content": [{"type": "text", "text": words}], **more}


def told_roots(turn: Turn, answer: Json) -> Json:
    turn.effect()
    return text(" ".join(root["uri"] for root in answer["roots"]))


async def call_tool(turn: Turn) -> Json:
    tool = TOOLS.get(turn.params["name"])
    if tool is None:
        raise Fault(-32602, f"Unknown tool: {turn.params['name']}")
    try:
        return await tool(turn)
    except ToolFailed as failure:
        return text(str(failure), isError=True)


async def get_prompt(turn: Turn) -> Json:
    """Raises Fault, ToolFailed."""
    name, words = turn.params["name"], turn.arguments.get("name")
    if name not in {prompt["name"] for prompt in PROMPTS}:
        raise Fault(-32602, f"Unknown prompt: {name}")
    if name == "ask":
        words = (await turn.ask(who=FORM))["who"]["content"]["name"]
    return {"messages": [{"role": "user", "content": {"type": "text", "text": f"Greet {words}"}}]}


def exists(uri: str) -> bool:
    """There is such a resource."""
    return uri in {r["uri"] for r in RESOURCES} or uri.startswith("page1://")


async def read_resource(turn: Turn) -> Json:
    uri: str = turn.params["uri"]
    words = f"text of {uri}"
    if uri == "ask://name":
        words = (await turn.ask(who=FORM))["who"]["content"]["name"]
    elif not exists(uri):
        code = -32602 if turn.host.era == "modern" else -32002
        raise Fault(code, "Resource not found", {"uri": uri})
    return {"contents": [{"uri": uri, "mimeType": "text/plain", "text": words}]}


def complete(params: Json) -> Json:
    values = [value for value in ("anna", "anton", "berta") if value.startswith(params["argument"]["value"])]
    about = params["ref"].get("name") or params["ref"].get("uri")
    return {"completion": {"values": [*values, about], "total": len(values) + 1, "hasMore": False}}


def tool(work: Callable[[Turn], Awaitable[Json]]) -> Callable[[Turn], Awaitable[Json]]:
    """A tool is called as its function is."""
    TOOLS[work.__name__] = work
    return work


@tool
async def echo(turn: Turn) -> Json:
    turn.effect()
    return text(turn.arguments["text"], **{"x-own": turn.arguments})


@tool
async def media(_turn: Turn) -> Json:
    return {"content": MEDIA}


@tool
async def weigh(_turn: Turn) -> Json:
    return text("seven", structuredContent={"kg": 7})


@tool
async def count(_turn: Turn) -> Json:
    return text("three numbers", structuredContent=[1, 2, 3])


@tool
async def fail(_turn: Turn) -> Json:
    raise ToolFailed("it did not work")


@tool
async def fault(_turn: Turn) -> Json:
    raise Fault(4711, "out of paper", {"tray": 2})


@tool
async def whoami(turn: Turn) -> Json:
    return text(json.dumps({"capabilities": turn.capabilities, "traceparent": turn.meta.get("traceparent")}))


@tool
async def progress(turn: Turn) -> Json:
    token = turn.meta.get("progressToken")
    for step in (1, 2, 3):
        if token is not None:
            steps = {"progressToken": token, "progress": step, "total": 3, "message": f"step {step}"}
            await turn.tell("notifications/progress", steps)
    return text("done" if token is not None else "nobody wanted to know")


@tool
async def log(turn: Turn) -> Json:
    least = turn.meta.get(f"{META}logLevel") if turn.host.era == "modern" else turn.caller.level
    for level in ("debug", "info", "error"):
        if least is not None and LEVELS.index(level) >= LEVELS.index(least):
            await turn.tell("notifications/message", {"level": level, "logger": "matrix", "data": f"a line of {level}"})
    return text("logged")


@tool
async def slow(turn: Turn) -> Json:
    turn.host.note("started", "slow")
    await asyncio.Event().wait()
    return {}


@tool
async def change(turn: Turn) -> Json:
    await turn.host.change(turn.arguments["kind"])
    return text("changed")


@tool
async def touch(turn: Turn) -> Json:
    await turn.host.touch()
    return text("touched")


@tool
async def ask_form(turn: Turn) -> Json:
    answer = (await turn.ask(who=FORM))["who"]
    turn.effect()
    return text(f"{answer['action']} {answer.get('content', {}).get('name')}")


@tool
async def ask_url(turn: Turn) -> Json:
    answer = (await turn.ask(consent=URL))["consent"]
    turn.effect()
    return text(answer["action"])


@tool
async def ask_sampling(turn: Turn) -> Json:
    answer = (await turn.ask(words=SAMPLE))["words"]
    turn.effect()
    return text(f"{answer['model']}: {answer['content']['text']}")


@tool
async def ask_sampling_with_tools(turn: Turn) -> Json:
    answer = (await turn.ask(words=SAMPLE_WITH_TOOLS))["words"]
    turn.effect()
    return text(f"{answer['model']}: {answer['content']['text']}")


@tool
async def ask_roots(turn: Turn) -> Json:
    return told_roots(turn, (await turn.ask(roots=ROOTS))["roots"])


@tool
async def ask_three(turn: Turn) -> Json:
    answers = await turn.ask(who=FORM, words=SAMPLE, roots=ROOTS)
    turn.effect()
    return text(f"{answers['who']['content']['name']} {answers['words']['model']} {len(answers['roots']['roots'])}")


@tool
async def ask_twice(turn: Turn) -> Json:
    first = (await turn.ask(first=FORM))["first"]["content"]["name"]
    second = (await turn.ask(second=FORM))["second"]["content"]["name"]
    turn.effect()
    return text(f"{first} {second}")


@tool
async def ask_rudely(turn: Turn) -> Json:
    await turn.ask(rudely=True, who=FORM)
    turn.effect()
    return text("was answered")


@tool
async def ask_for_tools_rudely(turn: Turn) -> Json:
    await turn.ask(rudely=True, words=SAMPLE_WITH_TOOLS)
    turn.effect()
    return text("was answered")


@tool
async def report(turn: Turn) -> Json:
    """A slow tool that asks in between."""
    return told_roots(turn, (await turn.ask(roots=ROOTS))["roots"])


@tool
async def long(turn: Turn) -> Json:
    """The same, as a task of the server's own where the client knows tasks."""
    if TASKS in turn.capabilities.get("extensions", {}):
        return turn.host.new_task(turn, roots=ROOTS)
    return await report(turn)


@tool
async def ping_client(turn: Turn) -> Json:
    asked = asyncio.get_running_loop().create_future()
    turn.caller.asks["ping"] = asked
    await turn.send({"jsonrpc": "2.0", "id": "ping", "method": "ping"})
    return text(json.dumps(await asked))


@tool
async def needs_url(turn: Turn) -> Json:
    """Every other call: in between, the user is taken to have been at the page."""
    if not turn.host.flip("signed in"):
        turn.effect()
        return text("signed in")
    raise Fault(-32042, "Sign in first", {"elicitations": [{**URL["params"], "elicitationId": "e-1"}]})
