"""Streams and sessions that tell of changes, and break: opened again, with what changed meanwhile found and told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.virtual_time import LoopClock, run_virtually
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.upstream import hearing, http_session_place
from toolyard.gateway.upstream.duplex import DuplexUpstream
from toolyard.gateway.upstream.errors import UpstreamBusy, UpstreamError, UpstreamIncomplete
from toolyard.gateway.upstream.hearing import Hearing
from toolyard.gateway.upstream.mcp_sse import McpSseUpstream
from toolyard.gateway.upstream.mcp_stdio import StdioUpstream
from toolyard.gateway.upstream.mcp_websocket import McpWebSocketUpstream
from toolyard.gateway.upstream.restarts import Restarts
from toolyard.kit.clock import ManualClock, SystemClock

from .callers import Caller, RecordedEvents
from .fake_http_upstream import Legacy, Modern, Reply, Request, error
from .fake_sockets import Script, SseServer, websocket_server
from .http_rig import Caller as HttpCaller
from .http_rig import Rig, rig, run
from .leftovers import run_clean

pytestmark = pytest.mark.slow

FAKE = str(Path(__file__).with_name("fake_stdio_server.py"))
LEGACY: dict[str, Any] = {"era": "legacy", "revision": "2025-11-25"}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (http_session_place, hearing):
        monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)


class NoWait:
    """Chance that always decides for the shortest wait."""

    def uniform(self, low: float, high: float) -> float:
        return low


# -- Streamable HTTP of older revisions --------------------------------------------------------------------------------


class Streaming(Legacy):
    """Has GET streams; `streams` are those open, by session."""

    def __init__(self, **more: Any) -> None:
        capabilities = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}
        super().__init__(capabilities=capabilities, handlers={"GET": self.listen, **more.pop("handlers", {})}, **more)
        self.streams: dict[str, Reply] = {}
        self.opened = asyncio.Event()

    async def listen(self, request: Request, reply: Reply) -> None:
        await reply.stream()
        self.streams[request.headers["mcp-session-id"]] = reply
        self.opened.set()
        await request.gone.wait()


async def watch(r: Rig, uri: str = "x:1", isolation: str = "key:1") -> None:
    await r.upstream.watch(HttpCaller().call("resources/subscribe", {"uri": uri}, isolation=isolation, **LEGACY), uri)


def test_a_server_without_get_that_says_404_keeps_its_session():
    async def none(request: Request, reply: Reply) -> None:
        await reply.json(error(request, -32000, id=None) if request.body else {}, 404)

    async def work() -> None:
        async with rig(Legacy(handlers={"GET": none})) as r:
            await r.upstream.observe()
            await r.upstream.observe()
            await r.fake.wait_for("GET", 2)
            await r.upstream.observe()
            assert len(r.fake.of("initialize")) == 1

    run(work)


def test_a_change_right_after_the_lists_were_read_is_heard_because_the_stream_is_open_before():
    async def work() -> None:
        server = Streaming()
        async with rig(server) as r:
            await r.upstream.observe()
            methods = [request.rpc_method for request in r.fake.requests]
            assert methods.index("GET") < methods.index("tools/list")

    run(work)


def test_a_stream_that_breaks_is_opened_again_and_what_is_watched_is_told_once():
    async def work() -> None:
        server = Streaming()
        async with rig(server, era_hint="legacy") as r:
            await watch(r)
            await server.opened.wait()
            r.fake.drop_connections()
            await r.fake.wait_for("GET", 2)
            await r.events.wait_for(("resource", "key:1", {"uri": "x:1"}))
            await r.events.wait_for(("lists", "tools"))
            assert r.events.heard.count(("resource", "key:1", {"uri": "x:1"})) == 1
            assert len(r.fake.of("resources/subscribe")) == 1

    run(work)


@pytest.mark.parametrize("status", [503, 404])
def test_a_watched_session_that_is_lost_is_tried_until_it_is_there_though_nobody_calls(status: int):
    async def work() -> None:
        server, refused = Streaming(), asyncio.Event()
        refusals = 0

        async def restarting(request: Request, reply: Reply) -> None:
            nonlocal refusals
            if server.sessions or refusals == 3 or request.rpc_method != "initialize":
                await server(request, reply)
                return
            refusals += 1
            refused.set()
            await reply.whole(status)

        async with rig(server, era_hint="legacy") as r:
            await watch(r)
            await server.opened.wait()
            r.fake.script = restarting
            server.sessions.clear()
            r.fake.drop_connections()
            await refused.wait()
            await r.fake.wait_for("resources/subscribe", 2)
            await r.events.wait_for(("resource", "key:1", {"uri": "x:1"}))
            assert refusals == 3

    run(work)


def test_a_call_that_finds_its_session_lost_has_it_opened_again_for_those_who_watch():
    async def work() -> None:
        server = Legacy(capabilities={"tools": {}, "resources": {"subscribe": True}})
        async with rig(server, era_hint="legacy") as r:
            await watch(r)
            server.sessions.clear()
            with pytest.raises(UpstreamIncomplete):
                await r.echo(isolation="key:1", **LEGACY)
            await r.fake.wait_for("resources/subscribe", 2)
            await r.events.wait_for(("resource", "key:1", {"uri": "x:1"}))

    run(work)


def test_a_lost_session_that_nobody_watches_through_any_more_is_left_alone():
    async def work() -> None:
        server = Streaming()
        async with rig(server, era_hint="legacy") as r:
            call = HttpCaller().call("resources/subscribe", {"uri": "x:1"}, isolation="key:1", **LEGACY)
            await r.upstream.watch(call, "x:1")
            await server.opened.wait()
            await r.upstream.unwatch(call, "x:1")
            server.sessions.clear()
            r.fake.drop_connections()
            await r.fake.wait_for("GET", 2)
            await r.echo(isolation="key:2", **LEGACY)
            assert len(r.fake.of("initialize")) == 2
            await r.upstream.unwatch(call, "x:1")
            assert len(r.fake.of("resources/unsubscribe")) == 1

    run(work)


def test_the_gateways_own_session_that_was_lost_is_opened_again_and_its_lists_are_announced():
    async def work() -> None:
        server = Streaming()
        async with rig(server) as r:
            await r.upstream.observe()
            await server.opened.wait()
            server.sessions.clear()
            r.fake.drop_connections()
            await r.events.wait_for(("lists", "tools"))
            assert len(r.fake.of("initialize")) == 2

    run(work)


def test_who_cannot_have_a_stream_is_told_that_it_cannot_watch_and_is_not_subscribed():
    async def work() -> None:
        server = Streaming()
        async with rig(server, era_hint="legacy", max_connections=4) as r:
            await watch(r, isolation="key:1")
            await watch(r, isolation="key:2")
            with pytest.raises(UpstreamBusy):
                await watch(r, isolation="key:3")
            await r.fake.wait_for("resources/unsubscribe")
            assert len(r.fake.of("GET")) == 2

    run(work)


@pytest.mark.parametrize("turns", ["modern", "legacy"])
def test_a_server_that_turns_to_another_era_has_what_is_watched_watched_anew(turns: str):
    async def acknowledged(request: Request, reply: Reply) -> None:
        await reply.stream()
        meta = {"io.modelcontextprotocol/subscriptionId": request.message["id"]}
        params = {"notifications": request.params["notifications"], "_meta": meta}
        method = "notifications/subscriptions/acknowledged"
        await reply.event({"jsonrpc": "2.0", "method": method, "params": params})
        await request.gone.wait()

    async def work() -> None:
        capabilities = {"tools": {}, "resources": {"subscribe": True}}
        modern = Modern(capabilities=capabilities, handlers={"subscriptions/listen": acknowledged})
        legacy = Streaming()
        before, after = (legacy, modern) if turns == "modern" else (modern, legacy)
        async with rig(before, clock=ManualClock()) as r:
            await r.upstream.observe()
            await watch(r)
            r.fake.script = after
            r.fake.drop_connections()
            clock = r.upstream._clock
            assert isinstance(clock, ManualClock)
            clock.advance(3600)
            assert (await r.upstream.observe()).era == turns
            assert r.events.heard.count(("watches lost",)) == 1
            await watch(r)
            method = "subscriptions/listen" if turns == "modern" else "resources/subscribe"
            assert len(r.fake.of(method)) == 1

    run(work)


# -- channels ----------------------------------------------------------------------------------------------------------


async def heard(events: RecordedEvents, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            events.something.clear()
            await events.something.wait()


async def breaks(upstream: DuplexUpstream, caller: Caller, name: str) -> None:
    with pytest.raises(UpstreamError):
        await upstream.request(caller.call(), "tools/call", {"name": name, "arguments": {}})


def socket_scene(transport: str, use: Callable[[Any, RecordedEvents, Script], Awaitable[None]], era: str) -> None:
    async def whole() -> None:
        events, script, chance = RecordedEvents(), Script(era), NoWait()
        more: dict[str, Any] = {"events": events, "clock": SystemClock(), "rng": chance}
        if transport == "sse":
            async with SseServer(script).running() as url:
                await played(McpSseUpstream(UpstreamSpec("up", "mcp-sse", url=url), **more), events, script)
        else:
            async with websocket_server(script) as url:
                spec = UpstreamSpec("up", "mcp-websocket", url=url)
                await played(McpWebSocketUpstream(spec, **more), events, script)

    async def played(upstream: Any, events: RecordedEvents, script: Script) -> None:
        try:
            await use(upstream, events, script)
        finally:
            await upstream.aclose()

    run_clean(whole)


@pytest.mark.parametrize("transport", ["sse", "websocket"])
def test_a_watched_connection_that_breaks_is_opened_again_and_its_resource_told_once(transport: str):
    async def use(upstream: Any, events: RecordedEvents, script: Script) -> None:
        caller = Caller()
        await upstream.watch(caller.call(), "x:1")
        await breaks(upstream, caller, "break")
        await heard(events, lambda: events.updated == [("up", "key:a", {"uri": "x:1"})])
        assert [m["params"]["uri"] for m in script.of("resources/subscribe")] == ["x:1", "x:1"]

    socket_scene(transport, use, "legacy")


def test_a_connection_that_comes_back_in_another_era_has_what_is_watched_watched_anew():
    async def use(upstream: Any, events: RecordedEvents, script: Script) -> None:
        caller = Caller()
        await upstream.watch(caller.call(), "x:1")
        script.era = "modern"
        await breaks(upstream, caller, "break")
        await heard(events, lambda: events.watches_lost_at == ["up"])

    socket_scene("websocket", use, "legacy")


def test_when_the_only_connection_of_a_modern_upstream_breaks_its_lists_are_looked_at_again():
    async def use(upstream: Any, events: RecordedEvents, script: Script) -> None:
        await upstream.observe()
        await breaks(upstream, Caller(era="modern"), "break")
        await heard(events, lambda: events.changed == [("up", "tools")])

    socket_scene("websocket", use, "modern")


def test_when_the_process_of_a_modern_upstream_dies_what_was_heard_through_it_is_looked_at_again(tmp_path: Path):
    async def whole() -> None:
        events, log = RecordedEvents(), tmp_path / "received"
        command = (sys.executable, "-S", "-E", FAKE, "--log", str(log), "--era", "modern")
        upstream = StdioUpstream(
            UpstreamSpec("fake", "mcp-stdio", command=command), events=events, clock=SystemClock(),
            rng=NoWait(),  # type: ignore[arg-type]
        )  # fmt: skip
        try:
            caller = Caller(era="modern")
            await upstream.watch(caller.call(), "fake://r")
            await breaks(upstream, caller, "die")
            await heard(events, lambda: ("fake", None, {"uri": "fake://r"}) in events.updated)
            await heard(events, lambda: ("fake", "tools") in events.changed)
            assert len(events.updated) == 1
        finally:
            await upstream.aclose()

    run_clean(whole)


def test_an_upstream_that_ends_its_sessions_at_once_is_looked_at_later_and_later(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hearing, "FIRST_PAUSE_S", 0.5)

    async def scene() -> None:
        events, clock = RecordedEvents(), LoopClock()
        made = Hearing("up", events, clock, Restarts(clock))
        now = asyncio.get_running_loop().time
        pauses: list[float] = []
        for _ in range(12):
            made.began()
            began = now()
            await asyncio.gather(made.lost(), made.lost())
            pauses.append(now() - began)
        assert pauses[0] <= 0.5
        assert min(pauses[-3:]) >= 30.0
        assert max(pauses) <= 60.0
        assert events.changed == [("up", "tools")] * 12
        made.began()
        await asyncio.sleep(61)
        began = now()
        await made.lost()
        assert now() - began <= 0.5

    run_virtually(scene())


def test_who_stops_watching_while_the_session_is_busy_is_counted_at_once(tmp_path: Path):
    async def whole() -> None:
        log = tmp_path / "received"
        upstream = StdioUpstream(
            UpstreamSpec("fake", "mcp-stdio", command=(sys.executable, "-S", "-E", FAKE, "--log", str(log))),
            events=RecordedEvents(), clock=SystemClock(), rng=NoWait(),  # type: ignore[arg-type]
        )  # fmt: skip
        declared: Json = {"elicitation": {}}
        busy, leaving = Caller(capabilities=declared, watcher="s1"), Caller(capabilities=declared, watcher="s2")
        try:
            await upstream.watch(leaving.call(), "fake://r")
            call = busy.call()
            session = await upstream._pool.acquire(call, call.deadline)
            with pytest.raises(UpstreamBusy):
                await upstream.unwatch(leaving.call(0.05), "fake://r")
            assert upstream._pool.watched == {}
            upstream._pool.release(session, call)
        finally:
            await upstream.aclose()

    run_clean(whole)
