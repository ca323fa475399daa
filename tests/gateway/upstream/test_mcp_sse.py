"""HTTP+SSE upstreams, and what goes wrong with them (attack book UPF-02 to 05, 07, 10, 13)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.upstream import mcp_sse
from toolyard.gateway.upstream.errors import (
    UpstreamError,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamTooLarge,
)
from toolyard.gateway.upstream.mcp_sse import McpSseUpstream
from toolyard.kit.clock import SystemClock
from toolyard.kit.secret import Secret

from .callers import Caller, RecordedEvents
from .fake_sockets import Script, SseServer
from .leftovers import run_clean


class NoWait:
    """Chance that always decides for the shortest wait."""

    def uniform(self, low: float, high: float) -> float:
        return low


def drive(use: Callable[[McpSseUpstream, SseServer], Awaitable[None]]) -> None:
    async def whole() -> None:
        server = SseServer(Script())
        async with server.running() as url:
            spec = UpstreamSpec(id="sse", kind="mcp-sse", url=url, headers=(("Authorization", Secret("SEKRET-UP-2")),))
            upstream = McpSseUpstream(
                spec, events=RecordedEvents(), clock=SystemClock(), rng=NoWait(),  # type: ignore[arg-type]
            )  # fmt: skip
            try:
                await use(upstream, server)
            finally:
                await upstream.aclose()

    run_clean(whole)


async def tool(upstream: McpSseUpstream, caller: Caller, name: str, /, seconds: float = 20.0, **args: Any) -> Json:
    return await upstream.request(caller.call(seconds), "tools/call", {"name": name, "arguments": args})


def test_definitions_and_calls_travel_and_every_request_has_the_declared_headers() -> None:
    async def use(upstream: McpSseUpstream, server: SseServer) -> None:
        seen = await upstream.observe()
        assert (seen.era, seen.revision, [t["name"] for t in seen.tools]) == ("legacy", "2024-11-05", ["echo"])
        answers = await asyncio.gather(*(tool(upstream, Caller(), "echo", n=n) for n in range(50)))
        assert answers == [{"n": n} for n in range(50)]
        assert server.script.connections == 2
        assert not server.script.of("server/discover")
        assert {headers["authorization"] for headers in server.script.headers} == {"SEKRET-UP-2"}

    drive(use)


@pytest.mark.parametrize(
    "endpoint",
    ["https://evil.example/messages", "//evil.example/m", "http://127.0.0.1:1/m", "http://[bad", "/m\x7f", "/m#x"],
)
def test_an_endpoint_elsewhere_is_refused_and_nothing_is_posted(endpoint: str) -> None:
    async def use(upstream: McpSseUpstream, server: SseServer) -> None:
        server.endpoint = endpoint
        with pytest.raises(UpstreamInvalid, match="not its own"):
            await tool(upstream, Caller(), "echo")
        assert server.script.received == []

    drive(use)


def test_a_full_url_of_the_same_origin_is_a_good_endpoint() -> None:
    async def use(upstream: McpSseUpstream, server: SseServer) -> None:
        origin = f"http://{upstream.spec.url.split('/')[2]}" if upstream.spec.url else ""
        server.endpoint = origin + "/messages?session={session}"
        assert await tool(upstream, Caller(), "echo", n=1) == {"n": 1}

    drive(use)


def test_a_stream_that_breaks_fails_its_calls_at_once_and_the_next_call_opens_another() -> None:
    async def use(upstream: McpSseUpstream, server: SseServer) -> None:
        await tool(upstream, Caller(), "echo")
        waiting = asyncio.ensure_future(tool(upstream, Caller(), "never"))
        await server.script.wait_for("tools/call")
        with pytest.raises(UpstreamIncomplete):
            await tool(upstream, Caller(), "break")
        with pytest.raises(UpstreamIncomplete):
            await waiting
        assert await tool(upstream, Caller(), "echo", n=1) == {"n": 1}
        assert server.script.connections == 2

    drive(use)


def test_a_forgotten_session_is_opened_again_and_the_call_that_never_ran_is_served() -> None:
    async def use(upstream: McpSseUpstream, server: SseServer) -> None:
        await tool(upstream, Caller(), "echo")
        server.forgotten.add("1")
        assert await tool(upstream, Caller(), "echo", n=2) == {"n": 2}
        assert server.script.connections == 2

    drive(use)


@pytest.mark.parametrize(("status", "error"), [(500, UpstreamInvalid), (401, UpstreamRefused), (302, UpstreamInvalid)])
def test_a_refused_post_is_an_error_of_its_call(status: int, error: type[UpstreamError]) -> None:
    async def use(upstream: McpSseUpstream, server: SseServer) -> None:
        await tool(upstream, Caller(), "echo")
        server.post_status = status
        with pytest.raises(error):
            await tool(upstream, Caller(), "echo")
        server.post_status = 202
        assert await tool(upstream, Caller(), "echo", n=3) == {"n": 3}

    drive(use)


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", UpstreamRefused),
        (b"HTTP/1.1 302 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", UpstreamInvalid),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi", UpstreamInvalid),
        (b"garbage\r\n\r\n", UpstreamError),
    ],
)
def test_what_is_no_event_stream_is_refused(head: bytes, error: type[UpstreamError]) -> None:
    async def use(upstream: McpSseUpstream, server: SseServer) -> None:
        server.stream_head, server.endpoint = head, ""
        with pytest.raises(error) as caught:
            await tool(upstream, Caller(), "echo")
        assert not caught.value.may_have_run or error is not UpstreamError

    drive(use)


def test_a_stream_without_endpoint_costs_a_timeout_and_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_sse, "OPEN_S", 0.3)

    async def use(upstream: McpSseUpstream, server: SseServer) -> None:
        server.endpoint = ""
        with pytest.raises(UpstreamTimedOut):
            await tool(upstream, Caller(), "echo")

    drive(use)


def test_an_event_over_four_mebibytes_is_cut_off() -> None:
    async def use(upstream: McpSseUpstream, server: SseServer) -> None:
        with pytest.raises(UpstreamTooLarge):
            await tool(upstream, Caller(), "huge", bytes=5 * 1024 * 1024)
        assert await tool(upstream, Caller(), "echo") == {}

    drive(use)


def test_silence_ends_at_the_deadline_and_cancellation_reaches_the_upstream() -> None:
    async def use(upstream: McpSseUpstream, server: SseServer) -> None:
        await tool(upstream, Caller(), "echo")
        with pytest.raises(UpstreamTimedOut):
            await tool(upstream, Caller(), "never", seconds=0.2)
        await server.script.wait_for("notifications/cancelled")

    drive(use)


def test_junk_and_answers_to_nobody_are_dropped() -> None:
    async def use(upstream: McpSseUpstream, server: SseServer) -> None:
        assert await tool(upstream, Caller(), "junk") == {"right": True}

    drive(use)
