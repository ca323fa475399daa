"""Clients of 2024-11-05 to 2025-11-25 at a gateway: handshake, sessions, streams, resumption, questions, batches."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.gateway.fake_upstream import Fakes, FakeUpstream
from tests.gateway.rig import BOTH, OPEN, Rig, a_key, bearer, demo, play, rpc, snapshot
from tests.unit.contract.making import observed
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.call import Call
from toolyard.gateway.sessions import SessionLimits
from toolyard.kit.clock import ManualClock
from toolyard.protocol.revisions import LEGACY

ADD = {"name": "add", "arguments": {"a": 1, "b": 2}}


@pytest.mark.parametrize("revision", LEGACY)
def test_every_older_revision_is_negotiated_and_served(revision: str) -> None:
    async def scene(rig: Rig) -> None:
        reply = await rig.legacy(rpc("initialize", {"protocolVersion": revision, "capabilities": {}, "clientInfo": {}}))
        assert reply.result["protocolVersion"] == revision
        session = reply.headers["mcp-session-id"]
        listed = await rig.legacy(rpc("tools/list", {}, 2), session)
        assert "add" in [t["name"] for t in listed.result["tools"]]
        assert "ttlMs" not in listed.result
        called = await rig.legacy(rpc("tools/call", ADD, 3), session)
        assert called.message["id"] == 3
        assert "resultType" not in called.result
        assert called.result["content"][0]["text"] == "3"

    play(scene)


def test_a_revision_nobody_knows_is_answered_with_the_newest_older_one() -> None:
    async def scene(rig: Rig) -> None:
        reply = await rig.legacy(rpc("initialize", {"protocolVersion": "1.0", "capabilities": {}}))
        assert reply.result["protocolVersion"] == LEGACY[0]

    play(scene)


def test_without_its_session_a_request_is_refused_and_an_ended_session_is_gone() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        assert (await rig.legacy(rpc("tools/list"))).status == 400
        assert (await rig.legacy(rpc("tools/list"), "no-such-session")).status == 404
        ended = await rig.http("DELETE", "/mcp", {"mcp-session-id": session})
        assert ended.status == 204
        assert (await rig.legacy(rpc("tools/list"), session)).status == 404
        assert len(rig.gateway.sessions) == 0

    play(scene)


def test_ping_levels_and_unknown_methods_are_answered_with_200() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        assert (await rig.legacy(rpc("ping"), session)).result == {}
        assert (await rig.legacy(rpc("logging/setLevel", {"level": "warning"}), session)).result == {}
        wrong = await rig.legacy(rpc("logging/setLevel", {"level": "loud"}), session)
        assert (wrong.status, wrong.error["code"]) == (200, -32602)
        unknown = await rig.legacy(rpc("no/such", {}, "id"), session)
        assert (unknown.status, unknown.error["code"], unknown.message["id"]) == (200, -32601, "id")

    play(scene)


def test_a_session_belongs_to_its_principal_and_its_server() -> None:
    key_a, record_a = a_key("default")
    key_b, record_b = a_key("default")
    servers = (ServerSpec("default"), ServerSpec("other", access="open"))

    async def scene(rig: Rig) -> None:
        session = await rig.initialize(headers=bearer(key_a))
        assert (await rig.legacy(rpc("ping"), session, headers=bearer(key_a))).status == 200
        for path, headers in (("/mcp", bearer(key_b)), ("/mcp/other", {})):
            assert (await rig.legacy(rpc("ping"), session, path=path, headers=headers)).status == 404
            assert (await rig.http("DELETE", path, {"mcp-session-id": session, **headers})).status == 404
            assert (await rig.http("GET", path, {"mcp-session-id": session, "accept": BOTH, **headers})).status == 404

    play(scene, snapshot(demo(), servers=servers, keys=(record_a, record_b)))


def test_a_stream_of_the_newest_older_revision_opens_with_an_event_that_only_has_an_id() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        params = {"name": "count", "arguments": {"to": 1, "interval_ms": 1}, "_meta": {"progressToken": "p"}}
        reply = await rig.legacy(rpc("tools/call", params), session)
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.events[0].id == "1-1"
        assert reply.events[0].data == b""

    play(scene)


def test_an_answer_before_which_nothing_is_sent_needs_no_stream() -> None:
    async def scene(rig: Rig) -> None:
        reply = await rig.legacy(rpc("tools/list"), await rig.initialize())
        assert reply.headers["content-type"] == "application/json"
        assert reply.result["tools"]

    play(scene)


def test_a_client_that_names_streams_first_gets_every_answer_as_one() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        first = {"accept": "text/event-stream, application/json"}
        reply = await rig.legacy(rpc("tools/list"), session, headers=first)
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.events[0].data == b""
        assert reply.result["tools"]

    play(scene)


def test_a_call_outlives_its_connection_and_the_answer_is_fetched_with_the_last_event_id() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        params = {"name": "count", "arguments": {"to": 4, "interval_ms": 30}, "_meta": {"progressToken": "p"}}
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        stream = await rig.open("POST", "/mcp", headers, json.dumps(rpc("tools/call", params, 9)).encode())
        last = ""
        while (event := await stream.event()).data == b"":
            last = event.id
        stream.close()
        resumed = await rig.open("GET", "/mcp", {"accept": BOTH, "mcp-session-id": session, "last-event-id": last})
        seen = [await resumed.message()]
        while "result" not in seen[-1]:
            seen.append(await resumed.message())
        assert seen[-1]["id"] == 9
        assert [m["params"]["progress"] for m in seen[:-1]] == [1, 2, 3, 4]
        resumed.close()

    play(scene)


def test_a_last_event_id_that_was_never_given_is_refused() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        for forged in ("99-1", "x", "1", "-", "1-" + "9" * 40):
            headers = {"accept": BOTH, "mcp-session-id": session, "last-event-id": forged}
            assert (await rig.http("GET", "/mcp", headers)).status == 404, forged

    play(scene)


def test_a_question_is_pushed_on_the_stream_and_its_answer_reaches_the_tool() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize(capabilities={"elicitation": {}})
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        call = rpc("tools/call", {"name": "ask_name", "arguments": {}}, 4)
        stream = await rig.open("POST", "/mcp", headers, json.dumps(call).encode())
        question = await stream.message()
        assert question["method"] == "elicitation/create"
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"name": "Lin"}}}
        assert (await rig.legacy(answer, session)).status == 202
        assert "Lin" in json.dumps((await stream.message())["result"])
        assert (await rig.legacy({**answer, "id": "never-asked"}, session)).status == 400
        stream.close()

    play(scene)


@pytest.mark.parametrize("given", [{}, {"elicitationId": "the-servers-own"}], ids=["modern", "legacy"])
def test_a_page_to_visit_comes_to_an_older_client_with_an_id(given: dict[str, str]) -> None:
    page = {"mode": "url", "message": "Sign here", "url": "https://example.com/sign", **given}

    async def ask(call: Call, method: str, params: Json) -> Json:
        del method, params
        answers = await call.ask({"page": {"method": "elicitation/create", "params": page}})
        return {"content": [{"type": "text", "text": answers["page"]["action"]}]}

    def prepare(fake: FakeUpstream) -> None:
        fake.answer = ask

    async def scene(rig: Rig) -> None:
        session = await rig.initialize(capabilities={"elicitation": {"url": {}}})
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        call = rpc("tools/call", {"name": "sign", "arguments": {}}, 4)
        stream = await rig.open("POST", "/mcp", headers, json.dumps(call).encode())
        question = await stream.message()
        asked = question["params"]
        assert {**asked, **page} == asked
        assert asked["elicitationId"] == given["elicitationId"] if given else len(asked["elicitationId"]) >= 16
        await rig.legacy({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}}, session)
        assert (await stream.message())["result"]["content"][0]["text"] == "accept"
        stream.close()

    offers = observed("signer", {"name": "sign", "inputSchema": {"type": "object"}})
    play(scene, snapshot(demo("signer"), servers=(OPEN,)), make=Fakes(offers, prepare=prepare).make)


def test_cancelling_a_call_ends_it() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        call = rpc("tools/call", {"name": "count", "arguments": {"to": 100, "interval_ms": 1000}}, "long")
        stream = await rig.open("POST", "/mcp", headers, json.dumps(call).encode())
        assert (await stream.event()).data == b""
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "long"}}
        assert (await rig.legacy(cancel, session)).status == 202
        assert (await stream.message())["error"]["code"] == 499
        stream.close()

    play(scene)


def test_the_get_stream_tells_of_changed_lists_and_ends_with_the_session() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        stream = await rig.open("GET", "/mcp", {"accept": BOTH, "mcp-session-id": session})
        assert stream.status == 200
        await asyncio.sleep(0)
        rig.gateway.hub.server_changed("default", frozenset({"tools"}))
        assert (await stream.message())["method"] == "notifications/tools/list_changed"
        await rig.http("DELETE", "/mcp", {"mcp-session-id": session})
        assert (await stream.rest()).events == []
        stream.close()

    play(scene)


def test_a_batch_is_answered_element_by_element_in_the_revision_that_has_batches() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize("2025-03-26")
        batch: list[Any] = [
            rpc("ping", None, 1),
            rpc("tools/call", ADD, 2),
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "1.0", "id": 3, "method": "ping"},
            rpc("no/such", None, 4),
        ]
        reply = await rig.legacy(batch, session)
        answers = {a.get("id"): a for a in reply.message}
        assert answers[1]["result"] == {}
        assert answers[2]["result"]["content"][0]["text"] == "3"
        assert answers[3]["error"]["code"] == -32600
        assert answers[4]["error"]["code"] == -32601
        too_many = [rpc("ping", None, n) for n in range(21)]
        assert (await rig.legacy(too_many, session)).status == 400
        only_notifications = [{"jsonrpc": "2.0", "method": "notifications/initialized"}]
        assert (await rig.legacy(only_notifications, session)).status == 202

    play(scene)


def test_other_revisions_refuse_batches() -> None:
    async def scene(rig: Rig) -> None:
        for revision in ("2025-11-25", "2025-06-18"):
            session = await rig.initialize(revision)
            reply = await rig.legacy([rpc("ping")], session)
            assert (reply.status, reply.error["code"]) == (400, -32600)

    play(scene)


def test_sessions_are_bounded_for_each_principal_and_end_when_idle() -> None:
    clock = ManualClock()
    bounds = Bounds(sessions=SessionLimits(total=10, per_principal=2, idle_s=60))

    async def scene(rig: Rig) -> None:
        await rig.initialize()
        await rig.initialize()
        clock.advance(61)
        await rig.initialize()
        assert len(rig.gateway.sessions) == 1

    play(scene, snapshot(demo(), servers=(OPEN,)), clock=clock, bounds=bounds)


def test_a_client_that_takes_no_event_stream_gets_one_json_answer() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        params = {"name": "count", "arguments": {"to": 2, "interval_ms": 0}, "_meta": {"progressToken": 1}}
        reply = await rig.legacy(rpc("tools/call", params), session, headers={"accept": "application/json"})
        assert reply.headers["content-type"] == "application/json"
        assert reply.result["content"]

    play(scene)


def test_a_question_to_a_client_that_takes_no_stream_is_refused_at_once() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize(capabilities={"elicitation": {}})
        call = rpc("tools/call", {"name": "ask_name", "arguments": {}})
        reply = await rig.legacy(call, session, headers={"accept": "application/json"})
        assert reply.message.get("error") or reply.result["isError"]

    play(scene)


def test_where_there_is_no_place_the_session_that_is_unused_longest_goes() -> None:
    bounds = Bounds(sessions=SessionLimits(total=10, per_principal=2, idle_s=3600))

    async def scene(rig: Rig) -> None:
        first, second = await rig.initialize(), await rig.initialize()
        listening = await rig.open("GET", "/mcp", {"accept": BOTH, "mcp-session-id": first})
        third = await rig.initialize()
        assert (await rig.legacy(rpc("ping"), second)).status == 404
        assert (await rig.legacy(rpc("ping"), first)).status == 200
        other = await rig.open("GET", "/mcp", {"accept": BOTH, "mcp-session-id": third})
        params = {"protocolVersion": "2025-11-25", "capabilities": {}}
        assert (await rig.legacy(rpc("initialize", params))).status == 503
        listening.close()
        other.close()

    play(scene, snapshot(demo(), servers=(OPEN,)), bounds=bounds)


def test_ending_a_session_answers_what_it_has_running() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize("2025-06-18")
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        params = {"name": "count", "arguments": {"to": 100, "interval_ms": 1000}, "_meta": {"progressToken": 1}}
        stream = await rig.open("POST", "/mcp", headers, json.dumps(rpc("tools/call", params, "run")).encode())
        await stream.message()
        assert (await rig.http("DELETE", "/mcp", {"mcp-session-id": session})).status == 204
        while "method" in (last := await stream.message()):
            pass
        assert (last["id"], last["error"]["code"]) == ("run", 499)
        stream.close()

    play(scene)


def test_a_late_answer_to_a_question_is_taken_and_an_invented_one_is_not() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize(capabilities={"elicitation": {}})
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        call = json.dumps(rpc("tools/call", {"name": "ask_name", "arguments": {}}, "ask")).encode()
        stream = await rig.open("POST", "/mcp", headers, call)
        question = await stream.message()
        await rig.legacy(
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "ask"}}, session
        )
        told = [await stream.message(), await stream.message()]
        withdrawn = next(m for m in told if m.get("method") == "notifications/cancelled")
        assert withdrawn["params"]["requestId"] == question["id"]
        late = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}}
        assert (await rig.legacy(late, session)).status == 202
        assert (await rig.legacy({**late, "id": "toolyard-77"}, session)).status == 400
        stream.close()

    play(scene)


def test_a_call_that_runs_when_the_gateway_stops_is_answered_with_an_error() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize("2025-06-18")
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        params = {"name": "count", "arguments": {"to": 100, "interval_ms": 1000}, "_meta": {"progressToken": 1}}
        stream = await rig.open("POST", "/mcp", headers, json.dumps(rpc("tools/call", params, "run")).encode())
        await stream.message()
        await rig.server.drain(0.0, 0.2)
        while "method" in (last := await stream.message()):
            pass
        assert (last["id"], last["error"]["data"]["reason"]) == ("run", "shutting_down")
        stream.close()

    play(scene)


def test_a_trailing_slash_is_forgiven() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize(path="/mcp/")
        assert (await rig.legacy(rpc("ping"), session, path="/mcp/")).result == {}
        assert (await rig.http("GET", "/health/")).status == 200

    play(scene)
