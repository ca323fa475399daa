"""The modern driver: stateless requests, headers made from the body, streams, input, cancellation, listening."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.gateway.upstream.fake_http_upstream import Json, Modern, Reply, Request, error, result, text, tool
from tests.gateway.upstream.http_rig import Caller, Rig, rig, run
from toolyard.gateway.call import AskRefused, Suspended
from toolyard.gateway.upstream.errors import UpstreamIncomplete, UpstreamInvalid
from toolyard.kit.secret import Secret
from toolyard.protocol.errors import RelayedError

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
LEVEL = "io.modelcontextprotocol/logLevel"


def test_definitions_are_observed_and_a_tool_is_called():
    async def work() -> None:
        async with rig(Modern()) as r:
            seen = await r.upstream.observe()
            assert (seen.era, seen.revision, seen.server_info["name"]) == ("modern", "2026-07-28", "fake")
            assert (seen.instructions, seen.ttl_ms) == ("Be kind.", 5000)
            assert [t["name"] for t in seen.tools] == ["echo"]
            assert (r.upstream.era, r.upstream.revision) == ("modern", "2026-07-28")
            assert (await r.echo())["content"][0]["text"] == "echo"
            assert r.fake.connections == 1

    run(work)


def test_a_request_carries_exactly_the_callers_capabilities_and_headers_made_from_the_body():
    async def work() -> None:
        async with rig(Modern(), headers=(("Authorization", Secret("Bearer SEKRET-UP-1")),)) as r:
            declared = {"elicitation": {"form": {}}}
            meta = {"traceparent": "00-x", "baggage": "b", "example.com/k": 1}
            await r.echo(name="naïve", client_capabilities=declared, client_info={"name": "c"}, meta=meta)
            sent = r.fake.of("tools/call")[0]
            assert sent.params["_meta"] == {
                "traceparent": "00-x",
                "example.com/k": 1,
                VERSION: "2026-07-28",
                CAPABILITIES: declared,
                "io.modelcontextprotocol/clientInfo": {"name": "c"},
            }
            assert sent.headers["mcp-protocol-version"] == "2026-07-28"
            assert sent.headers["mcp-method"] == "tools/call"
            assert sent.headers["mcp-name"] == "=?base64?bmHDr3Zl?="
            assert sent.headers["authorization"] == "Bearer SEKRET-UP-1"
            assert "mcp-session-id" not in sent.headers

    run(work)


def test_configured_headers_cannot_replace_those_of_the_protocol():
    async def work() -> None:
        async with rig(Modern(), headers=(("MCP-Method", Secret("x")), ("Accept", Secret("y")))) as r:
            await r.echo()
            assert r.fake.of("tools/call")[0].headers["mcp-method"] == "tools/call"
            assert "event-stream" in r.fake.of("tools/call")[0].headers["accept"]

    run(work)


def test_request_ids_and_progress_tokens_are_the_gateways_own_and_fresh():
    async def work() -> None:
        async with rig(Modern()) as r:
            await asyncio.gather(*(r.echo(wants_progress=True) for _ in range(5)))
            calls = r.fake.of("tools/call")
            assert len({call.message["id"] for call in calls}) == 5
            assert len({call.params["_meta"]["progressToken"] for call in calls}) == 5

    run(work)


async def _progressing(request: Request, reply: Reply) -> None:
    token = request.params["_meta"].get("progressToken")
    await reply.stream()
    await reply.chunk(b": keep-alive\n\n")
    for token_sent, n in ((token, 1), (999, 2), (token, 3)):
        params = {"progressToken": token_sent, "progress": n}
        await reply.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
    for level in ("debug", "error"):
        params = {"level": level, "data": "x"}
        await reply.event({"jsonrpc": "2.0", "method": "notifications/message", "params": params})
    await reply.event(result(request, text("done")))
    await reply.event(result(request, text("again")))
    await reply.end()


def test_notifications_of_a_stream_reach_the_call_and_the_first_final_wins():
    async def work() -> None:
        async with rig(Modern(handlers={"tools/call": _progressing})) as r:
            caller = Caller()
            final = await r.echo(caller, wants_progress=True, log_level="warning")
            assert final["content"][0]["text"] == "done"
            assert caller.told == [
                {"method": "notifications/progress", "params": {"progress": 1}},
                {"method": "notifications/progress", "params": {"progress": 3}},
                {"method": "notifications/message", "params": {"level": "error", "data": "x"}},
            ]
            assert r.fake.of("tools/call")[0].params["_meta"][LEVEL] == "warning"
            quiet = Caller()
            await r.echo(quiet)
            assert quiet.told == []

    run(work)


def test_a_connection_is_kept_after_a_stream_that_ended():
    async def work() -> None:
        async with rig(Modern(handlers={"tools/call": _progressing})) as r:
            for _ in range(3):
                await r.echo()
            assert r.fake.connections <= 3
            assert r.upstream.status()["strays"] == 0

    run(work)


async def _asking(request: Request, reply: Reply) -> None:
    answers = request.params.get("inputResponses")
    if answers is None:
        question = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {"type": "object"}}}
        asked = {"resultType": "input_required", "inputRequests": {"q": question}, "requestState": "S=1"}
        await reply.json(result(request, asked))
    else:
        await reply.json(result(request, text(f"{answers['q']['action']} {request.params['requestState']}")))


async def _accept(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
    return {key: {"action": "accept"} for key in requests}


def test_input_that_is_required_is_asked_for_and_sent_with_the_unchanged_state_under_a_new_id():
    async def work() -> None:
        async with rig(Modern(handlers={"tools/call": _asking})) as r:
            caller = Caller(_accept)
            final = await r.echo(caller, client_capabilities={"elicitation": {}})
            assert final["content"][0]["text"] == "accept S=1"
            assert caller.asked[0][1] == "S=1"
            first, second = r.fake.of("tools/call")
            assert first.message["id"] != second.message["id"]

    run(work)


def test_a_suspended_call_passes_out_untouched_and_its_retry_brings_the_answers_up():
    async def suspend(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        raise Suspended(requests, state)

    async def work() -> None:
        async with rig(Modern(handlers={"tools/call": _asking})) as r:
            with pytest.raises(Suspended) as caught:
                await r.echo(Caller(suspend), client_capabilities={"elicitation": {}})
            assert caught.value.state == "S=1"
            brought = {"q": {"action": "decline"}}
            final = await r.echo(client_capabilities={"elicitation": {}}, input_responses=brought, upstream_state="S=1")
            assert final["content"][0]["text"] == "decline S=1"

    run(work)


def test_a_question_the_caller_did_not_offer_to_answer_is_refused_and_a_refused_one_is_an_error():
    async def refuse(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        raise AskRefused("no")

    async def work() -> None:
        async with rig(Modern(handlers={"tools/call": _asking})) as r:
            with pytest.raises(UpstreamInvalid):
                await r.echo(Caller(_accept))
            with pytest.raises(AskRefused):
                await r.echo(Caller(refuse), client_capabilities={"elicitation": {}})

    run(work)


def test_a_task_result_is_passed_on_only_where_extensions_were_declared():
    async def task(request: Request, reply: Reply) -> None:
        await reply.json(result(request, {"resultType": "task", "taskId": "t"}))

    async def work() -> None:
        async with rig(Modern(handlers={"tools/call": task})) as r:
            with pytest.raises(UpstreamInvalid):
                await r.echo()
            declared = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
            assert (await r.echo(client_capabilities=declared))["taskId"] == "t"

    run(work)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_cancelled_call_closes_its_connection_and_no_other(streamed: bool):
    async def hang(request: Request, reply: Reply) -> None:
        if request.params["name"] == "hang":
            if streamed:
                await reply.stream()
            await request.gone.wait()
        else:
            await reply.json(result(request, text("ok")))

    async def work() -> None:
        async with rig(Modern(handlers={"tools/call": hang})) as r:
            hanging = asyncio.ensure_future(r.echo(name="hang"))
            sent = await r.fake.wait_for("tools/call")
            assert (await r.echo(name="other"))["content"][0]["text"] == "ok"
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            async with asyncio.timeout(20):
                await sent.gone.wait()

    run(work)


def test_errors_of_the_upstream_are_relayed_with_code_message_and_data():
    async def fail(request: Request, reply: Reply) -> None:
        await reply.json(error(request, -32602, {"k": 1}), 400)

    async def work() -> None:
        async with rig(Modern(handlers={"tools/call": fail})) as r:
            with pytest.raises(RelayedError) as caught:
                await r.echo()
            assert (caught.value.rpc_code, caught.value.message, caught.value.data) == (
                -32602,
                "error -32602",
                {"k": 1},
            )

    run(work)


REGION = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}


def test_annotated_arguments_are_mirrored_and_a_mismatch_reads_the_tools_again_and_retries_once():
    async def strict(request: Request, reply: Reply) -> None:
        if request.headers.get("mcp-param-region") == "eu":
            await reply.json(result(request, text("eu")))
        else:
            await reply.json(error(request, -32020), 400)

    async def work() -> None:
        server = Modern(tools=[{"name": "t", "inputSchema": REGION}], handlers={"tools/call": strict})
        async with rig(server, era_hint="modern") as r:
            params = {"name": "t", "arguments": {"region": "eu"}}
            assert (await r.request("tools/call", params))["content"][0]["text"] == "eu"
            assert len(r.fake.of("tools/call")) == 2
            assert r.events.heard == [("lists", "tools")]
            await r.request("tools/call", params)
            assert len(r.fake.of("tools/call")) == 3
            with pytest.raises(RelayedError) as caught:
                await r.request("tools/call", {"name": "t", "arguments": {}})
            assert caught.value.rpc_code == -32020

    run(work)


def test_tools_with_invalid_header_annotations_are_excluded_with_a_warning():
    async def work() -> None:
        bad = {"type": "object", "properties": {"a": {"type": "number", "x-mcp-header": "A"}}}
        async with rig(Modern(tools=[{"name": "bad", "inputSchema": bad}, tool("good")])) as r:
            seen = await r.upstream.observe()
            assert [t["name"] for t in seen.tools] == ["good"]
            assert len(seen.warnings) == 1

    run(work)


class Listening(Modern):
    """Acknowledges every listen stream and keeps it open; `streams` are those open now."""

    def __init__(self, **more: Any) -> None:
        capabilities = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}
        super().__init__(capabilities=capabilities, handlers={"subscriptions/listen": self.listen}, **more)
        self.streams: list[tuple[Request, Reply]] = []

    async def listen(self, request: Request, reply: Reply) -> None:
        await reply.stream()
        await self.send(request, reply, "notifications/subscriptions/acknowledged", request.params)
        self.streams.append((request, reply))
        await request.gone.wait()
        self.streams.remove((request, reply))

    async def send(self, request: Request, reply: Reply, method: str, params: Json) -> None:
        meta = {"_meta": {"io.modelcontextprotocol/subscriptionId": request.message["id"]}}
        params = {name: value for name, value in params.items() if name != "_meta"}
        await reply.event({"jsonrpc": "2.0", "method": method, "params": {**params, **meta}})


def wanted(r: Rig, count: int) -> Json:
    return dict(r.fake.of("subscriptions/listen")[count - 1].params["notifications"])


def test_list_changes_are_listened_to_and_announced():
    async def work() -> None:
        server = Listening()
        async with rig(server) as r:
            await r.upstream.observe()
            await r.fake.wait_for("subscriptions/listen")
            assert wanted(r, 1) == {"toolsListChanged": True}
            while not server.streams:
                await asyncio.sleep(0.01)
            await server.send(*server.streams[0], "notifications/tools/list_changed", {})
            await r.events.wait_for(("lists", "tools"))

    run(work)


def test_a_resource_that_the_server_leaves_out_of_its_acknowledgement_is_not_taken_for_watched():
    class Choosy(Listening):
        async def send(self, request: Request, reply: Reply, method: str, params: Json) -> None:
            heard = dict(params.get("notifications", {}))
            if "resourceSubscriptions" in heard:
                heard["resourceSubscriptions"] = [uri for uri in heard["resourceSubscriptions"] if uri == "x:1"]
            await super().send(request, reply, method, {**params, "notifications": heard})

    async def work() -> None:
        async with rig(Choosy()) as r:
            await r.upstream.observe()
            call = Caller().call("resources/subscribe", {})
            await r.upstream.watch(call, "x:1")
            with pytest.raises(RelayedError) as refused:
                await r.upstream.watch(call, "x:2")
            assert (refused.value.rpc_code, refused.value.data) == (-32602, {"uri": "x:2"})
            await r.fake.wait_for("subscriptions/listen", 4)
            assert wanted(r, 4) == {"toolsListChanged": True, "resourceSubscriptions": ["x:1"]}

    run(work)


def test_watched_resources_share_one_stream_that_is_replaced_when_the_wish_changes():
    async def work() -> None:
        server = Listening()
        async with rig(server) as r:
            await r.upstream.observe()
            await r.fake.wait_for("subscriptions/listen")
            call = Caller().call("resources/subscribe", {"uri": "x:1"})
            await r.upstream.watch(call, "x:1")
            assert wanted(r, 2) == {"toolsListChanged": True, "resourceSubscriptions": ["x:1"]}
            await r.upstream.watch(call, "x:1")
            assert len(r.fake.of("subscriptions/listen")) == 2
            while len(server.streams) != 1:
                await asyncio.sleep(0.01)
            await server.send(*server.streams[0], "notifications/resources/updated", {"uri": "x:1"})
            await r.events.wait_for(("resource", None, {"uri": "x:1"}))
            await r.upstream.unwatch(call, "x:1")
            await r.upstream.unwatch(call, "x:1")
            await r.fake.wait_for("subscriptions/listen", 3)
            assert wanted(r, 3) == {"toolsListChanged": True}

    run(work)


def test_a_listen_stream_that_breaks_is_opened_again_and_what_may_have_changed_is_announced():
    async def work() -> None:
        server = Listening()
        async with rig(server) as r:
            await r.upstream.observe()
            call = Caller().call("resources/subscribe", {"uri": "x:1"})
            await r.upstream.watch(call, "x:1")
            r.fake.drop_connections()
            await r.events.wait_for(("lists", "tools"))
            await r.events.wait_for(("resource", None, {"uri": "x:1"}))

    run(work)


def test_watching_what_the_upstream_cannot_watch_is_refused():
    async def work() -> None:
        async with rig(Modern()) as r:
            await r.upstream.observe()
            with pytest.raises(RelayedError) as caught:
                await r.upstream.watch(Caller().call("resources/subscribe", {"uri": "x:1"}), "x:1")
            assert caught.value.rpc_code == -32601

    run(work)


def test_a_stream_that_ends_before_its_result_is_incomplete():
    async def stop(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})
        await reply.end()

    async def work() -> None:
        async with rig(Modern(handlers={"tools/call": stop})) as r:
            with pytest.raises(UpstreamIncomplete):
                await r.echo()

    run(work)


def test_who_cannot_be_asked_hears_of_no_question():
    async def work() -> None:
        async with rig(Modern(handlers={"completion/complete": _asking, "tasks/get": _asking})) as r:
            for method in ("completion/complete", "tasks/get"):
                caller = Caller(_accept)
                with pytest.raises(UpstreamInvalid):
                    await r.request(method, {"taskId": "t"}, caller, client_capabilities={"elicitation": {}})
                assert caller.asked == []

    run(work)
