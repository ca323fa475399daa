"""Sessions and parked calls leave nothing, however they end: no task, no descriptor, no object of the gateway's."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.gateway.rig import LIMIT_S, Rig, Stream, a_key, bearer, modern_request, rpc, running, snapshot
from tests.gateway.upstream.fake_http_upstream import FakeUpstream, Legacy, Reply, Request, result, serving, text, tool
from tests.gateway.upstream.leftovers import open_descriptors
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec, Snapshot, UpstreamSpec
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.parking import ParkingLimits
from toolyard.gateway.sessions import SessionLimits
from toolyard.kit.clock import ManualClock

pytestmark = pytest.mark.slow

COUNT = 40
AT_ONCE = 10
LONG_S = 3600.0
OFFER = {"elicitation": {"form": {}}}
ANN = {"action": "accept", "content": {"name": "Ann"}}
FORM = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {}}}
SERVERS = (ServerSpec("default", access="open", names="plain"), ServerSpec("locked", names="plain"))
BOUNDS = Bounds(sessions=SessionLimits(1000, 1000, LONG_S), parking=ParkingLimits(1000, 1000, LONG_S))


class Once(Reply):
    """An answer after which the connection is closed, so that no idle ones are kept."""

    async def whole(
        self, status: int, body: bytes = b"", content_type: str = "application/json", **headers: str
    ) -> None:
        await super().whole(status, body, content_type, connection="close", **headers)

    async def stream(self, **headers: str) -> None:
        await super().stream(connection="close", **headers)


class Shop(Legacy):
    """A legacy server: `ask` asks on the stream of its answer, `stall` asks and then never answers, `silent` never does
    anything, `echo` answers."""

    def __init__(self) -> None:
        super().__init__(tools=[tool(name) for name in ("echo", "ask", "stall", "silent")])
        self.handlers = {"tools/call": self._call, "": self._take}
        self._numbers = itertools.count(1)
        self._open: dict[str, asyncio.Future[Json]] = {}

    async def __call__(self, request: Request, reply: Reply) -> None:
        await super().__call__(request, Once(reply.writer))
        reply.close()

    async def _call(self, request: Request, reply: Reply) -> None:
        name = request.params["name"]
        if name == "echo":
            await reply.json(result(request, {"content": text("echo")["content"]}))
            return
        await reply.stream()
        if name == "silent" or not await self._asked(request, reply) or name == "stall":
            await request.gone.wait()
            return
        await reply.event(result(request, {"content": text("done")["content"]}))
        await reply.end()

    async def _asked(self, request: Request, reply: Reply) -> bool:
        """Ask; true if an answer came before the caller went."""
        question = f"q{next(self._numbers)}"
        answer = self._open[question] = asyncio.get_running_loop().create_future()
        gone = asyncio.ensure_future(request.gone.wait())
        await reply.event({"jsonrpc": "2.0", "id": question, "method": "elicitation/create", "params": FORM})
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            del self._open[question]
        return answer.done()

    async def _take(self, request: Request, reply: Reply) -> None:
        waiting = self._open.get(request.message["id"])
        if waiting is not None:
            waiting.set_result(request.message)
        await reply.whole(202)


@dataclass
class Scene:
    """A gateway before the shop. `key` opens the server `locked`."""

    rig: Rig
    shop: FakeUpstream
    clock: ManualClock
    snap: Snapshot
    key: dict[str, str]

    def pass_time(self) -> None:
        """Longer than anything may wait or be idle."""
        self.clock.advance(LONG_S + 1)
        self.rig.gateway.sweep()

    async def revoke(self) -> None:
        """Take the key away and give it back."""
        revision = self.rig.gateway.holder.current.snapshot.revision
        self.rig.gateway.offer(replace(self.snap, revision=revision + 1, digest="revoked", keys={}))
        self.rig.gateway.offer(replace(self.snap, revision=revision + 2, digest="again"))

    async def session(self, path: str = "/mcp") -> str:
        headers = self.key if path != "/mcp" else {}
        session = await self.rig.initialize(capabilities=OFFER, path=path, headers=headers)
        called = await self.rig.legacy(rpc("tools/call", {"name": "echo"}), session, path=path, headers=headers)
        assert called.result["content"] == text("echo")["content"]
        return session

    async def stream(self, session: str) -> Stream:
        opened = await self.rig.open("GET", "/mcp", {"accept": "text/event-stream", "mcp-session-id": session})
        assert opened.status == 200
        return opened

    async def delete(self, session: str) -> None:
        assert (await self.rig.http("DELETE", "/mcp", {"mcp-session-id": session})).status == 204

    async def buy(self, params: Json, path: str = "/mcp") -> Any:
        headers = self.key if path != "/mcp" else {}
        return await self.rig.modern("tools/call", params, capabilities=OFFER, path=path, headers=headers)

    async def parked(self, name: str = "ask", path: str = "/mcp") -> Json:
        """A call that is parked; what goes on with it."""
        asked = (await self.buy({"name": name}, path)).result
        assert asked["resultType"] == "input_required"
        answers = dict.fromkeys(asked["inputRequests"], ANN)
        return {"name": name, "requestState": asked["requestState"], "inputResponses": answers}

    async def leave(self, params: Json) -> None:
        """Send a call and go away once it runs."""
        before = self.rig.server.running_count
        writer = await self.rig.send("POST", "/mcp", *modern_request("tools/call", params, capabilities=OFFER))
        await until(lambda: self.rig.server.running_count > before)
        writer.close()


Way = Callable[[Scene, int], Awaitable[None]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def each(count: int, work: Callable[[], Awaitable[Any]]) -> list[Any]:
    """The outcomes of `work`, done `count` times, some at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one() -> Any:
        async with places:
            return await work()

    return await asyncio.gather(*(one() for _ in range(count)))


async def for_all(items: Sequence[Any], work: Callable[[Any], Awaitable[Any]]) -> None:
    waiting = iter(items)
    await each(len(items), lambda: work(next(waiting)))


async def deleted(scene: Scene, count: int) -> None:
    await for_all(await each(count, scene.session), scene.delete)


async def idle(scene: Scene, count: int) -> None:
    await each(count, scene.session)
    scene.pass_time()


async def deleted_with_its_stream_open(scene: Scene, count: int) -> None:
    sessions = await each(count, scene.session)
    streams = [await scene.stream(session) for session in sessions]
    await for_all(sessions, scene.delete)
    for stream in streams:
        assert not (await stream.rest()).messages
        stream.close()


async def left_by_a_client_that_read_its_stream(scene: Scene, count: int) -> None:
    for session in await each(count, scene.session):
        (await scene.stream(session)).close()
    await until(lambda: scene.rig.server.running_count == 0)
    scene.pass_time()


async def deleted_while_its_call_asks(scene: Scene, count: int) -> None:
    sessions = await each(count, scene.session)
    for session in sessions:
        headers = {"content-type": "application/json", "mcp-session-id": session}
        headers |= {"accept": "application/json, text/event-stream"}
        body = b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"ask"}}'
        asked = await scene.rig.open("POST", "/mcp", headers, body)
        while "method" not in await asked.message():
            continue
        await scene.delete(session)
        asked.close()


async def ended_with_its_key(scene: Scene, count: int) -> None:
    await each(count, lambda: scene.session("/mcp/locked"))
    await scene.revoke()


async def answered(scene: Scene, count: int) -> None:
    async def answer(params: Json) -> None:
        assert (await scene.buy(params)).result["content"] == text("done")["content"]

    await for_all(await each(count, scene.parked), answer)


async def nobody_comes_back(scene: Scene, count: int) -> None:
    await each(count, scene.parked)
    assert len(scene.rig.gateway.parking) == count
    scene.pass_time()


async def its_key_ends(scene: Scene, count: int) -> None:
    await each(count, lambda: scene.parked(path="/mcp/locked"))
    await scene.revoke()


async def the_client_goes_before_it_is_asked(scene: Scene, count: int) -> None:
    for _ in range(count):
        await scene.leave({"name": "silent"})
        await until(lambda: scene.rig.server.running_count == 0)


async def the_client_goes_after_it_has_answered(scene: Scene, count: int) -> None:
    for params in await each(count, lambda: scene.parked("stall")):
        await scene.leave(params)
        await until(lambda: scene.rig.server.running_count == 0)


async def the_upstream_goes(scene: Scene, count: int) -> None:
    parked = await each(count, scene.parked)
    scene.shop.drop_connections()

    async def come_back(params: Json) -> None:
        assert "error" in (await scene.buy(params)).message

    await for_all(parked[::2], come_back)
    scene.pass_time()


def census() -> Counter[str]:
    """How many objects there are of each class of the gateway's."""
    gc.collect()
    names = ((type(found).__module__, type(found).__qualname__) for found in gc.get_objects())
    return Counter(f"{module}.{name}" for module, name in names if str(module).startswith("toolyard"))


def state() -> dict[str, int]:
    return {"tasks": len(asyncio.all_tasks()), "descriptors": open_descriptors(), **census()}


async def at_rest() -> dict[str, int]:
    """What there is once it does not change any more."""
    found: list[dict[str, int]] = [{}, {}, state()]
    async with asyncio.timeout(LIMIT_S):
        while not found[-3] == found[-2] == found[-1]:
            await asyncio.sleep(0.05)
            found.append(state())
    return found[-1]


async def more_than(before: dict[str, int]) -> dict[str, int]:
    """What there still is more of than `before` after all the time that it could need to go."""
    loop = asyncio.get_running_loop()
    end = loop.time() + LIMIT_S
    while True:
        left = {what: count - before.get(what, 0) for what, count in state().items() if count > before.get(what, 0)}
        if not left or loop.time() > end:
            return left
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "way",
    [
        deleted,
        idle,
        deleted_with_its_stream_open,
        left_by_a_client_that_read_its_stream,
        deleted_while_its_call_asks,
        ended_with_its_key,
        answered,
        nobody_comes_back,
        its_key_ends,
        the_client_goes_before_it_is_asked,
        the_client_goes_after_it_has_answered,
        the_upstream_goes,
    ],
)
def test_nothing_is_left_of_sessions_and_parked_calls_however_they_end(way: Way) -> None:
    async def run() -> None:
        key, record = a_key("locked")
        clock = ManualClock()
        async with serving(Shop()) as shop:
            upstream = UpstreamSpec("shop", "mcp-http", url=shop.url, max_connections=COUNT * 2)
            snap = snapshot(upstream, servers=SERVERS, keys=(record,))
            async with running(snap, bounds=BOUNDS, clock=clock) as rig:
                scene = Scene(rig, shop, clock, snap, bearer(key))
                await way(scene, 2)
                before = await at_rest()
                await way(scene, COUNT)
                assert await more_than(before) == {}
                assert (len(rig.gateway.sessions), len(rig.gateway.parking)) == (0, 0)

    asyncio.run(run())
