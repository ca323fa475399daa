"""What a key may do at its server: scopes, tools, networks, its own rate; and what exactly it is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.gateway.express_rig import Front, in_front
from tests.gateway.rig import Rig, a_key, bearer, demo, modern_request, play, rpc, snapshot
from toolyard.contract.snapshot import KeyRecord, Override, RateLimit, ServerSpec, Snapshot
from toolyard.gateway.call import Principal
from toolyard.gateway.journal import Journal
from toolyard.kit.clock import ManualClock
from toolyard.policy.authorize import Allow

KEY, RECORD = a_key("default")
WHOLE, WHOLE_RECORD = a_key("default")
PLAIN = ServerSpec("default", names="plain")


def of(*servers: ServerSpec, revision: int = 1, **changes: Any) -> Snapshot:
    """A gateway with the demonstration, one key that is changed, and one that is not."""
    records = (replace(RECORD, **changes), WHOLE_RECORD)
    return snapshot(demo(), servers=servers or (PLAIN,), keys=records, revision=revision)


async def call(rig: Rig, tool: str, key: str = KEY) -> Any:
    return await rig.modern("tools/call", {"name": tool, "arguments": {"text": "t"}}, headers=bearer(key))


async def listed(rig: Rig, key: str = KEY) -> list[str]:
    reply = await rig.modern("tools/list", headers=bearer(key))
    return [tool["name"] for tool in reply.result["tools"]]


REQUESTS = {
    "tools:list": ("tools/list", {}),
    "tools:call": ("tools/call", {"name": "echo", "arguments": {"text": "t"}}),
    "resources:read": ("resources/read", {"uri": "demo://welcome"}),
    "prompts:get": ("prompts/list", {}),
    "complete": (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "introduce"}, "argument": {"name": "name", "value": ""}},
    ),
    "tasks": ("tasks/get", {"taskId": "t"}),
    "subscribe": ("subscriptions/listen", {"notifications": {"toolsListChanged": True}}),
}


@pytest.mark.parametrize("scope", REQUESTS)
def test_a_method_outside_the_scopes_of_a_key_is_refused_by_name(scope: str) -> None:
    async def scene(rig: Rig) -> None:
        method, params = REQUESTS[scope]
        refused = await rig.modern(method, params, headers=bearer(KEY), capabilities=TASKS)
        assert refused.status == 403
        assert refused.error["data"] == {"scope": scope, "reason": "scope_missing"}

    others = tuple(other for other in REQUESTS if other != scope)
    play(scene, of(scopes=others))


TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}


def test_a_key_with_a_scope_uses_its_methods_and_older_clients_are_refused_the_others_too() -> None:
    async def scene(rig: Rig) -> None:
        assert await listed(rig)
        session = await rig.initialize(headers=bearer(KEY))
        assert (await rig.legacy(rpc("ping"), session, headers=bearer(KEY))).result == {}
        assert (await rig.legacy(rpc("tools/list"), session, headers=bearer(KEY))).result["tools"]
        for method, params in (REQUESTS["tools:call"], ("resources/subscribe", {"uri": "demo://welcome"})):
            reply = await rig.legacy(rpc(method, params), session, headers=bearer(KEY))
            assert reply.error["data"]["reason"] == "scope_missing"

    play(scene, of(scopes=("tools:list",)))


@pytest.mark.parametrize("pattern", ["say", "demo/echo", "demo/e*", "s?y"])
def test_a_key_for_some_tools_sees_and_calls_these_by_any_name_and_no_others(pattern: str) -> None:
    async def scene(rig: Rig) -> None:
        assert await listed(rig) == ["say"]
        assert (await call(rig, "say")).result["content"][0]["text"] == "t"
        refused = await call(rig, "add")
        assert refused.status == 403
        assert refused.error["data"] == {"tool": "add", "reason": "tool_not_granted"}
        assert len(await listed(rig, WHOLE)) > 1
        assert await listed(rig) == ["say"]
        assert (await call(rig, "echo")).error["data"]["reason"] == "tool_unknown"

    server = replace(PLAIN, overrides={"demo/echo": Override("say")})
    play(scene, of(server, tools=(pattern,)))


def test_the_refusals_of_a_known_key_are_in_the_journal_whatever_its_client_speaks(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")

    async def scene(rig: Rig) -> None:
        await call(rig, "add")
        session = await rig.initialize(headers=bearer(KEY))
        message = rpc("tools/call", {"name": "now", "arguments": {}})
        assert (await rig.legacy(message, session, headers=bearer(KEY))).error["data"]["reason"] == "tool_not_granted"

    play(scene, of(tools=("echo",)), journal=journal)
    journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        rows = connection.execute("select principal, reason, action from refusals").fetchall()
    assert rows == [(f"key:{RECORD.id}", "tool_not_granted", "tools/call")] * 2


def test_a_key_from_another_network_is_as_good_as_none() -> None:
    async def scene(rig: Rig) -> None:
        assert await listed(rig, WHOLE)
        foreign = await rig.modern("tools/list", headers=bearer(KEY))
        unknown = await rig.modern("tools/list", headers=bearer(a_key("default")[0]))
        assert foreign.status == unknown.status == 401
        assert foreign.body == unknown.body
        assert (await rig.http("GET", "/metrics")).body.decode().count('reason="foreign_network"') == 1
        rig.gateway.offer(of(networks=("10.0.0.0/8", "127.0.0.0/8"), revision=2))
        assert await listed(rig)

    play(scene, of(networks=("10.0.0.0/8",)))


def test_a_keys_own_rate_stands_in_the_place_of_its_servers_rate_for_keys() -> None:
    server = replace(PLAIN, per_key=RateLimit(60, 1))

    async def scene(rig: Rig) -> None:
        own = [(await rig.modern("tools/list", headers=bearer(KEY))).status for _ in range(4)]
        assert own == [200, 200, 200, 429]
        usual = [(await rig.modern("tools/list", headers=bearer(WHOLE))).status for _ in range(2)]
        assert usual == [200, 429]

    play(scene, of(server, per_minute=RateLimit(60, 3)), clock=ManualClock())


def test_a_server_says_exactly_why_a_tool_cannot_be_called_to_its_own_keys_alone() -> None:
    elsewhere, off = demo("elsewhere"), demo("off", enabled=False)
    foreign = demo("acme.only", organization="acme", namespace="only")
    servers = (
        ServerSpec("default", tools=("demo/*", "!demo/add", "off/*"), overrides={"demo/now": Override(enabled=False)}),
        ServerSpec("lab", access="open", tools=("demo/*",)),
    )
    snap = snapshot(demo(), elsewhere, off, foreign, servers=servers, keys=(RECORD,))

    async def reason(rig: Rig, tool: str) -> str:
        text: str = (await call(rig, tool)).error["data"]["reason"]
        return text

    async def scene(rig: Rig) -> None:
        rig.gateway.offer(replace(snap, upstreams={**snap.upstreams, "off": demo("off")}, revision=2))
        await rig.ready("off", "elsewhere")
        rig.gateway.offer(replace(snap, revision=3))
        assert await reason(rig, "demo__now") == "tool_disabled"
        assert await reason(rig, "demo__add") == "tool_not_in_server"
        assert await reason(rig, "elsewhere__echo") == "tool_not_in_server"
        assert await reason(rig, "off__echo") == "tool_disabled"
        assert await reason(rig, "only__echo") == "tool_unknown"
        assert await reason(rig, "nothing") == "tool_unknown"
        stranger = await rig.modern("tools/call", {"name": "elsewhere__echo"}, path="/mcp/lab")
        assert stranger.error["data"]["reason"] == "tool_unknown"

    play(scene, snap)


def test_what_is_taken_from_a_key_is_gone_from_its_open_sessions_and_streams_at_once() -> None:
    wanted = {"notifications": {"resourceSubscriptions": ["demo://welcome"], "toolsListChanged": True}}

    async def scene(rig: Rig) -> None:
        session = await rig.initialize(headers=bearer(KEY))
        echo = rpc("tools/call", {"name": "echo", "arguments": {"text": "t"}})
        assert (await rig.legacy(echo, session, headers=bearer(KEY))).result
        sent, body = modern_request("subscriptions/listen", wanted, headers=bearer(KEY))
        stream = await rig.open("POST", "/mcp", sent, body)
        await stream.message()
        rig.gateway.offer(of(scopes=("tools:list",), revision=2))
        assert (await stream.message())["result"]
        stream.close()
        refused = await rig.legacy(echo, session, headers=bearer(KEY))
        assert refused.error["data"]["reason"] == "scope_missing"
        assert (await rig.legacy(rpc("tools/list"), session, headers=bearer(KEY))).result["tools"]
        rig.gateway.offer(of(revision=3))
        assert (await rig.legacy(echo, session, headers=bearer(KEY))).result

    play(scene, of())


@pytest.mark.parametrize("taken", [{"tools": ("other",)}, {"scopes": ("tools:list",)}, {"networks": ("10.0.0.0/8",)}])
def test_calls_by_a_plan_end_with_what_their_key_may_do(taken: dict[str, Any]) -> None:
    async def scene(front: Front) -> None:
        wire = await front.wire(planned=True)
        before, trips = front.gateway.holder.current.snapshot, front.trips
        record = next(r for r in before.keys.values() if r.id in front.keys[0])
        keys: dict[str, KeyRecord] = {**before.keys, record.id: replace(record, **taken)}
        front.gateway.offer(replace(before, keys=keys, revision=2))
        assert (await front.answer(wire)).status in {401, 403}
        front.gateway.offer(replace(before, revision=3))
        assert await front.said(wire, "again") == "again"
        assert front.trips == trips

    in_front(scene)


def test_a_session_whose_key_may_do_more_or_less_is_told_to_list_again() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize(headers=bearer(KEY))
        headers = {"accept": "text/event-stream", "mcp-session-id": session, **bearer(KEY)}
        stream = await rig.open("GET", "/mcp", headers)
        rig.gateway.offer(of(tools=("echo",), revision=2))
        assert (await stream.message())["method"] == "notifications/tools/list_changed"
        listed = (await rig.legacy(rpc("tools/list"), session, headers=bearer(KEY))).result["tools"]
        assert [tool["name"] for tool in listed] == ["echo"]
        stream.close()

    play(scene, of())


def test_a_server_declares_what_the_key_may_use() -> None:
    async def scene(rig: Rig) -> None:
        declared = (await rig.modern("server/discover", headers=bearer(KEY))).result["capabilities"]
        assert set(declared) == {"tools", "experimental"}
        whole = (await rig.modern("server/discover", headers=bearer(WHOLE))).result["capabilities"]
        assert set(whole) >= {"tools", "resources", "prompts", "completions", "experimental"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        opened = await rig.legacy(rpc("initialize", params), headers=bearer(KEY))
        assert set(opened.result["capabilities"]) == {"tools", "experimental"}
        rig.gateway.offer(of(scopes=("resources:read",), revision=2))
        declared = (await rig.modern("server/discover", headers=bearer(KEY))).result["capabilities"]
        assert declared["resources"] == {"listChanged": True}

    play(scene, of(scopes=("tools:list",)))


def test_calls_of_a_limited_key_go_by_a_plan_and_are_counted() -> None:
    async def scene(front: Front) -> None:
        before = front.gateway.holder.current.snapshot
        limit = RateLimit(1, 4)
        keys = {i: replace(r, per_minute=limit, tools=("shop/sell",)) for i, r in before.keys.items()}
        front.gateway.offer(replace(before, keys=keys, revision=2))
        wire = await front.wire()
        statuses = [(await front.answer(wire)).status for _ in range(6)]
        assert statuses == [200, 200, 200, 200, 429, 429]
        assert front.trips

    in_front(scene)


def test_a_caller_arrives_whole_at_another_process_of_the_gateway() -> None:
    grant = Allow(frozenset({"tools:list", "tasks"}), ("a/*",))
    caller = Principal(
        "key:k",
        "key",
        "lab",
        "k",
        "acme",
        grant,
        RateLimit(6, 1),
        ("10.0.0.0/8",),
        ("member",),
        "gold",
        ("tools.call",),
    )
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(msgspec.to_builtins(caller)))
    assert msgspec.convert(sent, Principal) == caller
