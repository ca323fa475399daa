"""Changes behind the gateway: told once to whoever listens, and to nobody else; subscriptions are counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.gateway.fake_upstream import Fakes, FakeUpstream
from tests.gateway.rig import OPEN, Rig, a_key, bearer, modern_request, play, rpc, snapshot
from tests.unit.contract.making import observed, snap
from toolyard.contract.catalog import build_catalog
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec, UpstreamSpec
from toolyard.gateway.call import Call, Principal, Target
from toolyard.gateway.events import Hub, StreamLimits
from toolyard.gateway.upstream.errors import UpstreamUnreachable
from toolyard.gateway.watching import Watching

URI = "doc://1"
WATCHABLE = {"tools": {}, "resources": {"subscribe": True}}


@dataclass(eq=False)
class Ear:
    """A listener that writes down what it hears."""

    server: str = "default"
    principal_id: str = "key:1"
    uris: frozenset[str] = frozenset()
    heard: list[Any] = field(default_factory=list)
    ended: bool = False

    @property
    def principal(self) -> Principal:
        return Principal(self.principal_id, "key", self.server)

    def lists_changed(self, kinds: frozenset[Any]) -> None:
        self.heard.append(set(kinds))

    def watches(self, uri: str) -> bool:
        return uri in self.uris

    def resource_updated(self, params: Json) -> None:
        self.heard.append(params)

    def end(self) -> None:
        self.ended = True


def a_hub(limits: StreamLimits | None = None) -> Hub:
    servers = (
        ServerSpec("default", tools=("a/*", "c/*")),
        ServerSpec("other", tools=("b/*",)),
        ServerSpec("off", tools=("a/*",), enabled=False),
    )
    seen = {
        "a": observed("a", resources=[URI], templates=["file://a/{name}"]),
        "b": observed("b", resources=[URI]),
        "c": observed("c", resources=["doc://c"]),
    }
    catalog = build_catalog(snap("a", "b", "c", servers=servers), seen, {})
    return Hub(lambda: catalog, limits)


def test_a_servers_listeners_hear_of_its_lists_and_nobody_elses():
    hub, one, two, other = a_hub(), Ear(), Ear(), Ear("other")
    for ear in (one, two, other):
        hub.add(ear)
    hub.server_changed("default", frozenset({"tools", "prompts"}))
    assert (one.heard, two.heard, other.heard) == ([{"tools", "prompts"}], [{"tools", "prompts"}], [])


def test_a_listener_that_left_hears_nothing_and_may_leave_twice():
    hub, ear = a_hub(), Ear()
    hub.add(ear)
    hub.remove(ear)
    hub.remove(ear)
    hub.server_changed("default", frozenset({"tools"}))
    assert ear.heard == []


def test_an_upstreams_word_that_its_lists_changed_makes_the_pool_look_and_tells_nobody_yet():
    hub, ear = a_hub(), Ear()
    looked: list[str] = []
    hub.refresh = looked.append
    hub.add(ear)
    for kind in ("tools", "resources", "prompts"):
        hub.lists_changed("a", kind)
    assert (looked, ear.heard) == (["a"] * 3, [])


@pytest.mark.parametrize("owner", [None, "", "key:1"], ids=["gateway", "shared", "own"])
def test_a_change_of_a_resource_reaches_who_watches_it(owner):
    hub, ear, blind = a_hub(), Ear(uris=frozenset({URI})), Ear()
    hub.add(ear)
    hub.add(blind)
    hub.resource_updated("a", owner, {"uri": URI, "more": 1})
    assert (ear.heard, blind.heard) == ([{"uri": URI, "more": 1}], [])


@pytest.mark.parametrize(
    ("upstream_id", "owner", "params"),
    [
        ("a", "key:2", {"uri": URI}),
        ("b", None, {"uri": URI}),
        ("gone", None, {"uri": URI}),
        ("c", None, {"uri": URI}),
        ("a", None, {"uri": "doc://c"}),
        ("c", None, {"uri": "file://a/1"}),
        ("a", None, {"uri": "nobody's://1"}),
        ("a", None, {"uri": "doc://2"}),
        ("a", None, {}),
        ("a", None, {"uri": 7}),
    ],
    ids=[
        "anothers-session",
        "not-of-this-server",
        "unknown-upstream",
        "of-another-upstream",
        "resource-of-another-upstream",
        "template-of-another-upstream",
        "of-no-upstream",
        "other-uri",
        "no-uri",
        "wrong-uri",
    ],
)
def test_a_change_that_is_not_the_listeners_own_is_not_told(upstream_id, owner, params):
    hub, ear = a_hub(), Ear(uris=frozenset({URI, "doc://c", "file://a/1", "nobody's://1"}))
    hub.add(ear)
    hub.resource_updated(upstream_id, owner, params)
    assert ear.heard == []


def test_a_change_of_a_templates_resource_is_told_and_none_at_a_server_that_is_switched_off():
    hub, ear, off = a_hub(), Ear(uris=frozenset({"file://a/1"})), Ear("off", uris=frozenset({"file://a/1"}))
    hub.add(ear)
    hub.add(off)
    hub.resource_updated("a", None, {"uri": "file://a/1"})
    assert (ear.heard, off.heard) == ([{"uri": "file://a/1"}], [])


def test_the_streams_of_a_server_that_is_gone_end():
    hub, ear, gone = a_hub(), Ear(), Ear("removed")
    hub.add_stream(ear)
    hub.add_stream(gone)
    hub.end_streams(lambda _principal: True)
    assert (ear.ended, gone.ended) == (False, True)


def test_streams_are_bounded_in_all_and_for_each_principal_and_end_with_the_gateway():
    hub = a_hub(StreamLimits(total=3, per_principal=2))
    first, second, other = Ear(), Ear(), Ear(principal_id="key:2")
    assert hub.add_stream(first)
    assert hub.add_stream(second)
    assert not hub.add_stream(Ear())
    assert hub.add_stream(other)
    assert not hub.add_stream(Ear(principal_id="key:3"))
    hub.remove(first)
    assert hub.add_stream(Ear(principal_id="key:3"))
    hub.end_streams(lambda principal: principal.id != "key:2")
    assert (first.ended, second.ended, other.ended) == (False, False, True)
    hub.end_streams()
    assert (first.ended, second.ended) == (False, True)


def watching_call(watcher: str, principal: str = "key:1") -> tuple[Call, Target]:
    async def nothing(*_: Any, **__: Any) -> Any:
        return {}

    call = Call(
        principal=Principal(principal, "key", "default"),
        server="default",
        method="resources/subscribe",
        params={"uri": URI},
        era="legacy",
        revision="2025-11-25",
        emit=nothing,
        ask=nothing,
        deadline=asyncio.get_running_loop().time() + 30,
        watcher=watcher,
    )
    return call, Target("a", {"uri": URI}, 30.0, URI)


def watching(scene: Callable[[Watching, FakeUpstream], Awaitable[None]]) -> None:
    async def run() -> None:
        fake = FakeUpstream(UpstreamSpec("a", "mcp-http"), observed("a"))
        made = Watching(lambda _id: fake)
        try:
            await scene(made, fake)
        finally:
            await made.aclose()

    asyncio.run(run())


def test_many_watchers_are_one_subscription_at_the_upstream_until_the_last_has_left():
    async def scene(made: Watching, fake: FakeUpstream) -> None:
        await asyncio.gather(*(made.begin(*watching_call(f"s{n}")) for n in range(50)))
        assert fake.watched == [f"+{URI}"]
        for n in range(49):
            await made.end(watching_call(f"s{n}")[0], URI)
        assert fake.watched == [f"+{URI}"]
        await made.end(watching_call("s49")[0], URI)
        assert fake.watched == [f"+{URI}", f"-{URI}"]
        assert len(made) == 0

    watching(scene)


def test_subscribing_twice_is_subscribing_once_and_nobody_ends_what_another_began():
    async def scene(made: Watching, fake: FakeUpstream) -> None:
        await made.begin(*watching_call("one"))
        await made.begin(*watching_call("one"))
        await made.end(watching_call("two")[0], URI)
        assert fake.watched == [f"+{URI}"]
        await made.end(watching_call("one")[0], URI)
        await made.end(watching_call("one")[0], URI)
        assert fake.watched == [f"+{URI}", f"-{URI}"]

    watching(scene)


def test_every_principal_has_a_subscription_of_its_own():
    async def scene(made: Watching, fake: FakeUpstream) -> None:
        await made.begin(*watching_call("one", "key:1"))
        await made.begin(*watching_call("two", "key:2"))
        await made.end(watching_call("one", "key:1")[0], URI)
        assert fake.watched == [f"+{URI}", f"+{URI}", f"-{URI}"]

    watching(scene)


def test_a_subscription_that_the_upstream_refuses_is_none_and_can_be_tried_again():
    async def scene(made: Watching, fake: FakeUpstream) -> None:
        working, fake.watch = fake.watch, refuse  # type: ignore[method-assign]
        with pytest.raises(UpstreamUnreachable):
            await made.begin(*watching_call("one"))
        assert len(made) == 0
        fake.watch = working  # type: ignore[method-assign]
        await made.begin(*watching_call("one"))
        assert fake.watched == [f"+{URI}"]

    watching(scene)


async def refuse(call: Call, uri: str) -> None:
    raise UpstreamUnreachable


def test_who_begins_while_the_last_watcher_leaves_is_heard_by_the_upstream_after_it():
    async def scene(made: Watching, fake: FakeUpstream) -> None:
        leaving, may_go = asyncio.Event(), asyncio.Event()

        async def slowly(call: Call, uri: str) -> None:
            leaving.set()
            await may_go.wait()
            fake.watched.append(f"-{uri}")

        fake.unwatch = slowly  # type: ignore[method-assign]
        await made.begin(*watching_call("one"))
        ending = asyncio.ensure_future(made.end(watching_call("one")[0], URI))
        await leaving.wait()
        beginning = [asyncio.ensure_future(made.begin(*watching_call(w))) for w in ("two", "three")]
        await asyncio.sleep(0)
        may_go.set()
        await asyncio.gather(ending, *beginning)
        assert fake.watched == [f"+{URI}", f"-{URI}", f"+{URI}"]

    watching(scene)


def watchable(fakes: Fakes, *servers: ServerSpec, **more: Any) -> dict[str, Any]:
    return {"snap": snapshot(*(UpstreamSpec(i, "mcp-http") for i in fakes.offers), servers=servers or (OPEN,), **more)}


def with_a_document() -> Fakes:
    return Fakes(observed("a", resources=[URI], capabilities=WATCHABLE))


def test_legacy_clients_subscribe_and_hear_and_the_upstream_is_asked_once():
    fakes = with_a_document()

    async def scene(rig: Rig) -> None:
        sessions = [await rig.initialize() for _ in range(3)]
        streams = [
            await rig.open("GET", "/mcp", {"accept": "text/event-stream", "mcp-session-id": s}) for s in sessions
        ]
        for session in (*sessions[:2], sessions[0]):
            assert (await rig.legacy(rpc("resources/subscribe", {"uri": URI}), session)).result == {}
        assert fakes["a"].watched == [f"+{URI}"]
        rig.gateway.hub.resource_updated("a", "open:default", {"uri": URI})
        for stream in streams[:2]:
            told = await stream.message()
            assert (told["method"], told["params"]) == ("notifications/resources/updated", {"uri": URI})
        assert (await rig.legacy(rpc("resources/unsubscribe", {"uri": URI}), sessions[2])).result == {}
        assert (await rig.legacy(rpc("resources/unsubscribe", {"uri": URI}), sessions[0])).result == {}
        assert fakes["a"].watched == [f"+{URI}"]
        rig.gateway.hub.resource_updated("a", "open:default", {"uri": URI})
        rig.gateway.hub.server_changed("default", frozenset({"tools"}))
        assert (await streams[1].message())["method"] == "notifications/resources/updated"
        assert (await streams[0].message())["method"] == "notifications/tools/list_changed"
        for stream in streams:
            stream.close()
        await rig.http("DELETE", "/mcp", {"mcp-session-id": sessions[1]})
        assert fakes["a"].watched == [f"+{URI}", f"-{URI}"]

    play(scene, make=fakes.make, **watchable(fakes))


def test_the_subscriptions_of_a_session_end_with_it_however_often_it_subscribed():
    fakes = with_a_document()

    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        for _ in range(3):
            await rig.legacy(rpc("resources/subscribe", {"uri": URI}), session)
        assert (await rig.http("DELETE", "/mcp", {"mcp-session-id": session})).status == 204
        assert fakes["a"].watched == [f"+{URI}", f"-{URI}"]

    play(scene, make=fakes.make, **watchable(fakes))


def test_a_listen_stream_watches_at_the_upstream_while_it_is_open_and_hears_only_what_it_asked_for():
    fakes = with_a_document()

    async def scene(rig: Rig) -> None:
        wanted = {"notifications": {"resourceSubscriptions": [URI], "toolsListChanged": True}}
        stream = await rig.open("POST", "/mcp", *modern_request("subscriptions/listen", wanted, request_id="l"))
        granted = (await stream.message())["params"]["notifications"]
        assert granted == {"toolsListChanged": True, "resourceSubscriptions": [URI]}
        assert fakes["a"].watched == [f"+{URI}"]
        rig.gateway.hub.server_changed("default", frozenset({"prompts"}))
        rig.gateway.hub.resource_updated("a", "open:default", {"uri": URI})
        told = await stream.message()
        assert told["method"] == "notifications/resources/updated"
        assert told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "l"
        stream.close()
        async with asyncio.timeout(20):
            while fakes["a"].watched != [f"+{URI}", f"-{URI}"]:
                await asyncio.sleep(0.005)

    play(scene, make=fakes.make, **watchable(fakes))


def test_changes_that_a_slow_listener_missed_are_told_once():
    async def scene(rig: Rig) -> None:
        wanted = {"notifications": {"toolsListChanged": True, "promptsListChanged": True}}
        stream = await rig.open("POST", "/mcp", *modern_request("subscriptions/listen", wanted))
        await stream.message()
        for _ in range(1000):
            rig.gateway.hub.server_changed("default", frozenset({"tools", "prompts"}))
        rig.gateway.hub.end_streams()
        reply = await stream.rest()
        stream.close()
        told = [m["method"] for m in reply.messages if "method" in m]
        assert told == ["notifications/prompts/list_changed", "notifications/tools/list_changed"]
        assert reply.result["resultType"] == "complete"

    play(scene)


def test_one_principals_change_is_not_told_to_another():
    key_a, record_a = a_key("default")
    key_b, record_b = a_key("default")
    fakes = with_a_document()
    servers = (ServerSpec("default"),)

    async def scene(rig: Rig) -> None:
        streams = []
        for key in (key_a, key_b):
            session = await rig.initialize(headers=bearer(key))
            await rig.legacy(rpc("resources/subscribe", {"uri": URI}), session, headers=bearer(key))
            headers = {"accept": "text/event-stream", "mcp-session-id": session, **bearer(key)}
            streams.append(await rig.open("GET", "/mcp", headers))
        assert fakes["a"].watched == [f"+{URI}"] * 2
        rig.gateway.hub.resource_updated("a", f"key:{record_a.id}", {"uri": URI, "for": "a"})
        rig.gateway.hub.resource_updated("a", f"key:{record_b.id}", {"uri": URI, "for": "b"})
        for stream, name in zip(streams, "ab", strict=True):
            assert json.loads((await stream.event()).data)["params"]["for"] == name
            stream.close()

    play(scene, make=fakes.make, **watchable(fakes, *servers, keys=(record_a, record_b)))
