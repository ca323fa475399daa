"""Calls of a legacy session in the same words as one before, to a server of its era: each ends as it would have ended
without that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.gateway import test_legacy_rides as rides
from tests.gateway.rig import BOTH, Rig, Stream, rpc
from tests.gateway.test_legacy_rides import ECHO, Shop, in_shop, nothing_runs, under_way
from tests.gateway.upstream.fake_http_upstream import FakeUpstream, Reply, Request, text
from toolyard.gateway.express import Trip
from toolyard.gateway.upstream.errors import UpstreamIncomplete
from toolyard.protocol.jsonrpc import Notification

Json = dict[str, Any]


class Line:
    """A connection that sends the same head again and again; ids have one digit."""

    def __init__(
        self, rig: Rig, session: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, accept: str
    ) -> None:
        self.rig = rig
        self.session = session
        self._reader = reader
        self.writer = writer
        self._accept = accept

    def send(self, request_id: int = 7, params: Json = ECHO) -> None:
        body = json.dumps(rpc("tools/call", params, request_id)).encode()
        lines = [
            "POST /mcp HTTP/1.1",
            f"host: 127.0.0.1:{self.rig.port}",
            "content-type: application/json",
            f"accept: {self._accept}",
            f"mcp-session-id: {self.session}",
            f"content-length: {len(body)}",
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def answer(self) -> Any:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        received = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        return await Stream(self._reader, self.writer, int(head[0].split()[1]), received).rest()

    async def call(self, request_id: int = 7, params: Json = ECHO) -> Any:
        self.send(request_id, params)
        return await self.answer()

    @property
    def running(self) -> dict[Any, Any]:
        return self.rig.gateway.sessions._sessions[self.session].running

    async def under_way(self, fake: FakeUpstream, count: int = 4) -> None:
        """Begin a call that goes by a plan and has reached the server."""
        self.send()
        await fake.wait_for("tools/call", count)
        assert isinstance(self.running[7].work, Trip)
        assert self.rig.server.running_count == 0


@asynccontextmanager
async def line(rig: Rig, shop: Shop, accept: str = BOTH) -> AsyncIterator[Line]:
    """A connection on which calls have a plan."""
    session = await rig.initialize()
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    found = Line(rig, session, reader, writer, accept)
    shop.go.set()
    for request_id in (1, 2, 3):
        assert (await found.call(request_id)).result["content"][0]["text"] == "done"
    shop.go.clear()
    try:
        yield found
    finally:
        writer.close()


Scene = Callable[[Line, FakeUpstream, Shop], Awaitable[None]]


def on_a_line(scene: Scene, *, accept: str = BOTH, left: bool = True, **more: Any) -> None:
    async def prepared(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        async with line(rig, shop, accept) as found:
            await scene(found, fake, shop)
        if left:
            await nothing_runs(rig)

    in_shop(prepared, **more)


def test_each_call_gets_its_own_answer_and_the_server_is_asked_alike() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        shop.go.set()
        for request_id in range(4, 9):
            reply = await line.call(request_id, {"name": "echo", "arguments": {"n": request_id}})
            assert (reply.message["id"], reply.result) == (request_id, {"content": text("done")["content"]})
        sent = [(r.headers, r.message) for r in fake.of("tools/call")]
        assert [m["params"]["arguments"].get("n") for _, m in sent] == [None, None, None, *range(4, 9)]
        assert len({m["id"] for _, m in sent}) == len(sent)
        assert len({json.dumps({**h, "content-length": ""}, sort_keys=True) for h, _ in sent}) == 1
        assert line.rig.gateway.record.totals["ok"] == 8

    on_a_line(scene)


def test_a_call_goes_by_a_plan_and_its_id_is_in_use_meanwhile() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        await line.under_way(fake)
        again = await line.rig.legacy(rpc("tools/call", ECHO, 7), line.session)
        assert again.error["message"] == "this request id is in use"
        shop.go.set()
        assert (await line.answer()).message["id"] == 7

    on_a_line(scene)


def test_a_cancelled_call_is_answered_and_its_server_told() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        await line.under_way(fake)
        told = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        await line.rig.legacy(told, line.session)
        assert (await line.answer()).error["code"] == 499
        cancelled = await fake.wait_for("notifications/cancelled")
        assert cancelled.params["requestId"] == fake.of("tools/call")[3].message["id"]
        shop.go.set()
        assert (await line.call(8)).result["content"][0]["text"] == "done"

    on_a_line(scene)


def test_a_call_outlives_its_client() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        await line.under_way(fake)
        line.writer.close()
        await line.rig.until(lambda: line.rig.server.running_count == 1)
        shop.go.set()
        await line.rig.until(lambda: line.rig.gateway.record.totals["ok"] == 4)

    on_a_line(scene)


def test_the_end_of_its_session_ends_a_call_and_its_plan() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        await line.under_way(fake)
        assert (await line.rig.http("DELETE", "/mcp", {"mcp-session-id": line.session})).status == 204
        assert (await line.answer()).error["code"] == 499
        await fake.wait_for("notifications/cancelled")
        assert (await line.call(8)).status == 404

    on_a_line(scene)


def test_the_end_of_the_gateway_ends_a_call_with_an_answer() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        await line.under_way(fake)
        await line.rig.server.stop_now()
        assert (await line.answer()).error["data"]["reason"] == "shutting_down"
        await fake.wait_for("notifications/cancelled")

    on_a_line(scene)


def test_a_call_ends_when_its_time_is_up() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        await line.under_way(fake)
        assert (await line.answer()).error["data"]["reason"] == "upstream_timeout"
        await fake.wait_for("notifications/cancelled")

    on_a_line(scene, timeout_s=0.5)


def test_a_call_that_takes_its_time_answers_on_a_stream() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        await line.under_way(fake)
        await asyncio.sleep(0.1)
        shop.go.set()
        reply = await line.answer()
        assert reply.headers["content-type"] == "text/event-stream"
        assert [m["id"] for m in reply.messages] == [7]

    on_a_line(scene)


def test_streams_named_first_answer_with_a_stream() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        shop.go.set()
        reply = await line.call()
        assert reply.headers["content-type"] == "text/event-stream"
        assert [m["id"] for m in reply.messages] == [7]

    on_a_line(scene, accept="text/event-stream, application/json")


async def is_no_result(request: Request, reply: Reply) -> None:
    await reply.json({"jsonrpc": "2.0", "id": request.message["id"], "result": []})


ANSWERS: dict[str, tuple[Any, Any]] = {
    "an error": (rides.fails, -32602),
    "a stream": (rides.streams, None),
    "a stream that stays": (rides.streams_and_stays, None),
    "a stream with a notification": (rides.streams_and_notifies, None),
    "a broken connection": (rides.breaks_off, -32603),
    "no result": (is_no_result, -32603),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_no_plain_answer_ends_the_call_as_ever(name: str) -> None:
    answer, code = ANSWERS[name]

    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        shop.answer = answer
        shop.go.set()
        message = (await line.call()).message
        assert message["id"] == 7
        assert message.get("error", {}).get("code") == code
        shop.answer = rides.plain
        assert (await line.call(8)).result["content"][0]["text"] == "done"

    on_a_line(scene)


def test_a_server_that_forgot_its_session_is_asked_again_in_a_new_one_where_that_is_safe() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        shop.sessions.clear()
        shop.go.set()
        for request_id in (7, 8, 9):
            assert (await line.call(request_id)).result["content"][0]["text"] == "done"

    shop = Shop()
    shop.tools = [{"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}]
    on_a_line(scene, shop=shop)


def test_a_level_that_was_chosen_meanwhile_is_the_call_s() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        shop.go.set()
        await line.rig.legacy(rpc("logging/setLevel", {"level": "warning"}), line.session)
        assert (await line.call()).result["content"][0]["text"] == "done"
        assert (await fake.wait_for("logging/setLevel")).params == {"level": "warning"}

    shop = Shop()
    shop.capabilities = {"tools": {}, "logging": {}}
    on_a_line(scene, shop=shop)


@pytest.mark.parametrize("ends", ["with its answer", "with an error", "cancelled", "broken off"])
def test_a_call_that_the_session_s_own_stream_may_speak_to_is_one_like_any_other(ends: str) -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        upstream: Any = line.rig.gateway.pool.entry("shop").upstream
        await line.under_way(fake)
        (place,) = [p for p in upstream._driver._places.values() if p.session.calls.sent]
        (number,) = place.session.calls.sent
        running = place.session.calls.owner_of(Notification("notifications/progress", {"progressToken": number}))
        assert (running.call.params, [*place.session.calls.sent]) == (ECHO, [])
        if ends == "cancelled":
            told = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
            await line.rig.legacy(told, line.session)
            assert (await line.answer()).message["error"]["code"] == 499
            await fake.wait_for("notifications/cancelled")
        elif ends == "broken off":
            running.fail(UpstreamIncomplete("The question could not be answered."))
            assert (await line.answer()).message["error"]["data"]["may_have_run"] is True
            await fake.wait_for("notifications/cancelled")
        else:
            shop.answer = rides.fails if ends == "with an error" else rides.plain
            shop.go.set()
            message = (await line.answer()).message
            assert (message["id"], "error" in message) == (7, ends == "with an error")
        shop.answer = rides.plain
        shop.go.set()
        assert (await line.call(8)).message["id"] == 8

    on_a_line(scene)


def test_other_words_and_other_sessions_go_by_no_plan() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        shop.go.set()
        for params in (
            {**ECHO, "_meta": {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
            {**ECHO, "extra": 1},
            {"name": "echo"},
        ):
            assert (await line.call(5, params)).result["content"][0]["text"] == "done"
        assert fake.of("tools/call")[3].params["_meta"]["traceparent"].startswith("00-0af")
        assert "arguments" not in fake.of("tools/call")[5].params

    on_a_line(scene)


def test_sessions_that_share_a_connection_have_plans_of_their_own() -> None:
    async def scene(line: Line, fake: FakeUpstream, shop: Shop) -> None:
        shop.go.set()
        first, second = line.session, await line.rig.initialize()
        for _ in range(3):
            for line.session in (second, first):
                assert (await line.call()).result["content"][0]["text"] == "done"
        shop.go.clear()
        for count, line.session in enumerate((second, first), 10):
            await line.under_way(fake, count)
            shop.go.set()
            assert (await line.answer()).message["id"] == 7
            shop.go.clear()

    on_a_line(scene)


def test_a_caller_that_can_be_asked_goes_by_no_plan() -> None:
    async def scene(rig: Rig, fake: FakeUpstream, shop: Shop) -> None:
        session = await rides.warm(rig, shop, rides.ASKABLE)
        call = await under_way(rig, fake, session)
        assert not isinstance(rig.gateway.sessions._sessions[session].running[7].work, Trip)
        shop.go.set()
        assert (await call).result == {"content": text("done")["content"]}

    in_shop(scene)
