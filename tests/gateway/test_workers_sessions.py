"""Sessions of older revisions over several workers: any worker serves any session, and it lives in one of them."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.gateway.rig import BOTH, LIMIT_S, rpc
from tests.gateway.workers_rig import WorkerRig, play
from toolyard.gateway.workers.worker import SessionIds, Worker


def test_a_session_is_reached_through_every_worker() -> None:
    async def scene(first: WorkerRig, second: WorkerRig, third: WorkerRig) -> None:
        session = await first.initialize()
        for rig in (first, second, third):
            reply = await rig.legacy(rpc("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}}), session)
            assert reply.result["structuredContent"] == {"sum": 3}
        assert [len(rig.gateway.sessions) for rig in (first, second, third)] == [1, 0, 0]

    play(scene)


def test_progress_comes_through_another_worker_before_the_answer() -> None:
    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        session = await first.initialize()
        params = {"name": "count", "arguments": {"to": 3, "interval_ms": 1}, "_meta": {"progressToken": "t"}}
        reply = await second.legacy(rpc("tools/call", params), session)
        methods = [message.get("method") for message in reply.messages]
        assert methods == ["notifications/progress"] * 3 + [None]
        assert reply.headers["content-type"].startswith("text/event-stream")

    play(scene, 2)


def test_a_question_asked_through_one_worker_is_answered_through_another() -> None:
    async def scene(first: WorkerRig, second: WorkerRig, third: WorkerRig) -> None:
        session = await first.initialize(capabilities={"elicitation": {}})
        body = json.dumps(rpc("tools/call", {"name": "ask_name", "arguments": {}})).encode()
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        stream = await second.open("POST", "/mcp", headers, body)
        question = await stream.message()
        assert question["method"] == "elicitation/create"
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"name": "Ada"}}}
        assert (await third.legacy(answer, session)).status == 202
        assert "Ada" in json.dumps(await stream.message())
        stream.close()

    play(scene)


@pytest.mark.slow
def test_a_stream_that_broke_at_one_worker_goes_on_at_another() -> None:
    async def scene(first: WorkerRig, second: WorkerRig, third: WorkerRig) -> None:
        session = await first.initialize()
        params = {"name": "count", "arguments": {"to": 40, "interval_ms": 25}, "_meta": {"progressToken": "t"}}
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        stream = await second.open("POST", "/mcp", headers, json.dumps(rpc("tools/call", params)).encode())
        seen = ""
        while "1" not in seen:
            seen = (await stream.event()).id or ""
        stream.close()
        rest = await third.http("GET", "/mcp", {"accept": BOTH, "mcp-session-id": session, "last-event-id": seen})
        assert rest.headers["mcp-session-id"] == session
        progress = [m["params"]["progress"] for m in rest.messages if m.get("method")]
        assert progress == list(range(int(progress[0]), 41))
        assert rest.message["result"]

    play(scene)


def test_what_belongs_to_no_call_reaches_the_stream_that_is_open_at_another_worker() -> None:
    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        session = await first.initialize()
        stream = await second.open("GET", "/mcp", {"accept": BOTH, "mcp-session-id": session})
        assert stream.status == 200
        kept = next(iter(first.gateway.sessions._sessions.values()))
        async with asyncio.timeout(LIMIT_S):
            while not kept.listeners:
                await asyncio.sleep(0)
        first.gateway.hub.server_changed("default", frozenset({"tools"}))
        assert (await stream.message())["method"] == "notifications/tools/list_changed"
        stream.close()
        async with asyncio.timeout(LIMIT_S):
            while kept.listeners:
                await asyncio.sleep(0.01)

    play(scene, 2)


def test_a_session_ends_by_a_delete_at_another_worker() -> None:
    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        session = await first.initialize()
        assert (await second.http("DELETE", "/mcp", {"mcp-session-id": session})).status == 204
        assert len(first.gateway.sessions) == 0
        for rig in (first, second):
            reply = await rig.legacy(rpc("ping"), session)
            assert (reply.status, reply.error["data"]["reason"]) == (404, "session_unknown")

    play(scene, 2)


def test_unknown_and_foreign_ids_get_the_same_404_at_every_worker() -> None:
    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        gone = SessionIds(second.gateway.identity.key_for("session ids"), Worker(1, 2)).new()
        forged = SessionIds(b"x" * 32, Worker(1, 2)).new()
        answers = [
            await rig.legacy(rpc("ping"), session)
            for rig in (first, second)
            for session in (gone, forged, "nonsense", "A" * 44)
        ]
        assert {(reply.status, reply.body) for reply in answers} == {(404, answers[0].body)}

    play(scene, 2)


def test_a_message_is_posted_at_another_worker_than_its_sse_stream() -> None:
    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        stream = await first.open("GET", "/sse", {"accept": "text/event-stream"})
        path = (await stream.event()).data.decode()
        headers = {"content-type": "application/json"}
        hello = rpc("initialize", {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t"}})
        assert (await second.http("POST", path, headers, json.dumps(hello).encode())).status == 202
        assert (await stream.message())["result"]["protocolVersion"] == "2024-11-05"
        refused = await second.http("POST", path, headers, b"{")
        assert refused.status == 400
        stream.close()

    play(scene, 2)


def test_a_call_whose_worker_ends_says_that_its_outcome_is_not_known() -> None:
    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        session = await first.initialize()
        params = {"name": "count", "arguments": {"to": 100, "interval_ms": 200}, "_meta": {"progressToken": "t"}}
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        stream = await second.open("POST", "/mcp", headers, json.dumps(rpc("tools/call", params)).encode())
        await stream.message()
        for link in tuple(first.crew.peers._incoming):
            link.close()
        message = await stream.message()
        while "error" not in message:
            message = await stream.message()
        assert message["error"]["data"]["reason"] == "worker_lost"
        assert message["id"] == 1
        stream.close()

    play(scene, 2)


def test_ids_name_their_worker_to_those_who_have_the_key_only() -> None:
    ids = [SessionIds(b"k" * 32, Worker(index, 4)) for index in range(4)]
    made = [(index, ids[index].new()) for index in range(4) for _ in range(50)]
    assert len({session for _, session in made}) == 200
    for index, session in made:
        assert {one.index_of(session) for one in ids} == {index}
        assert SessionIds(b"other" * 8, Worker(0, 4)).index_of(session) is None
        changed = session[:-2] + ("A" if session[-2] != "A" else "B") + session[-1]
        assert ids[0].index_of(changed) is None
    assert len({session[32:34] for _, session in made}) > 50
