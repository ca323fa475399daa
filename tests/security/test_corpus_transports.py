"""The 84 malformed and nasty messages give the outcome written down for them on every way in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.gateway.rig import BOTH, LIMIT_S, OPEN, Rig, rpc, running, snapshot
from tests.gateway.test_conversations import HELLO, PipeLine
from tests.security.corpus import CASES, MODERN, Case, over_http
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Call, Upstream, UpstreamEvents
from toolyard.gateway.downstream.duplex import Duplex
from toolyard.gateway.downstream.stdio import operator_head
from toolyard.gateway.upstream.native import NativeServer, NativeTool, NativeUpstream
from toolyard.kit.clock import Clock

NAMES = {-32700: "PE", -32600: "IR", -32602: "IP", -32601: "MNF"}
SEEN: list[Any] = []


async def _echo(call: Call, arguments: dict[str, Any]) -> dict[str, Any]:
    del call
    SEEN.append(arguments)
    return {"content": [{"type": "text", "text": "ok"}], "structuredContent": {"arguments": arguments}}


def _any_echo(spec: UpstreamSpec, events: UpstreamEvents, clock: Clock, era: str | None) -> Upstream:
    del era
    tool = NativeTool("echo", "Takes anything.", {"type": "object"}, _echo)
    return NativeUpstream(
        spec, events=events, clock=clock, server=NativeServer({"name": "any", "version": "1"}, None, tools=(tool,))
    )


def judged(status: int, message: Any) -> str:
    """The outcome's short name, with the status it must have."""
    if status == 413:
        return "413"
    assert message is not None
    if "result" in message:
        assert status == 200
        return "OK"
    name = NAMES[message["error"]["code"]]
    assert status in {"PE": (400,), "IR": (400,), "IP": (200, 400), "MNF": (200, 404)}[name]
    return name


def check(case: Case, revision: str, outcome: str, message: Any) -> None:
    assert outcome in case.outcomes_in(revision), f"row {case.number} ({case.name}): {outcome} {str(message)[:200]}"
    if outcome == "PE":
        assert "id" not in message, f"row {case.number}"


def on_a_gateway(scene: Callable[[Rig], Awaitable[None]]) -> None:
    async def run() -> None:
        snap = snapshot(UpstreamSpec("any", "native", command=("any",)), servers=(OPEN,))
        async with running(snap, make=_any_echo) as rig:
            await scene(rig)

    asyncio.run(run())


def test_over_modern_http() -> None:
    async def scene(rig: Rig) -> None:
        for case in CASES:
            headers, body = over_http(case)
            sent = {"content-type": "application/json", "accept": BOTH, **headers}
            SEEN.clear()
            try:
                reply = await rig.http("POST", "/mcp", sent, body)
            except ConnectionError:
                assert "413" in case.outcomes, case.name
                continue
            message = reply.message if reply.body and reply.status != 413 else None
            outcome = judged(reply.status, message)
            check(case, MODERN, outcome, message)
            assert bool(SEEN) <= (outcome == "OK"), f"row {case.number}: refused, but it reached the upstream"

    on_a_gateway(scene)


def test_over_a_session_of_legacy_http() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize("2025-06-18")
        for case in CASES:
            headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
            try:
                reply = await rig.http("POST", "/mcp", headers, case.body)
            except ConnectionError:
                assert "413" in case.outcomes, case.name
                continue
            message = reply.message if reply.body and reply.status != 413 else None
            check(case, "2025-06-18", judged(reply.status, message), message)

    on_a_gateway(scene)


def test_over_the_posts_of_http_sse() -> None:
    async def scene(rig: Rig) -> None:
        stream = await rig.open("GET", "/sse", {"accept": "text/event-stream"})
        path = (await stream.event()).data.decode()
        headers = {"content-type": "application/json"}
        await rig.http("POST", path, headers, json.dumps(rpc("initialize", HELLO, "init")).encode())
        await stream.message()
        for case in CASES:
            try:
                reply = await rig.http("POST", path, headers, case.body)
            except ConnectionError:
                assert "413" in case.outcomes, case.name
                continue
            if reply.status == 202:
                message = await stream.message()
                outcome = "OK" if "result" in message else NAMES[message["error"]["code"]]
            else:
                message = reply.message if reply.body and reply.status != 413 else None
                outcome = judged(reply.status, message)
            check(case, "2024-11-05", outcome, message)
        stream.close()

    on_a_gateway(scene)


def test_over_a_websocket() -> None:
    async def scene(rig: Rig) -> None:
        url = f"ws://127.0.0.1:{rig.port}/ws/mcp"
        for case in CASES:
            async with connect(url, max_size=None, compression=None) as socket:
                await socket.send(json.dumps(rpc("initialize", HELLO, "init")))
                await socket.recv()
                try:
                    await socket.send(case.body, text=True)
                    async with asyncio.timeout(LIMIT_S):
                        message = json.loads(await socket.recv())
                except ConnectionClosed as closed:
                    code = closed.rcvd.code if closed.rcvd else None
                    expected = 1009 if "413" in case.outcomes else 1007
                    assert code == expected, f"row {case.number}: {code}"
                    assert case.outcomes & {"PE", "413"}
                    continue
                outcome = "OK" if "result" in message else NAMES[message["error"]["code"]]
                check(case, "2024-11-05", outcome, message)

    on_a_gateway(scene)


def test_over_standard_input_and_output() -> None:
    async def scene(rig: Rig) -> None:
        pipe = PipeLine()
        serving = asyncio.create_task(Duplex(rig.gateway.exchange, operator_head("default"), pipe).run())
        await pipe.say(rpc("initialize", HELLO, "init"))
        await pipe.hear()
        for case in CASES:
            if "413" in case.outcomes and len(case.body) > 4 * 1024 * 1024:
                continue
            pipe.incoming.put_nowait(case.body)
            message = await pipe.hear()
            outcome = "OK" if "result" in message else NAMES[message["error"]["code"]]
            check(case, "2024-11-05", outcome, message)
        await pipe.close()
        await serving

    on_a_gateway(scene)


@pytest.mark.parametrize("number", [24])
def test_a_large_integer_reaches_the_tool_exactly(number: int) -> None:
    case = CASES[number - 1]

    async def scene(rig: Rig) -> None:
        SEEN.clear()
        headers, body = over_http(case)
        sent = {"content-type": "application/json", "accept": BOTH, **headers}
        reply = await rig.http("POST", "/mcp", sent, body)
        assert SEEN == [{"a": 9007199254740993}]
        assert reply.result["structuredContent"]["arguments"] == {"a": 9007199254740993}

    on_a_gateway(scene)
