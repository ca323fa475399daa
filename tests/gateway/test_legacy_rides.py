"""Plain calls of legacy clients to an HTTP upstream of their era: they go on without a task, and end as any other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.gateway.rig import BOTH, OPEN, Rig, Stream, rpc, running, snapshot
from tests.gateway.upstream.fake_http_upstream import (
    FakeUpstream,
    Legacy,
    Modern,
    Reply,
    Request,
    result,
    serving,
    text,
)
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.interceptors import patience

Json = dict[str, Any]
ECHO = {"name": "echo", "arguments": {}}
ASKABLE: Json = {"elicitation": {}, "roots": {}}
FORM = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}


class Shop(Legacy):
    """A legacy server whose `tools/call` waits until it is let go, then answers as `answer` says."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.answer: Callable[[Request, Reply], Awaitable[None]] = plain
        self.handlers["tools/call"] = self._call

    async def _call(self, request: Request, reply: Reply) -> None:
        gone = asyncio.ensure_future(request.gone.wait())
        going = asyncio.ensure_future(self.go.wait())
        await asyncio.wait({gone, going}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        going.cancel()
        if self.go.is_set():
            await self.answer(request, reply)


async def plain(request: Request, reply: Reply) -> None:
    await reply.json(result(request, {"content": text("done")["content"]}))


def in_shop(
    scene: Callable[[Rig, FakeUpstream, Shop], Awaitable[None]], *, timeout_s: float = 20.0, shop: Any = None
) -> None:
    """A gateway before one legacy server, with an idle connection to it."""

    async def run() -> None:
        kept = shop or Shop()
        async with serving(kept) as fake:
            spec = UpstreamSpec("shop", "mcp-http", url=fake.url, timeout_s=timeout_s)
            async with asyncio.timeout(60), running(snapshot(spec, servers=(OPEN,))) as rig:
                await scene(rig, fake, kept)

    asyncio.run(run())


async def warm(rig: Rig, shop: Shop, capabilities: Json | None = None) -> str:
    """A session at the gateway, whose own session at the server has answered once."""
    session = await rig.initialize(capabilities=capabilities)
    shop.go.set()
    assert (await rig.legacy(rpc("tools/call", ECHO), session)).result["content"][0]["text"] == "done"
    shop.go.clear()
    return session


async def under_way(
    rig: Rig, fake: FakeUpstream, session: str, request_id: Any = 7, count: int = 2
) -> asyncio.Task[Any]:
    """A call that has reached the server; nobody waits for it at the gateway."""
    call = asyncio.ensure_future(rig.legacy(rpc("tools/call", ECHO, request_id), session))
    await fake.wait_for("tools/call", count)
    assert rig.server.running_count == 0
    return call


@pytest.mark.parametrize("capabilities", [{}, ASKABLE])
def test_a_call_goes_on_without_a_task(capabilities: Json) -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop, capabilities)
        call = await under_way(rig, fake, session)
        assert [*rig.gateway.sessions._sessions[session].running] == [7]
        shop.go.set()
        reply = await call
        assert (reply.message["id"], reply.result) == (7, {"content": text("done")["content"]})
        assert not rig.gateway.sessions._sessions[session].running
        assert rig.gateway.record.totals["ok"] == 2

    in_shop(scene)


def test_an_answer_that_comes_soon_is_plain_and_leaves_no_stream() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await rig.initialize()
        for number in range(5):
            shop.go.set()
            reply = await rig.legacy(rpc("tools/call", ECHO, number), session)
            assert reply.result["content"][0]["text"] == "done"
        kept = rig.gateway.sessions._sessions[session]._streams
        assert len(kept) <= 1 + sum(stream.last > 0 for stream in kept.values() if stream.number)

    in_shop(scene)


def test_a_call_that_takes_its_time_answers_on_a_stream_that_can_be_resumed() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop)
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        stream = await rig.open("POST", "/mcp", headers, json.dumps(rpc("tools/call", ECHO, 7)).encode())
        first = await stream.event()
        assert first.data == b""
        stream.close()
        shop.go.set()
        back = await rig.open("GET", "/mcp", {"accept": BOTH, "mcp-session-id": session, "last-event-id": first.id})
        assert (await back.message())["id"] == 7
        back.close()

    in_shop(scene)


def test_streams_named_first_answer_with_a_stream() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop)
        shop.go.set()
        reply = await rig.legacy(
            rpc("tools/call", ECHO, 7), session, headers={"accept": "text/event-stream, application/json"}
        )
        assert reply.headers["content-type"] == "text/event-stream"
        assert [m["id"] for m in reply.messages] == [7]

    in_shop(scene)


def test_an_id_in_use_is_refused() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop)
        call = await under_way(rig, fake, session)
        again = await rig.legacy(rpc("tools/call", ECHO, 7), session)
        assert (again.status, again.error["message"]) == (400, "this request id is in use")
        shop.go.set()
        assert (await call).result["content"]
        assert len(fake.of("tools/call")) == 2

    in_shop(scene)


@pytest.mark.parametrize("capabilities", [{}, ASKABLE])
def test_a_cancelled_call_is_answered_and_its_server_told(capabilities: Json) -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop, capabilities)
        call = await under_way(rig, fake, session)
        params = {"requestId": 7, "reason": "no longer"}
        await rig.legacy({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}, session)
        assert (await call).error["code"] == 499
        told = await fake.wait_for("notifications/cancelled")
        assert told.params["requestId"] == fake.of("tools/call")[1].message["id"]
        assert rig.gateway.record.totals["cancelled"] == 1
        await nothing_runs(rig)

    in_shop(scene)


def test_a_call_outlives_its_client() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop)
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        client = await rig.send("POST", "/mcp", headers, json.dumps(rpc("tools/call", ECHO, 7)).encode())
        request = await fake.wait_for("tools/call", 2)
        client.close()
        await rig.until(lambda: rig.server.running_count == 1)
        assert not request.gone.is_set()
        shop.go.set()
        await rig.until(lambda: rig.gateway.record.totals["ok"] == 2)
        await nothing_runs(rig)

    in_shop(scene)


def test_the_end_of_its_session_ends_a_call() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop)
        call = await under_way(rig, fake, session)
        assert (await rig.http("DELETE", "/mcp", {"mcp-session-id": session})).status == 204
        assert (await call).error["code"] == 499
        await fake.wait_for("notifications/cancelled")
        await nothing_runs(rig)

    in_shop(scene)


def test_the_end_of_the_gateway_ends_a_call_with_an_answer() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop)
        call = await under_way(rig, fake, session)
        await rig.server.stop_now()
        assert (await call).message["error"]["data"]["reason"] == "shutting_down"
        await fake.wait_for("notifications/cancelled")

    in_shop(scene)


@pytest.mark.parametrize("capabilities", [{}, ASKABLE])
def test_a_call_ends_when_its_time_is_up(capabilities: Json) -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop, capabilities)
        call = await under_way(rig, fake, session)
        assert (await call).error["data"]["reason"] == "upstream_timeout"
        await fake.wait_for("notifications/cancelled")
        assert rig.gateway.record.totals["timed_out"] == 1
        await nothing_runs(rig)

    in_shop(scene, timeout_s=0.5)


@pytest.mark.slow
def test_the_time_a_person_takes_to_answer_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LOOK_AGAIN_S", 0.05)

    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop, ASKABLE)
        shop.answer = asks
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        stream = await rig.open("POST", "/mcp", headers, json.dumps(rpc("tools/call", ECHO, 7)).encode())
        shop.go.set()
        question = await stream.message()
        assert question["method"] == "elicitation/create"
        await asyncio.sleep(1.5)  # longer than the call may take by itself
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {}}}
        assert (await rig.legacy(answer, session)).status == 202
        assert (await stream.message())["result"]["content"][0]["text"] == "done"
        stream.close()
        await nothing_runs(rig)

    in_shop(scene, timeout_s=1.0)


async def asks(request: Request, reply: Reply) -> None:
    """Ask on the call's own stream, and answer when the answer is there, which is a POST of its own."""
    await reply.stream()
    await reply.event({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": FORM})
    await asyncio.sleep(2.0)
    await reply.event(result(request, {"content": text("done")["content"]}))
    await reply.end()


def test_a_server_that_forgot_its_session_is_asked_again_in_a_new_one_where_that_is_safe() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop)
        shop.sessions.clear()
        shop.go.set()
        reply = await rig.legacy(rpc("tools/call", ECHO, 7), session)
        assert reply.result["content"][0]["text"] == "done"
        assert rig.gateway.record.totals["ok"] == 2
        await nothing_runs(rig)

    shop = Shop()
    shop.tools = [{"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}]
    in_shop(scene, shop=shop)


def test_a_server_that_forgot_its_session_is_not_asked_twice_to_do_something() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop)
        shop.sessions.clear()
        shop.go.set()
        reply = await rig.legacy(rpc("tools/call", ECHO, 7), session)
        assert reply.error["data"]["reason"] == "upstream_incomplete"
        assert (await rig.legacy(rpc("tools/call", ECHO, 8), session)).result["content"][0]["text"] == "done"
        await nothing_runs(rig)

    in_shop(scene)


async def fails(request: Request, reply: Reply) -> None:
    await reply.json({"jsonrpc": "2.0", "id": request.message["id"], "error": {"code": -32602, "message": "no such"}})


async def streams(request: Request, reply: Reply) -> None:
    await reply.stream()
    await reply.event(result(request, {"content": text("done")["content"]}))
    await reply.end()


async def streams_as_the_python_sdk_does(request: Request, reply: Reply) -> None:
    await reply.stream()
    body = json.dumps(result(request, {"content": text("done")["content"]})).encode()
    await reply.chunk(b"event: message\r\ndata: " + body + b"\r\n\r\n")
    await reply.end()


async def streams_with_ids(request: Request, reply: Reply) -> None:
    await reply.stream()
    await reply.event(None, id="1", retry=1000)
    await reply.event(result(request, {"content": text("done")["content"]}), id="2")
    await reply.end()


async def streams_and_notifies(request: Request, reply: Reply) -> None:
    await reply.stream()
    await reply.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}})
    await reply.event(result(request, {"content": text("done")["content"]}))
    await reply.end()


async def streams_the_answer_to_something_else(request: Request, reply: Reply) -> None:
    await reply.stream()
    await reply.event({**result(request, {"content": []}), "id": 424242})
    await reply.event(result(request, {"content": text("done")["content"]}))
    await reply.end()


async def streams_and_stays(request: Request, reply: Reply) -> None:
    await reply.stream()
    await reply.event(result(request, {"content": text("done")["content"]}))
    await asyncio.sleep(0.5)
    await reply.end()


async def streams_in_pieces(request: Request, reply: Reply) -> None:
    await reply.stream()
    await reply.chunk(b"event: message\n")
    await reply.chunk(b"data: " + json.dumps(result(request, {"content": text("done")["content"]})).encode()[:20])
    await asyncio.sleep(0.05)
    await reply.chunk(json.dumps(result(request, {"content": text("done")["content"]})).encode()[20:])
    await reply.chunk(b"\n\n")
    await reply.end()


async def breaks_off(request: Request, reply: Reply) -> None:
    reply.close()


@pytest.mark.parametrize(
    "answer",
    [
        streams,
        streams_as_the_python_sdk_does,
        streams_with_ids,
        streams_and_notifies,
        streams_the_answer_to_something_else,
        streams_and_stays,
        streams_in_pieces,
    ],
)
def test_an_answer_may_come_on_a_stream(answer: Callable[[Request, Reply], Awaitable[None]]) -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop, ASKABLE)
        shop.answer = answer
        shop.go.set()
        for request_id in (7, 8, 9):
            reply = await rig.legacy(rpc("tools/call", ECHO, request_id), session)
            assert (reply.message["id"], reply.result["content"][0]["text"]) == (request_id, "done")
        await nothing_runs(rig)

    in_shop(scene)


def test_an_error_of_the_server_is_the_answer() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop, ASKABLE)
        shop.answer = fails
        shop.go.set()
        reply = await rig.legacy(rpc("tools/call", ECHO, 7), session)
        assert (reply.error["code"], reply.error["message"]) == (-32602, "no such")
        await nothing_runs(rig)

    in_shop(scene)


def test_a_connection_that_breaks_costs_its_own_call() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop)
        shop.answer = breaks_off
        shop.go.set()
        reply = await rig.legacy(rpc("tools/call", ECHO, 7), session)
        assert reply.error["data"]["may_have_run"] is True
        shop.answer = plain
        assert (await rig.legacy(rpc("tools/call", ECHO, 8), session)).result["content"][0]["text"] == "done"
        await nothing_runs(rig)

    in_shop(scene)


def test_a_question_on_the_session_s_own_stream_belongs_to_the_call_under_way() -> None:
    shop = Shop()
    shop.gets = True
    answered = asyncio.Event()

    async def get(request: Request, reply: Reply) -> None:
        await reply.stream()
        if shop.sessions.get(request.headers.get("mcp-session-id", "")) != ASKABLE:
            await request.gone.wait()
            return
        await shop_asks.wait()
        await reply.event({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": FORM})
        await request.gone.wait()

    shop_asks = asyncio.Event()
    shop.handlers["GET"] = get

    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await warm(rig, shop, ASKABLE)
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        stream: Stream = await rig.open("POST", "/mcp", headers, json.dumps(rpc("tools/call", ECHO, 7)).encode())
        shop_asks.set()
        question = await stream.message()
        assert question["method"] == "elicitation/create"
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}}
        assert (await rig.legacy(answer, session)).status == 202
        await rig.until(lambda: any(r.body and r.message.get("id") == "q" for r in fake.requests))
        shop.go.set()
        assert (await stream.message())["id"] == 7
        stream.close()
        await nothing_runs(rig)
        answered.set()

    in_shop(scene, shop=shop)
    assert answered.is_set()


def test_a_legacy_client_of_a_modern_server_goes_on_without_a_task() -> None:
    modern = Modern()
    go = asyncio.Event()

    async def call(request: Request, reply: Reply) -> None:
        await go.wait()
        await reply.json(result(request, text("done")))

    modern.handlers["tools/call"] = call

    async def scene(rig: Rig, fake: FakeUpstream, _shop: Shop) -> None:
        session = await rig.initialize()
        go.set()
        assert (await rig.legacy(rpc("tools/call", ECHO), session)).result["content"][0]["text"] == "done"
        go.clear()
        call = await under_way(rig, fake, session)
        go.set()
        reply = await call
        assert (reply.result["content"][0]["text"], "resultType" in reply.result) == ("done", False)
        await nothing_runs(rig)

    in_shop(scene, shop=modern)


async def nothing_runs(rig: Rig) -> None:
    """Nothing is left of any call: no place, no id, no request that the upstream counts."""
    upstream = rig.gateway.pool.entry("shop").upstream
    await rig.until(lambda: upstream.status()["running"] == 0)
    await rig.until(lambda: rig.gateway.pool.entry("shop").in_flight == 0)
    await rig.until(lambda: not any(s.running for s in rig.gateway.sessions._sessions.values()))
    await rig.until(lambda: rig.server.running_count == 0)
