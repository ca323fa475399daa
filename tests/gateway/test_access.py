"""Who may come in: keys, open servers, uniform refusals, limits for each key and server."""

from __future__ import annotations

import pytest

from tests.gateway.rig import OPEN, Rig, a_key, bearer, demo, play, snapshot
from toolyard.contract.snapshot import RateLimit, ServerSpec
from toolyard.gateway.errors import Unauthenticated
from toolyard.kit.clock import ManualClock

KEY, RECORD = a_key("default")
LAB_KEY, LAB_RECORD = a_key("lab")
LOCKED = snapshot(demo(), servers=(ServerSpec("default"), ServerSpec("lab")), keys=(RECORD, LAB_RECORD))


def test_a_key_of_the_server_opens_it() -> None:
    async def scene(rig: Rig) -> None:
        assert (await rig.modern("tools/list", headers=bearer(KEY))).status == 200
        assert (await rig.modern("tools/list", headers=bearer(LAB_KEY), path="/mcp/lab")).status == 200

    play(scene, LOCKED)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Basic dTpw"},
        {"authorization": "Bearer nonsense"},
        bearer(KEY + "x"),
        bearer(KEY[:-1]),
        bearer(KEY.swapcase()),
        bearer(KEY + "\xa0"),
        bearer(a_key("default")[0]),
        {"authorization": f"bearer  {KEY}"},
    ],
    ids=range(12),
)
def test_every_other_credential_gets_the_same_401(headers: dict[str, str]) -> None:
    async def scene(rig: Rig) -> None:
        reply = await rig.modern("tools/list", headers=headers)
        assert reply.status == 401
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert reply.error["message"] == Unauthenticated().message
        assert "id" not in reply.message

    play(scene, LOCKED)


def test_two_authorization_headers_and_a_key_in_the_query_are_refused() -> None:
    from tests.gateway.rig import modern_request

    async def scene(rig: Rig) -> None:
        sent, body = modern_request("tools/list")
        twice = [*sent.items(), ("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {KEY}")]
        assert (await rig.http("POST", "/mcp", twice, body)).status == 401
        assert (await rig.http("POST", f"/mcp?key={KEY}", sent, body)).status == 401

    play(scene, LOCKED)


def test_a_key_at_another_server_sees_what_it_would_see_at_none() -> None:
    async def scene(rig: Rig) -> None:
        foreign = await rig.modern("tools/list", headers=bearer(KEY), path="/mcp/lab")
        unknown = await rig.modern("tools/list", headers=bearer(KEY), path="/mcp/nowhere")
        assert foreign.status == unknown.status == 404
        assert foreign.body == unknown.body
        assert (await rig.modern("tools/list", path="/mcp/nowhere")).status == 401

    play(scene, LOCKED)


def test_a_wrong_key_never_falls_through_to_open_access() -> None:
    async def scene(rig: Rig) -> None:
        assert (await rig.modern("tools/list")).status == 200
        assert (await rig.modern("tools/list", headers=bearer("mcp_key_wrong"))).status == 401

    play(scene, snapshot(demo(), servers=(OPEN,)))


def test_expired_disabled_and_retired_keys_are_refused_at_once() -> None:
    clock = ManualClock()
    now = clock.wall()
    expiring, expiring_record = a_key("default", expires_at=now + 10)

    async def scene(rig: Rig) -> None:
        assert (await rig.modern("tools/list", headers=bearer(expiring))).status == 200
        clock.advance(11)
        assert (await rig.modern("tools/list", headers=bearer(expiring))).status == 401

    play(scene, snapshot(demo(), servers=(ServerSpec("default"),), keys=(expiring_record,)), clock=clock)


def test_many_wrong_keys_from_one_network_are_slowed_down_and_good_keys_go_on() -> None:
    clock = ManualClock()

    async def scene(rig: Rig) -> None:
        wrong = bearer(a_key("default")[0])
        statuses = [(await rig.modern("tools/list", headers=wrong)).status for _ in range(60)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert (await rig.modern("tools/list", headers=bearer(KEY))).status == 200

    play(scene, LOCKED, clock=clock)


def test_a_disabled_server_and_a_disabled_tool_say_so_to_who_may_know() -> None:
    from toolyard.contract.snapshot import ToolRule

    spec = demo(tools={"add": ToolRule(enabled=False)})
    servers = (ServerSpec("default", names="plain"), ServerSpec("lab", enabled=False))
    snap = snapshot(spec, servers=servers, keys=(RECORD, LAB_RECORD))

    async def scene(rig: Rig) -> None:
        off = await rig.modern("tools/call", {"name": "add", "arguments": {}}, headers=bearer(KEY))
        assert off.error["data"]["reason"] == "tool_disabled"
        listed = (await rig.modern("tools/list", headers=bearer(KEY))).result["tools"]
        assert "add" not in [t["name"] for t in listed]
        closed = await rig.modern("tools/list", headers=bearer(LAB_KEY), path="/mcp/lab")
        assert closed.error["data"]["reason"] == "server_disabled"

    play(scene, snap)


def test_calls_above_the_limit_of_a_key_or_a_server_get_429_and_when_to_come_back() -> None:
    clock = ManualClock()
    limited = ServerSpec("default", per_key=RateLimit(60, 2), per_server=RateLimit(60, 3))
    other, other_record = a_key("default")

    async def scene(rig: Rig) -> None:
        statuses = [(await rig.modern("tools/list", headers=bearer(KEY))).status for _ in range(2)]
        assert statuses == [200, 200]
        refused = await rig.modern("tools/list", headers=bearer(KEY))
        assert refused.status == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert (await rig.modern("tools/list", headers=bearer(other))).status == 200
        assert (await rig.modern("tools/list", headers=bearer(other))).status == 429
        clock.advance(1.1)
        assert (await rig.modern("tools/list", headers=bearer(KEY))).status == 200

    play(scene, snapshot(demo(), servers=(limited,), keys=(RECORD, other_record)), clock=clock)
