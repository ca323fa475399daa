"""What changes between two calls of one kept connection counts for the second: keys, servers, tools, upstreams, and
what a request says of itself. Much of a call that looks like the one before is not judged anew; this has to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.gateway.faults.cutting import AT_ONCE, JSON_ANSWER, OFTEN, STREAM, Stage, on_stage
from tests.gateway.faults.raw_client import Answer, http_request
from tests.gateway.faults.shop import Shop, opened, whole
from tests.gateway.rig import a_key, modern_request
from toolyard.contract.snapshot import (
    KeyRecord,
    Override,
    RateLimit,
    ServerSpec,
    Snapshot,
    ToolRule,
    UpstreamLimits,
    UpstreamSpec,
)
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.interceptors.in_flight import InFlightLimits
from toolyard.kit.clock import ManualClock

Change = Callable[[Snapshot], dict[str, Any]]


def changed(stage: Stage, **changes: Any) -> None:
    """Put a snapshot with these changes in force."""
    now = stage.rig.gateway.holder.current.snapshot
    revision = now.revision + 1
    stage.rig.gateway.offer(replace(now, revision=revision, digest=f"test-{revision}", **changes))


def server(**changes: Any) -> dict[str, Any]:
    """The one server, otherwise."""
    return {"servers": {"default": ServerSpec("default", **{"names": "plain", "per_key": OFTEN, **changes})}}


def upstream(snap: Snapshot, **changes: Any) -> dict[str, Any]:
    """The one upstream, otherwise."""
    spec: UpstreamSpec = snap.upstreams["shop"]
    return {"upstreams": {"shop": replace(spec, **changes)}}


def keys(snap: Snapshot, **changes: Any) -> dict[str, Any]:
    """All keys, otherwise."""
    return {"keys": {key_id: replace(record, **changes) for key_id, record in snap.keys.items()}}


REFUSING: dict[str, tuple[Change, str]] = {
    "its key is revoked": (lambda snap: {"keys": {}}, "!unauthenticated"),
    "its key is disabled": (lambda snap: keys(snap, disabled=True), "!unauthenticated"),
    "its key has run out": (lambda snap: keys(snap, expires_at=1.0), "!unauthenticated"),
    "its server is gone": (lambda snap: {"servers": {}}, "!server_unknown"),
    "its server is switched off": (lambda snap: server(enabled=False), "!server_disabled"),
    "its tool is offered no more": (lambda snap: server(tools=("shop/look",)), "!tool_not_in_server"),
    "its tool has another name": (lambda snap: server(names="prefixed"), "!tool_unknown"),
    "its tool is switched off": (
        lambda snap: upstream(snap, tools={"sell": ToolRule(enabled=False)}),
        "!tool_disabled",
    ),
    "its upstream is switched off": (lambda snap: upstream(snap, enabled=False), "!tool_disabled"),
    "its key may call other tools": (lambda snap: keys(snap, tools=("*", "!shop/sell")), "!tool_not_granted"),
    "its key may call nothing": (lambda snap: keys(snap, scopes=("tools:list",)), "!scope_missing"),
    "its key is for other networks": (lambda snap: keys(snap, networks=("192.0.2.0/24",)), "!unauthenticated"),
    "its key calls too often": (
        lambda snap: keys(snap, per_minute=RateLimit(0.001, 1e-9)),
        "!rate_limited",
    ),
    "its tool is off at the server": (
        lambda snap: server(overrides={"shop/sell": Override(enabled=False)}),
        "!tool_disabled",
    ),
    "its server is another organization's": (lambda snap: server(organization="acme"), "!server_unknown"),
    "its upstream is another organization's": (lambda snap: upstream(snap, organization="acme"), "!tool_unknown"),
    "it calls too often": (lambda snap: server(per_key=RateLimit(0.001, 1e-9)), "!rate_limited"),
}


@pytest.mark.parametrize("name", REFUSING)
def test_what_is_taken_away_between_two_calls_of_a_connection_is_gone_for_the_second(name: str) -> None:
    change, expected = REFUSING[name]

    async def scene(stage: Stage) -> None:
        wires = [await stage.wire(warm=True) for _ in range(2)]
        for wire in wires:
            assert await stage.call(wire) == "right"
        before = stage.shop.sold.total()
        changed(stage, **change(stage.rig.gateway.holder.current.snapshot))
        for wire in wires:
            assert await stage.call(wire) == expected
        assert stage.shop.sold.total() == before

    on_stage(scene)


@pytest.mark.parametrize("end", ["expires_at", "retires_at"])
def test_a_key_that_runs_out_while_its_connection_is_open_opens_nothing_more(end: str) -> None:
    clock = ManualClock()

    async def scene(stage: Stage) -> None:
        changed(stage, **keys(stage.rig.gateway.holder.current.snapshot, **{end: clock.wall() + 10.0}))
        wire = await stage.wire(warm=True)
        clock.advance(9.0)
        assert await stage.call(wire) == "right"
        clock.advance(2.0)
        assert await stage.call(wire) == "!unauthenticated"

    on_stage(scene, clock=clock)


def test_a_call_in_flight_ends_well_though_all_that_it_needs_is_taken_away() -> None:
    async def scene(stage: Stage) -> None:
        wire, token = await stage.wire(warm=True), stage.token()
        stage.shop.hold(token)
        await wire.send(stage.exchange.request(token))
        await stage.shop.holds(token)
        changed(stage, keys={}, upstreams={})
        stage.release(token)
        assert (await wire.answer()).said == token
        assert await stage.call(wire) == "!unauthenticated"

    on_stage(scene)


def test_an_upstream_that_moves_gets_the_next_call_at_its_new_place() -> None:
    async def scene(stage: Stage) -> None:
        async with opened(Shop()) as elsewhere:
            wire, token = await stage.wire(warm=True), stage.token()
            stage.shop.hold(token)
            await stage.bystander.send(stage.exchange.request(token))
            await stage.shop.holds(token)
            changed(stage, **upstream(stage.rig.gateway.holder.current.snapshot, url=elsewhere.url))
            before = stage.shop.sold.total()
            assert [await stage.call(wire) for _ in range(3)] == ["right"] * 3
            assert (stage.shop.sold.total(), elsewhere.sold.total()) == (before, 3)
            stage.release(token)
            assert (await stage.bystander.answer()).said == token
            await stage.rig.until(lambda: not stage.shop.tills)

    on_stage(scene)


def test_a_connection_is_nobodys_the_key_of_each_request_counts() -> None:
    async def scene(stage: Stage) -> None:
        other_key, record = a_key()
        kept: dict[str, KeyRecord] = {**stage.rig.gateway.holder.current.snapshot.keys, record.id: record}
        changed(stage, keys=kept)
        wire = await stage.wire(warm=True)

        async def said(key: str) -> str:
            token = stage.token()
            await wire.send(replace(stage.exchange, key=key).request(token))
            answer = (await wire.answer()).said
            return "right" if answer == token else answer

        own = stage.exchange.key
        assert [await said(own), await said(other_key), await said(own)] == ["right"] * 3
        wrong = own[:-1] + ("y" if own.endswith("x") else "x")
        assert [await said(wrong), await said("")] == ["!unauthenticated"] * 2
        assert await said(own) == "right"
        changed(stage, keys={record.id: record})
        assert [await said(other_key), await said(own), await said(other_key)] == ["right", "!unauthenticated", "right"]

    on_stage(scene)


def without_revision(message: Any) -> None:
    del message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"]


def with_name(name: str) -> Callable[[Any], None]:
    return lambda message: message["params"].update(name=name)


def with_method(method: str) -> Callable[[Any], None]:
    return lambda message: message.update(method=method)


def with_revision(revision: str) -> Callable[[Any], None]:
    return lambda message: message["params"]["_meta"].update({"io.modelcontextprotocol/protocolVersion": revision})


def with_capabilities(value: Any) -> Callable[[Any], None]:
    return lambda message: message["params"]["_meta"].update({"io.modelcontextprotocol/clientCapabilities": value})


SAYING: dict[str, tuple[Callable[[Any], None], int]] = {
    "another tool than the head": (with_name("look"), 400),
    "another method than the head": (with_method("tools/list"), 400),
    "another revision than the head": (with_revision("2025-11-25"), 400),
    "no revision": (without_revision, 400),
    "no capabilities": (with_capabilities(None), 400),
}


@pytest.mark.parametrize("name", SAYING)
def test_a_body_is_judged_anew_under_a_head_that_was_seen_before(name: str) -> None:
    spoil, status = SAYING[name]

    async def scene(stage: Stage) -> None:
        wire = await stage.wire(warm=True)
        for _ in range(2):
            token = stage.token()
            head, _, body = stage.exchange.request(token).partition(b"\r\n\r\n")
            message = json.loads(body)
            spoil(message)
            spoilt = json.dumps(message).encode()
            head = head.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % len(spoilt))
            await wire.send(head + b"\r\n\r\n" + spoilt)
            answer: Answer = await wire.answer()
            assert (answer.status, "error" in answer.messages[-1]) == (status, True)
            assert stage.shop.sold[token] == 0
            assert await stage.call(wire) == "right"

    on_stage(scene)


def test_an_argument_that_is_mirrored_in_the_head_is_compared_every_time() -> None:
    async def scene(stage: Stage) -> None:
        wire = await stage.wire(warm=True)
        for said, region in (*(("north", "north"),) * 3, ("north", "south"), ("south", "south"), ("north", "north")):
            token, fits = stage.token(), said == region
            stage.shop.hold(token)
            params = {"name": "ship", "arguments": {"token": token, "region": region}}
            headers, body = modern_request("tools/call", params, request_id=1)
            await wire.send(http_request({**headers, **stage.exchange.headers, "Mcp-Param-Region": said}, body))
            if fits:
                await stage.shop.holds(token)
                assert stage.shop.held[token].headers["mcp-param-region"] == region
                stage.release(token)
            assert (await wire.answer()).status == (200 if fits else 400)
            assert stage.shop.sold[token] == fits

    on_stage(scene)


def test_a_call_that_its_server_has_too_many_of_costs_its_key_nothing() -> None:
    clock = ManualClock()

    async def scene(stage: Stage) -> None:
        wire = await stage.wire(warm=True)
        changed(stage, **server(per_key=RateLimit(0.001, 3.0), per_server=RateLimit(60.0, 1.0)))
        said = []
        for seconds in (*[0.0] * 20, 1.0, 1.0, 1.0):
            clock.advance(seconds)
            said.append(await stage.call(wire))
        assert said == ["right", *["!rate_limited"] * 19, "right", "right", "!rate_limited"]

    on_stage(scene, clock=clock)


def test_a_call_beyond_the_bound_on_calls_in_flight_keeps_no_upstream_connection() -> None:
    most = AT_ONCE + 1

    async def scene(stage: Stage) -> None:
        wires = [await stage.wire(warm=True) for _ in range(most + 2)]
        for _ in range(3):
            tokens = [stage.token() for _ in range(most)]
            for wire, token in zip(wires, tokens, strict=False):
                stage.shop.hold(token)
                await wire.send(stage.exchange.request(token))
            await stage.shop.holds(*tokens)
            assert {await stage.call(wire) for wire in wires[most:]} <= {"!too_many_calls", "!overloaded"}
            for wire, token in zip(wires, tokens, strict=False):
                stage.release(token)
                assert (await wire.answer()).said == token
            assert [await stage.call(wire) for wire in wires] == ["right"] * len(wires)
            await stage.settled()

    on_stage(scene, bounds=Bounds(in_flight=InFlightLimits(principal=most, wait_s=0.01)))


def test_an_upstream_that_is_being_stopped_gets_no_further_call() -> None:
    async def scene(stage: Stage) -> None:
        wires, token = [await stage.wire(warm=True) for _ in range(3)], stage.token()
        stage.shop.hold(token)
        await wires[0].send(stage.exchange.request(token))
        await stage.shop.holds(token)
        before = stage.shop.sold.total()
        stage.rig.gateway.pool.stop("shop")
        assert [await stage.call(wire) for wire in wires[1:]] == ["!upstream_stopped"] * 2
        assert stage.shop.sold.total() == before
        stage.release(token)
        assert (await wires[0].answer()).said == token
        assert await stage.call(wires[0]) == "!upstream_stopped"

    on_stage(scene)


def test_an_answer_beyond_the_limit_is_refused_every_time_though_its_head_was_seen_before() -> None:
    async def scene(stage: Stage) -> None:
        wire = await stage.wire(warm=True)
        for _ in range(4):
            token = stage.token()
            stage.shop.plans[token] = lambda order: order.send(whole(order.body(order.token + "x" * 3000)))
            await wire.send(stage.exchange.request(token))
            assert (await wire.answer()).said == "!upstream_too_large"
            assert await stage.call(wire) == "right"

    on_stage(scene, limits=UpstreamLimits(response_bytes=2500))


@pytest.mark.parametrize("exchange", [JSON_ANSWER, STREAM], ids=lambda exchange: exchange.name)
def test_what_a_caller_says_of_itself_goes_up_as_it_says_it_this_time(exchange: Any) -> None:
    """Capabilities, trace ids and vendor keys of one call are never those of another, on whatever connections."""

    async def scene(stage: Stage) -> None:
        wires = [await stage.wire(warm=True) for _ in range(2)]
        for number in range(6):
            token = stage.token()
            head, _, body = stage.exchange.request(token).partition(b"\r\n\r\n")
            message, said = json.loads(body), {"elicitation": {"form": {}}} if number % 3 == 1 else {}
            message["params"]["_meta"] |= {
                "io.modelcontextprotocol/clientCapabilities": said,
                "io.modelcontextprotocol/clientInfo": {"name": f"client {number % 2}", "version": "1"},
                "com.example/number": number,
            }
            if number % 2:
                del message["params"]["_meta"]["com.example/number"]
            written = json.dumps(message).encode()
            head = head.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % len(written))
            stage.shop.hold(token)
            await wires[number % 2].send(head + b"\r\n\r\n" + written)
            await stage.shop.holds(token)
            meta = stage.shop.held[token].message["params"]["_meta"]
            stage.release(token)
            assert (await wires[number % 2].answer()).said == token
            assert meta["io.modelcontextprotocol/clientCapabilities"] == said
            assert meta["io.modelcontextprotocol/clientInfo"]["name"] == f"client {number % 2}"
            assert meta.get("com.example/number") == (None if number % 2 else number)

    on_stage(scene, exchange)
