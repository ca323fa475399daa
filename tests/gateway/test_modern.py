"""A client of 2026-07-28 at a gateway: lists, calls, streams, questions, headers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.gateway.rig import BOTH, Rig, envelope, modern_request, play, rpc
from toolyard.protocol.revisions import MODERN


def test_discover_names_the_revisions_the_capabilities_and_the_server() -> None:
    async def scene(rig: Rig) -> None:
        result = (await rig.modern("server/discover")).result
        assert result["supportedVersions"][0] == MODERN
        assert result["capabilities"]["tools"] == {"listChanged": True}
        assert result["capabilities"]["experimental"]["toolyard"]["version"]
        assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "toolyard"
        assert result["cacheScope"] == "private"

    play(scene)


def test_a_tool_is_listed_and_called() -> None:
    async def scene(rig: Rig) -> None:
        tools = (await rig.modern("tools/list")).result["tools"]
        assert "add" in [t["name"] for t in tools]
        reply = await rig.modern("tools/call", {"name": "add", "arguments": {"a": 2, "b": 3}}, request_id="x")
        assert reply.status == 200
        assert reply.message["id"] == "x"
        assert reply.result["resultType"] == "complete"
        assert reply.result["structuredContent"] == {"sum": 5}

    play(scene)


def test_progress_arrives_on_the_stream_with_the_callers_own_token() -> None:
    async def scene(rig: Rig) -> None:
        reply = await rig.modern(
            "tools/call", {"name": "count", "arguments": {"to": 3, "interval_ms": 1}}, meta={"progressToken": "mine"}
        )
        assert reply.headers["content-type"] == "text/event-stream"
        told = [m["params"] for m in reply.messages[:-1]]
        assert told
        assert {p["progressToken"] for p in told} == {"mine"}
        assert reply.result["resultType"] == "complete"

    play(scene)


def test_a_question_ends_the_exchange_and_the_retry_brings_the_answer() -> None:
    async def scene(rig: Rig) -> None:
        call = {"name": "ask_name", "arguments": {}}
        asked = (await rig.modern("tools/call", call, capabilities={"elicitation": {}})).result
        assert asked["resultType"] == "input_required"
        ((key, question),) = asked["inputRequests"].items()
        assert question["method"] == "elicitation/create"
        answers = {key: {"action": "accept", "content": {"name": "Mei"}}}
        retry = {**call, "inputResponses": answers}
        if "requestState" in asked:
            retry["requestState"] = asked["requestState"]
        told = (await rig.modern("tools/call", retry, capabilities={"elicitation": {}}, request_id=2)).result
        assert "Mei" in json.dumps(told["content"])

    play(scene)


def test_a_state_that_was_not_issued_for_this_call_is_refused() -> None:
    async def scene(rig: Rig) -> None:
        call = {"name": "ask_name", "arguments": {}, "inputResponses": {}, "requestState": "AAAA-forged"}
        reply = await rig.modern("tools/call", call, capabilities={"elicitation": {}})
        assert reply.status == 400
        assert reply.error["code"] == -32602
        assert reply.error["data"]["reason"] == "state_refused"

    play(scene)


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe", "no/such"])
def test_a_method_this_revision_does_not_have_is_404(method: str) -> None:
    async def scene(rig: Rig) -> None:
        params = {"level": "debug", "uri": "demo://welcome", "protocolVersion": MODERN}
        reply = await rig.modern(method, params, request_id=7)
        assert (reply.status, reply.error["code"], reply.message["id"]) == (404, -32601, 7)

    play(scene)


def test_unknown_names_are_invalid_params_with_a_reason() -> None:
    async def scene(rig: Rig) -> None:
        tool = await rig.modern("tools/call", {"name": "nope", "arguments": {}})
        prompt = await rig.modern("prompts/get", {"name": "nope"})
        resource = await rig.modern("resources/read", {"uri": "demo://nope"})
        assert [r.status for r in (tool, prompt, resource)] == [400, 400, 400]
        assert [r.error["code"] for r in (tool, prompt, resource)] == [-32602, -32602, -32602]
        assert tool.error["data"]["reason"] == "tool_unknown"
        assert resource.error["data"]["uri"] == "demo://nope"

    play(scene)


def test_resources_prompts_templates_and_completion_pass_through() -> None:
    async def scene(rig: Rig) -> None:
        resources = (await rig.modern("resources/list")).result["resources"]
        read = (await rig.modern("resources/read", {"uri": resources[0]["uri"]})).result
        assert read["contents"][0]["uri"] == resources[0]["uri"]
        assert "ttlMs" in read
        templates = (await rig.modern("resources/templates/list")).result["resourceTemplates"]
        assert templates[0]["uriTemplate"] == "demo://greeting/{name}"
        assert "Bo" in json.dumps((await rig.modern("resources/read", {"uri": "demo://greeting/Bo"})).result)
        prompts = (await rig.modern("prompts/list")).result["prompts"]
        argument = prompts[0]["arguments"][0]["name"]
        ref = {"type": "ref/prompt", "name": prompts[0]["name"]}
        asked = {"ref": ref, "argument": {"name": argument, "value": ""}}
        assert (await rig.modern("completion/complete", asked)).result["completion"]["values"]

    play(scene)


def test_a_listener_is_acknowledged_and_told_of_changed_lists_only_as_it_asked() -> None:
    async def scene(rig: Rig) -> None:
        headers, body = modern_request(
            "subscriptions/listen", {"notifications": {"toolsListChanged": True}}, request_id="sub"
        )
        stream = await rig.open("POST", "/mcp", headers, body)
        first = await stream.message()
        assert first["method"] == "notifications/subscriptions/acknowledged"
        assert first["params"]["notifications"] == {"toolsListChanged": True}
        rig.gateway.hub.server_changed("default", frozenset({"prompts"}))
        rig.gateway.hub.server_changed("default", frozenset({"tools"}))
        told = await stream.message()
        assert told["method"] == "notifications/tools/list_changed"
        assert told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "sub"
        rig.gateway.hub.end_streams()
        final = await stream.message()
        assert final["id"] == "sub"
        assert final["result"]["resultType"] == "complete"
        stream.close()

    play(scene)


def test_going_away_cancels_the_call() -> None:
    async def scene(rig: Rig) -> None:
        params = {"name": "count", "arguments": {"to": 100, "interval_ms": 1000}}
        headers, body = modern_request("tools/call", params, meta={"progressToken": 1})
        stream = await rig.open("POST", "/mcp", headers, body)
        await stream.message()
        assert rig.server.running_count == 1
        stream.close()
        async with asyncio.timeout(10):
            while rig.server.running_count:
                await asyncio.sleep(0.01)

    play(scene)


def _changed(headers: dict[str, str], **changes: str | None) -> list[tuple[str, str]]:
    merged = {**headers, **{k.replace("_", "-"): v for k, v in changes.items()}}
    return [(k, v) for k, v in merged.items() if v is not None]


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("HDR-01 another method", {"mcp_method": "tools/list"}),
        ("HDR-02 another name", {"mcp_name": "safe"}),
        ("HDR-03 no name", {"mcp_name": None}),
        ("HDR-04 no method", {"mcp_method": None}),
        ("HDR-04 empty method", {"mcp_method": ""}),
        ("HDR-05 no version but a modern body", {"mcp_protocol_version": None}),
        ("HDR-05 an older version", {"mcp_protocol_version": "2025-06-18"}),
        ("HDR-06 sentinel of another name", {"mcp_name": "=?base64?c2FmZQ==?="}),
        ("HDR-06 bad base64", {"mcp_name": "=?base64?YWRk!?="}),
        ("HDR-06 wrong case of the sentinel", {"mcp_name": "=?BASE64?YWRk?="}),
        ("HDR-07 case of the value", {"mcp_method": "Tools/Call"}),
    ],
)
def test_headers_that_do_not_say_what_the_body_says_are_refused(case: str, changes: dict[str, str | None]) -> None:
    async def scene(rig: Rig) -> None:
        headers, body = modern_request("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}})
        reply = await rig.http("POST", "/mcp", _changed(headers, **changes), body)
        assert (reply.status, reply.error["code"]) == (400, -32020), case
        assert reply.headers["content-type"] == "application/json"

    play(scene)


def test_routing_headers_that_come_twice_are_refused_even_if_equal() -> None:
    async def scene(rig: Rig) -> None:
        headers, body = modern_request("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}})
        for name in ("mcp-method", "mcp-name", "mcp-protocol-version"):
            reply = await rig.http("POST", "/mcp", [*headers.items(), (name, headers[name])], body)
            assert (reply.status, reply.error["code"]) == (400, -32020), name

    play(scene)


def test_the_base64_form_of_the_right_name_and_any_case_of_header_names_pass() -> None:
    async def scene(rig: Rig) -> None:
        headers, body = modern_request("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}})
        shouted = {k.upper(): v for k, v in headers.items() if k != "mcp-name"} | {"MCP-NAME": "=?base64?YWRk?="}
        assert (await rig.http("POST", "/mcp", shouted, body)).status == 200

    play(scene)


@pytest.mark.parametrize("missing", ["protocolVersion", "clientCapabilities"])
def test_an_envelope_without_what_is_required_is_invalid_params(missing: str) -> None:
    async def scene(rig: Rig) -> None:
        headers, _ = modern_request("tools/list")
        meta = {k: v for k, v in envelope().items() if not k.endswith(missing)}
        body = json.dumps(rpc("tools/list", {"_meta": meta}, 5)).encode()
        reply = await rig.http("POST", "/mcp", headers, body)
        assert (reply.status, reply.error["code"], reply.message["id"]) == (400, -32602, 5)

    play(scene)


def test_an_unknown_revision_is_refused_with_what_is_supported() -> None:
    async def scene(rig: Rig) -> None:
        headers, _ = modern_request("tools/list", headers={"mcp-protocol-version": "v999.0.0"})
        meta = {**envelope(), "io.modelcontextprotocol/protocolVersion": "v999.0.0"}
        body = json.dumps(rpc("tools/list", {"_meta": meta})).encode()
        reply = await rig.http("POST", "/mcp", headers, body)
        assert (reply.status, reply.error["code"]) == (400, -32022)
        assert MODERN in reply.error["data"]["supported"]
        assert reply.error["data"]["requested"] == "v999.0.0"

    play(scene)


def test_get_and_delete_are_not_for_modern_clients() -> None:
    async def scene(rig: Rig) -> None:
        headers = {"accept": BOTH, "mcp-protocol-version": MODERN, "mcp-session-id": "x", "last-event-id": "1-1"}
        for method in ("GET", "DELETE"):
            reply = await rig.http(method, "/mcp", headers)
            assert reply.status == 405
            assert "mcp-session-id" not in reply.headers

    play(scene)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 200),
        ("*/*", 200),
        ("application/json", 200),
        ("text/event-stream", 200),
        ("application/json;q=0, text/event-stream", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
    ],
)
def test_an_answer_is_only_sent_in_a_form_the_client_accepts(accept: str | None, status: int) -> None:
    async def scene(rig: Rig) -> None:
        headers, body = modern_request("tools/list")
        reply = await rig.http("POST", "/mcp", _changed(headers, accept=accept), body)
        assert reply.status == status

    play(scene)


def test_two_servers_offer_different_tools_under_their_own_urls() -> None:
    from tests.gateway.rig import demo, snapshot
    from toolyard.contract.snapshot import ServerSpec

    servers = (
        ServerSpec("default", access="open"),
        ServerSpec("math", tools=("demo/add",), access="open", names="plain"),
    )

    async def scene(rig: Rig) -> None:
        async def names(path: str) -> list[Any]:
            return [t["name"] for t in (await rig.modern("tools/list", path=path)).result["tools"]]

        assert await names("/mcp/math") == ["add"]
        assert "demo__echo" in await names("/mcp")
        refused = await rig.modern("tools/call", {"name": "echo", "arguments": {}}, path="/mcp/math")
        assert refused.error["data"]["reason"] == "tool_unknown"

    play(scene, snapshot(demo(), servers=servers))
