"""Upstreams of every kind that lose their session or go away: opened again by themselves, and nothing done twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.gateway import stateful_server
from tests.gateway.upstream.at_once import StdioAtOnce, WebSocketAtOnce
from tests.gateway.upstream.callers import Caller, RecordedEvents, said
from tests.gateway.upstream.fake_http_upstream import Legacy, Reply, Request, error, result, serving, text
from tests.gateway.upstream.fake_sockets import Broken, Script, Send, SseServer, websocket_server
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Upstream
from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.gateway.upstream.mcp_http import McpHttpUpstream
from toolyard.gateway.upstream.mcp_sse import McpSseUpstream
from toolyard.gateway.upstream.mcp_stdio import StdioUpstream
from toolyard.gateway.upstream.mcp_websocket import McpWebSocketUpstream
from toolyard.kit.clock import SystemClock

KINDS = ["stdio", "websocket", "sse", "http"]
SAFE = {"annotations": {"readOnlyHint": True}}


class NoWait:
    """Chance that always decides for the shortest wait."""

    def uniform(self, low: float, high: float) -> float:
        return low


@pytest.fixture(autouse=True, params=["waited-for", "begun"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which a request goes its way."""
    if request.param == "begun":
        monkeypatch.setitem(globals(), "StdioUpstream", StdioAtOnce)
        monkeypatch.setitem(globals(), "McpWebSocketUpstream", WebSocketAtOnce)


@dataclass
class Effects:
    """What the tools did. `breaks` counts down: so often a tool's connection breaks after it did its work."""

    done: list[str] = field(default_factory=list)
    breaks: int = 0

    def does(self, name: str) -> bool:
        """Do it; true if the connection is to break now."""
        self.done.append(name)
        self.breaks -= 1
        return self.breaks >= 0


@dataclass
class Rig:
    upstream: Upstream
    effects: Callable[[], list[str]]
    break_next: Callable[[int], None]
    lose: Callable[[], Awaitable[None]]

    async def tool(self, name: str) -> Any:
        call = Caller("key:a").call(20.0)
        return said(await self.upstream.request(call, "tools/call", {"name": name, "arguments": {}}))


class Counting(Script):
    """A server on sockets whose tools `change` and `look` count what they do."""

    def __init__(self, effects: Effects) -> None:
        super().__init__()
        self.effects = effects

    async def request(self, message: dict[str, Any], send: Send) -> None:
        if message["method"] == "tools/list":
            schema = {"type": "object"}
            tools = [{"name": "change", "inputSchema": schema}, {"name": "look", "inputSchema": schema, **SAFE}]
            await self.reply(send, message["id"], {"tools": tools})
        else:
            await super().request(message, send)

    async def call(self, request_id: Any, params: dict[str, Any], send: Send) -> None:
        name = params["name"]
        if name == "leave":
            raise Broken
        if self.effects.does(name):
            raise Broken
        await self.reply(send, request_id, text(f'"{name}"'))


def over_http(effects: Effects, *, addressed: bool) -> Legacy:
    """A server over HTTP; `addressed`: what it says of an unknown session has the id of the request."""

    class Server(Legacy):
        async def __call__(self, request: Request, reply: Reply) -> None:
            unknown = request.headers.get("mcp-session-id") not in self.sessions
            if addressed and "mcp-session-id" in request.headers and unknown and request.method == "POST":
                await reply.json(error(request, -32001), 404)
                return
            await super().__call__(request, reply)

    async def call(request: Request, reply: Reply) -> None:
        name = request.params["name"]
        if effects.does(name):
            await reply.stream()
            reply.close()
            return
        await reply.json(result(request, text(f'"{name}"')))

    schema = {"type": "object"}
    tools: list[Json] = [{"name": "change", "inputSchema": schema}, {"name": "look", "inputSchema": schema, **SAFE}]
    return Server(handlers={"tools/call": call}, tools=tools)


@asynccontextmanager
async def over_sockets(kind: str, effects: Effects) -> AsyncIterator[Rig]:
    script = Counting(effects)
    more: Any = {"events": RecordedEvents(), "clock": SystemClock(), "rng": NoWait()}

    def rig(upstream: Upstream) -> Rig:
        async def lose() -> None:
            with pytest.raises(UpstreamError):
                await rigged.tool("leave")

        rigged = Rig(upstream, lambda: effects.done, lambda times: setattr(effects, "breaks", times), lose)
        return rigged

    if kind == "websocket":
        async with websocket_server(script) as url:
            yield rig(McpWebSocketUpstream(UpstreamSpec("up", "websocket", url=url), **more))
    else:
        async with SseServer(script).running() as url:
            yield rig(McpSseUpstream(UpstreamSpec("up", "mcp-sse", url=url), **more))


@asynccontextmanager
async def started(kind: str, tmp_path: Path, *, addressed: bool = False) -> AsyncIterator[Rig]:
    effects = Effects()
    if kind == "stdio":
        counted, breaks = tmp_path / "counted", tmp_path / "breaks"
        counted.touch()
        breaks.touch()
        command = (
            sys.executable,
            "-S",
            "-E",
            stateful_server.__file__,
            "--count",
            str(counted),
            "--breaks",
            str(breaks),
        )
        child: Any = {"events": RecordedEvents(), "clock": SystemClock(), "rng": NoWait()}
        upstream: Upstream = StdioUpstream(UpstreamSpec("up", "mcp-stdio", command=command), **child)

        async def kill() -> None:
            os.kill(await rig.tool("who"), signal.SIGKILL)
            async with asyncio.timeout(20):
                while any(session["owner"] for session in upstream.status()["sessions"]):
                    await asyncio.sleep(0.005)

        rig = Rig(
            upstream, lambda: counted.read_text().split(), lambda times: breaks.write_text("x" * times) and None, kill
        )
        yield rig
    elif kind == "http":
        server = over_http(effects, addressed=addressed)
        async with serving(server) as fake:
            spec = UpstreamSpec("up", "mcp-http", url=fake.url)
            upstream = McpHttpUpstream(spec, events=RecordedEvents(), clock=SystemClock())

            async def forget() -> None:
                server.sessions.clear()

            yield Rig(upstream, lambda: effects.done, lambda times: setattr(effects, "breaks", times), forget)
    else:
        async with over_sockets(kind, effects) as rig:
            yield rig


def scene(kind: str, tmp_path: Path, use: Callable[[Rig], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        async with asyncio.timeout(60), started(kind, tmp_path, **more) as rig:
            try:
                await rig.upstream.observe()
                await use(rig)
            finally:
                await rig.upstream.aclose()

    asyncio.run(whole())


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_whose_answer_broke_off_is_not_made_again_and_its_caller_learns_that_it_may_have_been(
    kind: str, tmp_path: Path
) -> None:
    async def use(rig: Rig) -> None:
        assert await rig.tool("change") == "change"
        rig.break_next(1)
        with pytest.raises(UpstreamError) as caught:
            await rig.tool("change")
        assert caught.value.may_have_run
        assert caught.value.code in {"upstream_incomplete", "upstream_exited"}
        assert rig.effects() == ["change"] * 2
        assert await rig.tool("change") == "change"
        assert rig.effects() == ["change"] * 3

    scene(kind, tmp_path, use)


@pytest.mark.parametrize("kind", KINDS)
def test_a_look_whose_answer_broke_off_is_taken_again_once(kind: str, tmp_path: Path) -> None:
    async def use(rig: Rig) -> None:
        rig.break_next(1)
        assert await rig.tool("look") == "look"
        assert rig.effects() == ["look"] * 2
        rig.break_next(2)
        with pytest.raises(UpstreamError):
            await rig.tool("look")
        assert rig.effects() == ["look"] * 4

    scene(kind, tmp_path, use)


@pytest.mark.parametrize("kind", ["stdio", "websocket", "sse"])
def test_an_upstream_that_went_away_between_calls_fails_no_call(kind: str, tmp_path: Path) -> None:
    async def use(rig: Rig) -> None:
        for count in (1, 2, 3):
            assert await rig.tool("change") == "change"
            await rig.lose()
            assert rig.effects() == ["change"] * count

    scene(kind, tmp_path, use)


@pytest.mark.parametrize("addressed", [False, True])
def test_a_session_that_was_forgotten_over_http_is_opened_again_and_a_change_is_made_once_at_most(
    addressed: bool, tmp_path: Path
) -> None:
    async def use(rig: Rig) -> None:
        assert await rig.tool("change") == "change"
        await rig.lose()
        assert await rig.tool("look") == "look"
        await rig.lose()
        with pytest.raises(UpstreamError) as caught:
            await rig.tool("change")
        assert caught.value.code == "upstream_incomplete"
        assert rig.effects() == ["change", "look"]
        assert await rig.tool("change") == "change"
        assert rig.effects() == ["change", "look", "change"]

    scene("http", tmp_path, use, addressed=addressed)
