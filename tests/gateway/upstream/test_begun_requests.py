"""When a request over a channel is sent at once, and when it has to wait (`Upstream.begin`)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Begun, Call
from toolyard.gateway.upstream.duplex import DuplexUpstream
from toolyard.gateway.upstream.mcp_sse import McpSseUpstream
from toolyard.gateway.upstream.mcp_stdio import StdioUpstream
from toolyard.gateway.upstream.mcp_websocket import McpWebSocketUpstream
from toolyard.kit.clock import SystemClock

from .at_once import outcome
from .callers import Caller, RecordedEvents, said
from .fake_sockets import Script, SseServer, websocket_server
from .leftovers import run_clean

FAKE = str(Path(__file__).with_name("fake_stdio_server.py"))
ERAS = ["legacy", "modern"]
ABLE: Json = {"elicitation": {}}


@asynccontextmanager
async def stdio(era: str) -> AsyncIterator[DuplexUpstream]:
    command = (sys.executable, "-S", "-E", FAKE, "--era", era)
    upstream = StdioUpstream(
        UpstreamSpec("up", "mcp-stdio", command=command), events=RecordedEvents(), clock=SystemClock()
    )
    yield upstream
    await upstream.aclose()


@asynccontextmanager
async def websocket(era: str) -> AsyncIterator[DuplexUpstream]:
    async with websocket_server(Script(era)) as url:
        upstream = McpWebSocketUpstream(
            UpstreamSpec("up", "websocket", url=url), events=RecordedEvents(), clock=SystemClock()
        )
        yield upstream
        await upstream.aclose()


@asynccontextmanager
async def sse() -> AsyncIterator[DuplexUpstream]:
    async with SseServer(Script()).running() as url:
        upstream = McpSseUpstream(UpstreamSpec("up", "mcp-sse", url=url), events=RecordedEvents(), clock=SystemClock())
        yield upstream
        await upstream.aclose()


def begin(upstream: DuplexUpstream, call: Call, name: str = "echo", **arguments: Any) -> Begun | None:
    return upstream.begin(call, "tools/call", {"name": name, "arguments": arguments})


async def ask(upstream: DuplexUpstream, call: Call, name: str = "echo", **arguments: Any) -> Json:
    return await upstream.request(call, "tools/call", {"name": name, "arguments": arguments})


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("opened", [stdio, websocket])
def test_a_request_is_sent_at_once_on_a_session_that_is_open(opened: Callable[[str], Any], era: str) -> None:
    async def whole() -> None:
        async with opened(era) as upstream:
            caller = Caller()
            assert begin(upstream, caller.call()) is None
            first = await ask(upstream, caller.call(), n=1)
            begun = [begin(upstream, caller.call(), n=1) for _ in range(20)]
            results = await asyncio.gather(*(outcome(one) for one in begun if one is not None))
            assert results == [first] * 20
            assert upstream.status()["sessions"][-1]["busy"] == 0

    run_clean(whole)


def test_a_request_that_has_to_be_posted_is_waited_for() -> None:
    async def whole() -> None:
        async with sse() as upstream:
            caller = Caller()
            await ask(upstream, caller.call())
            assert begin(upstream, caller.call()) is None
            assert upstream.status()["sessions"][-1]["busy"] == 0

    run_clean(whole)


@pytest.mark.parametrize("era", ERAS)
def test_a_retry_with_answers_is_looked_at_before_it_is_sent(era: str) -> None:
    async def whole() -> None:
        async with stdio(era) as upstream:
            caller = Caller(era="modern")
            await ask(upstream, caller.call())
            assert begin(upstream, caller.call(input_responses={})) is None
            assert begin(upstream, caller.call(upstream_state="s")) is None

    run_clean(whole)


def test_a_level_that_the_upstream_is_to_log_at_is_set_first() -> None:
    async def whole() -> None:
        async with stdio("legacy") as upstream:
            caller = Caller(log_level="warning")
            await ask(upstream, Caller().call())
            assert begin(upstream, caller.call()) is None
            await ask(upstream, caller.call())
            begun = begin(upstream, caller.call(), "logs")
            assert begun is not None
            assert said(await outcome(begun)) == "done"
            assert [n["params"]["level"] for n in caller.notifications] == ["warning", "error"]

    run_clean(whole)


def test_a_call_whose_turn_it_is_not_is_waited_for_and_takes_nothing() -> None:
    async def whole() -> None:
        async with stdio("legacy") as upstream:
            one, other = (Caller(capabilities=ABLE, watcher=who, isolation="both") for who in ("one", "other"))
            await ask(upstream, one.call())
            held = begin(upstream, one.call(), "hold")
            assert held is not None
            assert begin(upstream, other.call()) is None
            beside = begin(upstream, one.call(), "release")
            assert beside is not None
            await asyncio.gather(outcome(held), outcome(beside))
            begun = begin(upstream, other.call())
            assert begun is not None
            assert said(await outcome(begun)) == {}

    run_clean(whole)


def test_a_request_that_is_given_up_leaves_its_turn_and_its_session_to_others() -> None:
    async def whole() -> None:
        async with stdio("legacy") as upstream:
            one, other = (Caller(capabilities=ABLE, watcher=who, isolation="both") for who in ("one", "other"))
            await ask(upstream, one.call())
            never = begin(upstream, one.call(), "never")
            assert never is not None
            never.cancel()
            begun = begin(upstream, other.call())
            assert begun is not None
            await outcome(begun)
            assert upstream.status()["sessions"][0]["busy"] == 0

    run_clean(whole)
