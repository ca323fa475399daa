"""Several upstreams behind one server: the dead and the slow cost the others nothing, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.fake_upstream import Fakes, FakeUpstream, say_who
from tests.gateway.rig import LIMIT_S, Rig, demo, envelope, modern_request, play, rpc, snapshot
from tests.gateway.virtual_time import LoopClock, run_virtually
from tests.unit.contract.making import observed, snap, upstream
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec, Snapshot, UpstreamSpec
from toolyard.gateway.assembly import Gateway
from toolyard.gateway.call import Answer, Call
from toolyard.gateway.dispatch import FIRST_LOOK_S
from toolyard.gateway.downstream.stdio import operator_head
from toolyard.gateway.exchange import Conversation
from toolyard.gateway.journal import Journal
from toolyard.kit.clock import SystemClock
from toolyard.platform import make_upstream

STALE = "toolyard/staleUpstreams"
PLAIN = (ServerSpec("default", access="open", names="plain"),)


class Kept:
    """A sink that keeps its answer."""

    is_gone = False

    def __init__(self) -> None:
        self.answer: Answer | None = None

    async def send(self, message: bytes, *, event_id: str | None = None, retry_ms: int | None = None) -> None:
        """Nobody reads messages here."""

    def finish(self, answer: Answer) -> None:
        self.answer = answer

    def outlive_client(self) -> None:
        """Nothing to outlive."""


class Desk:
    """A gateway that is asked directly, without sockets."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def ask(self, method: str, params: Json | None = None, server: str = "default") -> Any:
        """The message that answers a modern request."""

        async def push(message: bytes) -> None:
            del message

        sink = Kept()
        body = json.dumps(rpc(method, {**(params or {}), "_meta": envelope()})).encode()
        await self.gateway.exchange(operator_head(server), body, sink, Conversation(push=push))
        assert sink.answer is not None
        assert sink.answer.body is not None
        return json.loads(sink.answer.body)

    async def call(self, name: str) -> Any:
        return await self.ask("tools/call", {"name": name, "arguments": {}})

    async def tools(self) -> list[str]:
        return [t["name"] for t in (await self.ask("tools/list"))["result"]["tools"]]


@asynccontextmanager
async def gateway_of(
    snapshot_: Snapshot, make: Any, *, journal: Path | None = None, clock: Any = None
) -> AsyncIterator[Desk]:
    kept = Journal(journal)
    gateway = Gateway(
        snapshot_, make_upstream=make, journal=kept, clock=clock or LoopClock(), peppers=lambda: {1: b"p" * 32}
    )
    gateway.start()
    try:
        yield Desk(gateway)
    finally:
        await gateway.aclose()
        kept.close()


Scene = Callable[[Desk], Awaitable[None]]


def virtually(scene: Scene, snapshot_: Snapshot, fakes: Fakes, *, journal: Path | None = None) -> None:
    async def run() -> None:
        async with gateway_of(snapshot_, fakes.make, journal=journal) as desk:
            await scene(desk)

    run_virtually(run())


async def settled(desk: Desk, *upstream_ids: str) -> None:
    await desk.gateway.pool.tried(upstream_ids or tuple(desk.gateway.holder.current.snapshot.upstreams), 3600)


def now() -> float:
    return asyncio.get_running_loop().time()


def dead_and_slow(fake: FakeUpstream) -> None:
    fake.dead = fake.spec.id == "dead"
    if fake.spec.id == "slow":
        fake.gate.clear()


def test_lists_and_calls_of_a_live_upstream_wait_neither_for_a_dead_nor_for_a_slow_one():
    async def scene(desk: Desk) -> None:
        began = now()
        await settled(desk, "live", "dead")
        assert await desk.tools() == ["live__x"]
        assert (await desk.call("live__x"))["result"]["content"][0]["text"] == "x"
        listed = await desk.ask("tools/list")
        assert listed["result"]["_meta"][STALE] == ["dead"]
        assert now() == began

    virtually(scene, snap("dead", "slow", "live"), Fakes(observed("live", "x"), prepare=dead_and_slow))


def test_what_an_upstream_offered_last_stays_in_the_lists_while_it_is_dead_and_the_lists_say_so():
    async def scene(desk: Desk) -> None:
        await settled(desk)
        before = await desk.ask("tools/list")
        assert STALE not in before["result"]["_meta"]
        fakes["a"].dead = True
        desk.gateway.pool.refresh("a")
        await asyncio.sleep(1)
        during = await desk.ask("tools/list")
        assert during["result"]["tools"] == before["result"]["tools"]
        assert during["result"]["_meta"][STALE] == ["a"]
        failed = await desk.call("a__x")
        assert (failed["error"]["code"], failed["error"]["data"]["reason"]) == (-32603, "upstream_unreachable")
        assert "result" in await desk.call("b__x")
        fakes["a"].dead = False
        await asyncio.sleep(60)
        assert STALE not in (await desk.ask("tools/list"))["result"]["_meta"]
        assert "result" in await desk.call("a__x")

    fakes = Fakes(observed("a", "x"), observed("b", "x"))
    virtually(scene, snap("a", "b"), fakes)


@pytest.mark.parametrize("trouble", ["dead", "slow"])
def test_what_was_seen_before_a_restart_is_served_at_once_while_its_upstream_is_dead_or_slow(tmp_path, trouble):
    seen = observed(trouble, "x", prompts=["p"], resources=["doc://1"], templates=["t://{x}"], instructions="Use x.")
    journal = tmp_path / "journal.sqlite"

    async def first(desk: Desk) -> None:
        await settled(desk)

    async def again(desk: Desk) -> None:
        assert await desk.tools() == ["live__x", f"{trouble}__x"]
        await settled(desk, "live", *(["dead"] if trouble == "dead" else []))
        assert await desk.tools() == ["live__x", f"{trouble}__x"]
        discovered = (await desk.ask("server/discover"))["result"]
        assert discovered["instructions"] == "Use x."
        assert {"prompts", "resources"} <= set(discovered["capabilities"])
        for method, member in (("prompts/list", "prompts"), ("resources/list", "resources")):
            assert len((await desk.ask(method))["result"][member]) == 1
        stale = (await desk.ask("tools/list"))["result"]["_meta"].get(STALE)
        assert stale == (["dead"] if trouble == "dead" else None)

    virtually(first, snap("live", trouble), Fakes(observed("live", "x"), seen), journal=journal)
    virtually(again, snap("live", trouble), Fakes(observed("live", "x"), prepare=dead_and_slow), journal=journal)


def test_a_slow_upstream_that_never_was_seen_is_waited_for_only_by_who_calls_what_nobody_else_has():
    async def scene(desk: Desk) -> None:
        await settled(desk, "live")
        began = now()
        assert "result" in await desk.call("live__x")
        assert now() == began
        refused = await desk.call("slow__x")
        assert refused["error"]["data"]["reason"] == "tool_unknown"
        assert now() == pytest.approx(began + FIRST_LOOK_S)
        waiting = asyncio.ensure_future(desk.call("slow__x"))
        await asyncio.sleep(1)
        fakes["slow"].gate.set()
        assert "result" in await waiting
        assert now() == pytest.approx(began + FIRST_LOOK_S + 1)

    fakes = Fakes(observed("live", "x"), observed("slow", "x"), prepare=dead_and_slow)
    virtually(scene, snap("slow", "live"), fakes)


def test_the_first_call_after_a_start_waits_for_its_own_upstream_and_not_for_a_slow_one():
    async def scene(desk: Desk) -> None:
        fakes["live"].gate.clear()
        began = now()
        calling = asyncio.ensure_future(desk.call("live__x"))
        await asyncio.sleep(0.5)
        fakes["live"].gate.set()
        assert "result" in await calling
        assert now() == pytest.approx(began + 0.5)

    fakes = Fakes(observed("live", "x"), observed("slow", "x"), prepare=dead_and_slow)
    virtually(scene, snap("slow", "dead", "live"), fakes)


def test_names_and_their_collisions_stay_after_a_restart_in_which_the_upstreams_answer_in_another_order(tmp_path):
    journal = tmp_path / "journal.sqlite"

    def late(which: str) -> Fakes:
        def prepare(fake: FakeUpstream) -> None:
            if fake.spec.id == which:
                fake.gate.clear()

        return Fakes(observed("a", "echo"), observed("b", "echo"), prepare=prepare)

    def scene_with(fakes: Fakes, which: str, other: str) -> Scene:
        async def scene(desk: Desk) -> None:
            await settled(desk, other)
            fakes[which].gate.set()
            await settled(desk)
            server = desk.gateway.holder.current.servers["default"]
            assert {n: t.upstream_id for n, t in server.tools.items()} == {"echo": "b", "a__echo": "a"}
            assert server.collisions == ("tool 'echo' of 'a' is exposed as 'a__echo': 'echo' belongs to 'b'",)

        return scene

    for which, other in (("a", "b"), ("b", "a")):
        fakes = late(which)
        virtually(scene_with(fakes, which, other), snap("a", "b", servers=PLAIN), fakes, journal=journal)


def test_a_changed_list_is_told_once_it_is_there_to_be_read():
    async def scene(desk: Desk) -> None:
        await settled(desk)
        told: list[list[str]] = []

        class Ear:
            server = "default"
            principal_id = "operator"

            def lists_changed(self, kinds: Any) -> None:
                told.append(list(desk.gateway.holder.current.servers["default"].tools))

            def watches(self, uri: str) -> bool:
                return False

        desk.gateway.hub.add(Ear())  # type: ignore[arg-type]
        fakes["a"].offers = observed("a", "x", "y")
        fakes["a"].events.lists_changed("a", "tools")  # type: ignore[union-attr]
        await asyncio.sleep(1)
        assert told == [["a__x", "a__y"]]

    fakes = Fakes(observed("a", "x"))
    virtually(scene, snap("a"), fakes)


def test_reads_prompts_and_completions_go_to_the_upstream_that_has_them():
    async def scene(desk: Desk) -> None:
        await settled(desk)
        await desk.ask("resources/read", {"uri": "b://7"})
        await desk.ask("prompts/get", {"name": "a__p"})
        argument = {"name": "x", "value": ""}
        await desk.ask("completion/complete", {"ref": {"type": "ref/prompt", "name": "b__p"}, "argument": argument})
        await desk.ask("completion/complete", {"ref": {"type": "ref/resource", "uri": "a://{x}"}, "argument": argument})
        assert fakes["a"].requests == [
            ("prompts/get", {"name": "p"}),
            ("completion/complete", {"ref": {"type": "ref/resource", "uri": "a://{x}"}, "argument": argument}),
        ]
        assert fakes["b"].requests == [
            ("resources/read", {"uri": "b://7"}),
            ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}, "argument": argument}),
        ]

    fakes = Fakes(*(observed(i, "x", prompts=["p"], templates=[f"{i}://{{x}}"]) for i in "ab"))
    virtually(scene, snap("a", "b"), fakes)


def test_a_call_in_flight_ends_on_the_upstream_it_began_on_when_that_is_replaced():
    released = asyncio.Event

    async def scene(desk: Desk) -> None:
        go = released()

        async def wait(call: Call, method: str, params: Json) -> Json:
            await go.wait()
            return await say_who(call, method, params)

        await settled(desk)
        old = fakes["a"]
        old.answer = wait
        calling = asyncio.ensure_future(desk.call("a__x"))
        await asyncio.sleep(0)
        desk.gateway.offer(snap(upstream("a", timeout_s=29), revision=2))
        await settled(desk)
        assert fakes["a"] is not old
        assert "result" in await desk.call("a__x")
        await asyncio.sleep(20)
        assert old.closed == 0
        go.set()
        assert "result" in await calling
        await asyncio.sleep(1)
        assert old.closed == 1
        assert [len(f.requests) for f in fakes.made] == [1, 1]

    fakes = Fakes(observed("a", "x"))
    virtually(scene, snap("a"), fakes)


def test_an_upstream_that_was_taken_away_is_gone_from_lists_and_calls_at_once():
    async def scene(desk: Desk) -> None:
        await settled(desk)
        desk.gateway.offer(snap("b", revision=2))
        assert await desk.tools() == ["b__x"]
        assert (await desk.call("a__x"))["error"]["data"]["reason"] == "tool_unknown"
        await asyncio.sleep(1)
        assert fakes["a"].closed == 1

    fakes = Fakes(observed("a", "x"), observed("b", "x"))
    virtually(scene, snap("a", "b"), fakes)


def test_two_hundred_changes_of_the_configuration_fail_no_call_on_what_did_not_change():
    async def scene(desk: Desk) -> None:
        await settled(desk)
        failed: list[Any] = []
        stop = asyncio.Event()

        async def keep_calling() -> None:
            while not stop.is_set():
                answer = await desk.call("a__x")
                if "result" not in answer:
                    failed.append(answer)
                await asyncio.sleep(0)

        calling = asyncio.ensure_future(keep_calling())
        for revision in range(2, 202):
            others = [f"u{n}" for n in range(revision % 5)]
            desk.gateway.offer(snap("a", *others, revision=revision))
            await asyncio.sleep(0)
        stop.set()
        await calling
        assert failed == []
        assert [f.spec.id for f in fakes.made].count("a") == 1

    fakes = Fakes(observed("a", "x"))
    virtually(scene, snap("a"), fakes)


def test_four_hundred_dead_upstreams_of_real_kinds_do_not_keep_a_live_ones_first_call():
    closed = [UpstreamSpec(f"h{n}", "mcp-http", url=f"http://127.0.0.1:{n + 1}/mcp", timeout_s=5) for n in range(200)]
    missing = [UpstreamSpec(f"p{n}", "mcp-stdio", command=(f"no-such-program-{n}",), timeout_s=5) for n in range(200)]
    specs = (*closed, *missing, demo("live"))

    async def run() -> None:
        everything = snap(*specs, servers=(ServerSpec("default", access="open"),))
        async with gateway_of(everything, make_upstream, clock=SystemClock()) as desk, asyncio.timeout(3 * LIMIT_S):
            answer = await desk.ask("tools/call", {"name": "live__echo", "arguments": {"text": "first"}})
            tried_by_then = [s["id"] for s in desk.gateway.pool.status() if s["state"] == "failing"]
            assert answer["result"]["content"][0]["text"] == "first"
            assert len(tried_by_then) < 400
            dead = [s.id for s in (*closed, *missing)]
            await desk.gateway.pool.tried(dead, 3 * LIMIT_S)
            listed = (await desk.ask("tools/list"))["result"]
            assert listed["_meta"][STALE] == dead
            assert {t["name"].partition("__")[0] for t in listed["tools"]} == {"live"}

    asyncio.run(run())


def test_a_hung_upstream_takes_its_own_callers_and_nobody_elses():
    async def hang(call: Call, method: str, params: Json) -> Json:
        await asyncio.Event().wait()
        raise AssertionError

    def prepare(fake: FakeUpstream) -> None:
        if fake.spec.id == "hung":
            fake.answer = hang

    fakes = Fakes(observed("hung", "x"), observed("live", "x"), prepare=prepare)
    two = snapshot(
        *(UpstreamSpec(i, "mcp-http") for i in ("hung", "live")), servers=(ServerSpec("default", access="open"),)
    )

    async def scene(rig: Rig) -> None:
        call = modern_request("tools/call", {"name": "hung__x", "arguments": {}})
        hanging = [await rig.send("POST", "/mcp", *call) for _ in range(20)]
        async with asyncio.timeout(LIMIT_S):
            while len(fakes["hung"].requests) < 20:
                await asyncio.sleep(0.005)
        replies = await asyncio.gather(
            *(rig.modern("tools/call", {"name": "live__x", "arguments": {}}) for _ in range(20)),
            rig.modern("tools/list"),
        )
        assert [r.status for r in replies] == [200] * 21
        for writer in hanging:
            writer.close()

    play(scene, two, make=fakes.make)
