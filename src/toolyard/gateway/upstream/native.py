"""Upstreams that live in the gateway's own process: async functions behind the same port as everything else.

Nothing is sent anywhere. A function that fails gives a result the model can read, never an exception to the caller; it
speaks as a modern upstream does, so asking the caller goes through `call.ask` in both eras.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from toolyard.contract.definitions import Json, Observation
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import AskRefused, Begun, Call, Suspended, UpstreamEvents
from toolyard.gateway.upstream.demo import demo_server
from toolyard.gateway.upstream.errors import UpstreamTimedOut, UpstreamUnreachable
from toolyard.gateway.upstream.native_definitions import (
    Complete,
    NativePrompt,
    NativeResource,
    NativeServer,
    NativeTemplate,
    NativeTool,
    error_result,
)
from toolyard.gateway.upstream.observe import observe_all
from toolyard.kit.clock import Clock
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.revisions import MODERN
from toolyard.protocol.uri_template import matcher

__all__ = [
    "BUILT_IN",
    "NativePrompt",
    "NativeResource",
    "NativeServer",
    "NativeTemplate",
    "NativeTool",
    "NativeUpstream",
]

log = get_logger(__name__)

BUILT_IN: Mapping[str, Callable[[Clock], NativeServer]] = {"demo": demo_server}
LISTS_TTL_MS = 3_600_000
MAX_COMPLETIONS = 100
INVALID_PARAMS = -32602
METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603

Answerer = Callable[[Call, Json], Awaitable[Json]]


class NativeUpstream:
    """The upstream of one built-in (`spec.command[0]`), or of `server` when it is given. Raises UpstreamUnreachable for
    a built-in that does not exist."""

    def __init__(
        self, spec: UpstreamSpec, *, events: UpstreamEvents, clock: Clock, server: NativeServer | None = None
    ) -> None:
        self.spec = spec
        self._clock = clock
        self._events = events
        self._server = server or _built_in(spec)(clock)
        self._tools = {tool.name: tool for tool in self._server.tools}
        self._resources = {resource.uri: resource for resource in self._server.resources}
        self._templates = [(matcher(template.uri_template), template) for template in self._server.templates]
        self._prompts = {prompt.name: prompt for prompt in self._server.prompts}
        self._answer: dict[str, Answerer] = {
            "tools/call": self._call_tool,
            "resources/read": self._read,
            "prompts/get": self._get_prompt,
            "completion/complete": self._complete,
        }
        self._running = 0
        self._calls = 0

    async def observe(self) -> Observation:
        """All definitions; the same at every call."""
        return await observe_all(
            self.spec.id,
            self._list,
            era="modern",
            revision=MODERN,
            server_info=self._server.info,
            capabilities=self._server.capabilities(),
            instructions=self._server.instructions,
            clock=self._clock,
        )

    async def request(self, call: Call, method: str, params: Json) -> Json:
        """Run the function behind a request until `call.deadline`. Raises RelayedError, UpstreamTimedOut, Suspended."""
        if method.endswith("/list"):
            return await self._list(method, params)
        answer = self._answer.get(method)
        if answer is None:
            raise RelayedError(METHOD_NOT_FOUND, "Method not found")
        self._running += 1
        self._calls += 1
        try:
            async with asyncio.timeout_at(call.deadline):
                result = await self._supervised(answer, call, method, params)
        except TimeoutError:
            raise UpstreamTimedOut(f"Upstream {self.spec.id!r} did not answer in time.") from None
        finally:
            self._running -= 1
        return {"resultType": "complete", **result}

    def begin(self, call: Call, method: str, params: Json) -> Begun | None:
        """Never at once."""
        del call, method, params
        return None

    def repeater(self, call: Call, params: Json) -> None:
        """Each call is looked at."""
        del call, params

    def may_push(self, call: Call) -> bool:
        """Never: what is built in asks as modern upstreams do."""
        return False

    async def watch(self, call: Call, uri: str) -> None:
        """Native resources do not change. Raises RelayedError."""
        raise RelayedError(METHOD_NOT_FOUND, "Method not found")

    async def roots_changed(self, call: Call) -> None:
        """Nothing here keeps roots."""

    def forget(self, isolation: str) -> None:
        """Nothing here keeps anything for a caller."""

    async def unwatch(self, call: Call, uri: str) -> None:
        """Nothing is watched, so nothing is to be done."""

    def status(self) -> dict[str, Any]:
        return {"state": "ready", "era": "modern", "revision": MODERN, "running": self._running, "calls": self._calls}

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def _supervised(self, answer: Answerer, call: Call, method: str, params: Json) -> Json:
        """Functions are written by others: what they raise ends here."""
        try:
            return await answer(call, params)
        except (Suspended, PlatformError):
            raise
        except Exception:
            log.exception("native_function_failed", upstream=self.spec.id, method=method)
            if method == "tools/call":
                return error_result("The tool failed.")
            raise RelayedError(INTERNAL_ERROR, "Internal error") from None

    async def _list(self, method: str, params: Json) -> Json:
        lists: dict[str, tuple[str, Sequence[NativeTool | NativeResource | NativeTemplate | NativePrompt]]] = {
            "tools/list": ("tools", self._server.tools),
            "resources/list": ("resources", self._server.resources),
            "resources/templates/list": ("resourceTemplates", self._server.templates),
            "prompts/list": ("prompts", self._server.prompts),
        }
        if method not in lists:
            raise RelayedError(METHOD_NOT_FOUND, "Method not found")
        member, parts = lists[method]
        hints = {"resultType": "complete", "ttlMs": LISTS_TTL_MS, "cacheScope": "public"}
        return {member: [part.definition() for part in parts], **hints}

    async def _call_tool(self, call: Call, params: Json) -> Json:
        tool = self._tools.get(params.get("name", ""))
        if tool is None:
            raise RelayedError(INVALID_PARAMS, "Unknown tool")
        arguments = params.get("arguments") or {}
        fault = fault_in(arguments, tool.input_schema)
        if fault is not None:
            return error_result(f"Invalid arguments: {fault}")
        try:
            return await tool.function(call, arguments)
        except AskRefused as refusal:
            return error_result(f"{tool.name} could not ask: {refusal.message}")

    async def _read(self, call: Call, params: Json) -> Json:
        uri = params.get("uri", "")
        resource: NativeResource | NativeTemplate | None = self._resources.get(uri)
        variables: Mapping[str, str] | None = {}
        if resource is None:
            resource, variables = self._by_template(uri)
        text = await resource.read(call, variables or {})
        content = {"uri": uri, "mimeType": resource.mime_type, "text": text}
        return {"contents": [content], "ttlMs": 0, "cacheScope": "private"}

    def _by_template(self, uri: str) -> tuple[NativeTemplate, Mapping[str, str]]:
        for match, template in self._templates:
            variables = match(uri)
            if variables is not None:
                return template, variables
        raise RelayedError(INVALID_PARAMS, "Resource not found", {"uri": uri})

    async def _get_prompt(self, call: Call, params: Json) -> Json:
        prompt = self._prompts.get(params.get("name", ""))
        if prompt is None:
            raise RelayedError(INVALID_PARAMS, "Unknown prompt")
        arguments = params.get("arguments") or {}
        missing = [
            known["name"] for known in prompt.arguments if known.get("required") and known["name"] not in arguments
        ]
        if missing:
            raise RelayedError(INVALID_PARAMS, f"Missing argument: {missing[0]}")
        return {"description": prompt.description, "messages": await prompt.render(call, arguments)}

    async def _complete(self, call: Call, params: Json) -> Json:
        argument = params.get("argument") or {}
        complete = self._completions(params.get("ref") or {}).get(argument.get("name", ""))
        values = complete(str(argument.get("value", ""))) if complete else []
        shown = values[:MAX_COMPLETIONS]
        return {"completion": {"values": shown, "total": len(values), "hasMore": len(values) > len(shown)}}

    def _completions(self, ref: Json) -> Mapping[str, Complete]:
        if ref.get("type") == "ref/prompt" and ref.get("name") in self._prompts:
            return self._prompts[ref["name"]].completions
        for template in self._server.templates:
            if ref.get("type") == "ref/resource" and ref.get("uri") == template.uri_template:
                return template.completions
        raise RelayedError(INVALID_PARAMS, "Unknown reference")


def _built_in(spec: UpstreamSpec) -> Callable[[Clock], NativeServer]:
    name = spec.command[0] if spec.command else ""
    if name not in BUILT_IN:
        raise UpstreamUnreachable(f"Upstream {spec.id!r} names a built-in that does not exist.")
    return BUILT_IN[name]


_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def fault_in(value: Any, schema: Json, path: str = "arguments") -> str | None:
    """What is wrong with `value`, or None. Knows what native tools use: type, enum, bounds, properties, required."""
    kinds = _TYPES.get(schema.get("type", ""))
    if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        return f"{path} must be of type {schema['type']}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{path} must be one of {schema['enum']}"
    if isinstance(value, dict):
        return _fault_in_object(value, schema, path)
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        return f"{path} must not be longer than {schema['maxLength']} characters"
    if isinstance(value, int | float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return f"{path} must be from {schema.get('minimum', '…')} to {schema.get('maximum', '…')}"
    return None


def _fault_in_object(value: Json, schema: Json, path: str) -> str | None:
    properties: Json = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            return f"{path}.{name} is missing"
    for name, member in value.items():
        if name in properties:
            fault = fault_in(member, properties[name], f"{path}.{name}")
            if fault is not None:
                return fault
        elif schema.get("additionalProperties") is False:
            return f"{path} has no member {name!r}"
    return None
