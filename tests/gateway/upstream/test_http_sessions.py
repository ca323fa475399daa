"""How many legacy sessions there are, how long they live, and that slow callers hold up nobody else."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.upstream.fake_http_upstream import Json, Legacy, Modern, Reply, Request, result, text
from tests.gateway.upstream.http_rig import Caller, rig, run
from toolyard.gateway.upstream import http_legacy
from toolyard.gateway.upstream.errors import UpstreamBusy, UpstreamError, UpstreamInvalid
from toolyard.gateway.upstream.http_legacy import LegacyDriver
from toolyard.gateway.upstream.mcp_http import McpHttpUpstream
from toolyard.kit.clock import ManualClock

LEGACY = {"era": "legacy", "revision": "2025-11-25"}


def driver_of(upstream: McpHttpUpstream) -> LegacyDriver:
    assert isinstance(upstream._driver, LegacyDriver)
    return upstream._driver


def test_an_idle_session_is_ended_after_ten_minutes_and_the_gateways_own_is_not():
    async def work() -> None:
        clock, server = ManualClock(), Legacy()
        async with rig(server, clock=clock) as r:
            await r.upstream.observe()
            await r.echo(isolation="key:1", **LEGACY)
            clock.advance(599.0)
            driver_of(r.upstream)._sweep_idle()
            assert r.upstream.status()["sessions"] == 2
            clock.advance(1.0)
            driver_of(r.upstream)._sweep_idle()
            await r.fake.wait_for("DELETE")
            assert r.upstream.status()["sessions"] == 1
            assert r.fake.of("DELETE")[0].headers["mcp-session-id"] == "session-2"

    run(work)


def test_one_session_more_than_allowed_ends_the_one_that_was_idle_longest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_legacy, "MAX_SESSIONS", 3)

    async def work() -> None:
        clock = ManualClock()
        async with rig(Legacy(), clock=clock) as r:
            await r.upstream.observe()
            for number in (1, 2, 3):
                clock.advance(1.0)
                await r.echo(isolation=f"key:{number}", **LEGACY)
            ended = await r.fake.wait_for("DELETE")
            assert ended.headers["mcp-session-id"] == "session-2"
            assert r.upstream.status()["sessions"] == 3

    run(work)


def test_who_has_most_sessions_makes_room_and_drives_nobody_else_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_legacy, "MAX_SESSIONS", 4)

    async def work() -> None:
        clock = ManualClock()
        async with rig(Legacy(), clock=clock) as r:
            await r.upstream.observe()
            await r.echo(isolation="key:b", **LEGACY)
            for handle in range(6):
                clock.advance(1.0)
                await r.echo(isolation=f"key:a handle {handle}", **LEGACY)
            await r.fake.wait_for("DELETE", 4)
            await r.echo(isolation="key:b", **LEGACY)
            assert len(r.fake.of("initialize")) == 8
            assert {request.headers["mcp-session-id"] for request in r.fake.of("DELETE")} == {
                f"session-{n}" for n in range(3, 7)
            }

    run(work)


def test_a_caller_without_room_for_its_session_hears_that_the_upstream_is_busy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_legacy, "MAX_SESSIONS", 2)
    go = asyncio.Event()

    async def hang(request: Request, reply: Reply) -> None:
        await go.wait()
        await reply.json(result(request, text("ok")))

    async def work() -> None:
        async with rig(Legacy(handlers={"tools/call": hang})) as r:
            await r.upstream.observe()
            running = asyncio.ensure_future(r.echo(isolation="key:1", **LEGACY))
            await r.fake.wait_for("tools/call")
            with pytest.raises(UpstreamBusy) as caught:
                await r.echo(isolation="key:2", **LEGACY)
            assert caught.value.may_have_run is False
            go.set()
            await running

    run(work)


@pytest.mark.slow
def test_the_gateways_own_session_is_opened_again_when_its_stream_finds_it_lost():
    class Server(Legacy):
        async def listen(self, request: Request, reply: Reply) -> None:
            await reply.stream()
            await request.gone.wait()

    async def work() -> None:
        server = Server(capabilities={"tools": {"listChanged": True}})
        server.handlers["GET"] = server.listen
        async with rig(server) as r:
            await r.upstream.observe()
            await r.fake.wait_for("GET")
            server.sessions.clear()
            r.fake.drop_connections()
            again = await r.fake.wait_for("initialize", 2)
            assert set(again.params["capabilities"]) == {"elicitation", "roots", "sampling"}
            last = await r.fake.wait_for("GET", 3)
            assert last.headers["mcp-session-id"] == "session-2"

    run(work)


class Slow(Caller):
    """A caller that does not take its notifications until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()
        self.waits = asyncio.Event()

    async def emit(self, message: Json) -> None:
        self.waits.set()
        await self.may.wait()
        await super().emit(message)


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_caller_that_takes_its_notifications_slowly_holds_up_nobody_else(era: str):
    async def progress(request: Request, reply: Reply) -> None:
        token = request.params.get("_meta", {}).get("progressToken")
        await reply.stream()
        params = {"progressToken": token, "progress": 1}
        await reply.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        await reply.event(result(request, text("done")))
        await reply.end()

    async def work() -> None:
        script = (Modern if era == "modern" else Legacy)(handlers={"tools/call": progress})
        how = {"era": era, "revision": "2025-11-25" if era == "legacy" else "2026-07-28"}
        async with rig(script) as r:
            slow = Slow()
            waiting = asyncio.ensure_future(r.echo(slow, wants_progress=True, **how))
            await slow.waits.wait()
            assert (await r.echo(wants_progress=True, **how))["content"][0]["text"] == "done"
            assert not waiting.done()
            slow.may.set()
            assert (await waiting)["content"][0]["text"] == "done"
            assert len(slow.told) == 1

    run(work)


@pytest.mark.parametrize("session_id", ["a b", "x" * 513, "", "\x7f"])
def test_a_session_id_that_is_not_visible_ascii_is_invalid(session_id: str):
    async def initialize(request: Request, reply: Reply) -> None:
        shaken = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
        await reply.json(result(request, shaken), mcp_session_id=session_id)

    async def work() -> None:
        async with rig(Legacy(stateless=True, handlers={"initialize": initialize})) as r:
            with pytest.raises(UpstreamInvalid):
                await r.echo(**LEGACY)
            assert r.fake.of("tools/call") == []

    run(work)


def test_a_server_of_both_eras_without_room_for_a_session_is_busy_and_nobodys_state_is_left(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(http_legacy, "MAX_SESSIONS", 1)
    go = asyncio.Event()

    async def hang(request: Request, reply: Reply) -> None:
        await go.wait()
        await reply.json(result(request, text("ok")))

    modern, legacy = Modern(), Legacy(handlers={"tools/call": hang})

    async def both(request: Request, reply: Reply) -> None:
        await (modern if request.headers.get("mcp-protocol-version") == "2026-07-28" else legacy)(request, reply)

    async def work() -> None:
        async with rig(both) as r:
            await r.upstream.observe()
            first = asyncio.ensure_future(r.echo(isolation="key:1", **LEGACY))
            await r.fake.wait_for("tools/call")
            with pytest.raises(UpstreamBusy) as caught:
                await r.echo(isolation="key:2", **LEGACY)
            assert caught.value.may_have_run is False
            go.set()
            await first
            await r.echo(isolation="key:1", **LEGACY)
            sessions = [request.headers.get("mcp-session-id") for request in r.fake.of("tools/call")]
            assert sessions == ["session-1", "session-1"]

    run(work)


def test_a_session_whose_opening_fails_after_it_has_begun_is_ended_on_the_server():
    async def refuse(request: Request, reply: Reply) -> None:
        await reply.whole(500)

    async def work() -> None:
        async with rig(Legacy(handlers={"notifications/initialized": refuse}), era_hint="legacy") as r:
            with pytest.raises(UpstreamError):
                await r.echo(**LEGACY)
            ended = await r.fake.wait_for("DELETE")
            assert ended.headers["mcp-session-id"] == "session-1"
            assert r.fake.of("tools/call") == []

    run(work)
