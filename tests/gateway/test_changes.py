"""What changes, as clients of both eras are told it: merged for the slow, kept for those that come back, and the
upstreams told when nobody watches any more."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.gateway.fake_upstream import Fakes
from tests.gateway.rig import OPEN, Rig, modern_request, play, rpc, snapshot
from tests.gateway.test_conversations import line
from tests.unit.contract.making import observed
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Call, Principal

URI = "doc://1"
WATCHABLE = {"tools": {}, "resources": {"subscribe": True}}
SOMEONE = Principal("open:default", "open", "default")


def watchable(fakes: Fakes) -> dict[str, Any]:
    return {"snap": snapshot(*(UpstreamSpec(i, "mcp-http") for i in fakes.offers), servers=(OPEN,))}


def with_a_document() -> Fakes:
    return Fakes(observed("a", resources=[URI], capabilities=WATCHABLE))


def message(method: str, params: dict[str, Any], request_id: str) -> Any:
    return json.loads(modern_request(method, params, request_id=request_id)[1])


def test_changes_that_a_slow_legacy_client_missed_are_told_once_each():
    fakes = with_a_document()

    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        await rig.legacy(rpc("resources/subscribe", {"uri": URI}), session)
        for number in range(1000):
            rig.gateway.hub.server_changed("default", frozenset({"tools", "prompts"}))
            rig.gateway.hub.resource_updated("a", "open:default", {"uri": URI, "number": number})
        stream = await rig.open("GET", "/mcp", {"accept": "text/event-stream", "mcp-session-id": session})
        told = [await stream.message() for _ in range(3)]
        rig.gateway.hub.server_changed("default", frozenset({"resources"}))
        told.append(await stream.message())
        assert [m["method"].removeprefix("notifications/") for m in told] == [
            "prompts/list_changed",
            "tools/list_changed",
            "resources/updated",
            "resources/list_changed",
        ]
        assert told[2]["params"]["number"] == 999
        stream.close()

    play(scene, make=fakes.make, **watchable(fakes))


def test_what_changed_while_a_legacy_client_was_away_is_told_when_it_comes_back():
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        get = {"accept": "text/event-stream", "mcp-session-id": session}
        stream = await rig.open("GET", "/mcp", get)
        rig.gateway.hub.server_changed("default", frozenset({"tools"}))
        last_seen = (await stream.event()).id
        stream.close()
        await rig.until(lambda: rig.gateway.sessions.find(session, SOMEONE, "default").listeners == 0)
        rig.gateway.hub.server_changed("default", frozenset({"prompts"}))
        back = await rig.open("GET", "/mcp", {**get, "last-event-id": last_seen})
        assert (await back.message())["method"] == "notifications/prompts/list_changed"
        back.close()

    play(scene)


def test_a_change_of_a_resource_that_is_not_watched_any_more_is_not_told():
    fakes = with_a_document()

    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        await rig.legacy(rpc("resources/subscribe", {"uri": URI}), session)
        rig.gateway.hub.resource_updated("a", "open:default", {"uri": URI})
        await rig.legacy(rpc("resources/unsubscribe", {"uri": URI}), session)
        rig.gateway.hub.server_changed("default", frozenset({"tools"}))
        stream = await rig.open("GET", "/mcp", {"accept": "text/event-stream", "mcp-session-id": session})
        assert (await stream.message())["method"] == "notifications/tools/list_changed"
        stream.close()

    play(scene, make=fakes.make, **watchable(fakes))


def test_a_subscription_ends_though_its_resource_is_not_served_any_more():
    fakes = with_a_document()

    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        await rig.legacy(rpc("resources/subscribe", {"uri": URI}), session)
        rig.gateway.holder.observe(observed("a", "tool"))
        assert (await rig.http("DELETE", "/mcp", {"mcp-session-id": session})).status == 204
        await rig.until(lambda: fakes["a"].watched == [f"+{URI}", f"-{URI}"])

    play(scene, make=fakes.make, **watchable(fakes))


def test_a_client_that_goes_while_it_subscribes_leaves_nothing_behind():
    fakes = Fakes(observed("a", resources=[URI, "doc://2"], capabilities=WATCHABLE))

    async def scene(rig: Rig) -> None:
        fake = fakes["a"]
        working = fake.watch

        async def hang_at_the_second(call: Call, uri: str) -> None:
            if uri == "doc://2":
                await asyncio.Event().wait()
            await working(call, uri)

        fake.watch = hang_at_the_second  # type: ignore[method-assign]
        wanted = {"notifications": {"resourceSubscriptions": [URI, "doc://2"]}}
        writer = await rig.send("POST", "/mcp", *modern_request("subscriptions/listen", wanted))
        await rig.until(lambda: fake.watched == [f"+{URI}"])
        writer.transport.abort()
        await rig.until(lambda: fake.watched == [f"+{URI}", f"-{URI}"])

    play(scene, make=fakes.make, **watchable(fakes))


def test_what_an_upstream_lost_is_watched_anew_and_told_once():
    fakes = with_a_document()

    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        await rig.legacy(rpc("resources/subscribe", {"uri": URI}), session)
        rig.gateway.hub.watches_lost("a")
        await rig.until(lambda: fakes["a"].watched == [f"+{URI}"] * 2)
        stream = await rig.open("GET", "/mcp", {"accept": "text/event-stream", "mcp-session-id": session})
        assert (await stream.message())["params"] == {"uri": URI}
        stream.close()

    play(scene, make=fakes.make, **watchable(fakes))


def test_a_resource_that_is_read_elsewhere_now_is_watched_there_and_told_once():
    nothing = observed("b", capabilities=WATCHABLE)
    fakes = Fakes(observed("a", resources=[URI], capabilities=WATCHABLE), nothing)

    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        await rig.legacy(rpc("resources/subscribe", {"uri": URI}), session)
        rig.gateway.sweep()
        rig.gateway.holder.observe(observed("b", resources=[URI], capabilities=WATCHABLE))
        rig.gateway.holder.observe(observed("a", resources=["doc://2"], capabilities=WATCHABLE))
        rig.gateway.sweep()
        await rig.until(lambda: fakes["a"].watched == [f"+{URI}", f"-{URI}"])
        assert fakes["b"].watched == [f"+{URI}"]
        stream = await rig.open("GET", "/mcp", {"accept": "text/event-stream", "mcp-session-id": session})
        told = [(await stream.message())["method"].removeprefix("notifications/") for _ in range(2)]
        assert told == ["resources/list_changed", "resources/updated"]
        rig.gateway.sweep()
        await rig.http("DELETE", "/mcp", {"mcp-session-id": session})
        await rig.until(lambda: fakes["b"].watched == [f"+{URI}", f"-{URI}"])
        stream.close()

    play(scene, make=fakes.make, **watchable(fakes))


@pytest.mark.parametrize("transport", ["websocket", "stdio"])
def test_two_listen_streams_of_one_connection_are_two_watchers(transport: str):
    fakes = with_a_document()

    async def scene(rig: Rig) -> None:
        async with line(rig, transport) as client:
            wanted = {"notifications": {"resourceSubscriptions": [URI]}}
            for request_id in ("one", "two"):
                await client.say(message("subscriptions/listen", wanted, request_id))
                await client.hear()
            await client.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "one"}})
            await rig.until(lambda: len(rig.gateway.hub.streams) == 1)
            rig.gateway.hub.resource_updated("a", None, {"uri": URI})
            told = await client.hear()
            assert told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "two"
            assert fakes["a"].watched == [f"+{URI}"]

    play(scene, make=fakes.make, **watchable(fakes))
