"""One connection that carries many messages: how much runs at once, in which order, and who waits for whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.gateway.fake_upstream import Fakes, say_who
from tests.gateway.rig import LIMIT_S, OPEN, Rig, envelope, play, rpc, snapshot
from tests.unit.contract.making import observed
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.call import Call, ClientGone
from toolyard.gateway.downstream import duplex
from toolyard.gateway.downstream.duplex import MAX_QUEUED, MAX_RUNNING, Duplex
from toolyard.gateway.downstream.stdio import operator_head
from toolyard.gateway.interceptors.in_flight import Bulkhead, InFlightLimits

HELLO = {
    "protocolVersion": "2025-03-26",
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "t", "version": "1"},
}
ROOMY = Bounds(in_flight=InFlightLimits(process=1000, server=1000, upstream=1000))


class Client:
    """The far end of a connection: says lines, and reads answers while `reads` is set."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.reads = asyncio.Event()
        self.reads.set()
        self.taken = 0
        self.gone = False

    async def receive(self) -> bytes | None:
        message = await self.incoming.get()
        self.taken += 1
        return message

    async def send(self, message: bytes) -> None:
        await self.reads.wait()
        if self.gone:
            raise ClientGone
        self.heard.put_nowait(json.loads(message))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.incoming.put_nowait(None)

    def say(self, *messages: Any) -> None:
        for message in messages:
            self.incoming.put_nowait(message if isinstance(message, bytes) else json.dumps(message).encode())

    async def hear(self) -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await self.heard.get()


class Upstream:
    """What the tools of these tests do, and how many of them run."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.told = 0
        self.go = asyncio.Event()
        self.fakes = Fakes(
            observed("u", "wait", "quick", "ask", "flood"), prepare=lambda f: setattr(f, "answer", self.answer)
        )

    async def answer(self, call: Call, method: str, params: Json) -> Json:
        name = params.get("name")
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if name == "wait":
                await self.go.wait()
            elif name == "ask":
                await call.ask({"q": {"method": "elicitation/create", "params": {"message": "?"}}})
            elif name == "flood":
                for n in range(20 * MAX_QUEUED):
                    await call.emit({"method": "notifications/progress", "params": {"progress": n}})
                    self.told += 1
            return await say_who(call, method, params)
        finally:
            self.running -= 1


Scene = Callable[[Client, Upstream, Rig], Awaitable[None]]


def conversation(scene: Scene, *, last_answers_s: float = 0.0) -> None:
    async def run(rig: Rig) -> None:
        client = Client()
        serving = asyncio.create_task(serve(rig, client, last_answers_s))
        try:
            await scene(client, upstream, rig)
        finally:
            await client.close()
            client.reads.set()
            async with asyncio.timeout(LIMIT_S):
                await serving

    upstream = Upstream()
    play(run, snapshot(UpstreamSpec("u", "mcp-http"), servers=(OPEN,)), make=upstream.fakes.make, bounds=ROOMY)


async def serve(rig: Rig, client: Client, last_answers_s: float = 0.0) -> None:
    await Duplex(rig.gateway.exchange, operator_head("default"), client, last_answers_s=last_answers_s).run()


def call(name: str, request_id: Any = 1, **meta: Any) -> Json:
    """A modern tool call."""
    return rpc("tools/call", {"name": name, "arguments": {}, "_meta": envelope(**meta)}, request_id)


def legacy_call(name: str, request_id: Any = 1, **meta: Any) -> Json:
    return rpc("tools/call", {"name": name, "arguments": {}, "_meta": meta}, request_id)


async def greeted(client: Client) -> None:
    client.say(rpc("initialize", HELLO, "hello"))
    assert (await client.hear())["id"] == "hello"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplex, "TURN_S", LIMIT_S)


@pytest.mark.usefixtures("patient")
def test_of_many_requests_at_once_sixty_four_run_and_as_many_wait_for_their_turn():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        client.say(*(call("wait", n) for n in range(2 * MAX_RUNNING)))
        await until(lambda: upstream.running == MAX_RUNNING)
        upstream.go.set()
        heard = [await client.hear() for _ in range(2 * MAX_RUNNING)]
        assert sorted(m["id"] for m in heard) == list(range(2 * MAX_RUNNING))
        assert all("result" in m for m in heard)
        assert upstream.most == MAX_RUNNING

    conversation(scene)


def test_far_too_many_requests_are_refused_one_by_one_and_the_connection_goes_on():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        client.say(*(call("wait", n) for n in range(1000)))
        refused = await client.hear()
        assert refused["error"]["data"]["reason"] == "overloaded"
        upstream.go.set()
        heard = [refused, *[await client.hear() for _ in range(999)]]
        assert sorted(m["id"] for m in heard) == list(range(1000))
        client.say(call("quick", "after"))
        assert "result" in await client.hear()

    conversation(scene)


def test_a_request_whose_turn_does_not_come_is_refused_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(duplex, "TURN_S", 0.02)

    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        client.say(*(call("wait", n) for n in range(MAX_RUNNING + 1)))
        refused = await client.hear()
        assert (refused["id"], refused["error"]["data"]["reason"]) == (MAX_RUNNING, "overloaded")
        upstream.go.set()
        assert all(["result" in await client.hear() for _ in range(MAX_RUNNING)])

    conversation(scene)


@pytest.mark.usefixtures("patient")
def test_answers_to_questions_are_heard_while_as_much_runs_as_may():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        await greeted(client)
        count = MAX_RUNNING + 10
        client.say(*(legacy_call("ask", n) for n in range(count)))
        answered = 0
        while answered < count:
            message = await client.hear()
            if message.get("method") == "elicitation/create":
                client.say({"jsonrpc": "2.0", "id": message["id"], "result": {"action": "decline"}})
            else:
                assert "result" in message
                answered += 1

    conversation(scene)


def test_a_call_is_cancelled_while_as_much_runs_as_may():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        client.say(*(call("wait", n) for n in range(MAX_RUNNING)))
        await until(lambda: upstream.running == MAX_RUNNING)
        client.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
        await until(lambda: upstream.running == MAX_RUNNING - 1)
        upstream.go.set()
        heard = {(await client.hear())["id"] for _ in range(MAX_RUNNING - 1)}
        assert heard == set(range(MAX_RUNNING)) - {7}

    conversation(scene)


def test_a_client_that_does_not_read_stops_its_own_calls_and_nobody_elses():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        client.reads.clear()
        client.say(call("flood", "slow", progressToken="t"))
        await until(lambda: upstream.told >= MAX_QUEUED)
        other = Client()
        serving = asyncio.create_task(serve(rig, other))
        for n in range(50):
            other.say(call("quick", n))
            assert (await other.hear())["id"] == n
        await other.close()
        await serving
        assert upstream.told <= MAX_QUEUED + 2
        client.reads.set()
        heard = [await client.hear() for _ in range(20 * MAX_QUEUED + 1)]
        assert [m["params"]["progress"] for m in heard[:-1]] == list(range(20 * MAX_QUEUED))
        assert heard[-1]["id"] == "slow"

    conversation(scene)


def test_a_client_that_asks_and_never_reads_is_not_read_from_for_ever():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        client.reads.clear()
        client.say(*(rpc("ping", None, n) for n in range(8 * MAX_QUEUED)))
        await until(lambda: client.taken >= MAX_QUEUED)
        for _ in range(50):
            await asyncio.sleep(0)
        assert client.taken <= 2 * MAX_QUEUED
        client.reads.set()
        for _ in range(8 * MAX_QUEUED):
            await client.hear()

    conversation(scene)


def test_what_is_read_wrong_is_answered_with_an_error_and_the_connection_goes_on():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        client.say(b"{", b"\xff\xfe", b"[]", b'"text"', b'{"jsonrpc":"1.0","id":3,"method":"ping"}')
        codes = [(await client.hear())["error"]["code"] for _ in range(5)]
        assert codes[:2] == [-32700, -32700]
        assert set(codes[2:]) == {-32600}
        client.say(call("quick", "after"))
        assert (await client.hear())["id"] == "after"

    conversation(scene)


def test_a_connection_is_initialized_once_and_needs_it_for_everything_of_the_old_era_but_ping():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        client.say(rpc("ping", None, 1), rpc("tools/list", {}, 2))
        assert (await client.hear())["result"] == {}
        assert (await client.hear())["error"]["data"]["reason"] == "session_required"
        await greeted(client)
        client.say(rpc("initialize", HELLO, 3))
        assert (await client.hear())["error"]["code"] == -32600
        client.say(rpc("tools/list", {}, 4))
        assert len((await client.hear())["result"]["tools"]) == 4

    conversation(scene)


def test_both_eras_live_on_one_connection():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        await greeted(client)
        client.say(legacy_call("quick", "old"), call("quick", "new"))
        heard = {m["id"]: m["result"] for m in [await client.hear(), await client.hear()]}
        assert "resultType" not in heard["old"]
        assert heard["new"]["resultType"] == "complete"

    conversation(scene)


def test_a_batch_is_answered_whole_and_only_in_the_revision_that_has_them():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        client.say([rpc("ping", None, 1)])
        assert (await client.hear())["error"]["code"] == -32600
        await greeted(client)
        client.say(
            [legacy_call("quick", 1), legacy_call("quick", 2), {"jsonrpc": "2.0", "method": "notifications/x"}, 7]
        )
        answers = await client.hear()
        assert sorted(str(a.get("id")) for a in answers) == ["1", "2", "None"]

    conversation(scene)


def test_a_reply_that_nobody_asked_for_is_refused_and_a_notification_is_not_answered():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        await greeted(client)
        client.say({"jsonrpc": "2.0", "method": "notifications/initialized"})
        client.say({"jsonrpc": "2.0", "id": "toolyard-1", "result": {}})
        client.say(rpc("ping", None, "p"))
        heard = [await client.hear(), await client.hear()]
        assert {"jsonrpc": "2.0", "id": "p", "result": {}} in heard
        assert [m["error"]["code"] for m in heard if "error" in m] == [-32600]

    conversation(scene)


def test_an_id_in_use_is_refused_and_the_first_call_goes_on():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        client.say(call("wait", "same"))
        await until(lambda: upstream.running)
        client.say(call("quick", "same"))
        assert (await client.hear())["error"]["code"] == -32600
        upstream.go.set()
        assert "result" in await client.hear()

    conversation(scene)


@pytest.mark.parametrize("last_answers_s", [0.0, LIMIT_S], ids=["at-once", "patient"])
def test_calls_that_run_when_the_clients_messages_end_are_ended_or_waited_for(last_answers_s):
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        client.say(call("wait", 1))
        await until(lambda: upstream.running)
        await client.close()
        if last_answers_s:
            upstream.go.set()
            assert "result" in await client.hear()
        else:
            await until(lambda: not upstream.running)
            assert client.heard.empty()

    conversation(scene, last_answers_s=last_answers_s)


def test_an_open_listen_stream_does_not_keep_a_connection_whose_messages_have_ended():
    async def run(rig: Rig) -> None:
        client = Client()
        client.say(rpc("subscriptions/listen", {"notifications": {}, "_meta": envelope()}, "l"))
        serving = asyncio.create_task(serve(rig, client, last_answers_s=10 * LIMIT_S))
        assert (await client.hear())["method"] == "notifications/subscriptions/acknowledged"
        await client.close()
        async with asyncio.timeout(LIMIT_S):
            await serving

    play(run)


def test_a_client_that_is_gone_ends_what_it_had():
    async def scene(client: Client, upstream: Upstream, rig: Rig) -> None:
        await greeted(client)
        client.say(legacy_call("wait", 1), legacy_call("quick", 2))
        client.gone = True
        await until(lambda: upstream.running == 1)
        await client.close()
        await until(lambda: not upstream.running and not len(rig.gateway.sessions))

    conversation(scene)


def test_a_turn_that_is_given_up_as_it_comes_is_lost_to_nobody():
    async def scene() -> None:
        places = Bulkhead(1, LIMIT_S)
        await places.enter()
        given_up = asyncio.ensure_future(places.enter())
        await asyncio.sleep(0)
        given_up.cancel()
        places.leave()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        await places.enter()
        assert places.running == 1

    asyncio.run(scene())


def test_a_turn_that_came_as_it_was_given_up_goes_to_the_next():
    async def scene() -> None:
        places = Bulkhead(2, LIMIT_S)
        await places.enter()
        await places.enter()
        first, second = (asyncio.ensure_future(places.enter()) for _ in range(2))
        await asyncio.sleep(0)
        places.leave()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        async with asyncio.timeout(LIMIT_S):
            await second
        assert places.running == 2

    asyncio.run(scene())
