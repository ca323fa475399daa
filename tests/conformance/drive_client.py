"""Drives one client scenario of the conformance suite with the Python SDK's client. Runs in the environment `mcp2`.

MCP_CONFORMANCE_SCENARIO=… MCP_CONFORMANCE_PROTOCOL_VERSION=… python drive_client.py <url>
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import warnings
from typing import Any

from mcp import Client
from mcp_types import ElicitRequestFormParams, ElicitResult
from pydantic import ValidationError

MODERN = "2026-07-28"
TIMEOUT_S = 60.0


async def answer(_: object, params: Any) -> ElicitResult:
    """Accept every form, with its default values and `true` where it wants a boolean."""
    assert isinstance(params, ElicitRequestFormParams)
    schema = params.requested_schema
    properties = (schema if isinstance(schema, dict) else schema.model_dump(by_alias=True)).get("properties", {})
    content = {
        name: field["default"] if field.get("default") is not None else True
        for name, field in properties.items()
        if field.get("default") is not None or field.get("type") == "boolean"
    }
    return ElicitResult(action="accept", content=content)


async def list_only(client: Client, _: dict[str, Any]) -> None:
    await client.list_tools()


async def add_numbers(client: Client, _: dict[str, Any]) -> None:
    await client.list_tools()
    result = await client.call_tool("add_numbers", {"a": 5, "b": 3})
    assert "8" in str(result.content), result


async def call_listed(client: Client, _: dict[str, Any]) -> None:
    """Call everything that is listed, with a string for each parameter."""
    for tool in (await client.list_tools()).tools:
        arguments = dict.fromkeys(tool.input_schema.get("properties", {}), "us-west1")
        await client.call_tool(tool.name, arguments)


async def use_everything(client: Client, _: dict[str, Any]) -> None:
    await call_listed(client, {})
    for resource in (await client.list_resources()).resources:
        await client.read_resource(str(resource.uri))
    for prompt in (await client.list_prompts()).prompts:
        await client.get_prompt(prompt.name)


async def call_as_told(client: Client, context: dict[str, Any]) -> None:
    await client.list_tools()
    for call in context["toolCalls"]:
        await client.call_tool(call["name"], call["arguments"])


async def answer_questions(client: Client, _: dict[str, Any]) -> None:
    await client.list_tools()
    for name in ("test_mrtr_echo_state", "test_mrtr_unrelated", "test_mrtr_no_state"):
        await client.call_tool(name, {})
    # this client itself refuses a result without resultType; a gateway in between must have completed it
    with contextlib.suppress(ValidationError) if "--direct" in sys.argv else contextlib.nullcontext():
        await client.call_tool("test_mrtr_no_result_type", {})


SCENARIOS = {
    "initialize": list_only,
    "tools_call": add_numbers,
    "elicitation-sep1034-client-defaults": call_listed,
    "sse-retry": call_listed,
    "request-metadata": list_only,
    "sep-2322-client-request-state": answer_questions,
    "http-standard-headers": use_everything,
    "http-custom-headers": call_as_told,
    "http-invalid-tool-headers": call_listed,
    "json-schema-ref-no-deref": list_only,
}


async def drive(url: str) -> None:
    """Connect in the era that the scenario wants and do what it needs."""
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    modern = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION") == MODERN
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    # request-metadata refuses the first request: only a client that negotiates meets that
    mode: Any = "auto" if scenario == "request-metadata" else MODERN if modern else "legacy"
    async with asyncio.timeout(TIMEOUT_S), Client(url, mode=mode, elicitation_callback=answer) as client:
        await SCENARIOS[scenario](client, context)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(drive(sys.argv[1]))
