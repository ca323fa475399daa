"""What an in-process upstream is made of: async functions with the definitions that clients see.

Functions get the `Call`, so they can report progress (`call.emit`) and ask the caller's side (`ask_once`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call

ToolFunction = Callable[[Call, Json], Awaitable[Json]]
Complete = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class NativeTool:
    """A tool: `function(call, arguments)` returns a result object (`text_result`, `error_result`)."""

    name: str
    description: str
    input_schema: Json
    function: ToolFunction
    title: str | None = None
    output_schema: Json | None = None
    annotations: Json | None = None

    def definition(self) -> Json:
        extra = {"title": self.title, "outputSchema": self.output_schema, "annotations": self.annotations}
        required = {"name": self.name, "description": self.description, "inputSchema": self.input_schema}
        return required | {key: value for key, value in extra.items() if value is not None}


@dataclass(frozen=True, slots=True)
class NativeResource:
    """A resource: `read(call, variables)` returns its text; `variables` is empty."""

    uri: str
    name: str
    description: str
    read: Callable[[Call, Mapping[str, str]], Awaitable[str]]
    mime_type: str = "text/plain"

    def definition(self) -> Json:
        return {"uri": self.uri, "name": self.name, "description": self.description, "mimeType": self.mime_type}


@dataclass(frozen=True, slots=True)
class NativeTemplate:
    """A family of resources: `read(call, variables)` returns the text of the one that `variables` name."""

    uri_template: str
    name: str
    description: str
    read: Callable[[Call, Mapping[str, str]], Awaitable[str]]
    mime_type: str = "text/plain"
    completions: Mapping[str, Complete] = field(default_factory=dict)

    def definition(self) -> Json:
        head = {"uriTemplate": self.uri_template, "name": self.name}
        return head | {"description": self.description, "mimeType": self.mime_type}


@dataclass(frozen=True, slots=True)
class NativePrompt:
    """A prompt: `render(call, arguments)` returns its messages. `arguments` are as in the definition."""

    name: str
    description: str
    arguments: tuple[Json, ...]
    render: Callable[[Call, Mapping[str, str]], Awaitable[list[Json]]]
    completions: Mapping[str, Complete] = field(default_factory=dict)

    def definition(self) -> Json:
        return {"name": self.name, "description": self.description, "arguments": list(self.arguments)}


@dataclass(frozen=True, slots=True)
class NativeServer:
    """Everything one in-process upstream offers."""

    info: Json
    instructions: str | None = None
    tools: tuple[NativeTool, ...] = ()
    resources: tuple[NativeResource, ...] = ()
    templates: tuple[NativeTemplate, ...] = ()
    prompts: tuple[NativePrompt, ...] = ()

    def capabilities(self) -> Json:
        offered: Json = {}
        if self.tools:
            offered["tools"] = {}
        if self.resources or self.templates:
            offered["resources"] = {}
        if self.prompts:
            offered["prompts"] = {}
        if any(p.completions for p in self.prompts) or any(t.completions for t in self.templates):
            offered["completions"] = {}
        return offered


def text_result(text: str, structured: Any = None) -> Json:
    """The result of a tool that went well."""
    result: Json = {"content": [{"type": "text", "text": text}]}
    return result if structured is None else result | {"structuredContent": structured}


def error_result(text: str) -> Json:
    """The result of a tool that failed: the model reads the text (SEP-1303)."""
    return text_result(text) | {"isError": True}


async def ask_once(call: Call, key: str, method: str, params: Json) -> Json:
    """Ask the caller's side one thing, or take the answer its retry brought. Raises Suspended, AskRefused."""
    answers = call.input_responses or {}
    if key not in answers:
        answers = await call.ask({key: {"method": method, "params": params}})
    answer = answers.get(key)
    return answer if isinstance(answer, dict) else {}
