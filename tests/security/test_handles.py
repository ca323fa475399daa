"""Forged, foreign, misused and expired handles are refused on every transport, and their owners lose nothing.

Attack book TEN-02 to TEN-06, HDR-15, STD-12 as seen from the client's side.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.gateway.rig import BOTH, Rig, a_key, bearer, modern_request, rpc, running, snapshot
from tests.security.handles import (
    ELICIT,
    HANDLES,
    TRANSPORTS,
    URI,
    Speaker,
    forgeries,
    speaker,
    upstreams,
)
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec, UpstreamSpec
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.identity import Identity
from toolyard.gateway.sessions import SessionLimits
from toolyard.kit.clock import ManualClock

pytestmark = pytest.mark.slow

KEY_A, RECORD_A = a_key("default")
KEY_B, RECORD_B = a_key("default")
KEY_C, RECORD_C = a_key("other")
A, B, C = bearer(KEY_A), bearer(KEY_B), bearer(KEY_C)
IDLE_S = 60.0

Scene = Callable[[Rig, ManualClock], Awaitable[None]]


@asynccontextmanager
async def a_gateway(clock: ManualClock, identity: Identity | None = None) -> AsyncIterator[Rig]:
    servers = tuple(ServerSpec(code, names="plain") for code in ("default", "other"))
    snap = snapshot(UpstreamSpec("a", "mcp-http"), servers=servers, keys=(RECORD_A, RECORD_B, RECORD_C))
    bounds = Bounds(sessions=SessionLimits(total=100, per_principal=100, idle_s=IDLE_S))
    async with running(snap, make=upstreams().make, clock=clock, bounds=bounds, identity=identity) as rig:
        yield rig


def on_a_gateway(scene: Scene) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with a_gateway(clock) as rig:
            await scene(rig, clock)

    asyncio.run(run())


# -- the matrix: requestState, cursor ----------------------------------------------------------------------------------

ON = [(h, t) for h, handle in HANDLES.items() for t, era in TRANSPORTS.items() if era in handle.eras]
on_every_transport = pytest.mark.parametrize(("name", "transport"), ON, ids=[f"{h}-{t}" for h, t in ON])


def refused(name: str, message: Json) -> None:
    handle = HANDLES[name]
    assert message["error"]["code"] == handle.code, message
    assert message["error"]["data"]["reason"] == handle.reason


@on_every_transport
def test_what_was_never_given_is_refused_and_the_owners_serves_on(name: str, transport: str) -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        handle = HANDLES[name]
        async with speaker(rig, transport, KEY_A) as owner:
            given = await handle.obtain(owner)
            for forged in forgeries(given).values():
                refused(name, await handle.use(owner, forged))
            for misuse in handle.other_calls:
                refused(name, await misuse(owner, given))
            assert handle.works(await handle.use(owner, given))

    on_a_gateway(scene)


@on_every_transport
def test_what_another_was_given_is_refused_and_the_owners_serves_on(name: str, transport: str) -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        handle = HANDLES[name]
        others = [(KEY_B, "default")] if not transport.startswith("stdio") else []
        async with speaker(rig, transport, KEY_A) as owner:
            given = await handle.obtain(owner)
            for key, server in [*others, (KEY_C, "other")]:
                async with speaker(rig, transport, key, server) as thief:
                    refused(name, await handle.use(thief, given))
                    assert handle.works(await handle.use(thief, await handle.obtain(thief)))
            assert handle.works(await handle.use(owner, given))

    on_a_gateway(scene)


EXPIRING = [(h, t) for h, t in ON if HANDLES[h].expires_after_s is not None]


@pytest.mark.parametrize(("name", "transport"), EXPIRING, ids=[f"{h}-{t}" for h, t in EXPIRING])
def test_what_has_expired_is_refused_and_a_fresh_one_serves(name: str, transport: str) -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        handle = HANDLES[name]
        async with speaker(rig, transport, KEY_A) as owner:
            given = await handle.obtain(owner)
            clock.advance((handle.expires_after_s or 0.0) + 1)
            refused(name, await handle.use(owner, given))
            assert handle.works(await handle.use(owner, await handle.obtain(owner)))

    on_a_gateway(scene)


@pytest.mark.parametrize("name", sorted(name for name, handle in HANDLES.items() if not handle.in_memory))
def test_what_one_process_gave_serves_in_another_with_the_same_key_and_in_no_other(name: str) -> None:
    async def run() -> None:
        handle, clock, key = HANDLES[name], ManualClock(), b"k" * 32
        async with a_gateway(clock, Identity(seal_key=key)) as first, speaker(first, "http-modern", KEY_A) as owner:
            given = await handle.obtain(owner)
        async with a_gateway(clock, Identity(seal_key=key)) as again, speaker(again, "http-modern", KEY_A) as owner:
            assert handle.works(await handle.use(owner, given))
        async with a_gateway(clock) as stranger, speaker(stranger, "http-modern", KEY_A) as owner:
            refused(name, await handle.use(owner, given))

    asyncio.run(run())


# -- session ids -------------------------------------------------------------------------------------------------------


async def get_stream(rig: Rig, session: str) -> Any:
    stream = await rig.open("GET", "/mcp/default", {"accept": BOTH, "mcp-session-id": session, **A})
    assert stream.status == 200
    return stream


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_a_session_id_serves_only_its_owner_at_its_server_and_the_owner_hears_on(method: str) -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        session = await rig.initialize(path="/mcp/default", headers=A)
        stream = await get_stream(rig, session)
        body = json.dumps(rpc("tools/list")).encode() if method == "POST" else b""

        async def answer(path: str, key: dict[str, str], *ids: str) -> Any:
            headers = [("accept", BOTH), ("content-type", "application/json"), *key.items()]
            return await rig.http(method, path, [*headers, *(("mcp-session-id", i) for i in ids)], body)

        for forged in (session[:-1], session + "A", session.swapcase(), "AAAA", "x" * 500):
            wrong = await answer("/mcp/default", A, forged)
            assert (wrong.status, wrong.error["data"]["reason"]) == (404, "session_unknown"), forged
        for path, key in (("/mcp/default", B), ("/mcp/other", C)):
            assert (await answer(path, key, session)).error["data"]["reason"] == "session_unknown"
        assert (await answer("/mcp/other", A, session)).status == 404
        assert (await answer("/mcp/default", {}, session)).status == 401
        assert (await answer("/mcp/default", A, session, session)).status == 400
        without = await answer("/mcp/default", A)
        assert without.status == (400 if method == "POST" else 405)
        rig.gateway.hub.server_changed("default", frozenset({"tools"}))
        assert (await stream.message())["method"] == "notifications/tools/list_changed"
        assert (await rig.legacy(rpc("ping"), session, path="/mcp/default", headers=A)).result == {}
        stream.close()

    on_a_gateway(scene)


def test_a_session_that_ended_or_idled_is_unknown_like_one_that_never_was() -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        ended, idle = [await rig.initialize(path="/mcp/default", headers=A) for _ in range(2)]
        await rig.http("DELETE", "/mcp/default", {"mcp-session-id": ended, **A})
        clock.advance(IDLE_S + 1)
        rig.gateway.sweep()
        seen = []
        for session in (ended, idle, "never-was"):
            reply = await rig.legacy(rpc("ping"), session, path="/mcp/default", headers=A)
            seen.append((reply.status, reply.error))
        assert seen[0][0] == 404
        assert seen == [seen[0]] * 3

    on_a_gateway(scene)


def test_session_ids_say_nothing_and_are_never_alike() -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        ids = [await rig.initialize(path="/mcp/default", headers=A) for _ in range(20)]
        assert len({i[:8] for i in ids}) == len({i[-8:] for i in ids}) == 20
        assert all(len(i) >= 32 and RECORD_A.id not in i and "default" not in i for i in ids)

    on_a_gateway(scene)


def test_the_posts_of_an_event_stream_serve_only_who_opened_it() -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        stream = await rig.open("GET", "/sse/default", {"accept": "text/event-stream", **A})
        path = (await stream.event()).data.decode()
        there, _, stream_id = path.partition("?session_id=")
        body = json.dumps(rpc("ping")).encode()
        tries = [
            (f"{there}?session_id={stream_id[:-1]}", A, 404),
            (f"{there}?session_id=", A, 400),
            (there, A, 400),
            (f"{path}&session_id={stream_id}", A, 400),
            (path, B, 404),
            (path.replace("/default", "/other"), C, 404),
            (path, {}, 401),
        ]
        for target, key, status in tries:
            reply = await rig.http("POST", target, {"content-type": "application/json", **key}, body)
            assert reply.status == status, target
        assert (await rig.http("POST", path, {"content-type": "application/json", **A}, body)).status == 202
        assert (await stream.message())["result"] == {}
        stream.close()

    on_a_gateway(scene)


# -- event ids ---------------------------------------------------------------------------------------------------------


def test_an_event_id_serves_only_in_its_own_session_and_the_owner_resumes() -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        mine = await rig.initialize(path="/mcp/default", headers=A)
        theirs = await rig.initialize(path="/mcp/default", headers=B)
        call = rpc("tools/call", {"name": "t0000", "arguments": {"secret": "of-a"}, "_meta": {"progressToken": 1}}, 7)
        answered = await rig.legacy(call, mine, path="/mcp/default", headers=A)
        first = answered.events[0].id

        async def resume(session: str, key: dict[str, str], event_id: str) -> Any:
            headers = {"accept": BOTH, "mcp-session-id": session, "last-event-id": event_id, **key}
            return await rig.http("GET", "/mcp/default", headers)

        for forged in (f"{first}0", "7-1", "1-99", "-1-1", "1-1-1", "1", "x", "１-1", "0-1"):
            assert (await resume(mine, A, forged.encode().decode("latin-1"))).status == 404, forged
        foreign = await resume(theirs, B, first)
        assert foreign.status == 404
        assert b"of-a" not in foreign.body
        assert (await resume(mine, B, first)).status == 404
        again = await resume(mine, A, first)
        assert [m.get("id") for m in again.messages] == [None, 7]
        assert "of-a" in again.messages[0]["params"]["message"]

    on_a_gateway(scene)


def test_a_stream_is_resumed_from_that_stream_only() -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        session = await rig.initialize(path="/mcp/default", headers=A)
        replies = []
        for number in (1, 2):
            call = {"name": "t0000", "arguments": {"number": number}, "_meta": {"progressToken": number}}
            replies.append(await rig.legacy(rpc("tools/call", call, number), session, path="/mcp/default", headers=A))
        for number, reply in enumerate(replies, 1):
            headers = {"accept": BOTH, "mcp-session-id": session, "last-event-id": reply.events[0].id, **A}
            again = await rig.http("GET", "/mcp/default", headers)
            assert [m["id"] for m in again.messages if "id" in m] == [number]

    on_a_gateway(scene)


# -- progress tokens, subscription ids, ids of questions ---------------------------------------------------------------


@pytest.mark.parametrize("transport", sorted(TRANSPORTS))
@pytest.mark.parametrize("token", [True, 1.5, {}, [], ""], ids=["boolean", "fraction", "object", "list", "empty"])
def test_a_progress_token_of_a_wrong_type_is_refused_or_harmless(transport: str, token: Any) -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        async with speaker(rig, transport, KEY_A) as owner:
            params: Json = {"name": "t0000", "arguments": {}, "_meta": {"progressToken": token}}
            answer = await owner.ask("tools/call", params) if owner.era == "legacy" else await tokened(owner, token)
            assert ("result" in answer) == (token == "")
            if token != "":
                assert answer["error"]["code"] == -32602
            assert "result" in await owner.ask("tools/list")

    on_a_gateway(scene)


async def tokened(owner: Speaker, token: Any) -> Json:
    return await owner.exchange("tools/call", {"name": "t0000", "arguments": {}}, "r", {"progressToken": token})


def test_the_same_progress_token_of_two_callers_brings_each_its_own_progress() -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        async def progress(key: dict[str, str], who: str) -> list[str]:
            call = {"name": "t0000", "arguments": {"who": who}}
            meta = {"progressToken": "same"}
            reply = await rig.modern("tools/call", call, path="/mcp/default", headers=key, meta=meta)
            return [m["params"]["message"] for m in reply.messages[:-1]]

        told = await asyncio.gather(*(progress(key, who) for key, who in [(A, "a-"), (B, "b-")] * 10))
        for number, messages in enumerate(told):
            assert len(messages) == 1
            assert ("a-" in messages[0], "b-" in messages[0]) == (number % 2 == 0, number % 2 == 1)

    on_a_gateway(scene)


@pytest.mark.parametrize("named", ["r1", "toolyard-1", "1", 1, 2])
def test_progress_and_cancellations_that_a_client_invents_reach_nobody(named: Any) -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        async with speaker(rig, "websocket-legacy", KEY_A) as owner, speaker(rig, "websocket-legacy", KEY_B) as other:
            waiting = asyncio.ensure_future(owner.exchange("tools/call", {"name": "t0001", "arguments": {}}, "r1"))
            await rig.until(lambda: bool(owner.questions))
            for method, params in (
                ("notifications/progress", {"progressToken": named, "progress": 1}),
                ("notifications/cancelled", {"requestId": named}),
            ):
                await other.tell({"jsonrpc": "2.0", "method": method, "params": params})
            await other.tell({"jsonrpc": "2.0", "id": owner.questions[0]["id"], "result": {"action": "decline"}})
            assert "result" in await other.ask("ping")
            assert not waiting.done()
            await owner.tell({"jsonrpc": "2.0", "id": owner.questions[0]["id"], "result": {"action": "accept"}})
            assert (await waiting)["result"]["content"][0]["text"] == "done"

    on_a_gateway(scene)


def test_a_reply_to_a_question_that_another_was_asked_is_refused_and_the_question_stays_open() -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        mine = await rig.initialize(path="/mcp/default", headers=A, capabilities=ELICIT)
        theirs = await rig.initialize(path="/mcp/default", headers=B, capabilities=ELICIT)
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": mine, **A}
        call = json.dumps(rpc("tools/call", {"name": "t0001", "arguments": {}}, 4)).encode()
        stream = await rig.open("POST", "/mcp/default", headers, call)
        question = await stream.message()
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {}}}
        for session, key in ((theirs, B), (mine, B)):
            assert (await rig.legacy(answer, session, path="/mcp/default", headers=key)).status in (400, 404)
        for wrong in ("toolyard-99", "toolyard-0x1", 1, f"{question['id']} "):
            reply = await rig.legacy({**answer, "id": wrong}, mine, path="/mcp/default", headers=A)
            assert reply.status == 400, wrong
        assert (await rig.legacy(answer, mine, path="/mcp/default", headers=A)).status == 202
        assert (await stream.message())["result"]["content"][0]["text"] == "done"
        stream.close()

    on_a_gateway(scene)


def test_the_same_subscription_id_of_two_clients_is_two_subscriptions_and_neither_ends_the_others() -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        wanted = {"notifications": {"toolsListChanged": True, "resourceSubscriptions": [URI]}}
        streams = []
        for key in (A, B):
            sent = modern_request("subscriptions/listen", wanted, request_id="same", headers=key)
            streams.append(await rig.open("POST", "/mcp/default", *sent))
            assert (await streams[-1].message())["method"] == "notifications/subscriptions/acknowledged"
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "same"}}
        headers = modern_request("notifications/cancelled", headers=B)[0]
        assert (await rig.http("POST", "/mcp/default", headers, json.dumps(cancel).encode())).status == 202
        streams[1].close()
        await rig.until(lambda: len(rig.gateway.hub.streams) == 1)
        forged = {"uri": URI, "_meta": {"io.modelcontextprotocol/subscriptionId": "forged"}}
        rig.gateway.hub.resource_updated("a", f"key:{RECORD_B.id}", {"uri": URI})
        rig.gateway.hub.resource_updated("a", None, forged)
        told = await streams[0].message()
        assert told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "same"
        rig.gateway.hub.server_changed("default", frozenset({"tools"}))
        assert (await streams[0].message())["method"] == "notifications/tools/list_changed"
        streams[0].close()

    on_a_gateway(scene)


# -- what the newest revision does not have ----------------------------------------------------------------------------


def test_a_modern_client_has_no_sessions_and_what_it_says_of_them_is_ignored() -> None:
    async def scene(rig: Rig, clock: ManualClock) -> None:
        session = await rig.initialize(path="/mcp/default", headers=A)
        stale = {"mcp-session-id": session, "last-event-id": "1-1"}
        for key in (A, B):
            reply = await rig.modern("tools/list", path="/mcp/default", headers={**key, **stale})
            assert reply.status == 200
            assert "mcp-session-id" not in reply.headers
        for method in ("GET", "DELETE"):
            modern = {"mcp-protocol-version": "2026-07-28", "accept": BOTH, **stale, **A}
            reply = await rig.http(method, "/mcp/default", modern)
            assert (reply.status, "mcp-session-id" in reply.headers) == (405, False)
        assert (await rig.legacy(rpc("ping"), session, path="/mcp/default", headers=A)).result == {}

    on_a_gateway(scene)
