"""WebSocket upstreams of both eras, and what goes wrong with them (attack book UPF-02, 03, 05, 07, 13)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.upstream.errors import (
    UpstreamError,
    UpstreamIncomplete,
    UpstreamTimedOut,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from toolyard.gateway.upstream.mcp_websocket import McpWebSocketUpstream
from toolyard.kit.clock import SystemClock
from toolyard.kit.secret import Secret
from toolyard.net.errors import EgressDenied, InvalidUrl

from .at_once import WebSocketAtOnce
from .callers import Caller, RecordedEvents
from .fake_sockets import Script, websocket_server
from .leftovers import run_clean


class NoWait:
    """Chance that always decides for the shortest wait."""

    def uniform(self, low: float, high: float) -> float:
        return low


@pytest.fixture(autouse=True, params=["waited-for", "begun"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which a request goes its way."""
    if request.param == "begun":
        monkeypatch.setitem(globals(), "McpWebSocketUpstream", WebSocketAtOnce)


def drive(use: Callable[[McpWebSocketUpstream, Script], Awaitable[None]], era: str = "legacy") -> None:
    async def whole() -> None:
        script = Script(era)
        async with websocket_server(script) as url:
            spec = UpstreamSpec(id="ws", kind="websocket", url=url, headers=(("X-Key", Secret("SEKRET-UP-1")),))
            upstream = McpWebSocketUpstream(
                spec, events=RecordedEvents(), clock=SystemClock(), rng=NoWait(),  # type: ignore[arg-type]
            )  # fmt: skip
            try:
                await use(upstream, script)
            finally:
                await upstream.aclose()

    run_clean(whole)


async def tool(
    upstream: McpWebSocketUpstream, caller: Caller, name: str, /, seconds: float = 20.0, **args: Any
) -> Json:
    return await upstream.request(caller.call(seconds), "tools/call", {"name": name, "arguments": args})


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_definitions_and_calls_travel_in_either_era_with_the_declared_headers(era: str) -> None:
    async def use(upstream: McpWebSocketUpstream, script: Script) -> None:
        seen = await upstream.observe()
        assert (seen.era, [t["name"] for t in seen.tools]) == (era, ["echo"])
        answers = await asyncio.gather(*(tool(upstream, Caller(), "echo", n=n) for n in range(50)))
        assert answers == [{"n": n} for n in range(50)]
        assert script.connections == (1 if era == "modern" else 2)
        assert script.headers[0]["x-key"] == "SEKRET-UP-1"
        assert script.headers[0]["sec-websocket-protocol"] == "mcp"

    drive(use, era)


def test_a_connection_that_breaks_fails_its_calls_at_once_and_the_next_call_opens_another() -> None:
    async def use(upstream: McpWebSocketUpstream, script: Script) -> None:
        await tool(upstream, Caller(), "echo")
        waiting = asyncio.ensure_future(tool(upstream, Caller(), "never"))
        await asyncio.sleep(0)
        with pytest.raises(UpstreamIncomplete):
            await tool(upstream, Caller(), "break")
        with pytest.raises(UpstreamIncomplete):
            await waiting
        assert await tool(upstream, Caller(), "echo", n=1) == {"n": 1}
        assert script.connections == 2

    drive(use)


def test_junk_and_answers_to_nobody_are_dropped() -> None:
    async def use(upstream: McpWebSocketUpstream, script: Script) -> None:
        assert await tool(upstream, Caller(), "junk") == {"right": True}
        assert upstream.status()["sessions"][0]["dropped"]["junk"] == 2
        assert upstream.status()["sessions"][0]["dropped"]["replies"] == 1

    drive(use)


def test_a_message_over_sixteen_mebibytes_is_cut_off() -> None:
    async def use(upstream: McpWebSocketUpstream, script: Script) -> None:
        with pytest.raises(UpstreamTooLarge):
            await tool(upstream, Caller(), "huge", bytes=17 * 1024 * 1024)
        assert await tool(upstream, Caller(), "echo") == {}

    drive(use)


@pytest.mark.slow
def test_silence_ends_at_the_deadline_and_cancellation_reaches_the_upstream() -> None:
    async def use(upstream: McpWebSocketUpstream, script: Script) -> None:
        await tool(upstream, Caller(), "echo")
        with pytest.raises(UpstreamTimedOut):
            await tool(upstream, Caller(), "never", seconds=1.0)
        await script.wait_for("notifications/cancelled")
        assert script.of("notifications/cancelled")[0]["params"]["requestId"] == script.of("tools/call")[1]["id"]

    drive(use)


def test_a_question_reaches_the_caller_that_declared_it_can_be_asked() -> None:
    async def answer(requests: Mapping[str, Json], state: str | None) -> dict[str, Json]:
        return {key: {"action": "accept", "content": {"n": 1}} for key in requests}

    async def use(upstream: McpWebSocketUpstream, script: Script) -> None:
        caller = Caller(capabilities={"elicitation": {}}, answer=answer)
        assert await tool(upstream, caller, "ask") == {"answer": {"action": "accept", "content": {"n": 1}}}
        refused = await tool(upstream, Caller(), "ask")
        assert refused["answer"]["code"] == -32601

    drive(use)


def test_progress_reaches_its_caller() -> None:
    async def use(upstream: McpWebSocketUpstream, script: Script) -> None:
        caller = Caller(wants_progress=True)
        await tool(upstream, caller, "progress", count=3)
        assert [n["params"] for n in caller.notifications] == [{"progress": n} for n in range(3)]

    drive(use)


def test_a_server_that_is_not_there_is_unreachable_and_nothing_has_run() -> None:
    async def whole() -> None:
        spec = UpstreamSpec(id="ws", kind="websocket", url="ws://127.0.0.1:1/")
        upstream = McpWebSocketUpstream(spec, events=RecordedEvents(), clock=SystemClock())
        with pytest.raises(UpstreamUnreachable) as caught:
            await tool(upstream, Caller(), "echo")
        assert not caught.value.may_have_run
        assert "127.0.0.1" not in caught.value.message
        await upstream.aclose()

    run_clean(whole)


def test_an_http_server_is_not_taken_for_a_websocket() -> None:
    async def whole() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        spec = UpstreamSpec(id="ws", kind="websocket", url=url)
        upstream = McpWebSocketUpstream(spec, events=RecordedEvents(), clock=SystemClock())
        with pytest.raises(UpstreamError):
            await tool(upstream, Caller(), "echo")
        await upstream.aclose()
        server.close()
        await server.wait_closed()

    run_clean(whole)


def test_a_url_that_cannot_be_used_is_refused_when_the_upstream_is_made() -> None:
    for url in ("ftp://x/", "", "ws://user@127.0.0.1/"):
        with pytest.raises((InvalidUrl, EgressDenied)):
            McpWebSocketUpstream(
                UpstreamSpec(id="ws", kind="websocket", url=url), events=RecordedEvents(), clock=SystemClock()
            )
