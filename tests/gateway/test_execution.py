"""Calling tools with a login: tokens of the control plane, the same pipeline, problems instead of JSON-RPC errors."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.gateway.rig import Reply, Rig, a_key, bearer, demo, play, snapshot
from toolyard.contract.snapshot import Override, RateLimit, ServerSpec, Snapshot
from toolyard.kit.clock import ManualClock
from toolyard.policy.tokens import Claims, SigningKey, sign

SIGNING = SigningKey("k1", Ed25519PrivateKey.generate())
OTHER = SigningKey("k1", Ed25519PrivateKey.generate())
CLOCK = ManualClock()
NOW = int(CLOCK.wall())
ANN = Claims("us_ann", "default", "lo_1.1", NOW, NOW + 600, "j1", ("member",), "basic", ("tools.call",))
EVE = replace(ANN, sub="us_eve", org="acme", jti="j2", login="lo_2.1")
KEY, RECORD = a_key("lab")
SERVERS = (
    ServerSpec("default", names="plain", overrides={"demo/now": Override(enabled=False)}),
    ServerSpec("lab", names="plain"),
    ServerSpec("staff", names="plain", roles=("admin",)),
    ServerSpec("gold", names="plain", tiers=("gold",)),
    ServerSpec("closed", enabled=False),
)
CALL = "/api/v1/tools/call"
PROXY = "/api/v1/mcp/proxy"
ECHO: dict[str, Any] = {"tool_name": "echo", "arguments": {"text": "hi"}}


def world(revision: int = 1, **more: Any) -> Snapshot:
    base = snapshot(demo(), servers=SERVERS, keys=(RECORD,), revision=revision)
    return replace(base, **{"verify_keys": {"k1": SIGNING.public()}, **more})


async def post(rig: Rig, path: str, content: Any, token: str | None = None) -> Reply:
    headers = {"content-type": "application/json"}
    if token is not None:
        headers |= bearer(token)
    return await rig.http("POST", path, headers, json.dumps(content).encode())


def of(claims: Claims = ANN, key: SigningKey = SIGNING) -> str:
    return sign(claims, key)


def test_a_tool_is_called_by_somebody_who_is_logged_in() -> None:
    async def scene(rig: Rig) -> None:
        for content in (ECHO, {"name": "echo", "arguments": {"text": "hi"}}, {**ECHO, "server": "lab"}):
            reply = await post(rig, CALL, content, of())
            assert reply.status == 200
            answer = json.loads(reply.body)
            assert answer["success"] is True
            assert answer["data"]["content"] == [{"type": "text", "text": "hi"}]
        failed = json.loads((await post(rig, CALL, {"name": "add", "arguments": {"a": "x"}}, of())).body)
        assert failed["success"] is False
        assert failed["error"]["code"] == "tool_failed"
        assert failed["data"]["isError"] is True

    play(scene, world(), clock=CLOCK)


def test_a_request_of_mcp_is_passed_on_by_the_proxy() -> None:
    async def scene(rig: Rig) -> None:
        called = await post(
            rig, PROXY, {"method": "tools/call", "params": {"name": "echo", "arguments": {"text": "hi"}}}, of()
        )
        assert json.loads(called.body)["result"]["content"][0]["text"] == "hi"
        listed = json.loads((await post(rig, PROXY, {"id": 7, "method": "tools/list"}, of())).body)
        assert (listed["jsonrpc"], listed["id"]) == ("2.0", 7)
        assert "echo" in [tool["name"] for tool in listed["result"]["tools"]]
        read = {"method": "resources/read", "params": {"uri": "demo://welcome"}}
        assert json.loads((await post(rig, PROXY, read, of())).body)["result"]["contents"]
        refused = json.loads((await post(rig, PROXY, {**read, "params": {"uri": "demo://nothing"}}, of())).body)
        assert refused["error"]["code"] == -32602
        for method in ("initialize", "subscriptions/listen", "tasks/get", "resources/subscribe", "nonsense"):
            assert (await post(rig, PROXY, {"method": method}, of())).status == 404

    play(scene, world(), clock=CLOCK)


def test_an_api_key_opens_its_own_server_and_no_other() -> None:
    async def scene(rig: Rig) -> None:
        assert (await post(rig, CALL, ECHO, KEY)).status == 200
        assert (await post(rig, CALL, {**ECHO, "server": "lab"}, KEY)).status == 200
        foreign = await post(rig, CALL, {**ECHO, "server": "default"}, KEY)
        unknown = await post(rig, CALL, {**ECHO, "server": "nowhere"}, KEY)
        assert foreign.status == unknown.status == 404
        assert foreign.body == unknown.body
        rig.gateway.offer(replace(world(2), keys={RECORD.id: replace(RECORD, scopes=("tools:list",))}))
        assert json.loads((await post(rig, CALL, ECHO, KEY)).body)["code"] == "scope_missing"

    play(scene, world(), clock=CLOCK)


BAD = {
    "no credential": None,
    "nonsense": "nonsense",
    "of another installation": of(ANN, OTHER),
    "of an unknown key": of(ANN, replace(SIGNING, kid="k2")),
    "expired": of(replace(ANN, exp=NOW - 60)),
    "from the future": of(replace(ANN, iat=NOW + 61)),
    "with a strange user": of(replace(ANN, sub="ann session x")),
    "half of one": of()[:-9],
    "very long": of(replace(ANN, roles=("r" * 4000,))),
}


@pytest.mark.parametrize("name", BAD)
def test_every_other_credential_gets_the_same_401_before_anything_is_read(name: str) -> None:
    async def scene(rig: Rig) -> None:
        reply = await post(rig, CALL, {"nonsense": 1}, BAD[name])
        assert (reply.status, reply.headers["content-type"]) == (401, "application/problem+json")
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert json.loads(reply.body) == {
            "type": "about:blank",
            "title": "Show an access token of a login, or an API key: `Authorization: Bearer …`.",
            "status": 401,
            "code": "unauthenticated",
        }

    play(scene, world(), clock=CLOCK)


def test_a_token_is_no_key_of_an_mcp_url() -> None:
    async def scene(rig: Rig) -> None:
        assert (await rig.modern("tools/list", headers=bearer(of()))).status == 401

    play(scene, world(), clock=CLOCK)


@pytest.mark.parametrize("revoked", ["us_ann", "lo_1.1", "j1"])
def test_a_token_is_void_as_soon_as_it_its_user_or_its_login_is_revoked(revoked: str) -> None:
    async def scene(rig: Rig) -> None:
        assert (await post(rig, CALL, ECHO, of())).status == 200
        rig.gateway.offer(world(2, revoked=frozenset({revoked})))
        assert (await post(rig, CALL, ECHO, of())).status == 401
        assert (await post(rig, CALL, ECHO, of(EVE))).status == 404

    play(scene, world(), clock=CLOCK)


def test_a_token_is_void_when_its_key_is_gone_and_when_it_has_expired() -> None:
    clock = ManualClock()

    async def scene(rig: Rig) -> None:
        assert (await post(rig, CALL, ECHO, of())).status == 200
        rig.gateway.offer(world(2, verify_keys={"k1": OTHER.public()}))
        assert (await post(rig, CALL, ECHO, of())).status == 401
        assert (await post(rig, CALL, ECHO, of(ANN, OTHER))).status == 200
        clock.advance(660)
        assert (await post(rig, CALL, ECHO, of(ANN, OTHER))).status == 401

    play(scene, world(), clock=clock)


REFUSED: dict[str, tuple[Any, Claims, int, str]] = {
    "another organization's server": (ECHO, EVE, 404, "server_unknown"),
    "a server that is not there": ({**ECHO, "server": "nowhere"}, ANN, 404, "server_unknown"),
    "a role": ({**ECHO, "server": "staff"}, ANN, 403, "not_allowed"),
    "a tier": ({**ECHO, "server": "gold"}, ANN, 403, "not_allowed"),
    "a permission": (ECHO, replace(ANN, may=()), 403, "not_allowed"),
    "a server that is off": ({**ECHO, "server": "closed"}, ANN, 403, "server_disabled"),
    "a tool that is off": ({"name": "now"}, ANN, 403, "tool_disabled"),
    "no such tool": ({"name": "nothing"}, ANN, 404, "tool_unknown"),
    "no name": ({}, ANN, 400, "invalid_params"),
    "two names": ({"name": "echo", "tool_name": "echo"}, ANN, 400, "invalid_params"),
    "arguments that are none": ({"name": "echo", "arguments": []}, ANN, 400, "invalid_params"),
    "a member too many": ({**ECHO, "timeout": 1}, ANN, 400, "invalid_params"),
    "a list": ([], ANN, 400, "invalid_params"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_a_problem_with_our_code(name: str) -> None:
    content, claims, status, code = REFUSED[name]

    async def scene(rig: Rig) -> None:
        reply = await post(rig, CALL, content, of(claims))
        said = json.loads(reply.body)
        assert (reply.status, said["status"], said["code"]) == (status, status, code)
        assert reply.headers["content-type"] == "application/problem+json"

    play(scene, world(), clock=CLOCK)


def test_limits_hold_for_each_person_and_calls_are_counted() -> None:
    limited = ServerSpec("default", names="plain", per_key=RateLimit(60, 2))
    bob = replace(ANN, sub="us_bob", login="lo_3.1", jti="j3")

    async def scene(rig: Rig) -> None:
        statuses = [(await post(rig, CALL, ECHO, of())).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        again = await post(rig, CALL, ECHO, of(bob))
        assert again.status == 200
        assert dict(rig.gateway.record.totals) == {"ok": 3, "refused": 1}

    play(scene, replace(world(), servers={"default": limited}), clock=ManualClock())


def test_a_tier_limits_each_of_its_people() -> None:
    slow = replace(ANN, per_minute=20)

    async def scene(rig: Rig) -> None:
        statuses = [(await post(rig, CALL, ECHO, of(slow))).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await post(rig, CALL, ECHO, of(replace(slow, sub="us_bob", jti="j3")))).status == 200

    play(scene, world(), clock=ManualClock())


def test_a_tool_that_asks_its_caller_is_told_that_nobody_answers() -> None:
    async def scene(rig: Rig) -> None:
        reply = await post(rig, CALL, {"name": "ask_name"}, of())
        assert json.loads(reply.body).get("success") is not True

    play(scene, world(), clock=CLOCK)


def test_other_methods_and_other_bodies_are_refused() -> None:
    async def scene(rig: Rig) -> None:
        assert (await rig.http("GET", CALL, bearer(of()))).status == 405
        text = {"content-type": "text/plain", **bearer(of())}
        assert (await rig.http("POST", CALL, text, b"{}")).status == 415
        said = {"content-type": "application/json", **bearer(of())}
        for body in (b"{", b"", b'{"name":"echo","name":"add"}'):
            assert (await rig.http("POST", CALL, said, body)).status == 400

    play(scene, world(), clock=CLOCK)
