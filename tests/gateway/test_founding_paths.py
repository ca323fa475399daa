"""The founding documents' own calls that the gateway itself answers."""

from __future__ import annotations

import json
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.gateway.rig import Rig, bearer, play, rpc
from tests.gateway.test_execution import CLOCK, ECHO, KEY, of, post, world
from toolyard.contract.founding_paths import FOUNDING_PATHS
from toolyard.gateway.relay import Relay
from toolyard.gateway.routes import Match, RouteTable

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


def test_a_tool_is_called_at_the_path_without_api() -> None:
    async def scene(rig: Rig) -> None:
        called = json.loads((await post(rig, "/tools/call", ECHO, of())).body)
        assert (called["success"], called["data"]["content"][0]["text"]) == (True, "hi")
        assert (await post(rig, "/tools/call", ECHO)).status == 401

    play(scene, world(), clock=CLOCK)


def test_a_session_is_held_at_the_servers_long_path() -> None:
    async def scene(rig: Rig) -> None:
        path = "/mcp/server/lab/mcp"
        begun = await rig.http("POST", path, {**JSON, **bearer(KEY)}, json.dumps(rpc("initialize", HELLO)).encode())
        assert begun.status == 200
        session = {"mcp-session-id": begun.headers["mcp-session-id"], **bearer(KEY)}
        called = rpc("tools/call", {"name": "echo", "arguments": {"text": "hi"}}, 2)
        reply = await rig.http("POST", path, {**JSON, **session}, json.dumps(called).encode())
        assert b'"hi"' in reply.body
        assert (await rig.http("DELETE", path, session)).status in (200, 204)
        assert (await rig.http("POST", path, JSON, json.dumps(rpc("ping", {})).encode())).status == 401

    play(scene, world(), clock=CLOCK)


def test_json_rpc_is_spoken_at_ws() -> None:
    async def scene(rig: Rig) -> None:
        async with connect(f"ws://127.0.0.1:{rig.port}/ws", subprotocols=[Subprotocol("mcp")]) as socket:
            await socket.send(json.dumps(rpc("initialize", HELLO, 0)))
            assert json.loads(await socket.recv())["result"]["protocolVersion"]

    play(scene)


def test_health_and_status_say_that_calls_are_served() -> None:
    async def scene(rig: Rig) -> None:
        for path in ("/health", "/api/v1/system/health", "/api/v1/system/status"):
            reply = await rig.http("GET", path)
            assert (reply.status, json.loads(reply.body)) == (200, {"status": "ok"})
        assert (await rig.http("GET", "/metrics")).status == 200

    play(scene)


def test_every_call_of_the_table_goes_where_it_says() -> None:
    async def scene(rig: Rig) -> None:
        gateway = rig.gateway
        founding = gateway.founding_routes()
        here = {(method, route.pattern) for route in founding for method in route.methods}
        table = {(method, row.pattern) for row in FOUNDING_PATHS if row.whose == "gateway" for method in row.methods}
        assert here == table
        relay = Relay(Path("control.sock"), scheme="http", body_bytes=1)
        routes = RouteTable([*gateway.routes(), *founding, *relay.routes(), *relay.founding_routes()])
        for row in FOUNDING_PATHS:
            if row.whose == "control":
                for method in row.methods:
                    found = routes.match(method, row.pattern.replace("{", "").replace("}", ""))
                    assert isinstance(found, Match)
                    assert found.route.auth == "control"

    play(scene)
