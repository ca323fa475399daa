"""What each of the fixture server's tools does. A tool takes the call and returns a result as plain data.

Tools that need something of the client push a request to a legacy client and return `input_required` to a modern one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mcp_types as types
from fixture_definitions import (
    BOOLEAN,
    DEFAULTS_FORM,
    ENUMS_FORM,
    FULL_SCHEMA,
    REGION_SCHEMA,
    ROOTS,
    SILENT_WAV,
    STRING,
    Json,
    elicit,
    embedded,
    image,
    sample,
    text,
)
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

STEP_S = 0.05


class ToolFailed(Exception):
    """The tool says that it failed."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One tool call: its arguments, what a retry brought, and the connection it came on."""

    context: ServerRequestContext[Any, Any]
    arguments: Mapping[str, Any]
    responses: Mapping[str, Any]
    state: str | None
    changed: Callable[[str], Awaitable[None]]

    @property
    def modern(self) -> bool:
        """Whether the client must be asked by `input_required`."""
        return self.context.protocol_version in MODERN_PROTOCOL_VERSIONS

    def answer(self, key: str, field: str) -> Any:
        """One field of what the client's user filled in, or None."""
        response = self.responses.get(key)
        return (response.content or {}).get(field) if isinstance(response, types.ElicitResult) else None

    async def log(self, message: str) -> None:
        """One log line on the call's own stream."""
        await self.context.session.send_log_message("info", message, "fixture", self.context.request_id)

    async def push(self, request: Json) -> Json:
        """Ask a legacy client on the call's own stream and return its result as plain data."""
        result = await pushed(self.context, request)
        return dict(result.model_dump(by_alias=True, mode="json", exclude_none=True))


_PUSHED: dict[str, tuple[Any, Any]] = {
    "elicitation/create": (types.ElicitRequest, types.ElicitResult),
    "sampling/createMessage": (types.CreateMessageRequest, types.CreateMessageResult),
    "roots/list": (types.ListRootsRequest, types.ListRootsResult),
}


async def pushed(context: ServerRequestContext[Any, Any], request: Json, key: str | None = None) -> Any:
    """The client's result of a request pushed to it on the call's own stream; `key`: what a modern client would have
    called it, for a gateway that turns it into an input request."""
    request_type, result_type = _PUSHED[request["method"]]
    if key is not None:
        params = request.get("params") or {}
        request = {**request, "params": {**params, "_meta": {**params.get("_meta", {}), "toolyard/inputKey": key}}}
    return await context.session.send_request(
        request_type.model_validate(request),
        result_type,
        metadata=ServerMessageMetadata(related_request_id=context.request_id),
    )


Round = Callable[[Mapping[str, Any], str | None], Awaitable[Json]]


async def in_rounds(context: ServerRequestContext[Any, Any], first: Round) -> Json:
    """The result of `first(responses, state)`. What it wants of a legacy client is pushed, all at once, until it wants
    nothing more; a modern client is told what is wanted."""
    responses: dict[str, Any] = {}
    state: str | None = None
    while True:
        result = await first(responses, state)
        if result.get("resultType") != "input_required" or context.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return result
        requests = result["inputRequests"]
        answers = await asyncio.gather(*(pushed(context, request, key) for key, request in requests.items()))
        responses = {**responses, **dict(zip(requests, answers, strict=True))}
        state = result.get("requestState")


Tool = Callable[[Asked], Awaitable[Json]]


def done(*content: Json) -> Json:
    """A finished call's result."""
    return {"content": list(content)}


def wanted(state: str | None = None, /, **requests: Json) -> Json:
    """The result that asks the client for something."""
    result: Json = {"resultType": "input_required", "inputRequests": requests}
    return result if state is None else {**result, "requestState": state}


async def simple_text(_: Asked) -> Json:
    return done(text("This is a simple text response for testing."))


async def greet(asked: Asked) -> Json:
    return done(text(f"Hello, {asked.arguments.get('name', 'you')}!"))


async def image_content(_: Asked) -> Json:
    return done(image())


async def audio_content(_: Asked) -> Json:
    return done({"type": "audio", "data": SILENT_WAV, "mimeType": "audio/wav"})


async def embedded_resource(_: Asked) -> Json:
    return done(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."))


async def multiple_content_types(_: Asked) -> Json:
    resource = embedded("test://mixed-content-resource", "application/json", '{"test": "data", "value": 123}')
    return done(text("Multiple content types test:"), image(), resource)


async def tool_with_logging(asked: Asked) -> Json:
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await asked.log(message)
        await asyncio.sleep(STEP_S)
    return done(text("Three log lines were sent"))


async def tool_with_progress(asked: Asked) -> Json:
    for step in (0, 50, 100):
        await asked.context.session.report_progress(step, 100, f"Completed step {step} of 100")
        await asyncio.sleep(STEP_S)
    return done(text("Three steps were reported"))


async def error_handling(_: Asked) -> Json:
    raise ToolFailed("This tool intentionally returns an error for testing")


async def sampling(asked: Asked) -> Json:
    request = sample(str(asked.arguments.get("prompt", "")), 100)
    if not asked.modern:
        result = await asked.push(request)
        return done(text(f"LLM response: {result['content'].get('text')}"))
    response = asked.responses.get("sample")
    if not isinstance(response, types.CreateMessageResult):
        return wanted(sample=request)
    return done(text(f"LLM response: {getattr(response.content, 'text', None)}"))


async def _elicited(asked: Asked, parameters: Json) -> Json:
    request = {"method": "elicitation/create", "params": parameters}
    if asked.modern:
        response = asked.responses.get("form")
        if not isinstance(response, types.ElicitResult):
            return wanted(form=request)
        result: Json = {"action": response.action, "content": response.content or {}}
    else:
        result = await asked.push(request)
    content = json.dumps(result.get("content", {}))
    return done(text(f"Elicitation completed: action={result['action']}, content={content}"))


async def elicitation(asked: Asked) -> Json:
    message = str(asked.arguments.get("message", "Please answer"))
    return await _elicited(asked, elicit(message, response={"type": "string", "description": "Answer"})["params"])


async def elicitation_defaults(asked: Asked) -> Json:
    return await _elicited(asked, DEFAULTS_FORM)


async def elicitation_enums(asked: Asked) -> Json:
    return await _elicited(asked, ENUMS_FORM)


async def streaming_elicitation(asked: Asked) -> Json:
    """Tells its progress before it asks, so that the question ends a stream."""
    await asked.context.session.report_progress(1, 2, "About to ask")
    return await _elicited(asked, elicit("What is your name?", name=STRING)["params"])


async def missing_capability(asked: Asked) -> Json:
    capabilities = asked.context.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        raise MCPError(
            code=types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This tool needs the client's sampling capability",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return done(text("The client can sample"))


async def x_mcp_header(asked: Asked) -> Json:
    return done(text(f"region={asked.arguments.get('region')}"))


async def full_schema(asked: Asked) -> Json:
    return done(text(json.dumps(dict(asked.arguments), sort_keys=True)))


async def reconnection(asked: Asked) -> Json:
    """Ends the call's stream half way: the client comes back for the result."""
    await asked.log("Before the stream ends")
    if asked.context.close_sse_stream is not None:
        await asked.context.close_sse_stream()
        await asyncio.sleep(4 * STEP_S)
    await asked.log("After the stream ended")
    return done(text("The call outlived its stream"))


async def trigger_tool_change(asked: Asked) -> Json:
    await asked.changed("tools")
    return done(text("The list of tools has changed"))


async def trigger_prompt_change(asked: Asked) -> Json:
    await asked.changed("prompts")
    return done(text("The list of prompts has changed"))


async def touch_watched_resource(asked: Asked) -> Json:
    await asked.changed("watched")
    return done(text("The watched resource has changed"))


async def needs_name(asked: Asked) -> Json:
    name = asked.answer("user_name", "name")
    if name is None:
        return wanted(user_name=elicit("What is your name?", name=STRING))
    return done(text(f"Hello, {name}!"))


async def needs_sample(asked: Asked) -> Json:
    response = asked.responses.get("capital_question")
    if not isinstance(response, types.CreateMessageResult):
        return wanted(capital_question=sample("What is the capital of France?", 100))
    return done(text(f"The model said: {getattr(response.content, 'text', '')}"))


async def needs_roots(asked: Asked) -> Json:
    response = asked.responses.get("client_roots")
    if not isinstance(response, types.ListRootsResult):
        return wanted(client_roots=ROOTS)
    return done(text(", ".join(str(root.uri) for root in response.roots)))


async def needs_state(asked: Asked) -> Json:
    if asked.state == "first-round" and asked.answer("confirm", "ok") is not None:
        return done(text("state-ok"))
    return wanted("first-round", confirm=elicit("Please confirm", ok=BOOLEAN))


async def needs_three(asked: Asked) -> Json:
    if {"user_name", "greeting", "client_roots"} <= set(asked.responses):
        return done(text("All three answers came"))
    name = elicit("What is your name?", name=STRING)
    return wanted("three", user_name=name, greeting=sample("Generate a greeting", 50), client_roots=ROOTS)


async def needs_two_rounds(asked: Asked) -> Json:
    name, colour = asked.answer("step1", "name"), asked.answer("step2", "color")
    if asked.state == "round-1" and name is not None:
        state = f"round-2 {name}"
        return wanted(state, step2=elicit("Step 2: What is your favorite color?", color=STRING))
    if asked.state is not None and asked.state.startswith("round-2 ") and colour is not None:
        return done(text(f"{asked.state.removeprefix('round-2 ')} likes {colour}"))
    return wanted("round-1", step1=elicit("Step 1: What is your name?", name=STRING))


async def capability_gated(asked: Asked) -> Json:
    """Asks only for what the client said it can do."""
    if asked.responses:
        return done(text(f"Answered: {', '.join(sorted(asked.responses))}"))
    capabilities = asked.context.session.client_capabilities or types.ClientCapabilities()
    requests: Json = {}
    if capabilities.sampling is not None:
        requests["sample"] = sample("Say hello", 50)
    if capabilities.elicitation is not None:
        requests["name"] = elicit("What is your name?", name=STRING)
    return wanted("gated", **requests)


_NOTHING: Json = {"type": "object", "properties": {}}


def _taking(name: str) -> Json:
    return {"type": "object", "properties": {name: STRING}, "required": [name]}


# name: (what it does, description, input schema)
TOOLS: dict[str, tuple[Tool, str, Json]] = {
    "json_schema_2020_12_tool": (full_schema, "Has a schema with every keyword", FULL_SCHEMA),
    "greet": (greet, "Greets", {"type": "object", "properties": {"name": STRING}}),
    "test_simple_text": (simple_text, "Returns text", _NOTHING),
    "test_image_content": (image_content, "Returns a picture", _NOTHING),
    "test_audio_content": (audio_content, "Returns a sound", _NOTHING),
    "test_embedded_resource": (embedded_resource, "Returns an embedded resource", _NOTHING),
    "test_multiple_content_types": (multiple_content_types, "Returns several kinds of content", _NOTHING),
    "test_tool_with_logging": (tool_with_logging, "Logs while it runs", _NOTHING),
    "test_logging_tool": (tool_with_logging, "Logs while it runs", _NOTHING),
    "test_tool_with_progress": (tool_with_progress, "Reports its progress", _NOTHING),
    "test_error_handling": (error_handling, "Always fails", _NOTHING),
    "test_sampling": (sampling, "Asks the client's model", _taking("prompt")),
    "test_elicitation": (elicitation, "Asks the client's user", _taking("message")),
    "test_elicitation_sep1034_defaults": (elicitation_defaults, "Asks with default values", _NOTHING),
    "test_elicitation_sep1330_enums": (elicitation_enums, "Asks with every kind of choice", _NOTHING),
    "test_streaming_elicitation": (streaming_elicitation, "Asks after telling its progress", _NOTHING),
    "test_missing_capability": (missing_capability, "Refuses clients that cannot sample", _NOTHING),
    "test_x_mcp_header": (x_mcp_header, "Has a parameter that is also a header", REGION_SCHEMA),
    "test_reconnection": (reconnection, "Ends its stream before its result", _NOTHING),
    "test_trigger_tool_change": (trigger_tool_change, "Adds or removes a tool", _NOTHING),
    "test_trigger_prompt_change": (trigger_prompt_change, "Adds or removes a prompt", _NOTHING),
    "test_touch_watched_resource": (touch_watched_resource, "Changes the watched resource", _NOTHING),
    "test_input_required_result_elicitation": (needs_name, "Needs a name", _NOTHING),
    "test_input_required_result_sampling": (needs_sample, "Needs a sample", _NOTHING),
    "test_input_required_result_list_roots": (needs_roots, "Needs the roots", _NOTHING),
    "test_input_required_result_request_state": (needs_state, "Needs its state back", _NOTHING),
    "test_input_required_result_multiple_inputs": (needs_three, "Needs three things at once", _NOTHING),
    "test_input_required_result_multi_round": (needs_two_rounds, "Needs one thing after another", _NOTHING),
    "test_input_required_result_tampered_state": (needs_state, "Needs its state back unchanged", _NOTHING),
    "test_input_required_result_capabilities": (capability_gated, "Asks for what the client can do", _NOTHING),
}
DYNAMIC_TOOL: Json = {"name": "test_dynamic_tool", "description": "Comes and goes", "inputSchema": _NOTHING}
