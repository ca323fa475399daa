"""Finding out an upstream's era, remembering it, and noticing that it changed (UPF-14)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.gateway.upstream.fake_http_upstream import (
    Json,
    Legacy,
    Modern,
    Reply,
    Request,
    Script,
    error,
    result,
    serving,
)
from tests.gateway.upstream.http_rig import Caller, Events, rig, run
from toolyard.contract.definitions import Observation
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Call
from toolyard.gateway.upstream.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefused,
)
from toolyard.gateway.upstream.http_era import HttpSseExpected
from toolyard.gateway.upstream.mcp_http import McpHttpUpstream
from toolyard.kit.clock import ManualClock
from toolyard.protocol.errors import RelayedError

LEGACY_CALLER: dict[str, Any] = {"era": "legacy", "revision": "2025-11-25"}


class Both:
    """A server that answers both eras at one URL, as the official SDK does."""

    def __init__(self) -> None:
        self.modern, self.legacy = Modern(), Legacy()

    async def __call__(self, request: Request, reply: Reply) -> None:
        modern = request.headers.get("mcp-protocol-version") == "2026-07-28"
        await (self.modern if modern else self.legacy)(request, reply)


def era_found(script: Script) -> tuple[str | None, list[str]]:
    """The era that the first call finds, and the methods that were sent."""
    found: list[Any] = []

    async def work() -> None:
        async with rig(script) as r:
            await r.echo()
            found.extend((r.upstream.era, [request.rpc_method for request in r.fake.requests]))

    run(work)
    return found[0], found[1]


def test_a_modern_server_is_found_by_its_discover_result():
    assert era_found(Modern()) == ("modern", ["server/discover", "tools/call"])


def test_a_legacy_server_is_found_by_the_handshake():
    era, methods = era_found(Legacy())
    assert era == "legacy"
    assert methods[:2] == ["server/discover", "initialize"]


@pytest.mark.parametrize("code", [-32020, -32021])
def test_an_error_that_only_modern_servers_send_shows_a_modern_server(code: int):
    async def discover(request: Request, reply: Reply) -> None:
        await reply.json(error(request, code), 400)

    assert era_found(Modern(handlers={"server/discover": discover}))[0] == "modern"


def probed_by(discover: Script) -> str | None:
    """The era found where a legacy server answers `server/discover` in an odd way."""
    legacy = Legacy()

    async def script(request: Request, reply: Reply) -> None:
        if request.body and request.rpc_method == "server/discover":
            await discover(request, reply)
        else:
            await legacy(request, reply)

    return era_found(script)[0]


def answer(message: Any = None, status: int = 200, body: bytes = b"", content_type: str = "application/json") -> Script:
    async def discover(request: Request, reply: Reply) -> None:
        if message is None:
            await reply.whole(status, body, content_type)
        else:
            await reply.json(message(request), status)

    return discover


@pytest.mark.parametrize(
    "discover",
    [
        answer(lambda q: error(q, -32601)),
        answer(lambda q: error(q, -32601), 404),
        answer(lambda q: error(q, -32600, id="server-error"), 400),
        answer(lambda q: error(q, -32022, {"supported": ["2025-11-25"], "requested": "x"}), 400),
        answer(lambda q: result(q, {"supportedVersions": ["2025-11-25"], "capabilities": {}})),
        answer(lambda q: result(q, {})),
        answer(lambda q: [1]),
        answer(status=400),
        answer(status=404, body=b"<html>", content_type="text/html"),
        answer(status=405),
        answer(status=406),
        answer(status=500),
        answer(body=b"hello", content_type="text/plain"),
    ],
)
def test_anything_else_leads_to_the_handshake(discover: Script):
    assert probed_by(discover) == "legacy"


def test_a_server_that_hangs_up_on_the_question_is_shaken_hands_with():
    async def hang_up(request: Request, reply: Reply) -> None:
        reply.close()

    assert probed_by(hang_up) == "legacy"


def test_a_server_of_other_revisions_only_is_invalid():
    async def work() -> None:
        async with rig(Modern(supported=["2031-01-01"])) as r:
            with pytest.raises(UpstreamInvalid):
                await r.echo()
            assert r.fake.of("initialize") == []

    run(work)


@pytest.mark.parametrize("status", [400, 404, 405])
def test_where_the_handshake_is_refused_too_http_sse_is_expected(status: int):
    async def work() -> None:
        async with rig(answer(status=status)) as r:
            with pytest.raises(HttpSseExpected) as caught:
                await r.echo()
            assert caught.value.may_have_run is False
            assert r.upstream.era is None

    run(work)


@pytest.mark.parametrize(("status", "expected"), [(401, UpstreamRefused), (403, UpstreamRefused), (503, UpstreamBusy)])
def test_a_server_that_refuses_or_is_busy_says_nothing_about_its_era(status: int, expected: type[UpstreamError]):
    async def work() -> None:
        async with rig(answer(status=status)) as r:
            with pytest.raises(expected):
                await r.echo()
            assert r.upstream.era is None
            assert [request.rpc_method for request in r.fake.requests] == ["server/discover"]

    run(work)


def test_a_handshake_answered_with_an_error_is_invalid():
    async def refuse(request: Request, reply: Reply) -> None:
        await reply.json(error(request, -32602))

    async def work() -> None:
        async with rig(Legacy(stateless=True, handlers={"initialize": refuse})) as r:
            with pytest.raises(UpstreamInvalid):
                await r.echo()

    run(work)


def test_callers_that_come_together_share_one_probe():
    async def work() -> None:
        async with rig(Modern()) as r:
            await asyncio.gather(*(r.echo() for _ in range(8)))
            assert len(r.fake.of("server/discover")) == 1

    run(work)


@pytest.mark.parametrize(("hint", "script"), [("modern", Modern()), ("legacy", Legacy())])
def test_a_remembered_era_is_used_without_asking(hint: str, script: Script):
    async def work() -> None:
        async with rig(script, era_hint=hint) as r:
            assert r.upstream.era == hint
            await r.echo()
            assert r.fake.of("server/discover") == []

    run(work)


@pytest.mark.parametrize(("hint", "script", "found"), [("modern", Legacy(), "legacy"), ("legacy", Modern(), "modern")])
@pytest.mark.parametrize("observed", [False, True])
def test_a_wrong_memory_is_corrected_and_the_refused_request_sent_again(
    hint: str, script: Script, found: str, *, observed: bool
):
    async def work() -> None:
        async with rig(script, era_hint=hint) as r:
            if observed:
                assert (await r.upstream.observe()).era == found
            assert (await r.echo())["content"][0]["text"] == "echo"
            assert r.upstream.era == found
            assert len(r.fake.of("server/discover")) <= 3

    run(work)


def test_a_server_that_is_redeployed_in_the_other_era_is_probed_again_but_not_twice_within_five_seconds():
    async def work() -> None:
        clock = ManualClock()
        async with rig(Modern(), clock=clock) as r:
            await r.echo()
            r.fake.script = Legacy()
            with pytest.raises(UpstreamError):
                await r.echo()
            assert r.upstream.era == "modern"
            clock.advance(5.0)
            assert (await r.echo())["content"][0]["text"] == "echo"
            assert r.upstream.era == "legacy"
            r.fake.script = Modern()
            clock.advance(5.0)
            assert (await r.echo())["content"][0]["text"] == "echo"
            assert r.upstream.era == "modern"

    run(work)


def test_a_legacy_server_is_asked_again_after_five_minutes_whether_it_has_become_modern():
    async def work() -> None:
        clock = ManualClock()
        both: dict[str, Any] = {"legacy": Legacy()}

        async def script(request: Request, reply: Reply) -> None:
            modern = request.headers.get("mcp-protocol-version") == "2026-07-28"
            await (both["modern"] if modern and "modern" in both else both["legacy"])(request, reply)

        async with rig(script, clock=clock) as r:
            assert (await r.upstream.observe()).era == "legacy"
            both["modern"] = Modern()
            assert (await r.upstream.observe()).era == "legacy"
            clock.advance(301.0)
            assert (await r.upstream.observe()).era == "modern"

    run(work)


def test_an_error_of_the_right_era_is_no_contradiction():
    async def fail(request: Request, reply: Reply) -> None:
        await reply.json(error(request, -32602), 400)

    async def work() -> None:
        async with rig(Modern(handlers={"tools/call": fail})) as r:
            with pytest.raises(RelayedError):
                await r.echo()
            assert len(r.fake.of("server/discover")) == 1

    run(work)


class OverSse:
    """Stands for the upstream that speaks HTTP+SSE."""

    spec = UpstreamSpec("fake", "mcp-sse")

    def __init__(self) -> None:
        self.closed = False

    async def observe(self) -> Observation:
        return Observation("fake", "legacy", "2024-11-05", {}, {}, None, (), (), (), (), 0.0)

    async def request(self, call: Call, method: str, params: Json) -> Json:
        return {"over": "sse"}

    async def watch(self, call: Call, uri: str) -> None: ...
    async def unwatch(self, call: Call, uri: str) -> None: ...

    def status(self) -> dict[str, Any]:
        return {}

    async def aclose(self) -> None:
        self.closed = True


def test_a_server_that_speaks_http_sse_only_is_served_by_the_upstream_for_that_until_it_speaks_more():
    async def work() -> None:
        clock, sse = ManualClock(), OverSse()
        async with serving(answer(status=405)) as fake:
            spec = UpstreamSpec("fake", "mcp-http", url=fake.url)
            upstream = McpHttpUpstream(spec, events=Events(), clock=clock, era_hint="legacy", sse=lambda: sse)
            call = Caller().call("tools/call", {"name": "echo"})
            assert await upstream.request(call, "tools/call", {"name": "echo"}) == {"over": "sse"}
            assert (await upstream.observe()).revision == upstream.revision == "2024-11-05"
            fake.script = Modern()
            clock.advance(301.0)
            assert (await upstream.observe()).era == "modern"
            await upstream.aclose()
            assert sse.closed

    run(work)


def test_a_server_of_both_eras_is_spoken_to_in_the_era_of_each_caller():
    async def work() -> None:
        async with rig(Both()) as r:
            await r.upstream.observe()
            assert r.upstream.era == "modern"
            await r.echo()
            await r.echo(**LEGACY_CALLER)
            modern, legacy = r.fake.of("tools/call")
            assert modern.headers["mcp-protocol-version"] == "2026-07-28"
            assert legacy.headers["mcp-protocol-version"] == "2025-11-25"
            assert legacy.headers["mcp-session-id"]

    run(work)


def test_a_server_that_refuses_the_handshake_serves_legacy_callers_in_the_modern_era():
    async def work() -> None:
        async with rig(Modern()) as r:
            await r.echo(**LEGACY_CALLER)
            await r.echo(**LEGACY_CALLER)
            assert [c.headers["mcp-protocol-version"] for c in r.fake.of("tools/call")] == ["2026-07-28"] * 2
            assert len(r.fake.of("initialize")) == 1

    run(work)
