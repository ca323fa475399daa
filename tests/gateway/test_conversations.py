"""Connections that carry many messages: HTTP+SSE, WebSocket, standard input and output."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.gateway.rig import LIMIT_S, Rig, Stream, a_key, bearer, demo, envelope, modern_request, play, rpc, snapshot
from toolyard.contract.snapshot import ServerSpec
from toolyard.gateway.downstream.duplex import Duplex
from toolyard.gateway.downstream.stdio import operator_head

HELLO = {
    "protocolVersion": "2024-11-05",
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "t", "version": "1"},
}


class Line:
    """A two-way line of messages, whatever carries it."""

    async def say(self, message: Any) -> None:
        raise NotImplementedError

    async def hear(self) -> Any:
        raise NotImplementedError


class SseLine(Line):
    def __init__(self, rig: Rig, stream: Stream, path: str) -> None:
        self.rig, self.stream, self.path = rig, stream, path

    async def say(self, message: Any) -> None:
        reply = await self.rig.http(
            "POST", self.path, {"content-type": "application/json"}, json.dumps(message).encode()
        )
        assert reply.status == 202

    async def hear(self) -> Any:
        return await self.stream.message()


class SocketLine(Line):
    def __init__(self, socket: Any) -> None:
        self.socket = socket

    async def say(self, message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self) -> Any:
        async with asyncio.timeout(LIMIT_S):
            return json.loads(await self.socket.recv())


class PipeLine(Line):
    """Stands where standard input and output stand: a MessageSocket of queues."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.outgoing: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive(self) -> bytes | None:
        return await self.incoming.get()

    async def send(self, message: bytes) -> None:
        self.outgoing.put_nowait(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.incoming.put_nowait(None)

    async def say(self, message: Any) -> None:
        self.incoming.put_nowait(json.dumps(message).encode())

    async def hear(self) -> Any:
        async with asyncio.timeout(LIMIT_S):
            return json.loads(await self.outgoing.get())


@asynccontextmanager
async def line(rig: Rig, transport: str) -> AsyncIterator[Line]:
    if transport == "sse":
        stream = await rig.open("GET", "/sse", {"accept": "text/event-stream"})
        endpoint = await stream.event()
        assert endpoint.event == "endpoint"
        yield SseLine(rig, stream, endpoint.data.decode())
        stream.close()
    elif transport == "websocket":
        async with connect(f"ws://127.0.0.1:{rig.port}/ws/mcp", subprotocols=[Subprotocol("mcp")]) as socket:
            assert socket.subprotocol == "mcp"
            yield SocketLine(socket)
    else:
        pipe = PipeLine()
        serving = asyncio.create_task(Duplex(rig.gateway.exchange, operator_head("default"), pipe).run())
        yield pipe
        await pipe.close()
        await serving


on_every_line = pytest.mark.parametrize("transport", ["sse", "websocket", "stdio"])


@on_every_line
def test_a_legacy_client_initializes_lists_calls_and_is_asked(transport: str) -> None:
    async def scene(rig: Rig) -> None:
        async with line(rig, transport) as peer:
            await peer.say(rpc("initialize", HELLO, 0))
            assert (await peer.hear())["result"]["protocolVersion"] == "2024-11-05"
            await peer.say({"jsonrpc": "2.0", "method": "notifications/initialized"})
            await peer.say(rpc("tools/list", {}, 1))
            assert "add" in [t["name"] for t in (await peer.hear())["result"]["tools"]]
            await peer.say(rpc("tools/call", {"name": "ask_name", "arguments": {}}, 2))
            question = await peer.hear()
            assert question["method"] == "elicitation/create"
            answer = {"action": "accept", "content": {"name": "Ana"}}
            await peer.say({"jsonrpc": "2.0", "id": question["id"], "result": answer})
            assert "Ana" in json.dumps(await peer.hear())
            rig.gateway.hub.server_changed("default", frozenset({"prompts"}))
            assert (await peer.hear())["method"] == "notifications/prompts/list_changed"

    play(scene)


@on_every_line
def test_a_modern_client_needs_no_handshake_and_cancels_by_notification(transport: str) -> None:
    async def scene(rig: Rig) -> None:
        async with line(rig, transport) as peer:
            await peer.say(rpc("server/discover", {"_meta": envelope()}, "d"))
            assert (await peer.hear())["result"]["supportedVersions"]
            call = {"name": "count", "arguments": {"to": 90, "interval_ms": 500}, "_meta": envelope(progressToken="t")}
            await peer.say(rpc("tools/call", call, "slow"))
            assert (await peer.hear())["params"]["progressToken"] == "t"
            await peer.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}})
            await peer.say(
                rpc("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}, "_meta": envelope()}, "quick")
            )
            while (heard := await peer.hear()).get("method") == "notifications/progress":
                pass
            assert heard["id"] == "quick"
            assert heard["result"]["structuredContent"] == {"sum": 2}

    play(scene)


@on_every_line
def test_an_error_has_the_code_of_the_era_that_its_request_names(transport: str) -> None:
    async def scene(rig: Rig) -> None:
        async with line(rig, transport) as peer:
            await peer.say(rpc("initialize", HELLO, 0))
            await peer.hear()
            for meta, code in ({"_meta": envelope()}, -32602), ({}, -32002):
                await peer.say(rpc("resources/read", {"uri": "nowhere://1", **meta}, 1))
                assert (await peer.hear())["error"]["code"] == code

    play(scene)


@on_every_line
def test_what_runs_ends_with_its_connection(transport: str) -> None:
    async def scene(rig: Rig) -> None:
        async with line(rig, transport) as peer:
            await peer.say(rpc("initialize", HELLO, 0))
            await peer.hear()
            call = {"name": "count", "arguments": {"to": 90, "interval_ms": 900}, "_meta": {"progressToken": 1}}
            await peer.say(rpc("tools/call", call, 5))
            await peer.hear()
            assert len(rig.gateway.sessions) == 1
        async with asyncio.timeout(LIMIT_S):
            while len(rig.gateway.sessions) or rig.server.running_count:
                await asyncio.sleep(0.01)

    play(scene)


def test_a_websocket_key_travels_in_the_subprotocol_list_or_the_header_and_never_in_the_query() -> None:
    key, record = a_key("default")
    snap = snapshot(demo(), servers=(ServerSpec("default"),), keys=(record,))

    async def scene(rig: Rig) -> None:
        url = f"ws://127.0.0.1:{rig.port}/ws/mcp"
        async with connect(url, subprotocols=[Subprotocol("mcp"), Subprotocol(key)]) as socket:
            assert socket.subprotocol == "mcp"
            await socket.send(json.dumps(rpc("ping")))
            assert json.loads(await socket.recv())["result"] == {}
        async with connect(url, additional_headers=bearer(key)) as socket:
            await socket.send(json.dumps(rpc("ping")))
            assert json.loads(await socket.recv())["result"] == {}
        for refused in (url, f"{url}?key={key}", f"{url}?authorization=Bearer%20{key}"):
            with pytest.raises(InvalidStatus) as caught:
                async with connect(refused, subprotocols=[Subprotocol("mcp")]):
                    pass
            assert caught.value.response.status_code == 401

    play(scene, snap)


def test_an_sse_stream_takes_messages_only_of_the_principal_that_opened_it() -> None:
    key_a, record_a = a_key("default")
    key_b, record_b = a_key("default")
    snap = snapshot(demo(), servers=(ServerSpec("default"),), keys=(record_a, record_b))

    async def scene(rig: Rig) -> None:
        stream = await rig.open("GET", "/sse", {"accept": "text/event-stream", **bearer(key_a)})
        path = (await stream.event()).data.decode()
        body = json.dumps(rpc("ping")).encode()
        headers = {"content-type": "application/json"}
        assert (await rig.http("POST", path, {**headers, **bearer(key_b)}, body)).status == 404
        assert (await rig.http("POST", path, headers, body)).status == 401
        assert (await rig.http("POST", "/sse/messages", {**headers, **bearer(key_a)}, body)).status == 400
        assert (await rig.http("POST", path, {**headers, **bearer(key_a)}, body)).status == 202
        assert (await stream.message())["result"] == {}
        stream.close()

    play(scene, snap)


def test_a_key_that_is_revoked_ends_what_it_has_open() -> None:
    key, record = a_key("default")
    servers = (ServerSpec("default", names="plain"),)
    snap = snapshot(demo(), servers=servers, keys=(record,))

    async def scene(rig: Rig) -> None:
        headers, body = modern_request(
            "subscriptions/listen", {"notifications": {"toolsListChanged": True}}, headers=bearer(key)
        )
        listening = await rig.open("POST", "/mcp", headers, body)
        await listening.message()
        session = await rig.initialize(headers=bearer(key))
        url = f"ws://127.0.0.1:{rig.port}/ws/mcp"
        async with connect(url, additional_headers=bearer(key)) as socket:
            await socket.send(json.dumps(rpc("ping")))
            assert json.loads(await socket.recv())["result"] == {}
            rig.gateway.offer(snapshot(demo(), servers=servers, revision=2))
            assert (await listening.message())["result"]["resultType"] == "complete"
            assert len(rig.gateway.sessions) == 0
            assert (await rig.legacy(rpc("ping"), session, headers=bearer(key))).status == 401
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        listening.close()

    play(scene, snap)


@pytest.mark.slow
def test_a_client_that_is_asked_by_all_its_calls_can_still_answer() -> None:
    async def scene(rig: Rig) -> None:
        async with line(rig, "websocket") as peer:
            await peer.say(rpc("initialize", HELLO, "init"))
            await peer.hear()
            for number in range(70):
                await peer.say(rpc("tools/call", {"name": "ask_name", "arguments": {}}, number))
            asked: list[Any] = []
            refused = 0
            while len(asked) + refused < 70:
                heard = await peer.hear()
                if heard.get("method") == "elicitation/create":
                    asked.append(heard["id"])
                else:
                    assert heard["error"]["data"]["reason"] == "overloaded"
                    refused += 1
            assert refused == 6
            for ask_id in asked:
                answer = {"action": "accept", "content": {"name": "Jo"}}
                await peer.say({"jsonrpc": "2.0", "id": ask_id, "result": answer})
            for _ in asked:
                assert "Jo" in json.dumps(await peer.hear())

    play(scene)
